// Package rbcast is reliable broadcast of the REPORTs of a view change (Bracha; TDSC 2011 appendix A.3): if a correct replica
// delivers a report, all do, and the same; what a correct replica reports is delivered as it was sent.
//
// In: REPORT (from its origin, or from whoever holds it), RB-ECHO, RB-READY. Out: the same, and Recall of what is missing.
//
// State: one instance for each replica of the current view: up to two reports that the origin signed (a correct one signs
// one), and who sent an ECHO and a READY for which digest, counted per digest, one of each kind per replica. ECHO and READY
// carry digests only; a replica that sends ECHO holds the report, so f+1 correct ones can be asked for it.
package rbcast

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// State is the state of reliable broadcast at one replica, of one view.
type State struct {
	self      group.ID
	group     group.Group
	view      uint64
	instances []instance
	own       *wire.Report
}

type instance struct {
	held      []*wire.Envelope // reports of the origin that are here, at most two
	tallies   []tally
	echoed    group.Set // whose ECHO is counted
	readied   group.Set // whose READY is counted
	echo      bool      // ours is sent, for echoOf
	ready     bool
	echoOf    wire.Digest
	readyOf   wire.Digest
	agreed    bool // Q READYs: the digest readyOf will be delivered
	delivered *wire.Envelope
}

type tally struct {
	digest      wire.Digest
	echo, ready group.Set
}

// New returns the state of a replica that broadcasts nothing.
func New(self group.ID, g group.Group) *State {
	return &State{self: self, group: g, instances: make([]instance, g.N())}
}

// Start begins the broadcasts of a view with our own report.
func (s *State) Start(own *wire.Report, out *effect.Output) {
	*s = State{self: s.self, group: s.group, view: own.View, instances: make([]instance, s.group.N()), own: own}
	out.Sends = append(out.Sends, effect.Send{To: s.group.All(), Class: wire.Bounded, Msg: own})
}

// OnReport handles a REPORT and returns it if it is delivered now. A second, different one of the same origin is evidence against it.
func (s *State) OnReport(env *wire.Envelope, out *effect.Output) *wire.Envelope {
	if env.Msg.(*wire.Report).View != s.view {
		return nil
	}
	i := &s.instances[env.Sender.Index()]
	for _, h := range i.held {
		if h.Digest == env.Digest {
			out.Known = true
			return nil
		}
	}
	if len(i.held) > 0 {
		out.Evidence = append(out.Evidence, wire.Evidence{First: i.held[0], Second: env})
	}
	wanted := i.ready && i.readyOf == env.Digest
	if len(i.held) >= 2 && !wanted {
		return nil
	}
	i.held = append(i.held, env)
	if !i.echo {
		i.echo, i.echoOf = true, env.Digest
		s.send(&wire.Echo{Receipt: s.receipt(env.Sender, env.Digest)}, out)
	}
	return s.deliver(i)
}

// OnEcho handles an RB-ECHO.
func (s *State) OnEcho(env *wire.Envelope, out *effect.Output) *wire.Envelope {
	m := env.Msg.(*wire.Echo).Receipt
	i := &s.instances[m.Origin.Index()]
	if m.View != s.view || i.echoed.Has(env.Sender) {
		return nil
	}
	i.echoed = i.echoed.With(env.Sender)
	t := i.tally(m.Report)
	t.echo = t.echo.With(env.Sender)
	return s.step(i, m.Origin, t, out)
}

// OnReady handles an RB-READY.
func (s *State) OnReady(env *wire.Envelope, out *effect.Output) *wire.Envelope {
	m := env.Msg.(*wire.Ready).Receipt
	i := &s.instances[m.Origin.Index()]
	if m.View != s.view || i.readied.Has(env.Sender) {
		return nil
	}
	i.readied = i.readied.With(env.Sender)
	t := i.tally(m.Report)
	t.ready = t.ready.With(env.Sender)
	return s.step(i, m.Origin, t, out)
}

func (i *instance) tally(d wire.Digest) *tally {
	for k := range i.tallies {
		if i.tallies[k].digest == d {
			return &i.tallies[k]
		}
	}
	i.tallies = append(i.tallies, tally{digest: d})
	return &i.tallies[len(i.tallies)-1]
}

// step sends READY on Q ECHOs or f+1 READYs of one digest, and delivers on Q READYs.
func (s *State) step(i *instance, origin group.ID, t *tally, out *effect.Output) *wire.Envelope {
	if !i.ready && (t.echo.Len() >= s.group.Quorum() || t.ready.Len() >= s.group.OneCorrect()) {
		i.ready, i.readyOf = true, t.digest
		s.send(&wire.Ready{Receipt: s.receipt(origin, t.digest)}, out)
	}
	if t.ready.Len() >= s.group.Quorum() {
		i.agreed, i.readyOf = true, t.digest
		return s.deliver(i)
	}
	return nil
}

func (s *State) deliver(i *instance) *wire.Envelope {
	if !i.agreed || i.delivered != nil {
		return nil
	}
	for _, h := range i.held {
		if h.Digest == i.readyOf {
			i.delivered = h
			return h
		}
	}
	return nil
}

// Holds is a report that is here, by digest, for a replica that lacks it.
func (s *State) Holds(d wire.Digest) *wire.Envelope {
	for k := range s.instances {
		for _, h := range s.instances[k].held {
			if h.Digest == d {
				return h
			}
		}
	}
	return nil
}

// Missing is the reports that are to be delivered and are not here.
func (s *State) Missing() (digests []wire.Digest) {
	for k := range s.instances {
		if i := &s.instances[k]; i.agreed && i.delivered == nil {
			digests = append(digests, i.readyOf)
		}
	}
	return digests
}

// Repeat sends again our report, ECHOs and READYs.
func (s *State) Repeat(_ clock.Instant, out *effect.Output) {
	if s.own != nil {
		s.send(s.own, out)
	}
	for k := range s.instances {
		i, origin := &s.instances[k], group.FromIndex(k)
		if i.echo {
			s.send(&wire.Echo{Receipt: s.receipt(origin, i.echoOf)}, out)
		}
		if i.ready {
			s.send(&wire.Ready{Receipt: s.receipt(origin, i.readyOf)}, out)
		}
	}
}

func (s *State) receipt(origin group.ID, d wire.Digest) wire.Receipt {
	return wire.Receipt{View: s.view, Origin: origin, Report: d}
}

func (s *State) send(m wire.Message, out *effect.Output) {
	out.Sends = append(out.Sends, effect.Send{To: s.group.All(), Class: wire.Bounded, Msg: m})
}
