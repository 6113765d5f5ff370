package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/snapshot"
)

// strategies are all ways to fetch.
var strategies = []Options{{Strategy: Bandwidth, Variant: 1}, {Strategy: Bandwidth, Variant: 2}, {Strategy: Latency}}

func nameOf(o Options) string {
	if o.Strategy == Bandwidth {
		return fmt.Sprintf("bandwidth %d", o.Variant)
	}
	return o.Strategy.String()
}

// TestLiars: with both strategies, f replicas that lie in any way: the checkpoint comes, it is right, no more than f mismatches are seen,
// and it takes little longer than the correct replicas' links need.
func TestLiars(t *testing.T) {
	t.Parallel()
	const size = 300*testBlock + 17
	app := state(1, size)
	for _, n := range []int{4, 7} {
		for _, o := range strategies {
			for name, lying := range lies {
				t.Run(fmt.Sprintf("n=%d %s %s", n, nameOf(o), name), func(t *testing.T) {
					t.Parallel()
					f := (n - 1) / 3
					r, target := newRig(t, n, f, o, app)
					for i := range f {
						r.liars[group.ID(2+i)] = lying
					}
					r.fetcher.Start(r.now, target)
					took, done := r.run(time.Minute)
					if !done {
						t.Fatalf("not complete after %v: %+v", took, r.fetcher.Progress(r.now))
					}
					p := r.fetcher.Progress(r.now)
					r.finish(app)
					correct := n - 1
					if lying != nil {
						correct -= f
					}
					ideal := time.Duration(float64(size) / (r.rate * float64(correct)) * 1e9)
					if took > ideal*13/10+60*time.Millisecond {
						t.Errorf("took %v, the links of correct replicas need %v", took, ideal)
					}
					if p.Lies > f || name == "wrong blocks" && p.Lies < f || harmless[name] && p.Lies > 0 {
						t.Errorf("%d lies are counted of %d liars", p.Lies, f)
					}
					waste := 0
					for i := f; i < n-1; i++ {
						waste += r.sent[group.ID(2+i)]
					}
					if most := size*13/10 + 20*testBlock; waste > most {
						t.Errorf("correct replicas sent %d bytes for %d", waste, size)
					}
				})
			}
		}
	}
}

// TestDeterminism: the same events give the same frames.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	sum := func() []byte {
		r, target := newRig(t, 7, 2, Options{Strategy: Latency}, state(1, 90*testBlock))
		r.liars[3], r.liars[5], r.loss = wrongBlocks, slow, 0.02
		r.fetcher.Start(r.now, target)
		r.run(time.Minute)
		return r.trace.Sum(nil)
	}
	if !bytes.Equal(sum(), sum()) {
		t.Error("two runs differ")
	}
}

// TestKill: a replica that is killed in the middle of a transfer goes on where it was.
func TestKill(t *testing.T) {
	t.Parallel()
	app := state(1, 200*testBlock)
	for _, o := range strategies {
		t.Run(nameOf(o), func(t *testing.T) {
			t.Parallel()
			r, target := newRig(t, 4, 1, o, app)
			r.liars[3] = wrongBlocks
			r.fetcher.Start(r.now, target)
			took, _ := r.run(time.Minute)
			r, _ = newRig(t, 4, 1, o, app)
			r.liars[3] = wrongBlocks
			kills := 0
			for {
				r.fetcher.Start(r.now, target)
				if _, done := r.run(took / 3); done {
					break
				}
				if kills++; kills > 10 {
					t.Fatal("it never ends")
				}
				r.queue = nil
				r.restart()
			}
			if kills < 2 {
				t.Fatal("it was not killed in the middle")
			}
			p := r.fetcher.Progress(r.now)
			r.finish(app)
			if p.Copied < 60 || p.Bytes > uint64(len(app)-60*testBlock) {
				t.Errorf("%d blocks were left from before, %d bytes were fetched again", p.Copied, p.Bytes)
			}
		})
	}
}

