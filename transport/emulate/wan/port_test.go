package wan

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/wire"
)

// arrival is a packet, known by its number, that came through.
type arrival struct {
	at     clock.Instant
	to     int
	number int
}

// rig is a port of r1 and what has come through it.
type rig struct {
	*Port[int]
	got []arrival
}

func newRig(t *testing.T, p Profile, n int, seed uint64) *rig {
	t.Helper()
	r := &rig{}
	port, err := NewPort(p, 1, n, seed, 0, func(at clock.Instant, to, number int) { r.got = append(r.got, arrival{at, to, number}) })
	if err != nil {
		t.Fatal(err)
	}
	r.Port = port
	return r
}

// finish lets everything arrive.
func (r *rig) finish() []arrival {
	r.Advance(clock.Never - 1)
	return r.got
}

const second = clock.Instant(time.Second)

// TestDelayIsExact: a constant delay is that delay, to the nanosecond, whatever the times of sending.
func TestDelayIsExact(t *testing.T) {
	t.Parallel()
	const delay = 50 * time.Millisecond
	r := newRig(t, Profile{Link: Link{Delay: delay}}, 3, 1)
	rng := rand.New(rand.NewPCG(1, 1))
	var sent []clock.Instant
	for now := clock.Instant(0); len(sent) < 10_000; now += clock.Instant(rng.Int64N(1e6)) {
		r.Offer(now, 2+len(sent)%2, wire.Bounded, 100+rng.IntN(100_000), len(sent))
		sent = append(sent, now)
	}
	if got := r.finish(); len(got) != len(sent) {
		t.Fatalf("%d of %d arrived", len(got), len(sent))
	}
	for i, a := range r.got {
		if a.number != i || a.to != 2+i%2 || a.at.Sub(sent[i]) != delay {
			t.Fatalf("packet %d came as number %d to r%d after %v", a.number, i, a.to, a.at.Sub(sent[a.number]))
		}
	}
	if r.Next() != clock.Never {
		t.Error("it waits for something that never comes")
	}
}

// TestPerfectLink: without any setting a packet arrives in the call that sends it.
func TestPerfectLink(t *testing.T) {
	t.Parallel()
	r := newRig(t, Profile{}, 2, 1)
	for i := range 3 {
		r.Offer(7, 2, wire.Bulk, 1<<20, i)
		if len(r.got) != i+1 || r.got[i].at != 7 {
			t.Fatalf("packet %d: %v", i, r.got)
		}
	}
}

// TestLoss: independent losses are as many as their probability says, within three standard deviations.
func TestLoss(t *testing.T) {
	t.Parallel()
	const count, p = 100_000, 0.01
	r := newRig(t, Profile{Link: Link{Loss: Bernoulli(p)}}, 2, 7)
	for i := range count {
		r.Offer(clock.Instant(i), 2, wire.Timely, 300, i)
	}
	lost := float64(count - len(r.finish()))
	if off := math.Abs(lost - count*p); off > 3*math.Sqrt(count*p*(1-p)) {
		t.Errorf("%.0f of %d are lost, want about %.0f", lost, count, count*p)
	}
	if c := r.Counters(2); c.Lost != uint64(lost) || c.Offered != count || c.Arrived+c.Lost != count {
		t.Errorf("%+v", c)
	}
}

// TestBursts: losses come in runs of the length that was asked for, and as many as were asked for.
func TestBursts(t *testing.T) {
	t.Parallel()
	const count, share, length = 300_000, 0.02, 5.0
	r := newRig(t, Profile{Link: Link{Loss: Bursts(share, length)}}, 2, 7)
	for i := range count {
		r.Offer(0, 2, wire.Timely, 300, i)
	}
	lost, runs, last := 0, 0, -1
	for _, a := range r.finish() {
		if gap := a.number - last - 1; gap > 0 {
			lost += gap
			runs++
		}
		last = a.number
	}
	// A geometric run of mean m has deviation sqrt(m(m-1)).
	if mean, sigma := float64(lost)/float64(runs), math.Sqrt(length*(length-1)/float64(runs)); math.Abs(mean-length) > 3*sigma {
		t.Errorf("a burst has %.3f packets, want %v", mean, length)
	}
	if got := float64(lost) / count; math.Abs(got-share) > 0.1*share {
		t.Errorf("%.4f are lost, want %v", got, share)
	}
}

