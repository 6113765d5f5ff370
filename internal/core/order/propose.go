package order

import (
	"slices"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// admit is the slot that a message for an ordinal of a view belongs to, nil if it is not for now.
func (s *State) admit(now clock.Instant, env *wire.Envelope, view, ordinal uint64, out *effect.Output) *slot {
	switch {
	case view != s.view:
		drop(out, env.Sender, ordinal, "another view")
		return nil
	case ordinal <= s.executed:
		return nil // late, and nothing is left to decide
	case ordinal > s.executed+2*uint64(s.cfg.OrdinalWindow):
		drop(out, env.Sender, ordinal, "ordinal beyond the window")
		return nil
	}
	at := s.slots.Make(ordinal)
	if at.votes == nil {
		at.votes = make([]*wire.Envelope, 2*s.cfg.Group.N())
		at.seen = now
	}
	return at
}

// OnPrePrepare handles a PRE-PREPARE of the leader, from it or flooded by others: the first for its ordinal is the proposal,
// and is passed on to everybody once, so that one correct receiver is enough. A second, different one convicts the leader.
// It reports whether the rows are of use.
func (s *State) OnPrePrepare(now clock.Instant, env *wire.Envelope, out *effect.Output) bool {
	m := env.Msg.(*wire.PrePrepare)
	if env.Sender != s.cfg.Group.Leader(m.View) || m.Incarnations != s.cfg.Membership {
		drop(out, env.Sender, m.Ordinal, "proposal of a replica that does not lead, or under other incarnations")
		return false
	}
	if at := s.slots.At(m.Ordinal); at != nil && at.proposal != nil {
		if at.proposal.Digest != env.Digest { // found out even when the ordinal is already executed
			out.Evidence = append(out.Evidence, wire.Evidence{First: at.proposal, Second: env})
		}
		return false
	}
	at := s.admit(now, env, m.View, m.Ordinal, out)
	if at == nil {
		return false
	}
	s.propound(at, env)
	s.high = max(s.high, m.Ordinal)
	if !s.leads() {
		to := s.cfg.Group.Others(s.cfg.Self).Without(env.Sender)
		out.Sends = append(out.Sends, effect.Send{To: to, Class: wire.Bounded, Signed: env})
	}
	s.certify(at, m, out)
	return true
}

// propound makes env the proposal of a slot and counts the votes for it that were there before.
func (s *State) propound(at *slot, env *wire.Envelope) {
	at.proposal, at.prepares, at.commits = env, 0, 0
	for k, v := range at.votes {
		if v == nil || proposalOf(v) != env.Digest {
			continue
		}
		if k < s.cfg.Group.N() {
			at.prepares++
		} else {
			at.commits++
		}
	}
}

// accept takes proposals in order, computes what each makes eligible, and answers PREPARE to those of others. A proposal
// whose Base is not what the one before it made eligible is not accepted, unless a quorum committed to it.
func (s *State) accept(_ clock.Instant, out *effect.Output) {
	for {
		at := s.slots.At(s.accepted + 1)
		if at == nil || at.proposal == nil {
			return
		}
		m := at.proposal.Msg.(*wire.PrePrepare)
		if !at.ordered && !slices.Equal(m.Base, s.chain) {
			return
		}
		fresh := make(wire.Vector, len(s.chain))
		Eligible(s.cfg.Group, m.Rows, fresh)
		at.eligible = raise(s.chain, fresh)
		s.chain = at.eligible
		s.shown = raise(s.shown, s.chain)
		s.accepted++
		if !at.ordered && !at.announced && !s.leads() {
			at.announced = true
			vote := wire.Vote{View: m.View, Ordinal: m.Ordinal, Proposal: at.proposal.Digest, Incarnations: s.cfg.Membership}
			out.Sends = append(out.Sends, effect.Send{To: s.cfg.Group.All(), Class: wire.Bounded, Msg: &wire.Prepare{Vote: vote}})
		}
	}
}

// certify acts on certificates that are complete: COMMIT on a prepare certificate, ordered on a commit certificate.
func (s *State) certify(at *slot, m *wire.PrePrepare, out *effect.Output) {
	if !at.prepared && at.prepares >= s.cfg.Group.Prepares() {
		at.prepared = true
		out.Emit(trace.Event{Kind: trace.Prepared, View: m.View, Ordinal: m.Ordinal})
		vote := wire.Vote{View: m.View, Ordinal: m.Ordinal, Proposal: at.proposal.Digest, Incarnations: s.cfg.Membership}
		out.Sends = append(out.Sends, effect.Send{To: s.cfg.Group.All(), Class: wire.Bounded, Msg: &wire.Commit{Vote: vote}})
	}
	if !at.ordered && at.commits >= s.cfg.Group.Quorum() {
		at.ordered = true
		s.known = max(s.known, m.Ordinal)
		out.Emit(trace.Event{Kind: trace.Ordered, View: m.View, Ordinal: m.Ordinal})
	}
}
