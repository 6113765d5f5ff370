package transfer

import (
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
)

// TestStrategies: of how many replicas each strategy wants a block at once: one, or f+1; and when one has lied, one more, or f.
func TestStrategies(t *testing.T) {
	t.Parallel()
	const n, f = 7, 2
	for name, c := range map[string]struct {
		o             Options
		first, second int
	}{
		"bandwidth 1": {Options{Strategy: Bandwidth, Variant: 1}, 1, 1},
		"bandwidth 2": {Options{Strategy: Bandwidth, Variant: 2}, 1, f},
		"latency":     {Options{Strategy: Latency}, f + 1, 0},
	} {
		r, target := newRig(t, n, f, c.o, state(1, 200*testBlock))
		r.liars[3] = wrongBlocks
		first, second := 0, 0
		r.step = func() {
			if r.fetcher.phase != fetching {
				return
			}
			for _, x := range r.fetcher.items {
				asked := x.askers.Union(x.spares).Len()
				switch {
				case x.fails > 0 && x.since == r.now:
					second = max(second, asked)
				case x.fails == 0 && r.fetcher.stats.blocks == 0: // nobody is late yet
					first = max(first, asked)
				}
			}
		}
		r.fetcher.Start(r.now, target)
		if _, done := r.run(time.Minute); !done {
			t.Fatalf("%s: %+v", name, r.fetcher.Progress(r.now))
		}
		if first != c.first || c.o.Strategy == Bandwidth && second != c.second {
			t.Errorf("%s: %d replicas are asked for a block at first and %d when one has failed, want %d and %d", name, first, second,
				c.first, c.second)
		}
	}
}

// TestBlacklistIsKept: whoever has lied is not asked again when the transfer moves on to a newer checkpoint, and is when the next begins.
func TestBlacklistIsKept(t *testing.T) {
	t.Parallel()
	app := state(1, 200*testBlock)
	newer := slices.Clone(app)
	newer[0] ^= 1
	r, target := newRig(t, 4, 1, Options{}, app)
	r.liars[3] = wrongBlocks
	var next Target
	r.step = func() {
		if r.fetcher.target == next && !r.fetcher.helpers[2].liar {
			t.Error("who has lied is forgotten when the transfer moves on")
		}
		if p := r.fetcher.Progress(r.now); next.Ordinal != 0 || p.Done < 100 {
			return
		}
		for id := group.ID(2); id <= 4; id++ {
			next = put(t, r.stores[id], 20, newer)
			if err := r.stores[id].Keep(20); err != nil {
				t.Fatal(err)
			}
		}
		r.fetcher.Start(r.now, next)
	}
	r.fetcher.Start(r.now, target)
	if took, done := r.run(time.Minute); !done || next.Ordinal == 0 {
		t.Fatalf("after %v: %+v, %v", took, r.fetcher.Progress(r.now), r.fetcher.Err())
	}
	if p := r.fetcher.Progress(r.now); p.Ordinal != 20 || p.Lies != 1 || !r.fetcher.helpers[2].liar {
		t.Errorf("%+v", p)
	}
	r.finish(newer)
	r.fetcher.Start(r.now, Target{Ordinal: 30})
	if r.fetcher.helpers[2].liar {
		t.Error("it is never asked again")
	}
}

// TestDripped: f replicas that have a checkpoint which no correct one has any more, and send it so slowly that it never ends, do not keep
// the fetching replica from the newer one that correct replicas have.
func TestDripped(t *testing.T) {
	t.Parallel()
	const blocks = 1000
	app := state(1, blocks*testBlock)
	newer := slices.Clone(app)
	newer[0] ^= 1
	r, target := newRig(t, 4, 1, Options{}, app)
	var last clock.Instant
	r.liars[2] = func(r *rig, at clock.Instant, answer []byte) ([][]byte, time.Duration) {
		last = max(at, last).Add(9 * time.Second)
		return [][]byte{answer}, last.Sub(at)
	}
	var next Target
	for id := group.ID(3); id <= 4; id++ { // the correct ones are past it
		next = put(t, r.stores[id], 20, newer)
		if err := r.stores[id].Keep(20); err != nil {
			t.Fatal(err)
		}
	}
	r.fetcher.Start(r.now, target)
	r.fetcher.Start(r.now, next)
	took, done := r.run(time.Hour)
	if !done || took > aloneLimit+time.Minute {
		t.Fatalf("after %v: %+v, %v", took, r.fetcher.Progress(r.now), r.fetcher.Err())
	}
	if p := r.fetcher.Progress(r.now); p.Ordinal != 20 || p.Lies > 0 {
		t.Errorf("%+v", p)
	}
	r.finish(newer)
}

// TestPassed: what a replica has executed by itself is not fetched on; what it lacks beyond that is, whatever came first, and nothing of
// the other is lost.
func TestPassed(t *testing.T) {
	t.Parallel()
	app := state(1, 200*testBlock)
	newer := slices.Clone(app)
	newer[0] ^= 1
	r, target := newRig(t, 4, 1, Options{}, app)
	var next Target
	for id := group.ID(2); id <= 4; id++ {
		next = put(t, r.stores[id], 20, newer)
	}
	r.fetcher.Start(r.now, target)
	r.run(50 * time.Millisecond)
	r.fetcher.Passed(r.now, 9)
	r.fetcher.Start(r.now, next)
	if p := r.fetcher.Progress(r.now); p.Ordinal != 10 || p.Phase == "idle" {
		t.Fatalf("%+v", p)
	}
	r.fetcher.Passed(r.now, 10)
	r.fetcher.Passed(r.now, 10)
	if _, done := r.run(time.Minute); !done {
		t.Fatalf("%+v", r.fetcher.Progress(r.now))
	}
	if p := r.fetcher.Progress(r.now); p.Ordinal != 20 || p.Copied == 0 {
		t.Errorf("%+v", p)
	}
	r.finish(newer)
	r.fetcher.Start(r.now, Target{Ordinal: 30})
	if r.fetcher.Passed(r.now, 30); r.fetcher.Deadline() != clock.Never {
		t.Error("what is passed is fetched on")
	}
}

// TestNobodyHasTheNewest: a checkpoint that nobody gives, because who had it has crashed, is left for an older one that is there.
func TestNobodyHasTheNewest(t *testing.T) {
	t.Parallel()
	app := state(1, 50*testBlock)
	r, target := newRig(t, 4, 1, Options{}, app)
	r.liars[2] = silent // it is said to have it
	r.fetcher.Start(r.now, Target{Ordinal: 20, Digest: [32]byte{1}})
	if _, done := r.run(10 * time.Second); done {
		t.Fatal("it came from nowhere")
	}
	r.fetcher.Start(r.now, target)
	if took, done := r.run(10 * time.Minute); !done || took > 2*stuckLimit {
		t.Fatalf("after %v: %+v", took, r.fetcher.Progress(r.now))
	}
	r.finish(app)
}
