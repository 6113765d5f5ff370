package wan

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/wire"
)

// TestUrgentFirst: with large frames of every other class waiting, TIMELY waits for at most one packet that is being
// transmitted and one of each class that has a floor.
func TestUrgentFirst(t *testing.T) {
	t.Parallel()
	const bits, size = 10_000_000, 300
	packet := time.Duration(packetBytes) * 8 * time.Second / bits
	own := time.Duration(WireBytes(size)) * 8 * time.Second / bits
	for name, p := range map[string]Profile{
		"link": {Link: Link{Rate: Rate{Bits: bits}}}, "uplink": {Uplink: Rate{Bits: bits}},
	} {
		r := newRig(t, p, 3, 1)
		sent := map[int]clock.Instant{}
		number := 0
		for now := clock.Instant(0); now < second; now += clock.Instant(time.Millisecond) {
			for c := wire.Bounded; c <= wire.Bulk; c++ {
				r.Offer(now, 2, c, 60_000, -1)
			}
			number++
			sent[number] = now
			r.Offer(now, 2, wire.Timely, size, number)
		}
		for _, a := range r.finish() {
			if a.number < 0 {
				continue
			}
			number--
			if wait := a.at.Sub(sent[a.number]) - own; wait > 3*packet {
				t.Fatalf("%s: TIMELY waits %v, three packets take %v", name, wait, 3*packet)
			}
		}
		if number != 0 {
			t.Errorf("%s: %d TIMELY frames did not arrive", name, number)
		}
	}
}

// TestFloor: RECON gets three tenths and BULK a twentieth while more urgent classes would take all, and all if nobody else wants it.
func TestFloor(t *testing.T) {
	t.Parallel()
	const bits, size = 10_000_000, 1222
	for _, c := range []struct {
		name  string
		sends []wire.Class
		want  [wire.Classes]float64
	}{
		{"bounded and recon", []wire.Class{wire.Bounded, wire.Recon}, [wire.Classes]float64{0, 0.70, 0.30, 0}},
		{"all", []wire.Class{wire.Timely, wire.Bounded, wire.Recon, wire.Bulk}, [wire.Classes]float64{0.65, 0, 0.30, 0.05}},
		{"recon before bulk", []wire.Class{wire.Recon, wire.Bulk}, [wire.Classes]float64{0, 0, 0.95, 0.05}},
		{"bulk alone", []wire.Class{wire.Bulk}, [wire.Classes]float64{0, 0, 0, 1}},
	} {
		r := newRig(t, Profile{Link: Link{Rate: Rate{Bits: bits, Queue: 100 * time.Millisecond}}}, 2, 1)
		for now := clock.Instant(0); now < 5*second; now += clock.Instant(time.Millisecond) {
			for _, class := range c.sends {
				r.Offer(now, 2, class, size, int(class))
			}
		}
		var got [wire.Classes]float64
		sum := 0.0
		for _, a := range r.got {
			if a.at > second {
				got[a.number-1]++
				sum++
			}
		}
		for i, want := range c.want {
			if share := got[i] / sum; math.Abs(share-want) > 0.01 {
				t.Errorf("%s: %s gets %.3f, want %.2f", c.name, wire.Class(i+1), share, want)
			}
		}
	}
}

// TestUplinkIsShared: what goes to one replica delays what goes to another, and a slower link behind delays only its own.
func TestUplinkIsShared(t *testing.T) {
	t.Parallel()
	const size = 1222
	own := time.Duration(WireBytes(size)) * 8 * time.Second / 10_000_000
	p := Profile{
		Uplink: Rate{Bits: 10e6},
		Events: []Event{{To: []int{3}, Change: func(l *Link) { l.Rate.Bits = 1e6 }}},
	}
	r := newRig(t, p, 4, 1)
	for i := range 6 {
		r.Offer(0, 2+i%3, wire.Bounded, size, i)
	}
	at := map[int]time.Duration{}
	for _, a := range r.finish() {
		at[a.number] = time.Duration(a.at)
	}
	for number, want := range map[int]time.Duration{
		0: own, 1: 2*own + 10*own, 2: 3 * own, 3: 4 * own, 4: 12*own + 10*own, 5: 6 * own,
	} {
		if at[number] != want {
			t.Errorf("packet %d arrives at %v, want %v", number, at[number], want)
		}
	}
}

