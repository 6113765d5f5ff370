package sim

import (
	"bytes"
	"flag"
	"testing"
	"time"
)

var seeds = flag.Int("seeds", 60, "worlds that TestSeeds runs")

// TestSeeds runs worlds and expects no violation.
func TestSeeds(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed <= uint64(*seeds); seed++ {
		r := Run(Options{Seed: seed, Timeout: time.Minute})
		if r.Violation != nil {
			t.Errorf("seed %d (%s) at %v: %s\n%s", seed, r.World, r.Violation.At, r.Violation.What, r.Replay())
		}
		t.Logf("%+v", r)
	}
}

// TestOneSeedOneWorld runs one seed twice and expects the same events in the same order.
func TestOneSeedOneWorld(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed <= 10; seed++ {
		var first, second bytes.Buffer
		a, b := Run(Options{Seed: seed, Trace: &first}), Run(Options{Seed: seed, Trace: &second})
		if a.Hash != b.Hash || a.Events != b.Events || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatalf("seed %d: hash %x after %d events, then %x after %d", seed, a.Hash, a.Events, b.Hash, b.Events)
		}
		if untraced := Run(Options{Seed: seed}); untraced.Hash != a.Hash {
			t.Fatalf("seed %d: the trace changes what happens", seed)
		}
	}
}
