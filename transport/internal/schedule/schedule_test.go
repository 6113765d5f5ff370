package schedule

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/transport"
)

const (
	timely  = transport.Timely
	bounded = transport.Bounded
	recon   = transport.Recon
	bulk    = transport.Bulk
)

// frame is a frame whose first bytes say its source and number.
func frame(c transport.Class, source, number, size int) transport.Frame {
	b := make([]byte, max(8, size))
	binary.LittleEndian.PutUint32(b, uint32(source))
	binary.LittleEndian.PutUint32(b[4:], uint32(number))
	return transport.Frame{Class: c, Source: source, Bytes: b}
}

func sourceOf(b []byte) int { return int(binary.LittleEndian.Uint32(b)) }
func numberOf(b []byte) int { return int(binary.LittleEndian.Uint32(b[4:])) }

// drain takes everything of a class from a scheduler without a rate, one frame at a time.
func drain(s *Scheduler, c transport.Class) [][]byte {
	var all [][]byte
	for {
		got, _ := s.Take(0, c, 1, nil)
		if len(got) == 0 {
			return all
		}
		all = append(all, got...)
	}
}

func TestSourcesTakeTurnsInBytes(t *testing.T) {
	t.Parallel()
	s := New(Options{Sources: 3, BudgetBytes: 1 << 20})
	for i := range 1000 { // source 1 has many small frames, 2 has large ones, 3 has packets
		s.Push(0, frame(bounded, 1, i, 68))
		if i < 5 {
			s.Push(0, frame(bounded, 2, i, 20_000-FrameCost))
		}
		if i < 60 {
			s.Push(0, frame(bounded, 3, i, 1000-FrameCost))
		}
	}
	sent, total := map[int]int{}, 0
	for total < 150_000 {
		got, _ := s.Take(0, bounded, 1, nil)
		sent[sourceOf(got[0])] += len(got[0]) + FrameCost
		total += len(got[0]) + FrameCost
	}
	for source, bytes := range sent {
		if off := bytes - total/3; off < -21_500 || off > 21_500 { // one frame and one turn
			t.Errorf("source %d sent %d of %d bytes: not a third", source, bytes, total)
		}
	}
	if len(sent) != 3 {
		t.Errorf("sources that sent: %v", sent)
	}
}

func TestNewlyActiveSourceGoesFirst(t *testing.T) {
	t.Parallel()
	s := New(Options{Sources: 9, BudgetBytes: 1 << 20})
	for source := 1; source <= 8; source++ {
		for i := range 20 {
			s.Push(0, frame(bounded, source, i, 1400))
		}
	}
	for range 30 {
		s.Take(0, bounded, 1, nil)
	}
	s.Push(0, frame(bounded, 9, 0, 100))
	if got, _ := s.Take(0, bounded, 1, nil); sourceOf(got[0]) != 9 {
		t.Errorf("source %d was served before the one that became active", sourceOf(got[0]))
	}
	// Coming back at once is no way to be first always.
	for i := 1; i < 20; i++ { // a turn is eleven such frames
		s.Push(0, frame(bounded, 9, i, 100))
		if got, _ := s.Take(0, bounded, 1, nil); sourceOf(got[0]) != 9 {
			return
		}
	}
	t.Error("a source that comes back at once starves the others")
}

