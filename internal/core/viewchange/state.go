package viewchange

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// Config is what the view change has to know.
type Config struct {
	Self       group.ID
	Group      group.Group
	Epoch      uint32
	Membership wire.Digest // wire.HashIncarnations of the current incarnations
	Window     uint64      // most ordinals that a view change can bind
}

// State is the state of the view change at one replica. All but carried is of one view.
type State struct {
	cfg      Config
	view     uint64
	active   bool // the view is not installed
	executed uint64

	reports  []*wire.Report // delivered and valid, by replica
	complete group.Set      // whose state we have completely
	lists    []group.Set    // every list that anybody proposed, at most one of each replica
	listed   group.Set      // who proposed one
	own      group.Set      // our list, 0 before we have one
	resolved []resolved     // what follows from each list that we have completely
	shares   []shares
	shared   [group.MaxReplicas]uint8 // shares counted of each replica

	proof     *wire.StateProof // the first that we made or received
	replay    *wire.Envelope   // the first valid REPLAY of the leader
	chosen    wire.Digest      // its resolution
	prepares  votes
	commits   votes
	prepared  bool // we sent REPLAY-PREPARE
	committed bool // we sent REPLAY-COMMIT

	carried *wire.Carried // survives views: what we committed to last
}

// resolved is what follows from the states of a list.
type resolved struct {
	resolution wire.Resolution
	digest     wire.Digest
	bindings   wire.Bindings
}

// shares is who signed one resolution.
type shares struct {
	digest  wire.Digest
	signers group.Set
	list    []*wire.Envelope // by replica
}

// votes is each replica's first vote of a kind.
type votes []*wire.Envelope

// New returns the state of a replica in view 1, which begins installed.
func New(cfg Config) *State { return &State{cfg: cfg, view: 1} }

// Active reports whether the view is being changed.
func (s *State) Active() bool { return s.active }

// Carried is the replay certificate that a report has to carry, nil if there is none.
func (s *State) Carried() *wire.Carried { return s.carried }

// Start begins the change to a view.
func (s *State) Start(view, executed uint64) {
	n := s.cfg.Group.N()
	*s = State{cfg: s.cfg, view: view, active: true, executed: executed, reports: make([]*wire.Report, n),
		prepares: make(votes, n), commits: make(votes, n), carried: s.carried}
}

// Installed ends the change.
func (s *State) Installed() { s.active = false }

// Executed says how far we have executed: states may become complete.
func (s *State) Executed(ordinal uint64, out *effect.Output) {
	if s.active && ordinal > s.executed {
		s.executed = ordinal
		s.collect(out)
	}
}

// OnDelivered handles a REPORT that was reliably delivered. An invalid one is never complete, the same everywhere.
func (s *State) OnDelivered(env *wire.Envelope, out *effect.Output) {
	if m := env.Msg.(*wire.Report); s.active && m.View == s.view && s.valid(m) {
		s.reports[env.Sender.Index()] = m
		s.collect(out)
	}
}

// Ahead is the highest ordinal that a delivered report says its sender executed beyond ours.
func (s *State) Ahead() uint64 {
	ahead := uint64(0)
	for _, r := range s.reports {
		if s.active && r != nil && r.Executed > s.executed {
			ahead = max(ahead, r.Executed)
		}
	}
	return ahead
}

// Incomplete is how many delivered reports say that their senders executed more than we.
func (s *State) Incomplete() (count int) {
	for _, r := range s.reports {
		if s.active && r != nil && r.Executed > s.executed {
			count++
		}
	}
	return count
}

// collect does what has become possible with the states that are here.
func (s *State) collect(out *effect.Output) {
	for i, r := range s.reports {
		if r != nil && s.executed >= r.Executed {
			s.complete = s.complete.With(group.FromIndex(i))
		}
	}
	if s.own == 0 && s.complete.Len() >= s.cfg.Group.Quorum() {
		s.own = s.complete
		s.broadcast(&wire.StateList{View: s.view, Members: s.own}, out)
	}
	for _, list := range s.lists {
		s.resolve(list, out)
	}
	s.answer(out)
}

// OnList handles a VC-LIST: one of each replica counts.
func (s *State) OnList(env *wire.Envelope, out *effect.Output) {
	m := env.Msg.(*wire.StateList)
	if !s.active || m.View != s.view || s.listed.Has(env.Sender) || m.Members.Len() < s.cfg.Group.Quorum() {
		return
	}
	s.listed = s.listed.With(env.Sender)
	for _, l := range s.lists {
		if l == m.Members {
			return
		}
	}
	s.lists = append(s.lists, m.Members)
	s.resolve(m.Members, out)
	s.answer(out)
}

// resolve computes and signs what follows from a list, once, if all its states are complete.
func (s *State) resolve(list group.Set, out *effect.Output) *resolved {
	for k := range s.resolved {
		if s.resolved[k].resolution.Members == list {
			return &s.resolved[k]
		}
	}
	if list.Minus(s.complete) != 0 {
		return nil
	}
	r, ok := s.selection(list)
	if !ok {
		return nil
	}
	s.resolved = append(s.resolved, r)
	s.broadcast(&wire.StateShare{Resolution: r.resolution}, out)
	return &s.resolved[len(s.resolved)-1]
}

func (s *State) broadcast(m wire.Message, out *effect.Output) {
	out.Sends = append(out.Sends, effect.Send{To: s.cfg.Group.All(), Class: wire.Bounded, Msg: m})
}

// Repeat sends again what is not superseded.
func (s *State) Repeat(out *effect.Output) {
	if !s.active {
		return
	}
	if s.own != 0 {
		s.broadcast(&wire.StateList{View: s.view, Members: s.own}, out)
	}
	for k := range s.resolved {
		s.broadcast(&wire.StateShare{Resolution: s.resolved[k].resolution}, out)
	}
	if s.proof != nil && s.replay == nil {
		s.sendProof(out)
	}
	if s.replay != nil {
		others := s.cfg.Group.Others(s.cfg.Self)
		out.Sends = append(out.Sends, effect.Send{To: others, Class: wire.Bounded, Signed: s.replay})
	}
	for _, v := range [...]*wire.Envelope{s.vote(s.prepares), s.vote(s.commits)} {
		if v != nil {
			others := s.cfg.Group.Others(s.cfg.Self)
			out.Sends = append(out.Sends, effect.Send{To: others, Class: wire.Bounded, Signed: v})
		}
	}
}

// vote is our own vote.
func (s *State) vote(v votes) *wire.Envelope {
	if v == nil {
		return nil
	}
	return v[s.cfg.Self.Index()]
}
