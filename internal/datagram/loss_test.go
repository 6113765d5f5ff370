package datagram

import (
	"fmt"
	"testing"
	"time"

	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport/emulate/wan"
)

// TestLossDoesNotDelayTimely is the gate of network.md 6, row 8: with 1 % of all packets lost both ways, 99.9 % of TIMELY
// messages arrive within 1.3 times the shortest time; everything BOUNDED arrives, at the rate at which it is offered; and
// repair takes at most a quarter of the link.
func TestLossDoesNotDelayTimely(t *testing.T) {
	t.Parallel()
	const bits, seconds, perSecond = 10_000_000, 120, 100
	for _, delay := range []time.Duration{10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond} {
		for name, loss := range map[string]wan.Loss{"single": wan.Bernoulli(0.01), "bursts": wan.Bursts(0.01, 2)} {
			t.Run(fmt.Sprintf("%v %s", delay, name), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, wan.Profile{Link: wan.Link{Delay: delay, Loss: loss, Rate: wan.Rate{Bits: bits}}}, 7)
				r.settle()
				begin := r.now
				timely, bounded := 0, 0
				for end := begin.Add(seconds * time.Second); r.now < end; {
					for i := range r.ends {
						r.send(i, wire.Timely, timely, 300)
						for k := range 8 { // 6.9 Mbit/s with headers
							r.send(i, wire.Bounded, bounded+k, 1000)
						}
					}
					timely++
					bounded += 8
					r.until(r.now.Add(time.Second / perSecond))
				}
				r.until(r.now.Add(10 * time.Second))
				for to := range r.ends {
					checkTimely(t, r, to, timely, delay, name)
					if got := len(r.once(to, wire.Bounded)); got != bounded {
						t.Errorf("%d of %d BOUNDED messages arrive", got, bounded)
					}
					b := r.latencies(to, wire.Bounded)
					if worst := b[len(b)-1]; worst > 8*delay+50*time.Millisecond {
						t.Errorf("a BOUNDED message takes %v", worst)
					}
					e := r.ends[to]
					if share := float64(e.repaired) * 8 / r.now.Sub(begin).Seconds() / bits; share > 0.25 || e.repaired == 0 {
						t.Errorf("repair takes %.3f of the link, want at most 0.25 and more than nothing", share)
					}
				}
			})
		}
	}
}

func checkTimely(t *testing.T, r *rig, to, sent int, delay time.Duration, loss string) {
	t.Helper()
	got := len(r.once(to, wire.Timely))
	all := r.latencies(to, wire.Timely)
	floor, p999, worst := all[0], all[len(all)*999/1000], all[len(all)-1]
	t.Logf("TIMELY at r%d: floor %v, p99.9 %v (%.2f), worst %v, %d of %d", to+1, floor, p999, float64(p999)/float64(floor), worst, got, sent)
	if got != sent {
		t.Errorf("%d of %d TIMELY messages arrive", got, sent)
	}
	if limit := floor * 13 / 10; loss == "single" && p999 > limit {
		t.Errorf("TIMELY takes %v (99.9 %%), the floor is %v: at most %v", p999, floor, limit)
	}
	if limit := 4*delay + 40*time.Millisecond; worst > limit {
		t.Errorf("a TIMELY message takes %v, at most %v: it was repaired late", worst, limit)
	}
}

// TestEverythingArrives: messages of all sizes, over links that lose, double and reorder a lot, arrive once and unharmed.
func TestEverythingArrives(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		p := wan.Profile{Link: wan.Link{
			Delay: 5 * time.Millisecond, Jitter: wan.Jitter{Uniform: 8 * time.Millisecond}, Reorder: true, Duplicate: 0.05,
			Loss: wan.Bernoulli(0.1 * float64(seed%3)), Rate: wan.Rate{Bits: 50e6, Queue: 5 * time.Second},
		}}
		r := newRig(t, p, seed)
		r.settle()
		sizes := []int{12, 300, fragmentSize, BodySize - segmentHeader - wholeHeader, BodySize - segmentHeader - wholeHeader + 1,
			BodySize, 5000, 40_000, MaxMessage - 1, MaxMessage}
		sent := map[int]int{}
		for number := range 300 {
			size := sizes[number%len(sizes)]
			sent[number] = size
			for i := range r.ends {
				r.send(i, wire.Bounded, number, size)
				r.send(i, wire.Recon, number, size)
			}
			r.until(r.now.Add(7 * time.Millisecond))
		}
		r.until(r.now.Add(20 * time.Second))
		for to := range r.ends {
			for _, c := range []wire.Class{wire.Bounded, wire.Recon} {
				got := r.once(to, c)
				for number, size := range sent {
					if got[number].size != size {
						t.Fatalf("seed %d: %s message %d of %d bytes arrives with %d", seed, c, number, size, got[number].size)
					}
				}
				l := r.ends[to].links[c-1]
				if !l.Idle() || l.in.held != 0 || len(l.in.partials) != 0 {
					t.Errorf("seed %d: %s is not at rest: %d under way, %d bytes of parts", seed, c, l.out.flying, l.in.held)
				}
			}
		}
		if len(r.errors) > 0 {
			t.Fatalf("seed %d: correct links accuse each other: %v", seed, r.errors[0])
		}
	}
}

