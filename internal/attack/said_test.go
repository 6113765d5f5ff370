package attack

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// puppet is a machine that sends what it is told to.
type puppet struct{ sends []effect.Send }

func (p *puppet) Step(_ clock.Instant, _ core.Input, out *effect.Output) {
	out.Sends = append(out.Sends, p.sends...)
}
func (*puppet) Deadline() clock.Instant { return clock.Never }

// hostOf is r3 of four, with r4 as an ally.
func hostOf() *Host {
	h := &Host{Self: 3, Group: group.MustNew(1, 0), Incarnations: []uint32{1, 1, 1, 1}, Limits: core.Limits{InFlight: 8},
		Pause: time.Millisecond, Rand: rand.New(rand.NewPCG(1, 1)), Allies: group.SetOf(3, 4)}
	h.Sign = func(m wire.Message) *wire.Envelope {
		env := wire.NewEnvelope(wire.Header{Sender: 3, Epoch: 1, Incarnation: 1}, m)
		env.Finish(wire.Proof{Count: 1})
		return env
	}
	return h
}

// said is what comes out of 200 steps of a behaviour whose replica wants to say m to all.
func said(t *testing.T, name string, m wire.Message) (all []effect.Send) {
	t.Helper()
	b, ok := Named(name)
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	h := hostOf()
	machine := b.Wrap(h, &puppet{sends: []effect.Send{{To: h.Group.All(), Class: wire.Bounded, Msg: m}}})
	for range 200 {
		var out effect.Output
		machine.Step(0, core.Tick, &out)
		all = append(all, out.Sends...)
	}
	return all
}

// lies is a true message, and what an attack has to make of it, each at least once.
type lies struct {
	name string
	true wire.Message
	all  map[string]func(wire.Message) bool
}

// TestWhatIsSaid looks at the messages of attacks that lie in what a message says: they do lie, in each of the ways that they are
// meant to, and what they were given is left as it was.
func TestWhatIsSaid(t *testing.T) {
	t.Parallel()
	judgeLies(t, ofMeasuresAndOrdering())
}

// TestWhatIsSaidInViewChanges is the same for view changes, and for acknowledgements.
func TestWhatIsSaidInViewChanges(t *testing.T) {
	t.Parallel()
	judgeLies(t, ofViewChanges())
}

func ofMeasuresAndOrdering() []lies {
	summary := &wire.Summary{Number: 5, Time: 1_000_000, Vector: make(wire.Vector, 4)}
	base := &wire.PrePrepare{View: 1, Ordinal: 2, Base: wire.Vector{{Incarnation: 1, Seq: 4}, {}, {}, {}}, Rows: make(wire.Rows, 4)}
	return []lies{
		{"false-measures", &wire.Turnaround{View: 1, Nanos: 7}, map[string]func(wire.Message) bool{
			"nothing": func(m wire.Message) bool { return m.(*wire.Turnaround).Nanos == 0 },
			"ages":    func(m wire.Message) bool { return m.(*wire.Turnaround).Nanos == 1<<63-1 },
			"less":    func(m wire.Message) bool { return int64(m.(*wire.Turnaround).Nanos) < 0 },
		}},
		{"false-measures", &wire.RoundTrip{View: 1, Dest: 1, Nanos: 7}, map[string]func(wire.Message) bool{
			"nothing": func(m wire.Message) bool { return m.(*wire.RoundTrip).Nanos == 0 },
			"less":    func(m wire.Message) bool { return int64(m.(*wire.RoundTrip).Nanos) < 0 },
		}},
		{"false-measures", &wire.Bound{View: 1, Nanos: 7}, map[string]func(wire.Message) bool{
			"nothing": func(m wire.Message) bool { return m.(*wire.Bound).Nanos == 0 },
			"ages":    func(m wire.Message) bool { return m.(*wire.Bound).Nanos > 1<<60 },
		}},
		{"absurd-time", summary, map[string]func(wire.Message) bool{
			"past":   func(m wire.Message) bool { return m.(*wire.Summary).Time < 0 },
			"future": func(m wire.Message) bool { return m.(*wire.Summary).Time > 1<<50 },
		}},
		{"wrong-base", base, map[string]func(wire.Message) bool{
			"too much":   func(m wire.Message) bool { return m.(*wire.PrePrepare).Base[0].Seq > 4 },
			"too little": func(m wire.Message) bool { return m.(*wire.PrePrepare).Base[0].Seq < 4 },
			"elsewhere":  func(m wire.Message) bool { return m.(*wire.PrePrepare).Base[2].Seq > 0 },
		}},
	}
}