// TestRate: a saturated bottleneck passes what it is said to, within 0.1 % over 10 s; frames of many packets too.
func TestRate(t *testing.T) {
	t.Parallel()
	for _, bits := range []int64{1e6, 10e6, 100e6, 33_333_333} {
		for _, size := range []int{300, 1400, 200_000} {
			if size == 300 && bits > 10e6 {
				continue // a million packets
			}
			for name, p := range map[string]Profile{
				"link":   {Link: Link{Rate: Rate{Bits: bits, Queue: 5 * time.Second}}},
				"uplink": {Uplink: Rate{Bits: bits, Queue: 5 * time.Second}},
			} {
				r := newRig(t, p, 3, 1)
				gap := clock.Instant(float64(WireBytes(size)) * 8e9 / float64(bits) / 1.5)
				number := 0
				for now := clock.Instant(0); now < 12*second; now += gap {
					r.Offer(now, 2, wire.Bounded, size, number)
					number++
				}
				r.Advance(11 * second)
				first, last, sum := clock.Never, clock.Instant(0), 0
				for _, a := range r.got {
					if a.at > second && a.at <= 11*second {
						if first != clock.Never {
							sum += WireBytes(size)
						}
						first, last = min(first, a.at), a.at
					}
				}
				got := float64(sum) * 8 / last.Sub(first).Seconds()
				if math.Abs(got/float64(bits)-1) > 0.001 {
					t.Errorf("%s of %d bits/s passes %.0f in frames of %d", name, bits, got, size)
				}
			}
		}
	}
}

// TestAgainstFormula compares a bottleneck with the formula of network.md section 5, which is short and handles a single
// class of packets.
func TestAgainstFormula(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 3))
		rate := Rate{Bits: []int64{1e6, 8e6, 10e6, 40e6}[rng.IntN(4)], Burst: rng.IntN(3) * 4000, Queue: time.Duration(1+rng.IntN(40)) * 1e6}
		const delay = 3 * time.Millisecond
		r := newRig(t, Profile{Link: Link{Delay: delay, Rate: rate}}, 2, seed)
		spared := clock.Instant(int64(rate.Burst) * 8e9 / rate.Bits)
		var vft, now clock.Instant
		var want []arrival
		for i := range 3000 {
			now += clock.Instant(rng.Int64N(2e6))
			if rng.IntN(200) == 0 {
				now += clock.Instant(rng.Int64N(1e8))
			}
			size := 1 + rng.IntN(payloadBytes)
			size -= (size + headerBytes) % 5 // so that nanoseconds are whole
			size = max(size, 7)
			r.Offer(now, 2, wire.Bounded, size, i)
			if start := max(now, vft-spared); start.Sub(now) <= rate.Queue {
				vft = max(vft, now) + clock.Instant(int64(size+headerBytes)*8e9/rate.Bits)
				want = append(want, arrival{max(now, vft-spared).Add(delay), 2, i})
			}
		}
		if got := r.finish(); !slices.Equal(got, want) {
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Fatalf("%+v: arrival %d is not %+v (%d and %d arrivals)", rate, i, want[i], len(got), len(want))
				}
			}
			t.Fatalf("%+v: %d arrivals, want %d", rate, len(got), len(want))
		}
		if dropped := r.Counters(2).Overflow; int(dropped) != 3000-len(want) {
			t.Errorf("%d dropped, want %d", dropped, 3000-len(want))
		}
	}
}

// TestQueueLimit: nothing waits longer than the limit, and the queue is used up to it.
func TestQueueLimit(t *testing.T) {
	t.Parallel()
	const limit, bits, size = 100 * time.Millisecond, 10_000_000, 1222
	r := newRig(t, Profile{Uplink: Rate{Bits: bits, Queue: limit}}, 3, 1)
	own := time.Duration(WireBytes(size)) * 8 * time.Second / bits
	var sent []clock.Instant
	for now := clock.Instant(0); now < second; now += clock.Instant(own / 2) {
		r.Offer(now, 2+len(sent)%2, wire.Bounded, size, len(sent))
		sent = append(sent, now)
	}
	most := time.Duration(0)
	for _, a := range r.finish() {
		most = max(most, a.at.Sub(sent[a.number])-own)
	}
	if most > limit || most < limit-own {
		t.Errorf("the longest wait is %v, the limit is %v", most, limit)
	}
	if r.Counters(2).Overflow+r.Counters(3).Overflow == 0 || r.Waiting(2) != 0 || r.Waiting(3) != 0 {
		t.Errorf("%+v, %d and %d bytes wait", r.Counters(2), r.Waiting(2), r.Waiting(3))
	}
}

