package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/primebft/prime"
	"github.com/primebft/prime/internal/attack"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/lab"
	"github.com/primebft/prime/internal/node"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport/emulate"
	"github.com/primebft/prime/transport/emulate/wan"
)

// puppet is a replica that prime lab pulls the strings of: by lines on standard input, which nobody but whoever started it can
// write, it is told to misbehave and to change its links; on standard output it notes what it sees. See internal/lab.
type puppet struct {
	notes *lab.Notebook
	links *emulate.Transport // nil: none are emulated
	n     int
	first map[int]wan.Link // what links were before they were changed
	next  atomic.Pointer[corruption]
}

// corruption is what a replica is told to become.
type corruption struct {
	attack.Behaviour           // without Wrap: correct again
	allies           group.Set // replicas that are compromised, too
}

func newPuppet(out io.Writer, n int) *puppet {
	return &puppet{notes: lab.NewNotebook(out), n: n, first: map[int]wan.Link{}}
}

// options make a replica one.
func (p *puppet) options() []prime.Option {
	return []prime.Option{prime.WithMachine(func(seat node.Seat, inner core.Machine) core.Machine {
		return newMarionette(p, seat, inner)
	})}
}

// obey carries out commands until there are no more, which is when prime lab has ended.
func (p *puppet) obey(in io.Reader) { lab.Obey(in, p.carryOut, p.notes) }

func (p *puppet) carryOut(c lab.Command) error {
	switch c.Verb {
	case lab.Attack:
		var x corruption
		ids, what, err := lab.ParseAttack(c.Rest)
		if err == nil && what != lab.NoAttack {
			x.Behaviour, err = attack.Parse(what)
		}
		if err != nil {
			return err
		}
		for _, id := range ids {
			x.allies = x.allies.With(group.ID(id))
		}
		p.next.Store(&x)
		return nil
	case lab.Link:
		to, settings, _ := strings.Cut(c.Rest, " ")
		change, err := lab.ParseSettings(settings)
		if err != nil {
			return err
		}
		for _, word := range strings.Split(to, ",") {
			id, err := strconv.Atoi(word)
			if err != nil {
				return fmt.Errorf("%q is no replica", word)
			}
			if err := p.change(id, change); err != nil {
				return err
			}
		}
		return nil
	case lab.Heal:
		for id, link := range p.first {
			if err := p.change(id, func(l *wan.Link) { *l = link }); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("there is no command %q", c.Verb)
}

// change changes the link to a replica.
func (p *puppet) change(to int, change func(*wan.Link)) error {
	if p.links == nil {
		return errors.New("no links are emulated")
	}
	return p.links.Change(0, to, func(l *wan.Link) {
		if _, known := p.first[to]; !known {
			p.first[to] = *l
		}
		change(l)
	})
}

const (
	tickGap  = 20 * time.Millisecond  // the shortest standstill that is noted
	judgings = 100 * time.Millisecond // between two notes of what the replica thinks of the leader
)

// marionette is the machine of a puppet: the core, or the core with an attack around it.
type marionette struct {
	core.Machine
	puppet *puppet
	inner  core.Machine
	status func() core.Status
	host   *attack.Host

	last, due clock.Instant // of the last step, and what it asked for
	judgeAt   clock.Instant
	pongs     []pong // by replica
}

// pong is answers to the pings of a replica that it has not said the round trip of.
type pong struct {
	count int
	at    clock.Instant // of the last
}

func newMarionette(p *puppet, seat node.Seat, inner core.Machine) *marionette {
	m := &marionette{Machine: inner, puppet: p, inner: inner, due: clock.Never, pongs: make([]pong, seat.Group.N())}
	if s, ok := inner.(interface{ Status() core.Status }); ok {
		m.status = s.Status
	}
	m.host = &attack.Host{
		Self: seat.Self, Group: seat.Group, Incarnations: seat.Incarnations, Limits: seat.Limits,
		Pause: seat.Retransmit/4 + time.Millisecond, Rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), Sign: seat.Sign,
		Twin: seat.Twin,
	}
	return m
}

// Step implements core.Machine.
func (m *marionette) Step(now clock.Instant, in core.Input, out *effect.Output) {
	if b := m.puppet.next.Swap(nil); b != nil {
		m.Machine = m.inner
		m.host.Allies = b.allies.Without(m.host.Self)
		if b.Wrap != nil {
			m.Machine = b.Wrap(m.host, m.inner)
		}
	}
	if gap := now.Sub(max(m.due, m.last)); m.due != clock.Never && gap > tickGap {
		m.puppet.notes.Add(lab.Note{Kind: lab.Gap, Nanos: int64(gap)})
	}
	m.probe(now, in.Message)
	before, sent := len(out.Events), len(out.Sends)
	m.Machine.Step(now, in, out)
	for _, s := range out.Sends[sent:] {
		if answer, ok := s.Msg.(*wire.Pong); ok && answer.Dest != 0 {
			p := &m.pongs[answer.Dest.Index()]
			p.count, p.at = p.count+1, now
		}
	}
	for i := range out.Events[before:] {
		m.note(&out.Events[before+i])
	}
	m.last, m.due = now, m.Machine.Deadline()
	if now >= m.judgeAt && m.status != nil {
		m.judgeAt = now.Add(judgings)
		m.judge()
	}
}

// Deadline implements core.Machine: that of the machine at hand.
func (m *marionette) Deadline() clock.Instant { return m.Machine.Deadline() }

// note passes on what people want to know about views.
func (m *marionette) note(e *trace.Event) {
	switch e.Kind {
	case trace.Suspected:
		m.puppet.notes.Add(lab.Note{Kind: lab.Suspected, View: e.View, Replica: int(e.Peer)})
	case trace.Preinstalled:
		m.puppet.notes.Add(lab.Note{Kind: lab.Preinstalled, View: e.View})
	case trace.Installed:
		m.puppet.notes.Add(lab.Note{Kind: lab.Installed, View: e.View})
	case trace.OutOfHistory:
		m.puppet.notes.Add(lab.Note{Kind: lab.LeftBehind, Replica: int(e.Peer)})
	}
}

// probe measures how long messages take. Whoever pings says in a BOUNDED message how long the TIMELY way there and back took: so
// that message arrives one TIMELY and one BOUNDED way after the answer left. If several answers are under way nobody knows which.
func (m *marionette) probe(now clock.Instant, env *wire.Envelope) {
	if env == nil {
		return
	}
	trip, ok := env.Msg.(*wire.RoundTrip)
	if !ok || trip.Dest != m.host.Self || !m.host.Group.Has(env.Sender) || env.Sender == m.host.Self {
		return
	}
	p := &m.pongs[env.Sender.Index()]
	if took := int64(now.Sub(p.at)); p.count == 1 && trip.Nanos < uint64(took) {
		m.puppet.notes.Add(lab.Note{
			Kind: lab.Probed, Replica: int(env.Sender), Nanos: took - int64(trip.Nanos/2), Trip: int64(trip.Nanos),
		})
	}
	p.count = 0
}

// judge notes what the replica thinks of the leader.
func (m *marionette) judge() {
	s := m.status()
	known := func(d time.Duration) int64 {
		if d > 24*time.Hour {
			return 0
		}
		return int64(d)
	}
	m.puppet.notes.Add(lab.Note{Kind: lab.Judged, View: s.View, Judgement: &lab.Judgement{
		Turnaround: int64(s.Judgement.Turnaround), Acceptable: known(s.Judgement.Acceptable), Limit: known(s.Judgement.Limit),
	}})
}
