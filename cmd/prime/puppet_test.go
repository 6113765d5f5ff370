package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

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
	"github.com/primebft/prime/transport/memory"
)

// clockwork is a machine that wants to be called every 10 ms and says and notes what it is told to.
type clockwork struct {
	next   clock.Instant
	sends  []effect.Send
	events []trace.Event
}

func (c *clockwork) Step(now clock.Instant, _ core.Input, out *effect.Output) {
	c.next = now.Add(10 * time.Millisecond)
	out.Sends = append(out.Sends, c.sends...)
	out.Events = append(out.Events, c.events...)
	c.sends, c.events = nil, nil
}

func (c *clockwork) Deadline() clock.Instant { return c.next }

func (c *clockwork) Status() core.Status {
	return core.Status{View: 3, Judgement: core.Judgement{Turnaround: 5, Acceptable: 1<<63 - 1, Limit: 7}}
}

// puppetOn is a puppet with clockwork inside, and what it notes.
func puppetOn(t *testing.T) (*puppet, *marionette, *clockwork, func() []lab.Note) {
	t.Helper()
	var b bytes.Buffer
	p := newPuppet(&b, 4)
	inside := &clockwork{}
	m := newMarionette(p, node.Seat{Self: 2, Group: group.MustNew(1, 0), Retransmit: time.Second}, inside)
	return p, m, inside, func() (notes []lab.Note) {
		p.notes.Close()
		for line := range strings.Lines(b.String()) {
			n, err := lab.ParseNote([]byte(line))
			if err != nil {
				t.Fatal(err)
			}
			notes = append(notes, n)
		}
		return notes
	}
}

func at(ms int) clock.Instant { return clock.Instant(time.Duration(ms) * time.Millisecond) }

// TestMarionetteNotes: suspicions and views, own standstills, how long messages take, and what it thinks of the leader.
func TestMarionetteNotes(t *testing.T) {
	t.Parallel()
	_, m, inside, notes := puppetOn(t)
	var out effect.Output
	inside.events = []trace.Event{
		{Kind: trace.Suspected, View: 3, Peer: 4}, {Kind: trace.Ordered}, {Kind: trace.Installed, View: 4}, {Kind: trace.OutOfHistory, Peer: 1},
	}
	m.Step(at(0), core.Tick, &out)
	m.Step(at(10), core.Tick, &out)
	m.Step(at(70), core.Tick, &out) // it should have been at 20
	inside.sends = []effect.Send{{To: group.SetOf(1), Msg: &wire.Pong{Dest: 1, Seq: 1}}}
	m.Step(at(80), core.Tick, &out)
	trip := func(nanos int64) core.Input {
		return core.Input{Message: &wire.Envelope{Header: wire.Header{Sender: 1},
			Msg: &wire.RoundTrip{Dest: 2, Nanos: uint64(nanos)}}}
	}
	m.Step(at(90), trip(4e6), &out)  // 10 ms after the pong, of which 2 were its own
	m.Step(at(100), trip(4e6), &out) // which pong was that?
	kinds := map[lab.Kind]int{}
	for _, n := range notes() {
		kinds[n.Kind]++
		switch n.Kind {
		case lab.Suspected:
			if n.View != 3 || n.Replica != 4 {
				t.Errorf("suspicion %+v", n)
			}
		case lab.Gap:
			if n.Nanos != int64(50*time.Millisecond) {
				t.Errorf("gap %+v", n)
			}
		case lab.Probed:
			if n.Replica != 1 || n.Nanos != 8e6 || n.Trip != 4e6 {
				t.Errorf("probe %+v", n)
			}
		case lab.Judged:
			if n.View != 3 || n.Turnaround != 5 || n.Acceptable != 0 || n.Limit != 7 {
				t.Errorf("judgement %+v", n)
			}
		}
	}
	want := map[lab.Kind]int{lab.Suspected: 1, lab.Installed: 1, lab.LeftBehind: 1, lab.Gap: 1, lab.Probed: 1, lab.Judged: 2}
	for _, kind := range []lab.Kind{lab.Suspected, lab.Installed, lab.Preinstalled, lab.LeftBehind, lab.Gap, lab.Probed, lab.Judged} {
		if kinds[kind] != want[kind] {
			t.Errorf("%d notes of %s, want %d", kinds[kind], kind, want[kind])
		}
	}
}