func TestBudgetTakesFromTheLargest(t *testing.T) {
	t.Parallel()
	s := New(Options{Sources: 2, BudgetBytes: 10 * (1000 + FrameCost)})
	for i := range 8 {
		s.Push(0, frame(recon, 1, i, 1000))
	}
	for i := range 5 {
		if v := s.Push(0, frame(recon, 2, i, 1000)); !v.Queued || v.Dropped != max(0, i-1)-max(0, i-2) {
			t.Errorf("frame %d of the modest source: %+v", i, v)
		}
	}
	if v := s.Push(0, frame(recon, 1, 8, 1000)); !v.Queued || v.Dropped != 1 {
		t.Errorf("frame of the immodest source: %+v", v)
	}
	if v := s.Push(0, frame(recon, 2, 5, 10*(1000+FrameCost))); v.Queued || v.Dropped != 1 {
		t.Errorf("frame larger than the budget: %+v", v)
	}
	var first []int
	count := map[int]int{}
	for _, b := range drain(s, recon) {
		if count[sourceOf(b)]++; sourceOf(b) == 1 {
			first = append(first, numberOf(b))
		}
	}
	if count[1] != 5 || count[2] != 5 || first[0] != 4 || first[4] != 8 {
		t.Errorf("left: %v; of source 1: %v, want its newest five", count, first)
	}
	if s.Queued() != 0 {
		t.Errorf("%d bytes queued in an empty scheduler", s.Queued())
	}
}

func TestTimelyContract(t *testing.T) {
	t.Parallel()
	s := New(Options{Sources: 2, BudgetBytes: 1 << 20, Timely: Contract{BytesPerSecond: 10_000, Burst: 2064}})
	size := 1000
	for i, want := range []transport.Class{timely, timely, bounded} {
		if v := s.Push(0, frame(timely, 1, i, size)); v.Class != want || v.Demoted != (want == bounded) {
			t.Errorf("frame %d: %+v, want %s", i, v, want)
		}
	}
	if v := s.Push(0, frame(timely, 2, 0, size)); v.Demoted {
		t.Error("one source's excess demotes another")
	}
	if v := s.Push(0, frame(bounded, 1, 3, size)); v.Demoted {
		t.Error("BOUNDED has no contract")
	}
	if v := s.Push(clock.Instant(104*time.Millisecond), frame(timely, 1, 4, size)); v.Demoted {
		t.Error("the contract does not refill")
	}
	if s.Demoted(1) != 1 || s.Demoted(2) != 0 {
		t.Errorf("demoted: %d and %d, want 1 and 0", s.Demoted(1), s.Demoted(2))
	}
	var order []int
	for _, b := range drain(s, bounded) {
		order = append(order, numberOf(b))
	}
	if len(order) != 2 || order[0] != 2 || order[1] != 3 {
		t.Errorf("BOUNDED has frames %v, want 2 and 3", order)
	}
}

func TestTakeBatches(t *testing.T) {
	t.Parallel()
	s := New(Options{Sources: 1, BudgetBytes: 1 << 20})
	for i := range 100 {
		s.Push(0, frame(bounded, 1, i, 1000-FrameCost))
	}
	got, _ := s.Take(0, bounded, 10_000, nil)
	if len(got) != 10 {
		t.Errorf("took %d frames, want 10", len(got))
	}
	if got, at := s.Take(0, timely, 10_000, nil); len(got) != 0 || at != clock.Never {
		t.Errorf("took %d frames of an empty class, next at %d", len(got), at)
	}
}

// TestAgainstDumbTwin compares the queue with obvious lists: per source, what comes out is what went in, in order, less the
// oldest; and the accounts agree.
func TestAgainstDumbTwin(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const sources = 4
		budget := rapid.IntRange(100, 5000).Draw(t, "budget")
		s := New(Options{Sources: sources, BudgetBytes: budget})
		twin := make([][]int, sources+1) // numbers waiting
		sizes := map[[2]int]int{}
		used := func(src int) (n int) {
			for _, i := range twin[src] {
				n += sizes[[2]int{src, i}]
			}
			return n
		}
		total := func() (n int) {
			for src := range twin {
				n += used(src)
			}
			return n
		}
		for i := range rapid.IntRange(1, 100).Draw(t, "steps") {
			if rapid.IntRange(0, 2).Draw(t, "take") == 0 {
				got, _ := s.Take(0, bounded, 1, nil)
				if (len(got) == 0) != (total() == 0) {
					t.Fatalf("took %d frames, %d bytes wait", len(got), total())
				}
				if len(got) == 1 {
					src := sourceOf(got[0])
					if len(twin[src]) == 0 || twin[src][0] != numberOf(got[0]) {
						t.Fatalf("source %d: took %d, waiting %v", src, numberOf(got[0]), twin[src])
					}
					twin[src] = twin[src][1:]
				}
			} else {
				src, size := rapid.IntRange(1, sources).Draw(t, "source"), rapid.IntRange(8, 1500).Draw(t, "size")
				cost, dropped := size+FrameCost, 0
				sizes[[2]int{src, i}] = cost
				for cost <= budget && total()+cost > budget {
					victim := src
					for other := range twin {
						if used(other) > used(victim) {
							victim = other
						}
					}
					twin[victim] = twin[victim][1:]
					dropped++
				}
				if cost <= budget {
					twin[src] = append(twin[src], i)
				} else {
					dropped++
				}
				if v := s.Push(0, frame(bounded, src, i, size)); v.Dropped != dropped || v.Queued != (cost <= budget) {
					t.Fatalf("%+v, want %d dropped", v, dropped)
				}
			}
			if s.Queued() != total() {
				t.Fatalf("%d bytes queued, want %d", s.Queued(), total())
			}
		}
	})
}