// TestOnlyWhatDiffers: blocks that an older checkpoint of this replica has are not fetched.
func TestOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	app := state(1, 200*testBlock)
	r, target := newRig(t, 4, 1, Options{}, app)
	older := slices.Clone(app)
	for i := range 7 {
		older[i*20*testBlock] ^= 1
	}
	put(t, r.store, 5, older)
	r.fetcher.Start(r.now, target)
	r.run(time.Minute)
	p := r.fetcher.Progress(r.now)
	r.finish(app)
	if p.Copied != p.Blocks-7 || p.Bytes > 12*testBlock+200*32 {
		t.Errorf("%d of %d blocks were here, and %d bytes fetched", p.Copied, p.Blocks, p.Bytes)
	}
	r.fetcher.Start(r.now, target)
	if _, done := r.run(time.Second); !done || len(r.fetcher.flushed()) > 0 {
		t.Error("what is here is fetched")
	}
}

// TestMovesOn: while a checkpoint is fetched a newer one becomes stable. As long as somebody has the old one it is brought to an
// end; when nobody has it any more, the newer one is fetched, with what they have in common.
func TestMovesOn(t *testing.T) {
	t.Parallel()
	app := state(1, 200*testBlock)
	newer := slices.Clone(app)
	newer[0] ^= 1
	for _, goes := range []bool{false, true} {
		r, target := newRig(t, 4, 1, Options{}, app)
		var next Target
		r.fetcher.Start(r.now, target)
		moved := false
		r.step = func() {
			if p := r.fetcher.Progress(r.now); moved || p.Done < 100 {
				return
			}
			moved = true
			for id := group.ID(2); id <= 4; id++ {
				next = put(t, r.stores[id], 20, newer)
				if goes {
					if err := r.stores[id].Keep(20); err != nil {
						t.Fatal(err)
					}
				} else if err := r.stores[id].Keep(20, r.servers[id].InUse(r.now)...); err != nil {
					t.Fatal(err)
				}
			}
			r.fetcher.Start(r.now, next)
		}
		if took, done := r.run(time.Minute); !done || took > time.Second {
			t.Fatalf("after %v: %+v", took, r.fetcher.Progress(r.now))
		}
		p := r.fetcher.Progress(r.now)
		if !goes {
			if p.Ordinal != target.Ordinal {
				t.Error("the old one was given up, though it could be had")
			}
			r.finish(app)
			continue
		}
		if p.Ordinal != next.Ordinal || p.Copied < 90 || p.Lies > 0 {
			t.Errorf("%+v", p)
		}
		r.finish(newer)
	}
}

// TestNobody: nobody has the checkpoint at first; it is fetched as soon as somebody has.
func TestNobody(t *testing.T) {
	t.Parallel()
	app := state(1, 20*testBlock)
	r, target := newRig(t, 4, 1, Options{}, app)
	for id := range r.stores {
		r.liars[id] = absent
	}
	r.fetcher.Start(r.now, target)
	if _, done := r.run(20 * time.Second); done {
		t.Fatal("it came from nowhere")
	}
	delete(r.liars, 3)
	if took, done := r.run(time.Minute); !done || took > awayFor+time.Second {
		t.Fatalf("after %v: %+v", took, r.fetcher.Progress(r.now))
	}
	r.finish(app)
}

// TestTooManyLiars: more than f liars are an error, not a wrong checkpoint.
func TestTooManyLiars(t *testing.T) {
	t.Parallel()
	r, target := newRig(t, 4, 1, Options{}, state(1, 50*testBlock))
	r.liars[2], r.liars[3] = wrongBlocks, wrongBlocks
	r.fetcher.Start(r.now, target)
	if _, done := r.run(time.Minute); done || !errors.Is(r.fetcher.Err(), ErrLies) {
		t.Errorf("done %v: %v", done, r.fetcher.Err())
	}
	if at, err := r.fetcher.failure(); at != target || !errors.Is(err, ErrLies) {
		t.Errorf("nobody is told: %v, %v", at, err)
	}
}