// TestPuppetAttacks: an attack begins at the next step after the command, and ends likewise; others are refused.
func TestPuppetAttacks(t *testing.T) {
	t.Parallel()
	p, m, inside, _ := puppetOn(t)
	says := func(ms int) group.Set {
		var out effect.Output
		inside.sends = []effect.Send{{To: group.MustNew(1, 0).All(), Msg: &wire.Ping{Seq: 1}}}
		m.Step(at(ms), core.Tick, &out)
		return out.Sends[0].To
	}
	all := group.MustNew(1, 0).All()
	if got := says(0); got != all {
		t.Errorf("before: it speaks to %v", got)
	}
	if err := p.carryOut(lab.Command{Verb: lab.Attack, Rest: "2 mute"}); err != nil {
		t.Fatal(err)
	}
	if got := says(10); got != group.SetOf(2) {
		t.Errorf("mute: it speaks to %v", got)
	}
	if err := p.carryOut(lab.Command{Verb: lab.Attack, Rest: "1,2 " + lab.NoAttack}); err != nil {
		t.Fatal(err)
	}
	if got := says(20); got != all {
		t.Errorf("after: it speaks to %v", got)
	}
	for _, c := range []lab.Command{{Verb: lab.Attack, Rest: "2 shout"}, {Verb: lab.Attack, Rest: "mute"}, {Verb: "dance"}, {Verb: lab.Link, Rest: "1 down"}} {
		if err := p.carryOut(c); err == nil {
			t.Errorf("%v was carried out", c)
		}
	}
}

// TestPuppetLinks: links change as they are told to, and healing makes them what they were.
func TestPuppetLinks(t *testing.T) {
	t.Parallel()
	p, _, _, _ := puppetOn(t)
	network := memory.NewNetwork(4)
	inner := network.Endpoint(2)
	first := wan.Link{Delay: 3 * time.Millisecond}
	links, err := emulate.Wrap(inner, wan.Profile{Link: first}, emulate.Options{Self: 2, Replicas: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer links.Close()
	p.links = links
	state := func() (delays []time.Duration) {
		for _, to := range []int{1, 3, 4} {
			if err := links.Change(0, to, func(l *wan.Link) {
				delays = append(delays, l.Delay)
				if l.Down {
					delays[len(delays)-1] = -1
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		return delays
	}
	for _, c := range []struct {
		command lab.Command
		want    []time.Duration
	}{
		{lab.Command{Verb: lab.Heal}, []time.Duration{3e6, 3e6, 3e6}},
		{lab.Command{Verb: lab.Link, Rest: "1,4 delay=9ms"}, []time.Duration{9e6, 3e6, 9e6}},
		{lab.Command{Verb: lab.Link, Rest: "4 down"}, []time.Duration{9e6, 3e6, -1}},
		{lab.Command{Verb: lab.Link, Rest: "4,3 up"}, []time.Duration{9e6, 3e6, 9e6}},
		{lab.Command{Verb: lab.Heal}, []time.Duration{3e6, 3e6, 3e6}},
	} {
		if err := p.carryOut(c.command); err != nil {
			t.Fatal(err)
		}
		if got := state(); !slices.Equal(got, c.want) {
			t.Errorf("after %v the links are %v, want %v", c.command, got, c.want)
		}
	}
	for _, rest := range []string{"9 down", "x down", "1 sideways", "1"} {
		if err := p.carryOut(lab.Command{Verb: lab.Link, Rest: rest}); err == nil {
			t.Errorf("link %s was carried out", rest)
		}
	}
}
