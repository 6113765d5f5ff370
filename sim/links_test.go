package sim

import (
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/transport/emulate/wan"
)

// TestWideAreaLinks: in a quiet world of 50 ms links a lone update takes six ways and the aggregations on top, with every
// message's bytes going through 10 Mbit/s.
func TestWideAreaLinks(t *testing.T) {
	t.Parallel()
	for _, f := range []int{1, 2} {
		profile, _ := wan.Preset("us-wide")
		p := quietPlan(f, 0)
		p.stormEnd = clock.Instant(5 * time.Second)
		p.emulate(&profile)
		r := run(&Options{Seed: 1, WAN: &profile}, p, newReplica)
		if r.Violation != nil || !r.Converged {
			t.Fatalf("f=%d: %+v, converged %v", f, r.Violation, r.Converged)
		}
		if r.Slowest < 300*time.Millisecond || r.Slowest > 400*time.Millisecond {
			t.Errorf("f=%d: a lone update takes up to %v; six ways of 50 ms and aggregation take 300 to 400 ms", f, r.Slowest)
		}
		t.Logf("f=%d: a lone update takes up to %v", f, r.Slowest)
	}
}

// TestLeaderDiesFarAway: over 50 ms links a dead leader is replaced, and what was submitted is executed.
func TestLeaderDiesFarAway(t *testing.T) {
	t.Parallel()
	profile, _ := wan.Preset("us-wide")
	p := quietPlan(1, 1)
	p.judged, p.replicas[0].crash = true, clock.Instant(time.Second)
	p.stormEnd = clock.Instant(5 * time.Second)
	for i := range p.replicas {
		p.replicas[i].timing.Suspect.MaxStall = time.Second
	}
	p.emulate(&profile)
	if r := run(&Options{Seed: 1, WAN: &profile}, p, newReplica); r.Violation != nil || !r.Converged {
		t.Fatalf("%+v, converged %v", r.Violation, r.Converged)
	}
}

// TestWideAreaWorlds: hostile worlds over the links of every profile hold what they must, and one seed is one world.
func TestWideAreaWorlds(t *testing.T) {
	notUnderRace(t)
	t.Parallel()
	for i, name := range wan.Presets() {
		profile, _ := wan.Preset(name)
		seed := uint64(i + 1)
		r := Run(Options{Seed: seed, WAN: &profile})
		if r.Violation != nil {
			t.Errorf("%s, seed %d (%s) at %v: %s", name, seed, r.World, r.Violation.At, r.Violation.What)
		}
		if i > 0 {
			continue
		}
		if again := Run(Options{Seed: seed, WAN: &profile}); again.Hash != r.Hash || again.Events != r.Events {
			t.Errorf("%s, seed %d: two runs differ", name, seed)
		}
	}
}

// TestLinksThatDoNotFit: a profile for other replicas is a fault of the caller, not a panic.
func TestLinksThatDoNotFit(t *testing.T) {
	t.Parallel()
	r := Run(Options{Seed: 1, WAN: &wan.Profile{Sites: []wan.Site{{Name: "a", Replicas: []int{1}}}}})
	if r.Violation == nil {
		t.Error("it is accepted")
	}
}
