package schedule

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/transport"
)

// flow is a constant stream of frames in a simulated link.
type flow struct {
	class  transport.Class
	source int
	bits   float64 // per second
	size   int     // bytes as charged
	next   clock.Instant
}

// result is what became of a source's frames.
type result struct {
	bits  map[transport.Class]float64 // per second
	waits []time.Duration             // of all its frames that were sent
}

func (r *result) total() float64 {
	var sum float64
	for _, b := range r.bits {
		sum += b
	}
	return sum
}

// p99 is the wait that 99 % of the frames do not exceed.
func (r *result) p99() time.Duration {
	slices.Sort(r.waits)
	return r.waits[len(r.waits)*99/100]
}

// simulate runs flows over a link in virtual time, with a writer per class that is always ready, and reports by source.
func simulate(o Options, seconds float64, flows []flow) []result {
	s := New(o)
	results := make([]result, o.Sources+1)
	for i := range results {
		results[i].bits = map[transport.Class]float64{}
	}
	pushed := map[*byte]clock.Instant{}
	end := clock.Instant(seconds * 1e9)
	for now := clock.Instant(0); now < end; {
		for i := range flows {
			for f := &flows[i]; f.next <= now; f.next += clock.Instant(float64(f.size) * 8e9 / f.bits) {
				bytes := frame(f.class, f.source, 0, f.size-FrameCost)
				pushed[&bytes.Bytes[0]] = f.next
				s.Push(f.next, bytes)
			}
		}
		wake := clock.Never
		for c := timely; c <= bulk; c++ {
			got, at := s.Take(now, c, 1, nil)
			wake = min(wake, at)
			for _, b := range got {
				r := &results[sourceOf(b)]
				r.bits[c] += float64(len(b)+FrameCost) * 8 / seconds
				r.waits = append(r.waits, now.Sub(pushed[&b[0]]))
				delete(pushed, &b[0])
			}
		}
		for i := range flows {
			wake = min(wake, flows[i].next)
		}
		now = max(wake, now)
	}
	return results
}

// TestFlood is the table of network.md 4.7: a link of 10 Mbit/s, a store of 750 KB, a correct source and four sources that
// each send 10 Mbit/s, in large or in tiny frames, in the same class or calling everything TIMELY.
func TestFlood(t *testing.T) {
	t.Parallel()
	const link = 10e6
	for _, c := range []struct {
		name         string
		class        transport.Class
		offers, gets float64 // of the correct source, bits/s
		flood        int     // size of the flood's frames
		p99          time.Duration
	}{
		{"modest source, large frames", bounded, 1.6e6, 1.6e6, 1400, 10 * time.Millisecond},
		{"modest source, tiny frames", bounded, 1.6e6, 1.6e6, 100, 10 * time.Millisecond},
		{"modest source, 64 KB frames", bounded, 1.6e6, 1.6e6, 65536, 300 * time.Millisecond},
		{"everything called timely", timely, 1.6e6, 1.6e6, 1400, 10 * time.Millisecond},
		{"everything called timely, tiny frames", timely, 1.6e6, 1.6e6, 100, 10 * time.Millisecond},
		{"greedy source gets a fair share", bounded, 4e6, 2e6, 1400, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			flows := []flow{{class: c.class, source: 1, bits: c.offers, size: 1000}}
			for bad := 2; bad <= 5; bad++ {
				flows = append(flows, flow{class: c.class, source: bad, bits: link, size: c.flood})
			}
			o := Options{Sources: 5, BudgetBytes: 750_000, RateBits: link, Timely: Contract{BytesPerSecond: 2e6 / 8, Burst: 6000}}
			got := simulate(o, 5, flows)
			if off := got[1].total()/c.gets - 1; math.Abs(off) > 0.02 {
				t.Errorf("the correct source gets %.2f Mbit/s, want %.2f", got[1].total()/1e6, c.gets/1e6)
			}
			if p99 := got[1].p99(); p99 > c.p99 {
				t.Errorf("the correct source waits %v (99 %%), want at most %v", p99, c.p99)
			}
			sum := got[1].total()
			for bad := 2; bad <= 5; bad++ {
				fair := (link - got[1].total()) / 4
				if off := got[bad].total()/fair - 1; math.Abs(off) > 0.05 {
					t.Errorf("source %d gets %.2f Mbit/s, want %.2f like the other floods", bad, got[bad].total()/1e6, fair/1e6)
				}
				sum += got[bad].total()
			}
			if sum > link*1.01 || sum < link*0.98 {
				t.Errorf("%.3f Mbit/s were sent on a link of 10", sum/1e6)
			}
		})
	}
}

