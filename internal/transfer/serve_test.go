package transfer

import (
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/snapshot"
)

// serving is a server with a checkpoint of 100 blocks.
func serving(t *testing.T, o ServerOptions) (*Server, *snapshot.Store, Target) {
	t.Helper()
	o.N = 4
	o.Store = openStore(t, snapshot.NewMemory(1<<30))
	target := put(t, o.Store, 10, state(1, 99*testBlock))
	return NewServer(o), o.Store, target
}

func numbers(from, to int) (all []uint32) {
	for i := from; i < to; i++ {
		all = append(all, uint32(i))
	}
	return all
}

// sends is what a server sends now, by receiver.
func sends(s *Server, now clock.Instant) map[group.ID][]frame {
	sent := map[group.ID][]frame{}
	for {
		to, b := s.Next(now)
		if b == nil {
			return sent
		}
		f, err := decode(b)
		if err != nil {
			panic(err)
		}
		sent[to] = append(sent[to], f)
	}
}

// TestCredit: no more is under way to a replica than its credit, it goes on as answers are acknowledged, and nobody is helped by
// acknowledging what was not sent.
func TestCredit(t *testing.T) {
	t.Parallel()
	s, _, target := serving(t, ServerOptions{Credit: 5 * testBlock, Rate: -1})
	ask := frame{kind: blockAsk, session: 1, digest: target.Digest, wants: numbers(0, 40)}
	s.deliver(1, 2, &ask)
	if got := sends(s, 1)[2]; len(got) != 5 {
		t.Fatalf("%d blocks are under way", len(got))
	}
	ask.wants, ask.received = nil, 2*(testBlock+blockSize)
	s.deliver(2, 2, &ask)
	if got := sends(s, 2)[2]; len(got) != 2 || got[0].number != 5 {
		t.Fatalf("%d blocks follow", len(got))
	}
	ask.received = 1 << 60
	s.deliver(3, 2, &ask)
	if got := sends(s, 3)[2]; len(got) != 5 {
		t.Fatalf("%d blocks are under way to who says that it has everything", len(got))
	}
	ask.session, ask.received, ask.wants = 2, 0, numbers(1000, 1020)
	s.deliver(4, 2, &ask)
	if got := sends(s, 4); len(got) != 0 {
		t.Error("blocks that do not exist are sent")
	}
	if s.Deadline() != clock.Never {
		t.Error("it waits for something")
	}
}

// TestSpares: spares go when nothing else is to be sent and nothing is under way, and not at all when they are dropped in time.
func TestSpares(t *testing.T) {
	t.Parallel()
	s, _, target := serving(t, ServerOptions{Rate: -1})
	ask := frame{kind: blockAsk, session: 1, digest: target.Digest, wants: numbers(0, 2), spares: numbers(10, 20)}
	s.deliver(1, 2, &ask)
	if got := sends(s, 1)[2]; len(got) != 2 {
		t.Fatalf("%d blocks", len(got))
	}
	ask.wants, ask.spares, ask.drops, ask.received = nil, nil, numbers(10, 15), 2*(testBlock+blockSize)
	s.deliver(1, 2, &ask)
	if got := sends(s, 1)[2]; len(got) != 1 || got[0].number != 15 {
		t.Fatalf("%d blocks, the first %v", len(got), got)
	}
}

// TestGreed: a replica that wants everything all the time gets its rate, and others get theirs.
func TestGreed(t *testing.T) {
	t.Parallel()
	const rate = 100 * testBlock
	s, _, target := serving(t, ServerOptions{Credit: 8 * testBlock, Rate: rate})
	got := map[group.ID]int{}
	received := map[group.ID]uint64{}
	for now := clock.Instant(1); now < clock.Instant(10*time.Second); now = now.Add(5 * time.Millisecond) {
		for id := group.ID(2); id <= 4; id++ {
			ask := frame{kind: blockAsk, session: 1, digest: target.Digest, received: received[id], wants: numbers(0, 100)}
			if id == 4 { // wants little
				ask.wants = numbers(0, 1)
				if now.Sub(0)/time.Millisecond%100 != 0 {
					ask.wants = nil
				}
			}
			s.deliver(now, id, &ask)
		}
		for id, frames := range sends(s, now) {
			got[id] += len(frames)
			received[id] += uint64(len(frames) * (testBlock + blockSize))
		}
	}
	for id, want := range map[group.ID]int{2: 1000, 3: 1000} {
		if got[id] < want*95/100 || got[id] > want*105/100 {
			t.Errorf("r%d got %d blocks in 10 s, its rate is %d", id, got[id], want)
		}
	}
	if got[4] != 100 && got[4] != 99 {
		t.Errorf("r4 got %d blocks and wanted 100", got[4])
	}
	for id := group.ID(2); id <= 4; id++ {
		if n := len(s.askers[id.Index()].wants); n > maxNumbers {
			t.Errorf("%d blocks are remembered for r%d", n, id)
		}
	}
}

// TestNotHeld: who asks for what is not there is told so, once for each time that it asks; so is who was served from a checkpoint that
// has gone.
func TestNotHeld(t *testing.T) {
	t.Parallel()
	s, store, target := serving(t, ServerOptions{Rate: -1})
	ask := frame{kind: blockAsk, session: 1, digest: target.Digest, wants: numbers(0, 1)}
	ask.digest[0] ^= 1
	s.deliver(1, 2, &ask)
	if got := sends(s, 1)[2]; len(got) != 1 || got[0].kind != notHeld || got[0].session != 1 {
		t.Fatalf("%v", got)
	}
	ask.digest, ask.session = target.Digest, 2
	s.deliver(2, 2, &ask)
	if got := sends(s, 2)[2]; len(got) != 1 || got[0].kind != blockIs {
		t.Fatalf("%v", got)
	}
	if got := s.InUse(3); !slices.Equal(got, []uint64{10}) {
		t.Errorf("in use: %v", got)
	}
	if got := s.InUse(clock.Instant(2 * pinnedFor)); len(got) != 0 {
		t.Errorf("in use long after: %v", got)
	}
	put(t, store, 11, nil)
	if err := store.Keep(11); err != nil {
		t.Fatal(err)
	}
	s.deliver(4, 2, &ask)
	if got := sends(s, 4)[2]; len(got) != 1 || got[0].kind != notHeld {
		t.Fatalf("%v", got)
	}
	ask.session = 1 // a frame that was overtaken
	s.deliver(5, 2, &ask)
	if got := sends(s, 5); len(got) != 0 {
		t.Error("an old session is answered")
	}
}

// TestPinEnds: nobody can keep a checkpoint from being removed for ever.
func TestPinEnds(t *testing.T) {
	t.Parallel()
	s, _, target := serving(t, ServerOptions{Rate: -1})
	for now := clock.Instant(1); now < clock.Instant(2*pinnedMost); now = now.Add(time.Second) {
		s.deliver(now, 2, &frame{kind: blockAsk, session: uint64(now), digest: target.Digest, wants: numbers(0, 1)})
		sends(s, now)
		if pinned := len(s.InUse(now)) > 0; pinned != (now < clock.Instant(pinnedMost)) {
			t.Fatalf("after %v: %v", time.Duration(now), pinned)
		}
	}
}