// TestTailLoss: the last message of a train has no successor that shows its loss, and is repaired all the same.
func TestTailLoss(t *testing.T) {
	t.Parallel()
	for drop := 1; drop <= 4; drop++ {
		r := newRig(t, wan.Profile{Link: wan.Link{Delay: 20 * time.Millisecond}}, 1)
		r.settle()
		left := drop
		r.mangle = func(to int, p packet) [][]byte {
			var d body
			if to == 1 && p.class == wire.Bounded && d.decode(p.body) == nil && d.hasSegment && left > 0 {
				left--
				return nil
			}
			return [][]byte{p.body}
		}
		r.send(0, wire.Bounded, 1, 100)
		r.until(r.now.Add(4 * time.Second))
		if got := r.once(1, wire.Bounded); len(got) != 1 {
			t.Errorf("lost %d times, the message never arrives", drop)
		}
	}
}

// TestExpiry: what is too old is not repaired, its number is closed all the same, and what comes later flows.
func TestExpiry(t *testing.T) {
	t.Parallel()
	r := newRig(t, wan.Profile{Link: wan.Link{Delay: 20 * time.Millisecond}}, 1)
	r.settle()
	cut := true
	r.mangle = func(to int, p packet) [][]byte {
		if cut && to == 1 {
			return nil
		}
		return [][]byte{p.body}
	}
	r.send(0, wire.Timely, 1, 100)
	r.send(0, wire.Timely, 2, 5000) // fragments
	r.send(0, wire.Bounded, 1, 100)
	r.until(r.now.Add(life[0] + 100*time.Millisecond))
	cut = false
	r.send(0, wire.Timely, 3, 100)
	r.until(r.now.Add(3 * time.Second))
	if got := r.once(1, wire.Timely); len(got) != 1 || got[3].size != 100 {
		t.Errorf("TIMELY: %v arrive, want the third message only", got)
	}
	if got := r.once(1, wire.Bounded); len(got) != 1 {
		t.Error("BOUNDED: the message was given up before its time")
	}
	if l := r.ends[0].links[0]; l.counters.Expired != 2 || !l.Idle() {
		t.Errorf("%d messages expired, want 2; idle %t", l.counters.Expired, l.Idle())
	}
	if r.ends[1].links[0].in.held != 0 {
		t.Error("parts of a message that was given up are kept")
	}
}

// TestNoRoom: a receiver without room loses nothing that is sent in time, says so, and is not flooded with repairs.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	r := newRig(t, wan.Profile{Link: wan.Link{Delay: 5 * time.Millisecond, Rate: wan.Rate{Bits: 50e6}}}, 1)
	r.settle()
	r.ends[1].full = true
	for number := range 3000 {
		r.send(0, wire.Bounded, number, 1000)
	}
	r.send(0, wire.Timely, 0, 1000)
	before := r.ends[0].sent
	r.until(r.now.Add(3 * time.Second))
	l := r.ends[0].links[1]
	if got := len(r.once(1, wire.Bounded)); got != 0 {
		t.Fatalf("%d messages were delivered without room", got)
	}
	if got := len(r.once(1, wire.Timely)); got != 0 {
		t.Fatalf("%d TIMELY messages were delivered without room", got)
	}
	if sent := r.ends[0].sent - before; sent > 2*Window*Payload {
		t.Errorf("%d bytes were sent to a receiver without room", sent)
	}
	if l.Waiting() == 0 {
		t.Error("nothing waits where it came from")
	}
	r.ends[1].full = false
	r.ends[1].links[1].Relieve(r.now)
	r.ends[1].links[0].Relieve(r.now)
	r.until(r.now.Add(3 * time.Second))
	if got := len(r.once(1, wire.Bounded)); got != 3000 {
		t.Errorf("%d of 3000 messages arrive once there is room", got)
	}
	if got := len(r.once(1, wire.Timely)); got != 1 {
		t.Error("a TIMELY message grew old while its receiver had no room")
	}
}

// TestBlocked: a link through which nothing gets is given up, whichever way is closed, and is used again when it opens.
func TestBlocked(t *testing.T) {
	t.Parallel()
	for _, side := range []int{0, 1} {
		r := newRig(t, wan.Profile{Link: wan.Link{Delay: 20 * time.Millisecond}}, 1)
		r.settle()
		up := func() bool {
			all := true
			for _, e := range r.ends {
				for _, l := range e.links {
					all = all && l.Up()
				}
			}
			return all
		}
		r.until(r.now.Add(time.Minute))
		if !up() {
			t.Fatal("an idle link does not stay up")
		}
		closed := true
		r.mangle = func(to int, p packet) [][]byte {
			if closed && to == side {
				return nil
			}
			return [][]byte{p.body}
		}
		r.until(r.now.Add(4 * time.Second))
		for i, e := range r.ends {
			for c, l := range e.links {
				if l.Up() {
					t.Errorf("closed towards r%d: r%d still uses %s", side+1, i+1, wire.Class(c+1))
				}
			}
		}
		closed = false
		r.until(r.now.Add(4 * time.Second))
		if !up() {
			t.Errorf("closed towards r%d and opened again: not all links are back", side+1)
		}
	}
}

// TestIdleIsQuiet: a link that has nothing to say says little.
func TestIdleIsQuiet(t *testing.T) {
	t.Parallel()
	r := newRig(t, wan.Profile{Link: wan.Link{Delay: 20 * time.Millisecond}}, 1)
	r.settle()
	before, begin := r.ends[0].sent, r.now
	r.until(r.now.Add(time.Minute))
	if bits := float64(r.ends[0].sent-before) * 8 / r.now.Sub(begin).Seconds(); bits > 15_000 {
		t.Errorf("an idle link takes %.0f bits/s", bits)
	}
}