// TestChangesAreForWhatComes: a change of a link leaves alone what has been offered.
func TestChangesAreForWhatComes(t *testing.T) {
	t.Parallel()
	r := newRig(t, Profile{Link: Link{Delay: 50 * time.Millisecond, Rate: Rate{Bits: 8e6}}}, 2, 1)
	const size = 972 // 1 ms
	for i := range 3 {
		r.Offer(0, 2, wire.Bounded, size, i)
	}
	if err := r.Set(2, Link{Down: true}); err != nil {
		t.Fatal(err)
	}
	r.Offer(0, 2, wire.Bounded, size, 3)
	if err := r.Set(2, Link{Delay: 10 * time.Millisecond, Rate: Rate{Bits: 16e6}}); err != nil {
		t.Fatal(err)
	}
	r.Offer(0, 2, wire.Bounded, size, 4)
	if err := r.Set(2, Link{MTU: 971}); err != nil {
		t.Fatal(err)
	}
	r.Offer(0, 2, wire.Bounded, size, 5)
	want := []arrival{{51e6, 2, 0}, {52e6, 2, 1}, {53e6, 2, 2}, {53e6, 2, 4}} // the last one waits for its turn
	got := r.finish()
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
	if c := r.Counters(2); c.Cut != 1 || c.Oversized != 1 || c.Arrived != 4 {
		t.Errorf("%+v", c)
	}
	for _, wrong := range []error{
		r.Set(2, Link{Delay: -1}), r.Set(3, Link{}), r.Set(0, Link{}), r.SetUplink(Rate{Bits: -1}),
	} {
		if wrong == nil {
			t.Error("a wrong change is accepted")
		}
	}
}

// TestPartitionAndHeal: while links are down by schedule nothing comes, before and after everything does, and other links do
// not notice.
func TestPartitionAndHeal(t *testing.T) {
	t.Parallel()
	down := func(is bool) func(*Link) { return func(l *Link) { l.Down = is } }
	p := Profile{Link: Link{Delay: 5 * time.Millisecond}, Events: []Event{
		{At: 20 * time.Second, From: []int{2}, To: []int{1}, Both: true, Change: down(false)},
		{At: 10 * time.Second, From: []int{2}, To: []int{1}, Both: true, Change: down(true)},
	}}
	r := newRig(t, p, 3, 1)
	for i := range 300 {
		r.Offer(clock.Instant(i)*second/10, 2+i%2, wire.Timely, 100, i)
	}
	cut := 0
	for i := range 300 {
		if i%2 == 0 && i >= 100 && i < 200 {
			cut++
		}
	}
	next := 0
	for _, a := range r.finish() {
		for next%2 == 0 && next >= 100 && next < 200 {
			next++
		}
		if a.number != next {
			t.Fatalf("packet %d came, want %d", a.number, next)
		}
		next++
	}
	if next != 300 || r.Counters(2).Cut != uint64(cut) || r.Counters(3).Cut != 0 {
		t.Errorf("%d came, %+v", next, r.Counters(2))
	}
}

// TestRamp: a delay moves evenly from one value to the other.
func TestRamp(t *testing.T) {
	t.Parallel()
	p := Profile{Link: Link{Delay: 10 * time.Millisecond}, Events: []Event{
		{At: 10 * time.Second, Ramp: 10 * time.Second, Change: func(l *Link) { l.Delay = 110 * time.Millisecond }},
	}}
	r := newRig(t, p, 2, 1)
	for s := range clock.Instant(30) {
		r.Offer(s*second, 2, wire.Timely, 100, 0)
		want := 10 * time.Millisecond * time.Duration(1+min(10, max(0, s-10)))
		if got := r.Link(s*second, 2).Delay; got != want {
			t.Errorf("after %d s the delay is %v, want %v", s, got, want)
		}
	}
	if len(r.finish()) != 30 {
		t.Errorf("%d arrived", len(r.got))
	}
}

// TestYields: of a class, packets that yield go after the others, and otherwise in order.
func TestYields(t *testing.T) {
	t.Parallel()
	r := newRig(t, Profile{Uplink: Rate{Bits: 10_000_000}}, 3, 1)
	r.Offer(0, 2, wire.Bounded, 1000, 1)
	r.OfferLast(0, 2, wire.Bounded, 1000, 2)
	r.OfferLast(0, 3, wire.Bounded, 1000, 3)
	r.Offer(0, 2, wire.Bounded, 1000, 4)
	r.Offer(0, 3, wire.Timely, 1000, 5)
	r.Offer(0, 2, wire.Bounded, 1000, 6)
	var got []int
	for _, a := range r.finish() {
		got = append(got, a.number)
	}
	if want := []int{1, 5, 4, 6, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("packets arrive in the order %v, want %v", got, want)
	}
}
