package order

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// proposalOf is the digest that a PREPARE or COMMIT is for.
func proposalOf(env *wire.Envelope) wire.Digest {
	if m, ok := env.Msg.(*wire.Prepare); ok {
		return m.Proposal
	}
	return env.Msg.(*wire.Commit).Proposal
}

// OnPrepare handles a PREPARE. The leader's PRE-PREPARE stands for its PREPARE, so none of its own counts.
func (s *State) OnPrepare(now clock.Instant, env *wire.Envelope, out *effect.Output) {
	m := &env.Msg.(*wire.Prepare).Vote
	if env.Sender == s.cfg.Group.Leader(m.View) {
		drop(out, env.Sender, m.Ordinal, "PREPARE of the leader")
		return
	}
	s.vote(now, env, m, env.Sender.Index(), out)
}

// OnCommit handles a COMMIT.
func (s *State) OnCommit(now clock.Instant, env *wire.Envelope, out *effect.Output) {
	m := &env.Msg.(*wire.Commit).Vote
	at := s.vote(now, env, m, s.cfg.Group.N()+env.Sender.Index(), out)
	if at == nil {
		return
	}
	r := &at.round
	if r.voters = r.voters.With(env.Sender); r.voters.Len() >= s.cfg.Group.OneCorrect() {
		s.known = max(s.known, m.Ordinal)
	}
}

// vote keeps a replica's first vote of its kind for an ordinal and returns the slot, nil if the vote is not for now.
func (s *State) vote(now clock.Instant, env *wire.Envelope, m *wire.Vote, place int, out *effect.Output) *slot {
	if m.Incarnations != s.cfg.Membership {
		drop(out, env.Sender, m.Ordinal, "vote under other incarnations")
		return nil
	}
	at := s.admit(now, env, m.View, m.Ordinal, out)
	if at == nil {
		return nil
	}
	if at.round.votes[place] != nil {
		out.Known = true
		return nil
	}
	r := &at.round
	r.votes[place] = env
	if r.proposal == nil || r.proposal.Digest != m.Proposal {
		return at
	}
	if place < s.cfg.Group.N() {
		r.prepares++
	} else {
		r.commits++
	}
	s.certify(at, r.proposal.Msg.(*wire.PrePrepare), out)
	return at
}

// OnCertificate handles a commit certificate, whose signatures and distinct signers have been checked: the ordinal is
// ordered, whatever this replica knew of it.
func (s *State) OnCertificate(now clock.Instant, env *wire.Envelope, out *effect.Output) bool {
	cert := env.Msg.(*wire.Certificate)
	m := cert.PrePrepare.Msg.(*wire.PrePrepare)
	if len(cert.Commits) < s.cfg.Group.Quorum() || cert.PrePrepare.Sender != s.cfg.Group.Leader(m.View) ||
		m.Incarnations != s.cfg.Membership {
		drop(out, env.Sender, m.Ordinal, "not a certificate of this group")
		return false
	}
	for _, c := range cert.Commits {
		if c.Msg.(*wire.Commit).Incarnations != s.cfg.Membership {
			drop(out, env.Sender, m.Ordinal, "certificate under other incarnations")
			return false
		}
	}
	at := s.reach(now, env, m.Ordinal, out)
	if at == nil {
		return false
	}
	if at.ordered {
		out.Known = true
		return false
	}
	if p := at.round.proposal; p != nil && p.Digest != cert.PrePrepare.Digest && p.Msg.(*wire.PrePrepare).View == m.View {
		out.Evidence = append(out.Evidence, wire.Evidence{First: p, Second: cert.PrePrepare})
	}
	s.ordered(at, cert.PrePrepare, cert.Commits, out)
	return true
}

// retreat takes back the acceptance of an ordinal and all after it, because another proposal was ordered in its place.
func (s *State) retreat(ordinal uint64) {
	if s.accepted < ordinal {
		return
	}
	s.accepted = ordinal - 1
	s.planned = min(s.planned, s.accepted)
	s.chain = make(wire.Vector, s.cfg.Group.N())
	if at := s.slots.At(s.accepted); at != nil {
		s.chain = at.eligible
	}
}

// Repeat sends again what is at least age old and not executed: the leader its proposals, all their votes; and the matrix, if
// what it shows has not been proposed.
func (s *State) Repeat(before clock.Instant, rows wire.Rows, out *effect.Output) {
	others, n, self := s.cfg.Group.Others(s.cfg.Self), s.cfg.Group.N(), s.cfg.Self.Index()
	for o := s.executed + 1; o <= s.high; o++ {
		at := s.slots.At(o)
		if at == nil || at.round.votes == nil || at.seen > before {
			continue
		}
		r := &at.round
		if s.leads() && r.proposal != nil && r.proposal.Sender == s.cfg.Self {
			out.Sends = append(out.Sends, effect.Send{To: others, Class: wire.Timely, Signed: r.proposal})
		}
		for _, own := range [...]*wire.Envelope{r.votes[self], r.votes[n+self]} {
			if own != nil {
				out.Sends = append(out.Sends, effect.Send{To: others, Class: wire.Bounded, Signed: own})
			}
		}
	}
	if !s.leads() && s.installed && !s.chain.Covers(s.eligible) {
		s.sendMatrix(rows, out)
	}
}

// helpBytes bounds the certificates that one Status is answered with.
const helpBytes = 256 << 10

// Help sends a peer that has executed less than is ordered here what it lacks, the oldest first: commit certificates, and for
// what a view change bound its window and the proposals.
func (s *State) Help(from group.ID, executed uint64, out *effect.Output) {
	if executed < s.Collected() {
		out.Emit(trace.Event{Kind: trace.OutOfHistory, Peer: from, Ordinal: executed + 1})
		return
	}
	to := group.SetOf(from)
	var sent *wire.Window
	bytes, last := 0, executed+uint64(s.cfg.Ahead)
	for o := executed + 1; bytes < helpBytes && o <= last; o++ {
		at := s.slots.At(o)
		if at == nil || !at.ordered || at.learned {
			return
		}
		if at.proposal != nil {
			bytes += len(at.proposal.Raw)
		}
		if !at.bound {
			for _, c := range at.commits {
				bytes += len(c.Raw)
			}
			m := &wire.Certificate{PrePrepare: at.proposal, Commits: at.commits}
			out.Sends = append(out.Sends, effect.Send{To: to, Class: wire.Bounded, Msg: m})
			continue
		}
		if w := s.windowOf(o); w != nil && w != sent {
			sent = w
			out.Sends = append(out.Sends, effect.Send{To: to, Class: wire.Bounded, Msg: w})
		}
		if at.proposal != nil {
			out.Sends = append(out.Sends, effect.Send{To: to, Class: wire.Bounded, Signed: at.proposal})
		}
	}
}
