package sim

import (
	"testing"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport/emulate/wan"
)

// comeback is how r4 comes back after it was cut off for so long under a load: what it was behind, how long it took it to execute all
// that, and what for.
type comeback struct {
	ordinals uint64
	took     time.Duration
	bytes    map[string]uint64 // on all links meanwhile, of what brings a replica back
	executed uint64            // bytes of requests that it had missed, about: what the others put on one link for them
}

// away measures one absence.
func away(t *testing.T, profile string, node config.Node, clients int, long time.Duration) comeback {
	t.Helper()
	e := PaperExperiment(4, clients)
	p, ok := wan.Preset(profile)
	if !ok {
		t.Fatalf("no profile %s", profile)
	}
	from, until := 3*time.Second, 3*time.Second+long
	for at, down := range map[time.Duration]bool{from: true, until: false} {
		p.Events = append(p.Events, wan.Event{At: at, From: []int{4}, Both: true, Change: func(l *wan.Link) { l.Down = down }})
	}
	e.WAN, e.Node, e.WarmUp, e.Seed = p, node, time.Second, 7
	x, err := e.trial()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range x.servers {
		s.rearm()
	}
	x.runUntil(clock.Instant(from))
	before := x.tally.bytes[wire.KindPreorderRequest]
	x.runUntil(clock.Instant(until))
	c := comeback{bytes: map[string]uint64{}, executed: (x.tally.bytes[wire.KindPreorderRequest] - before) / 3}
	goal := x.servers[0].status().Executed
	c.ordinals = goal - x.servers[3].status().Executed
	was := map[wire.Kind]uint64{}
	for kind, bytes := range x.tally.bytes {
		was[kind] = bytes
	}
	for x.servers[3].status().Executed < goal && x.now < clock.Instant(until+30*time.Second) && x.err == nil {
		x.runUntil(x.now.Add(time.Millisecond))
	}
	if x.err != nil {
		t.Fatal(x.err)
	}
	c.took = x.now.Sub(clock.Instant(until))
	for _, kind := range []wire.Kind{wire.KindSegment, wire.KindOutline, wire.KindCertificate, wire.KindPart, wire.KindFetch} {
		c.bytes[kind.String()] = x.tally.bytes[kind] - was[kind]
	}
	return c
}

// TestComingBack: a replica that was away under a steady load is back at once: within 2 s of what it was away for, and for about the bytes
// that the others sent meanwhile. docs/performance.md has the figures, "Coming back".
func TestComingBack(t *testing.T) {
	notUnderRace(t)
	if testing.Short() {
		t.Skip("simulates more than a minute of load")
	}
	t.Parallel()
	for _, c := range []struct {
		profile string
		node    config.Node
		clients int
		long    time.Duration
		most    time.Duration
	}{
		{"lan", config.LAN(), 1, time.Second, 2 * time.Second},
		{"lan", config.LAN(), 1, 30 * time.Second, 2 * time.Second},
		{"us-wide", config.WAN(), 60, time.Second, 2 * time.Second},
		{"us-wide", config.WAN(), 60, 30 * time.Second, 15 * time.Second},
	} {
		got := away(t, c.profile, c.node, c.clients, c.long)
		t.Logf("%s, %d clients, away %v: %d ordinals, %d bytes of requests behind; back after %v; bytes %v", c.profile, c.clients, c.long,
			got.ordinals, got.executed, got.took, got.bytes)
		if got.took > c.most {
			t.Errorf("%s, away %v: back after %v", c.profile, c.long, got.took)
		}
	}
}
