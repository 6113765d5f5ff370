package order

import (
	"slices"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// reach is the slot of an ordinal that is not executed and not too far ahead, nil otherwise.
func (s *State) reach(now clock.Instant, env *wire.Envelope, ordinal uint64, out *effect.Output) *slot {
	switch {
	case ordinal <= s.executed:
		out.Known = true
		return nil // late, and nothing is left to decide
	case ordinal > s.farthest():
		drop(out, env.Sender, ordinal, "ordinal beyond the window")
		return nil
	}
	at := s.slots.Make(ordinal)
	if at.seen == 0 {
		at.seen = max(now, 1)
	}
	return at
}

// admit is the slot that a proposal or vote of a view belongs to, nil if it is not for now.
func (s *State) admit(now clock.Instant, env *wire.Envelope, view, ordinal uint64, out *effect.Output) *slot {
	if view != s.view {
		drop(out, env.Sender, ordinal, "another view")
		return nil
	}
	at := s.reach(now, env, ordinal, out)
	if at != nil && at.round.votes == nil {
		at.round.votes = make([]*wire.Envelope, 2*s.cfg.Group.N())
	}
	return at
}

// OnPrePrepare handles a PRE-PREPARE of the leader, from it or flooded by others: the first for its view and ordinal is the
// proposal, and is passed on to everybody once, so that one correct receiver is enough. A second, different one convicts the
// leader. One of an earlier view is of use if a view change bound its ordinal to it. It reports whether the rows are of use.
func (s *State) OnPrePrepare(now clock.Instant, env *wire.Envelope, out *effect.Output) bool {
	m := env.Msg.(*wire.PrePrepare)
	if env.Sender != s.cfg.Group.Leader(m.View) || m.Incarnations != s.cfg.Membership {
		drop(out, env.Sender, m.Ordinal, "proposal of a replica that does not lead, or under other incarnations")
		return false
	}
	if at := s.slots.At(m.Ordinal); at != nil {
		if at.bound && at.proposal == nil && at.binding == env.Digest {
			at.proposal = env
			return true
		}
		if !at.ordered && at.awaited == env.Digest && at.find(env.Digest) == nil {
			at.known = append(at.known, env)
			at.known = at.known[max(0, len(at.known)-maxKnown):]
			return true
		}
		for _, p := range [...]*wire.Envelope{at.round.proposal, at.proposal} {
			if p == nil || p.Msg.(*wire.PrePrepare).View != m.View {
				continue
			}
			if p.Digest != env.Digest { // found out even when the ordinal is already executed
				out.Evidence = append(out.Evidence, wire.Evidence{First: p, Second: env})
			} else {
				out.Known = true
			}
			return false
		}
	}
	at := s.admit(now, env, m.View, m.Ordinal, out)
	if at == nil {
		return false
	}
	r := &at.round
	r.propound(env, s.cfg.Group.N())
	s.high = max(s.high, m.Ordinal)
	if !s.leads() {
		to := s.cfg.Group.Others(s.cfg.Self).Without(env.Sender)
		out.Sends = append(out.Sends, effect.Send{To: to, Class: wire.Bounded, Signed: env})
	}
	s.certify(at, m, out)
	return true
}

// propound makes env the proposal and counts the votes for it that were there before.
func (r *round) propound(env *wire.Envelope, n int) {
	r.proposal, r.prepares, r.commits = env, 0, 0
	for k, v := range r.votes {
		if v == nil || proposalOf(v) != env.Digest {
			continue
		}
		if k < n {
			r.prepares++
		} else {
			r.commits++
		}
	}
}

// accept takes ordinals in order, computes what each makes eligible, and answers PREPARE to proposals of the current view. A
// proposal whose Base is not what the ordinal before it made eligible is not accepted, unless it is ordered. What a view change
// bound is not prepared, and its Base is not checked: it may follow a no-op (addendum A13).
func (s *State) accept(out *effect.Output) {
	for {
		at := s.slots.At(s.accepted + 1)
		if at == nil {
			return
		}
		fresh := make(wire.Vector, len(s.chain))
		switch p := at.round.proposal; {
		case at.ordered && at.proposal != nil:
			Eligible(s.cfg.Group, at.proposal.Msg.(*wire.PrePrepare).Rows, fresh)
		case at.ordered && at.binding == (wire.Digest{}):
		case !at.ordered && p != nil && s.live() && s.accepted+1 >= s.start && slices.Equal(p.Msg.(*wire.PrePrepare).Base, s.chain):
			Eligible(s.cfg.Group, p.Msg.(*wire.PrePrepare).Rows, fresh)
		default:
			return
		}
		at.eligible = raise(s.chain, fresh)
		s.chain = at.eligible
		s.shown = raise(s.shown, s.chain)
		s.accepted++
		if !at.ordered {
			s.prepare(&at.round, out)
		}
	}
}

func (s *State) prepare(r *round, out *effect.Output) {
	if r.announced || s.leads() {
		return
	}
	r.announced = true
	m := r.proposal.Msg.(*wire.PrePrepare)
	vote := wire.Vote{View: m.View, Ordinal: m.Ordinal, Proposal: r.proposal.Digest, Incarnations: s.cfg.Membership}
	out.Sends = append(out.Sends, effect.Send{To: s.cfg.Group.All(), Class: wire.Bounded, Msg: &wire.Prepare{Vote: vote}})
}

// certify acts on certificates that are complete: COMMIT on a prepare certificate, once the view is installed; ordered on a
// commit certificate.
func (s *State) certify(at *slot, m *wire.PrePrepare, out *effect.Output) {
	r := &at.round
	if !r.prepared && r.prepares >= s.cfg.Group.Prepares() {
		r.prepared = true
		out.Emit(trace.Event{Kind: trace.Prepared, View: m.View, Ordinal: m.Ordinal})
	}
	if r.prepared && !r.committed && s.installed && m.Ordinal >= s.start {
		r.committed = true
		vote := wire.Vote{View: m.View, Ordinal: m.Ordinal, Proposal: r.proposal.Digest, Incarnations: s.cfg.Membership}
		out.Sends = append(out.Sends, effect.Send{To: s.cfg.Group.All(), Class: wire.Bounded, Msg: &wire.Commit{Vote: vote}})
	}
	if !at.ordered && r.commits >= s.cfg.Group.Quorum() {
		s.ordered(at, r.proposal, r.commitsFor(r.proposal, s.cfg.Group.N(), s.cfg.Group.Quorum()), out)
	}
}

// commitsFor is the first quorum of COMMITs for a proposal.
func (r *round) commitsFor(proposal *wire.Envelope, n, quorum int) []*wire.Envelope {
	list := make([]*wire.Envelope, 0, quorum)
	for _, v := range r.votes[n:] {
		if v != nil && proposalOf(v) == proposal.Digest && len(list) < quorum {
			list = append(list, v)
		}
	}
	return list
}

// ordered marks an ordinal as ordered by a commit certificate. If another proposal was accepted for it, that is taken back.
func (s *State) ordered(at *slot, proposal *wire.Envelope, commits []*wire.Envelope, out *effect.Output) {
	m := proposal.Msg.(*wire.PrePrepare)
	if p := at.round.proposal; p == nil || p.Digest != proposal.Digest {
		s.retreat(m.Ordinal)
	}
	at.ordered, at.proposal, at.commits = true, proposal, commits
	s.certified = max(s.certified, m.View)
	s.high, s.known = max(s.high, m.Ordinal), max(s.known, m.Ordinal)
	out.Emit(trace.Event{Kind: trace.Ordered, View: m.View, Ordinal: m.Ordinal})
}