// TestMemoryIsBounded: a link without a bottleneck, and with a long delay, does not hold any amount.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, Profile{Link: Link{Delay: time.Hour}}, 3, 1)
	for i := range 200 {
		r.Offer(0, 2, wire.Bulk, 1<<20, i)
	}
	r.Offer(0, 3, wire.Bulk, 1<<20, 200)
	if c := r.Counters(2); c.Overflow != 200-DefaultHeldBytes>>20 || r.Counters(3).Overflow != 0 {
		t.Errorf("%+v %+v", c, r.Counters(3))
	}
	if got := r.finish(); len(got) != 1+DefaultHeldBytes>>20 {
		t.Errorf("%d arrived", len(got))
	}
	r.Offer(clock.Never-2, 2, wire.Bulk, 1<<20, 0)
	if c := r.Counters(2); c.Arrived != 1+DefaultHeldBytes>>20 {
		t.Errorf("memory is not freed: %+v", c)
	}
}

// TestOrder: jitter of any kind reorders nothing unless it is asked to, and delays nothing by less than the delay.
func TestOrder(t *testing.T) {
	t.Parallel()
	for name, j := range map[string]Jitter{
		"uniform": {Uniform: 20 * time.Millisecond},
		"normal":  {Mean: 5 * time.Millisecond, Sigma: 5 * time.Millisecond},
		"table":   {Table: []time.Duration{0, time.Millisecond, 30 * time.Millisecond}},
	} {
		for _, reorder := range []bool{false, true} {
			const delay, gap = 10 * time.Millisecond, time.Millisecond
			r := newRig(t, Profile{Link: Link{Delay: delay, Jitter: j, Reorder: reorder}}, 2, 5)
			for i := range 10_000 {
				r.Offer(clock.Instant(i)*clock.Instant(gap), 2, wire.Bounded, 300, i)
			}
			overtaken, sum := 0, time.Duration(0)
			for i, a := range r.finish() {
				if i > 0 && a.number < r.got[i-1].number {
					overtaken++
				}
				late := a.at.Sub(clock.Instant(a.number)*clock.Instant(gap)) - delay
				if sum += late; late < 0 {
					t.Fatalf("%s: packet %d is too early by %v", name, a.number, -late)
				}
			}
			if len(r.got) != 10_000 || reorder != (overtaken > 0) {
				t.Errorf("%s, reorder %v: %d arrived, %d were overtaken", name, reorder, len(r.got), overtaken)
			}
			if mean := sum / 10_000; reorder && (mean < 5*time.Millisecond || mean > 11*time.Millisecond) {
				t.Errorf("%s: the mean jitter is %v", name, mean)
			}
		}
	}
}

// TestDuplicate: copies come after their originals, as many as asked for.
func TestDuplicate(t *testing.T) {
	t.Parallel()
	const count, p = 10_000, 0.1
	r := newRig(t, Profile{Link: Link{Delay: time.Millisecond, Duplicate: p}}, 2, 5)
	for i := range count {
		r.Offer(clock.Instant(i), 2, wire.Bounded, 300, i)
	}
	extra := float64(len(r.finish()) - count)
	if c := r.Counters(2); math.Abs(extra-count*p) > 3*math.Sqrt(count*p*(1-p)) || c.Doubled != uint64(extra) || c.Arrived != count {
		t.Errorf("%.0f copies of %d: %+v", extra, count, c)
	}
}

// TestDeterminism: a seed fixes everything, another seed or another link changes it.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	p := Profile{Link: Link{Delay: 1e6, Jitter: Jitter{Uniform: 1e6}, Loss: Bernoulli(0.3), Duplicate: 0.2, Reorder: true}}
	run := func(seed uint64, to int) []arrival {
		r := newRig(t, p, 3, seed)
		for i := range 1000 {
			r.Offer(clock.Instant(i)*1e5, to, wire.Bounded, 300, i)
		}
		for i := range r.finish() {
			r.got[i].to = 0
		}
		return r.got
	}
	if !slices.Equal(run(1, 2), run(1, 2)) {
		t.Error("the same seed gives something else")
	}
	if slices.Equal(run(1, 2), run(2, 2)) || slices.Equal(run(1, 2), run(1, 3)) {
		t.Error("another seed, or another link, gives the same")
	}
}

// BenchmarkPort is a frame over a link with a bottleneck and a delay.
func BenchmarkPort(b *testing.B) {
	p, _ := Preset("us-wide")
	p.Uplink.Bits = 1e9
	port, err := NewPort(p, 1, 7, 1, 0, func(clock.Instant, int, int) {})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	now := clock.Instant(0)
	for i := 0; b.Loop(); i++ {
		now += 20_000
		port.Offer(now, 2+i%6, wire.Bounded, 1000, i)
	}
}