func ofViewChanges() []lies {
	report := &wire.Report{View: 3, Executed: 7, Prepared: []wire.Prepared{hostOf().certificate(2, 8), hostOf().certificate(2, 9)}}
	resolution := wire.Resolution{View: 2, Members: group.SetOf(1, 2, 3), Base: 4, Start: 5}
	receipt := wire.Receipt{View: 2, Origin: 1, Report: wire.Digest{9}}
	part := func(origin group.ID) wire.AckPart {
		return wire.AckPart{ID: wire.PreorderID{Origin: origin, Position: wire.Position{Incarnation: 1, Seq: 1}}}
	}
	acks := &wire.PreorderAck{Parts: []wire.AckPart{part(1), part(2), part(3), part(4)}}
	return []lies{
		{"lying-reports", report, map[string]func(wire.Message) bool{
			"too much executed": func(m wire.Message) bool { return m.(*wire.Report).Executed > 7 },
			"nothing executed":  func(m wire.Message) bool { return m.(*wire.Report).Executed == 0 },
			"something omitted": func(m wire.Message) bool { return len(m.(*wire.Report).Prepared) == 1 },
			"nothing prepared": func(m wire.Message) bool {
				return m.(*wire.Report).Executed == 7 && len(m.(*wire.Report).Prepared) == 0
			},
		}},
		{"forged-change", &wire.StateList{View: 2, Members: group.SetOf(1, 2, 3)}, map[string]func(wire.Message) bool{
			"too short": func(m wire.Message) bool { return m.(*wire.StateList).Members.Len() < 3 },
			"all":       func(m wire.Message) bool { return m.(*wire.StateList).Members.Len() == 4 },
			"others":    func(m wire.Message) bool { return m.(*wire.StateList).Members == group.SetOf(2, 3, 4) },
		}},
		{"forged-change", &wire.StateShare{Resolution: resolution}, map[string]func(wire.Message) bool{
			"true":          func(m wire.Message) bool { return m.(*wire.StateShare).Resolution == resolution },
			"another start": func(m wire.Message) bool { return m.(*wire.StateShare).Resolution.Start == 6 },
			"another list":  func(m wire.Message) bool { return m.(*wire.StateShare).Resolution.Members != resolution.Members },
		}},
		{"forged-change", &wire.Echo{Receipt: receipt}, map[string]func(wire.Message) bool{
			"true":           func(m wire.Message) bool { return m.(*wire.Echo).Receipt == receipt },
			"another report": func(m wire.Message) bool { return m.(*wire.Echo).Report != receipt.Report },
			"another origin": func(m wire.Message) bool { return m.(*wire.Echo).Origin != receipt.Origin },
		}},
		{"reconciliation", acks, map[string]func(wire.Message) bool{
			"friends only": func(m wire.Message) bool {
				parts := m.(*wire.PreorderAck).Parts
				return len(parts) == 2 && parts[0].ID.Origin == 3 && parts[1].ID.Origin == 4
			},
		}},
	}
}

func judgeLies(t *testing.T, all []lies) {
	t.Helper()
	for _, c := range all {
		before := hostOf().Sign(c.true).Digest
		sends := said(t, c.name, c.true)
		for what, is := range c.all {
			found := false
			for _, s := range sends {
				found = found || s.Msg != nil && is(s.Msg)
			}
			if !found {
				t.Errorf("%s never says a %s with %s", c.name, c.true.Kind(), what)
			}
		}
		if hostOf().Sign(c.true).Digest != before {
			t.Errorf("%s changes the %s that it was given", c.name, c.true.Kind())
		}
	}
}
