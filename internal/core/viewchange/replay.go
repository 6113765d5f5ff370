package viewchange

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// OnShare handles a VC-PARTIAL-SIG. It reports whether a proof was completed that now challenges the leader.
func (s *State) OnShare(env *wire.Envelope, out *effect.Output) bool {
	m := env.Msg.(*wire.StateShare)
	i := env.Sender.Index()
	if !s.active || m.Resolution.View != s.view || s.proof != nil || int(s.shared[i]) >= s.cfg.Group.N() {
		return false
	}
	digest := m.Resolution.Digest()
	at := -1
	for k := range s.shares {
		if s.shares[k].digest == digest {
			at = k
		}
	}
	if at < 0 {
		s.shares = append(s.shares, shares{digest: digest, list: make([]*wire.Envelope, s.cfg.Group.N())})
		at = len(s.shares) - 1
	}
	t := &s.shares[at]
	if t.signers.Has(env.Sender) {
		return false
	}
	s.shared[i]++
	t.signers, t.list[i] = t.signers.With(env.Sender), env
	if t.signers.Len() < s.cfg.Group.Quorum() || m.Resolution.Members.Len() < s.cfg.Group.Quorum() {
		return false
	}
	s.proof = &wire.StateProof{Resolution: m.Resolution}
	for _, e := range t.list {
		if e != nil && len(s.proof.Shares) < s.cfg.Group.Quorum() {
			s.proof.Shares = append(s.proof.Shares, e)
		}
	}
	return s.challenge(out)
}

// challenge gives the proof to the leader; if that is us, we answer it at once.
func (s *State) challenge(out *effect.Output) bool {
	if s.cfg.Group.Leader(s.view) == s.cfg.Self {
		s.sendReplay(out)
		return false
	}
	if s.replay != nil {
		return false
	}
	s.sendProof(out)
	return true
}

func (s *State) sendProof(out *effect.Output) {
	to := group.SetOf(s.cfg.Group.Leader(s.view))
	out.Sends = append(out.Sends, effect.Send{To: to, Class: wire.Timely, Msg: s.proof})
}

// OnProof handles a VC-PROOF: the leader repeats the first one that it gets.
func (s *State) OnProof(env *wire.Envelope, out *effect.Output) {
	m := env.Msg.(*wire.StateProof)
	if s.active && m.Resolution.View == s.view && s.proof == nil && s.proves(m) && s.cfg.Group.Leader(s.view) == s.cfg.Self {
		s.proof = m
		s.sendReplay(out)
	}
}

// proves reports whether a quorum has signed m. A threshold signature that is here has been verified: a quorum made it.
func (s *State) proves(m *wire.StateProof) bool {
	return (m.Sig != nil || len(m.Shares) >= s.cfg.Group.Quorum()) && m.Resolution.Members.Len() >= s.cfg.Group.Quorum()
}

func (s *State) sendReplay(out *effect.Output) {
	out.Sends = append(out.Sends, effect.Send{To: s.cfg.Group.All(), Class: wire.Timely, Msg: &wire.Replay{Proof: *s.proof}})
}

// OnReplay handles a REPLAY, from the leader or flooded. It reports whether it is the first of this view; a second, different
// one is evidence against the leader.
func (s *State) OnReplay(env *wire.Envelope, out *effect.Output) bool {
	m := env.Msg.(*wire.Replay)
	if m.Proof.Resolution.View != s.view || env.Sender != s.cfg.Group.Leader(s.view) || !s.proves(&m.Proof) {
		return false
	}
	digest := m.Proof.Resolution.Digest()
	if s.replay != nil {
		if digest != s.chosen {
			out.Evidence = append(out.Evidence, wire.Evidence{First: s.replay, Second: env})
		}
		return false
	}
	if !s.active {
		return false
	}
	s.replay, s.chosen = env, digest
	if s.cfg.Self != env.Sender {
		to := s.cfg.Group.Others(s.cfg.Self).Without(env.Sender)
		out.Sends = append(out.Sends, effect.Send{To: to, Class: wire.Bounded, Signed: env})
	}
	s.answer(out)
	return true
}

// choice is what follows from the leader's list, if we have its states and computed the same.
func (s *State) choice() *resolved {
	for k := range s.resolved {
		if s.replay != nil && s.resolved[k].digest == s.chosen {
			return &s.resolved[k]
		}
	}
	return nil
}

// Chosen is the bindings that the leader's REPLAY is for, without commits, as soon as they are known; nil before, and once the view
// is installed.
func (s *State) Chosen() *wire.Window {
	if r := s.choice(); s.active && r != nil {
		return &wire.Window{Resolution: r.resolution, Bindings: r.bindings}
	}
	return nil
}

// answer sends REPLAY-PREPARE with the complete states of the leader's list, and REPLAY-COMMIT with a replay certificate too
// (addendum A2, A3). What we commit to is carried into later view changes from before it is signed.
func (s *State) answer(out *effect.Output) {
	if !s.active || s.replay == nil {
		return
	}
	r := s.resolve(s.replay.Msg.(*wire.Replay).Proof.Resolution.Members, out)
	if r == nil || r.digest != s.chosen {
		return
	}
	vote := wire.ReplayVote{View: s.view, Replay: s.chosen}
	if !s.prepared {
		s.prepared = true
		s.broadcast(&wire.ReplayPrepare{ReplayVote: vote}, out)
	}
	if list := s.prepares.forReplay(s.chosen, s.cfg.Group.Quorum()); !s.committed && list != nil {
		s.committed = true
		s.carried = &wire.Carried{Resolution: r.resolution, Bindings: r.bindings, Prepares: list}
		s.broadcast(&wire.ReplayCommit{ReplayVote: vote}, out)
	}
}

// forReplay is the votes for one replay, the first quorum of them, nil if there are fewer.
func (v votes) forReplay(replay wire.Digest, quorum int) (list []*wire.Envelope) {
	for _, e := range v {
		if e == nil || len(list) == quorum {
			continue
		}
		switch m := e.Msg.(type) {
		case *wire.ReplayPrepare:
			if m.Replay != replay {
				continue
			}
		case *wire.ReplayCommit:
			if m.Replay != replay {
				continue
			}
		}
		list = append(list, e)
	}
	if len(list) < quorum {
		return nil
	}
	return list
}

// OnReplayPrepare handles a REPLAY-PREPARE: the first of each replica counts, the leader's too.
func (s *State) OnReplayPrepare(env *wire.Envelope, out *effect.Output) {
	m := env.Msg.(*wire.ReplayPrepare)
	if i := env.Sender.Index(); s.active && m.View == s.view && s.prepares[i] == nil {
		s.prepares[i] = env
		s.answer(out)
	}
}

// OnReplayCommit handles a REPLAY-COMMIT: the first of each replica counts.
func (s *State) OnReplayCommit(env *wire.Envelope) {
	m := env.Msg.(*wire.ReplayCommit)
	if i := env.Sender.Index(); s.active && m.View == s.view && s.commits[i] == nil {
		s.commits[i] = env
	}
}

// Window is the certificate with which the view can be installed, nil while there is none: Q REPLAY-COMMITs, and the bindings
// that they are for.
func (s *State) Window() *wire.Window {
	r := s.choice()
	if !s.active || r == nil {
		return nil
	}
	list := s.commits.forReplay(s.chosen, s.cfg.Group.Quorum())
	if list == nil {
		return nil
	}
	return &wire.Window{Resolution: r.resolution, Bindings: r.bindings, Commits: list}
}