// TestFullDisk: a full disk ends the transfer with an error that says so.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	r, target := newRig(t, 4, 1, Options{}, state(1, 50*testBlock))
	r.disk = snapshot.NewMemory(20 * testBlock)
	r.restart()
	r.fetcher.Start(r.now, target)
	if _, done := r.run(time.Minute); done || !errors.Is(r.fetcher.Err(), snapshot.ErrFull) {
		t.Errorf("done %v: %v", done, r.fetcher.Err())
	}
}

// TestStandstill: a replica that stands still for a minute blames nobody for it.
func TestStandstill(t *testing.T) {
	t.Parallel()
	app := state(1, 200*testBlock)
	r, target := newRig(t, 4, 1, Options{}, app)
	r.fetcher.Start(r.now, target)
	stood := false
	r.step = func() {
		if p := r.fetcher.Progress(r.now); !stood && p.Done > 50 {
			stood = true
			r.now = r.now.Add(time.Minute)
		}
	}
	if _, done := r.run(2 * time.Minute); !done || !stood {
		t.Fatal("not complete")
	}
	if p := r.fetcher.Progress(r.now); p.Silences > 0 {
		t.Errorf("%d replicas were called silent", p.Silences)
	}
	r.finish(app)
}

// TestSlowLinks: on links that take longer for a block than anybody expects at first, few bytes come twice.
func TestSlowLinks(t *testing.T) {
	t.Parallel()
	app := state(1, 12*testBlock)
	for _, seconds := range []float64{1, 3, 7} {
		r, target := newRig(t, 4, 1, Options{}, app)
		r.rate = testBlock / seconds
		r.fetcher.Start(r.now, target)
		took, done := r.run(time.Hour)
		if !done || took.Seconds() > 30*seconds+10 {
			t.Fatalf("%v s a block: after %v: %+v", seconds, took, r.fetcher.Progress(r.now))
		}
		r.finish(app)
		sent := r.sent[2] + r.sent[3] + r.sent[4]
		t.Logf("%v s a block: %v, %d bytes for %d", seconds, took, sent, len(app))
	}
}

// TestAnything: any mix of up to f liars, lost frames, distances, rates and kills: the right checkpoint comes.
func TestAnything(t *testing.T) {
	t.Parallel()
	names := []string{}
	for name := range lies {
		names = append(names, name)
	}
	slices.Sort(names)
	rapid.Check(t, func(rt *rapid.T) {
		f := rapid.IntRange(1, 3).Draw(rt, "f")
		n := 3*f + 1
		o := rapid.SampledFrom(strategies).Draw(rt, "strategy")
		o.Window = rapid.SampledFrom([]int{1, 3, 32}).Draw(rt, "window")
		app := state(rapid.Uint64().Draw(rt, "seed"), rapid.IntRange(0, 60*testBlock).Draw(rt, "bytes"))
		r, target := newRig(t, n, f, o, app)
		r.rng = rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "loss seed"), 1))
		r.loss = rapid.SampledFrom([]float64{0, 0, 0.01, 0.1}).Draw(rt, "loss")
		r.delay = time.Duration(rapid.IntRange(0, 200).Draw(rt, "delay ms")) * time.Millisecond
		r.rate = float64(rapid.SampledFrom([]int{20_000, 1 << 20, 1 << 30}).Draw(rt, "rate"))
		for i := range f {
			r.liars[group.ID(2+i)] = lies[rapid.SampledFrom(names).Draw(rt, "lie")]
		}
		kill := time.Duration(rapid.IntRange(0, 2000).Draw(rt, "kill ms")) * time.Millisecond
		r.fetcher.Start(r.now, target)
		if _, done := r.run(kill); !done {
			r.queue = nil
			r.restart()
			r.fetcher.Start(r.now, target)
			if took, done := r.run(20 * time.Minute); !done {
				rt.Fatalf("not complete after %v: %+v, %v", took, r.fetcher.Progress(r.now), r.fetcher.Err())
			}
		}
		if p := r.fetcher.Progress(r.now); p.Lies > f {
			rt.Fatalf("%d lies", p.Lies)
		}
		r.finish(app)
	})
}