func TestPushAndTakeDoNotAllocate(t *testing.T) {
	s := New(Options{Sources: 4, BudgetBytes: 1 << 16, Timely: Contract{BytesPerSecond: 1000, Burst: 1000}, RateBits: 1e9})
	f := []transport.Frame{frame(timely, 1, 0, 300), frame(bounded, 2, 0, 300), frame(recon, 3, 0, 900)}
	var buf [][]byte
	now := clock.Instant(0)
	step := func() {
		for range 10 {
			for i := range f {
				s.Push(now, f[i])
			}
			now += 10_000
			for c := timely; c <= bulk; c++ {
				buf, _ = s.Take(now, c, 1000, buf[:0])
			}
		}
	}
	for range 100 {
		step()
	}
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestYields: frames that yield go after the others of their source, in the order in which they came, and are the first to be
// dropped; other sources are not held up by either.
func TestYields(t *testing.T) {
	t.Parallel()
	s := New(Options{Sources: 2, BudgetBytes: 4 * (10 + FrameCost)})
	push := func(source, number int, yields bool) {
		f := frame(bounded, source, number, 10)
		f.Yields = yields
		s.Push(0, f)
	}
	push(1, 1, true)
	push(1, 2, true)
	push(1, 3, false)
	push(1, 4, true)
	push(1, 5, false) // there is no room: 1 is dropped for it
	var got []byte
	frames, _ := s.Take(0, bounded, 1000, nil)
	for _, f := range frames {
		got = append(got, byte(numberOf(f)))
	}
	if want := []byte{3, 5, 2, 4}; !bytes.Equal(got, want) {
		t.Errorf("frames go in the order %v, want %v", got, want)
	}
}

// TestExpire: what was queued before a time goes, of all sources and of those frames that yield too; what came later stays in order.
func TestExpire(t *testing.T) {
	t.Parallel()
	s := New(Options{Sources: 3, BudgetBytes: 1 << 20})
	for number := range 12 {
		f := frame(bounded, 1+number%3, number, 10)
		f.Yields = number%2 == 0
		s.Push(clock.Instant(number), f)
	}
	s.Push(0, frame(recon, 1, 99, 10)) // of another class
	if dropped := s.Expire(bounded, 6); dropped != 6 || s.Pending(bounded) != 6 || s.Pending(recon) != 1 {
		t.Fatalf("%d dropped, %d left", dropped, s.Pending(bounded))
	}
	if dropped := s.Expire(bounded, 6); dropped != 0 {
		t.Fatalf("%d dropped again", dropped)
	}
	frames, _ := s.Take(0, bounded, 1000, nil)
	var got []int
	for _, f := range frames {
		got = append(got, numberOf(f))
	}
	slices.Sort(got)
	if want := []int{6, 7, 8, 9, 10, 11}; !slices.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
	if s.Queued() != 10+FrameCost {
		t.Errorf("%d bytes charged for one frame", s.Queued())
	}
}