// TestPriorities: what is urgent goes first, but for the share of repair, which gets that whatever comes, and no more.
func TestPriorities(t *testing.T) {
	t.Parallel()
	const link = 10e6
	flows := func(rates ...float64) (all []flow) {
		for i, bits := range rates {
			if bits > 0 {
				all = append(all, flow{class: transport.Class(i + 1), source: 1, bits: bits, size: 1000})
			}
		}
		return all
	}
	for _, c := range []struct {
		name  string
		flows []flow
		want  [4]float64
	}{
		{"all fits", flows(1e6, 2e6, 1e6, 1e6), [4]float64{1e6, 2e6, 1e6, 1e6}},
		{"timely before bounded", flows(4e6, 20e6, 0, 0), [4]float64{4e6, 6e6, 0, 0}},
		{"repair is certain of its share", flows(0, 20e6, 20e6, 0), [4]float64{0, 8e6, 2e6, 0}},
		{"bulk has a floor", flows(20e6, 20e6, 20e6, 20e6), [4]float64{7.5e6, 0, 2e6, 0.5e6}},
		{"repair has a share", flows(1e6, 1e6, 20e6, 0), [4]float64{1e6, 1e6, 2e6, 0}},
		{"bulk has a share", flows(1e6, 1e6, 0, 20e6), [4]float64{1e6, 1e6, 0, 2e6}},
		{"repair before bulk", flows(0, 7e6, 20e6, 20e6), [4]float64{0, 7e6, 2e6, 1e6}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := simulate(Options{Sources: 1, BudgetBytes: 100_000, RateBits: link, ReconShare: 0.2}, 5, c.flows)
			for i, want := range c.want {
				if bits := got[1].bits[transport.Class(i+1)]; math.Abs(bits-want) > 0.02*link/4 {
					t.Errorf("%s gets %.2f Mbit/s, want %.2f", transport.Class(i+1), bits/1e6, want/1e6)
				}
			}
		})
	}
}

// TestTimelyWaitsLittle: the formula of network.md 4.7, the worst TIMELY wait is one frame of another class and the bursts
// that all sources are allowed, while everybody sends far more.
func TestTimelyWaitsLittle(t *testing.T) {
	t.Parallel()
	const link, sources, burst = 10e6, 6, 3000
	var flows []flow
	for source := 1; source <= sources; source++ {
		rate := 20.0 * 1e6 // far beyond the contract
		if source == 1 {
			rate = 0.9e6
		}
		flows = append(flows, flow{class: timely, source: source, bits: rate, size: 1000}, flow{class: bounded, source: source, bits: link, size: 1400})
	}
	got := simulate(Options{
		Sources: sources, BudgetBytes: 500_000, RateBits: link, Timely: Contract{BytesPerSecond: 1e6 / 8, Burst: burst},
	}, 5, flows)
	if bits := got[1].bits[timely]; math.Abs(bits-0.9e6) > 0.02e6 {
		t.Errorf("the correct source gets %.2f Mbit/s of TIMELY, want 0.90", bits/1e6)
	}
	for source := 2; source <= sources; source++ {
		if bits := got[source].bits[timely]; bits > 1.02e6 {
			t.Errorf("source %d gets %.2f Mbit/s of TIMELY, its contract is 1", source, bits/1e6)
		}
	}
}

// TestBusyClassHoldsNobodyUp: a class whose connection takes nothing does not use up the link.
func TestBusyClassHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s := New(Options{Sources: 1, BudgetBytes: 1 << 20, RateBits: 8e6})
	s.Push(0, frame(timely, 1, 0, 500))
	s.Push(0, frame(bounded, 1, 1, 500))
	if got, _ := s.Take(0, bounded, 1, nil); len(got) != 1 {
		t.Error("BOUNDED waits for a TIMELY writer that is not there")
	}
	s.Push(0, frame(bounded, 1, 2, 500))
	s.Push(0, frame(timely, 1, 3, 500))
	if got, _ := s.Take(0, timely, 1, nil); len(got) != 1 {
		t.Error("TIMELY does not go")
	}
	if got, _ := s.Take(0, timely, 1, nil); len(got) != 1 {
		t.Error("TIMELY does not go")
	}
	if got, at := s.Take(0, timely, 1, nil); len(got) != 0 || at != clock.Never {
		t.Errorf("%d frames of an empty class, next at %v", len(got), at)
	}
	s.Push(0, frame(timely, 1, 4, 500))
	if got, at := s.Take(0, bounded, 1, nil); len(got) != 0 || at != clock.Never {
		t.Errorf("BOUNDED goes before a waiting TIMELY writer: %d frames, next at %v", len(got), at)
	}
	s.Busy(timely)
	if got, _ := s.Take(0, bounded, 1, nil); len(got) != 1 {
		t.Error("BOUNDED waits for a TIMELY writer that has left")
	}
}

// TestFirstChangesWithTime: RECON waits because BOUNDED is first; by the time that BOUNDED's writer looks, RECON's floor has
// refilled and it is first. First says so, or both would wait for each other.
func TestFirstChangesWithTime(t *testing.T) {
	t.Parallel()
	s := New(Options{Sources: 1, BudgetBytes: 1 << 20, RateBits: 8e6, ReconShare: 0.25})
	s.Take(0, bounded, 1, nil)
	s.Push(0, frame(recon, 1, 0, 2*minBurst))
	if got, _ := s.Take(0, recon, 1, nil); len(got) != 1 {
		t.Fatal("RECON does not go though it is alone")
	}
	s.Push(0, frame(recon, 1, 1, 500))
	s.Push(0, frame(bounded, 1, 2, 500))
	soon := clock.Instant(10 * time.Millisecond) // the link has paid, the floor has not
	if got, at := s.Take(soon, recon, 1, nil); len(got) != 0 || at != clock.Never || s.First(soon) != bounded {
		t.Fatalf("RECON goes before BOUNDED: %d frames, next at %v, first %s", len(got), at, s.First(soon))
	}
	later := clock.Instant(time.Second)
	if got, at := s.Take(later, bounded, 1, nil); len(got) != 0 || at != clock.Never || s.First(later) != recon {
		t.Errorf("BOUNDED goes before RECON's floor: %d frames, next at %v, first %s", len(got), at, s.First(later))
	}
}
