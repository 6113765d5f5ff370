// Package election is leader election: replicas vote for the view after theirs, and a quorum of votes moves everybody to it
// (TDSC 2011 appendix A.2). A view is preinstalled when its votes are known; installed when its view change has ended.
//
// In: NEW-LEADER, NEW-LEADER-PROOF. Out: the same.
//
// State: each replica's newest vote; our own; the proof of the current view, repeated until the view is installed and given to
// replicas that are behind. One vote of each replica counts, so that no replica can move anybody alone. A suspecting replica
// goes on taking part in its view until a quorum has voted, or the leader might keep its role without being able to order.
package election

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// State is the state of election at one replica.
type State struct {
	self  group.ID
	group group.Group
	view  uint64
	votes []*wire.Envelope // newest NEW-LEADER of each replica
	voted bool             // we vote for view+1
	proof *wire.NewLeaderProof
}

// New returns the state of a replica in view 1.
func New(self group.ID, g group.Group) *State {
	return &State{self: self, group: g, view: 1, votes: make([]*wire.Envelope, g.N())}
}

// Voted reports whether this replica votes for the next view.
func (s *State) Voted() bool { return s.voted }

// Vote votes for the next view, once.
func (s *State) Vote(out *effect.Output) {
	if !s.voted {
		s.voted = true
		s.sendVote(out)
	}
}

func (s *State) sendVote(out *effect.Output) {
	m := &wire.NewLeader{View: s.view + 1}
	out.Sends = append(out.Sends, effect.Send{To: s.group.All(), Class: wire.Bounded, Msg: m})
}

// OnVote handles a NEW-LEADER. It returns the proof of a newer view if a quorum of votes for it is now known.
func (s *State) OnVote(env *wire.Envelope) *wire.NewLeaderProof {
	m := env.Msg.(*wire.NewLeader)
	old := s.votes[env.Sender.Index()]
	if m.View <= s.view || (old != nil && old.Msg.(*wire.NewLeader).View >= m.View) {
		return nil
	}
	s.votes[env.Sender.Index()] = env
	proof := &wire.NewLeaderProof{View: m.View}
	for _, v := range s.votes {
		if v != nil && v.Msg.(*wire.NewLeader).View == m.View && len(proof.Votes) < s.group.Quorum() {
			proof.Votes = append(proof.Votes, v)
		}
	}
	if len(proof.Votes) < s.group.Quorum() {
		return nil
	}
	return proof
}

// OnProof handles a NEW-LEADER-PROOF, whose signatures and distinct signers have been checked. It returns it if it is of a
// newer view.
func (s *State) OnProof(env *wire.Envelope) *wire.NewLeaderProof {
	m := env.Msg.(*wire.NewLeaderProof)
	if m.View <= s.view || len(m.Votes) < s.group.Quorum() {
		return nil
	}
	return m
}

// Preinstall moves to a view and tells everybody why. proof is nil if the view is known otherwise.
func (s *State) Preinstall(view uint64, proof *wire.NewLeaderProof, out *effect.Output) {
	s.view, s.voted, s.proof = view, false, proof
	s.tell(s.group.Others(s.self), out)
}

// Repeat sends again our vote, and the proof of a view that is not installed.
func (s *State) Repeat(installed bool, out *effect.Output) {
	if s.voted {
		s.sendVote(out)
	}
	if !installed {
		s.tell(s.group.Others(s.self), out)
	}
}

// Help sends the proof of the current view to a replica that is in an older one.
func (s *State) Help(from group.ID, out *effect.Output) { s.tell(group.SetOf(from), out) }

func (s *State) tell(to group.Set, out *effect.Output) {
	if s.proof != nil {
		out.Sends = append(out.Sends, effect.Send{To: to, Class: wire.Bounded, Msg: s.proof})
	}
}
