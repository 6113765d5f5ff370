package reply

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

func key(client byte, seq uint64) Key { return Key{Client: wire.ClientID{client}, Seq: seq} }

func result(client byte, seq uint64, size int) Reply {
	return Reply{Key: key(client, seq), Epoch: 1, Ordinal: seq, Index: 1, Result: make([]byte, size)}
}

func TestOldestAreForgottenWithinBudget(t *testing.T) {
	t.Parallel()
	s := New(10 * (overhead + 100))
	for seq := uint64(1); seq <= 1000; seq++ {
		s.Put([]Reply{result(1, seq, 100)})
	}
	if n, bytes := s.Len(); n != 10 || bytes != 10*(overhead+100) {
		t.Fatalf("%d replies of %d bytes are remembered", n, bytes)
	}
	for seq := uint64(1); seq <= 1000; seq++ {
		if r, ok := s.Get(key(1, seq)); ok != (seq > 990) || (ok && r.Ordinal != seq) {
			t.Fatalf("%d: %v %v", seq, r, ok)
		}
	}
	s.Put([]Reply{result(1, 1001, 1<<20)})
	if n, _ := s.Len(); n != 1 {
		t.Fatalf("%d replies are remembered next to one over the budget", n)
	}
}

// TestAgainstPlainMap compares the ring and its budget with the obvious list.
func TestAgainstPlainMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		budget := rapid.IntRange(0, 40*overhead).Draw(t, "budget")
		s := New(budget)
		var list []Reply
		for i := range rapid.IntRange(1, 300).Draw(t, "puts") {
			r := result(byte(rapid.IntRange(0, 2).Draw(t, "client")), rapid.Uint64Range(1, 40).Draw(t, "seq"),
				rapid.IntRange(0, 2000).Draw(t, "size"))
			r.Ordinal = uint64(i)
			s.Put([]Reply{r})
			list = append(list, r)
			for sum := 0; ; sum = 0 {
				for i := range list {
					sum += charge(&list[i])
				}
				if sum <= budget || len(list) == 1 {
					break
				}
				list = list[1:]
			}
		}
		want := map[Key]uint64{}
		for _, r := range list {
			want[r.Key] = r.Ordinal
		}
		for c := range byte(3) {
			for seq := uint64(1); seq <= 40; seq++ {
				r, ok := s.Get(key(c, seq))
				ordinal, held := want[key(c, seq)]
				if ok != held || r.Ordinal != ordinal {
					t.Fatalf("%d/%d: have %v %d, want %v %d", c, seq, ok, r.Ordinal, held, ordinal)
				}
			}
		}
	})
}

func TestWait(t *testing.T) {
	t.Parallel()
	s := New(1 << 20)
	got := map[string][]Reply{}
	note := func(name string) func(Reply) {
		return func(r Reply) { got[name] = append(got[name], r) }
	}
	s.Wait(key(1, 7), note("early"))
	s.Wait(key(1, 7), note("early too"))
	s.Wait(key(1, 7), note("cancelled first"))()
	middle := s.Wait(key(1, 8), note("cancelled middle"))
	s.Wait(key(1, 8), note("expired"))
	middle()
	middle()
	s.Put([]Reply{result(1, 7, 1), result(2, 7, 1)})
	s.Wait(key(1, 7), note("late"))
	s.Refuse([]effect.Refusal{{Client: wire.ClientID{1}, Seq: 7, Why: effect.Duplicate}, {Client: wire.ClientID{1}, Seq: 8, Why: effect.Expired}})
	s.Wait(key(1, 9), note("duplicate"))
	s.Refuse([]effect.Refusal{{Client: wire.ClientID{1}, Seq: 9, Why: effect.Duplicate}})
	s.Put([]Reply{result(1, 7, 1), result(1, 9, 1)})
	for name, want := range map[string]effect.Why{"early": 0, "early too": 0, "late": 0, "expired": effect.Expired, "duplicate": effect.Duplicate} {
		if r := got[name]; len(r) != 1 || r[0].Refused != want {
			t.Errorf("%s: called with %v", name, r)
		}
	}
	if len(got) != 5 || len(s.waiters) != 0 {
		t.Errorf("called: %v; %d still waited for", got, len(s.waiters))
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	s := New(0)
	var one, two []string
	line := func(to *[]string) func(Reply) {
		return func(r Reply) { *to = append(*to, fmt.Sprintf("%d:%d", r.Seq, r.Refused)) }
	}
	first := s.Follow(wire.ClientID{1}, line(&one))
	second := s.Follow(wire.ClientID{1}, line(&two))
	s.Put([]Reply{result(1, 1, 0), result(2, 1, 0), result(1, 2, 0)})
	first()
	first()
	s.Refuse([]effect.Refusal{{Client: wire.ClientID{1}, Seq: 2, Why: effect.Duplicate}, // remembered: no news
		{Client: wire.ClientID{1}, Seq: 1, Why: effect.Duplicate}, {Client: wire.ClientID{1}, Seq: 3, Why: effect.Overloaded}})
	second()
	s.Put([]Reply{result(1, 4, 0)})
	if want := "[1:0 2:0]"; fmt.Sprint(one) != want {
		t.Errorf("first follower: %v, want %s", one, want)
	}
	if want := "[1:0 2:0 1:1 3:3]"; fmt.Sprint(two) != want {
		t.Errorf("second follower: %v, want %s", two, want)
	}
	if len(s.followers) != 0 {
		t.Errorf("%d clients are still followed", len(s.followers))
	}
}

// TestEveryWaiterHearsOnce lets waiters, cancels and replies race: with room for every result, each waiter that was not
// cancelled hears exactly once.
func TestEveryWaiterHearsOnce(t *testing.T) {
	t.Parallel()
	const updates, waiters = 2000, 4
	s := New(1 << 30)
	var heard [waiters][updates]atomic.Int32
	var wg sync.WaitGroup
	for w := range waiters {
		wg.Go(func() {
			for _, i := range rand.Perm(updates) {
				cancel := s.Wait(key(1, uint64(i)), func(Reply) { heard[w][i].Add(1) })
				if i%10 == 9 {
					cancel()
				}
			}
		})
	}
	wg.Go(func() {
		for i := range updates {
			s.Put([]Reply{result(1, uint64(i), 0)})
		}
	})
	wg.Wait()
	for w := range waiters {
		for i := range updates {
			if n := heard[w][i].Load(); n > 1 || (n == 0 && i%10 != 9) {
				t.Fatalf("waiter %d of update %d heard %d times", w, i, n)
			}
		}
	}
}

func BenchmarkPut(b *testing.B) {
	for _, follow := range []bool{false, true} {
		b.Run(fmt.Sprintf("followed=%v", follow), func(b *testing.B) {
			s := New(16 << 20)
			heard := 0
			if follow {
				s.Follow(wire.ClientID{1}, func(Reply) { heard++ })
			}
			batch := make([]Reply, 64)
			for i := range batch {
				batch[i] = result(1, 0, 100)
			}
			b.ReportAllocs()
			seq := uint64(0)
			for b.Loop() {
				for i := range batch {
					seq++
					batch[i].Seq = seq
				}
				s.Put(batch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(seq), "ns/reply")
		})
	}
}
