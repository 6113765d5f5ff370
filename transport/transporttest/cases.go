package transporttest

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/primebft/prime/transport"
)

// Usual sizes of a test network.
const (
	usualBudget   = 4 << 20
	usualMaxFrame = 128 << 10
)

// testDelivery: every frame arrives once, unharmed, from whom it was sent, in its class, in both directions of every link.
func testDelivery(t *testing.T, f Factory) {
	const replicas, each = 4, 20
	n := start(t, f, Setup{replicas, usualBudget, usualMaxFrame})
	for _, v := range n.nodes {
		for to := 1; to <= replicas; to++ {
			for i := range each {
				for _, c := range classes {
					if to != v.id {
						v.Send(to, numbered(c, v.id, i, 10+i*97))
					}
				}
			}
		}
	}
	for _, v := range n.nodes {
		want := (replicas - 1) * each * len(classes)
		v.wait(t, "all frames", func() bool { return len(v.arrived) >= want })
		seen := map[arrivalKind]map[int]bool{}
		for _, a := range v.take() {
			k, i := arrivalKind{a.from, a.class}, number(a.bytes)
			if !bytes.Equal(a.bytes, numbered(a.class, a.from, i, 10+i*97).Bytes) {
				t.Fatalf("r%d: frame %d of r%d in %s was altered", v.id, i, a.from, a.class)
			}
			if seen[k] == nil {
				seen[k] = map[int]bool{}
			}
			if seen[k][i] {
				t.Fatalf("r%d: frame %d of r%d in %s came twice", v.id, i, a.from, a.class)
			}
			seen[k][i] = true
		}
		checkCounters(t, n, v, each*len(classes))
	}
}

// checkCounters: what Peers says agrees with what was sent.
func checkCounters(t *testing.T, n *network, v *node, each int) {
	t.Helper()
	for _, other := range n.nodes {
		if other == v {
			continue
		}
		Eventually(t, "counters to agree", func() bool {
			p := v.peer(t, other.id)
			return p.SentCount == uint64(each) && p.RecvCount == uint64(each) && p.Queued == 0 && p.SentBytes > 0 && p.RecvBytes > 0
		})
		if p := v.peer(t, other.id); p.Dropped != 0 || p.Demoted != 0 || p.Refused != 0 || p.Address == "" {
			t.Errorf("r%d about r%d: %+v", v.id, other.id, p)
		}
	}
}

// testOrder: frames of one class arrive in the order in which they were sent, whatever their sizes and sources.
func testOrder(t *testing.T, f Factory) {
	const each = 1500
	n := start(t, f, Setup{2, usualBudget, usualMaxFrame})
	for i := range each {
		for _, c := range classes {
			size := 20 + i%7*111
			if i%500 == 499 {
				size = 40_000
			}
			n.node(1).Send(2, numbered(c, 1, i, size))
		}
	}
	v := n.node(2)
	v.wait(t, "all frames", func() bool { return len(v.arrived) == each*len(classes) })
	next := map[transport.Class]int{}
	for _, a := range v.take() {
		if number(a.bytes) != next[a.class] {
			t.Fatalf("%s: frame %d came when %d was due", a.class, number(a.bytes), next[a.class])
		}
		next[a.class]++
	}
}

// testClassesAreIndependent: a handler that blocks in one class holds up nothing else.
func testClassesAreIndependent(t *testing.T, f Factory) {
	n := start(t, f, Setup{2, usualBudget, usualMaxFrame})
	for _, stuck := range classes {
		v := n.node(2)
		v.block(1, stuck, true)
		n.node(1).Send(2, numbered(stuck, 1, 0, 100))
		v.waitBlocked(t, 1, stuck)
		for i := range 200 {
			for _, c := range classes {
				n.node(1).Send(2, numbered(c, 1, 1+i, 5000))
			}
		}
		others := (len(classes) - 1) * 200
		v.wait(t, "the other classes", func() bool {
			return v.count(func(a arrival) bool { return a.class != stuck }) == others
		})
		v.mu.Lock()
		if got := v.count(func(a arrival) bool { return a.class == stuck }); got != 0 {
			t.Errorf("%d frames of the blocked class were delivered", got)
		}
		v.mu.Unlock()
		v.block(1, stuck, false)
		v.wait(t, "the blocked class", func() bool { return len(v.arrived) == others+201 })
		v.take()
	}
}

// testPeersAreIndependent: a handler that blocks for one peer holds up no other, nor what the same replica sends.
func testPeersAreIndependent(t *testing.T, f Factory) {
	n := start(t, f, Setup{3, usualBudget, usualMaxFrame})
	v := n.node(2)
	for _, c := range classes {
		v.block(1, c, true)
		n.node(1).Send(2, numbered(c, 1, 0, 100))
		v.waitBlocked(t, 1, c)
	}
	for i := range 100 {
		for _, c := range classes {
			n.node(3).Send(2, numbered(c, 3, i, 5000))
			n.node(1).Send(3, numbered(c, 1, i, 5000))
			v.Send(1, numbered(c, 2, i, 5000))
		}
	}
	for _, to := range n.nodes {
		to.wait(t, "frames of replicas that are not held up", func() bool { return len(to.arrived) == 100*len(classes) })
	}
}

// testSendIsBounded: with a peer that takes nothing, Send returns, memory stays within the budget, the oldest frames are
// dropped and counted, and once the peer takes frames again the newest arrive.
func testSendIsBounded(t *testing.T, f Factory) {
	const budget, size, total = 256 << 10, 8 << 10, 4000
	n := start(t, f, Setup{2, budget, usualMaxFrame})
	from, v := n.node(1), n.node(2)
	v.block(1, transport.Bounded, true)
	from.Send(2, numbered(transport.Bounded, 1, 0, size))
	v.waitBlocked(t, 1, transport.Bounded)
	for i := 1; i < total; i++ {
		from.Send(2, numbered(transport.Bounded, 1, i, size))
		if q := from.peer(t, 2).Queued; q > budget {
			t.Fatalf("%d bytes are queued, the budget is %d", q, budget)
		}
	}
	if from.peer(t, 2).Dropped == 0 {
		t.Fatalf("%d bytes were sent to a peer that takes nothing, and none dropped", size*total)
	}
	v.block(1, transport.Bounded, false)
	v.wait(t, "the newest frame", func() bool {
		return v.count(func(a arrival) bool { return number(a.bytes) == total-1 }) == 1
	})
	seen := map[int]bool{}
	Eventually(t, "every frame to be delivered or counted as dropped", func() bool {
		for _, a := range v.take() {
			if seen[number(a.bytes)] {
				t.Fatalf("frame %d came twice", number(a.bytes))
			}
			seen[number(a.bytes)] = true
		}
		return uint64(len(seen))+from.peer(t, 2).Dropped == total
	})
}

// testBudgetIsFair: a source that floods loses its own frames, not those of others.
func testBudgetIsFair(t *testing.T, f Factory) {
	const budget, size, flood = 256 << 10, 4 << 10, 4000
	n := start(t, f, Setup{4, budget, usualMaxFrame})
	from, v := n.node(1), n.node(2)
	v.block(1, transport.Recon, true)
	from.Send(2, numbered(transport.Recon, 1, 0, size))
	v.waitBlocked(t, 1, transport.Recon)
	for i := range flood {
		from.Send(2, numbered(transport.Recon, 3, 1_000_000, size))
		if i%1000 == 500 { // four of them
			from.Send(2, numbered(transport.Recon, 4, i, size))
		}
	}
	v.block(1, transport.Recon, false)
	v.wait(t, "the frames of the modest source", func() bool {
		return v.count(func(a arrival) bool { i := number(a.bytes); return i > 0 && i < 1_000_000 }) == 4
	})
	if from.peer(t, 2).Dropped == 0 {
		t.Error("the flood lost nothing")
	}
}

// testRestart: a replica that stops and starts again is reached again, whoever it was that stopped.
func testRestart(t *testing.T, f Factory) {
	n := start(t, f, Setup{3, usualBudget, usualMaxFrame})
	for _, id := range []int{1, 2, 3} {
		n.node(id).stop(t)
		for _, v := range n.nodes {
			if v.id != id {
				Eventually(t, "the loss to be noticed", func() bool { p := v.peer(t, id); return !p.Connected && p.Why != "" })
			}
		}
		n.nodes[id-1] = n.boot(t, id)
		n.connected(t)
		for _, v := range n.nodes {
			v.take()
		}
		for _, v := range n.nodes {
			for to := 1; to <= 3; to++ {
				for _, c := range classes {
					v.Send(to, numbered(c, v.id, id, 100))
				}
			}
		}
		for _, v := range n.nodes {
			v.wait(t, "frames after the restart", func() bool {
				// A frame of a round before may come again: its sender may not know that it arrived before the restart.
				seen := map[arrivalKind]bool{}
				for _, a := range v.arrived {
					if number(a.bytes) == id {
						seen[arrivalKind{a.from, a.class}] = true
					}
				}
				return len(seen) == 2*len(classes)
			})
		}
	}
	for _, v := range n.nodes {
		if v.mu.Lock(); v.overlaps != 0 {
			t.Errorf("r%d: the handler was called %d times while it was busy with the same peer and class", v.id, v.overlaps)
		}
		v.mu.Unlock()
	}
}

// testFrameSizes: frames of every size up to the largest arrive; larger ones are dropped and counted, and harm nothing.
func testFrameSizes(t *testing.T, f Factory) {
	n := start(t, f, Setup{2, usualBudget, usualMaxFrame})
	from, v := n.node(1), n.node(2)
	sizes := []int{9, 100, 8187, 8188, 8192, 16384, 32763, 32764, 32768, 65532, 65536, usualMaxFrame - 1, usualMaxFrame}
	for _, c := range classes {
		for i, size := range sizes {
			from.Send(2, numbered(c, 1, i, size))
		}
		from.Send(2, numbered(c, 1, 0, usualMaxFrame+1))
	}
	v.wait(t, "all frames", func() bool { return len(v.arrived) == len(sizes)*len(classes) })
	for _, a := range v.take() {
		if i := number(a.bytes); !bytes.Equal(a.bytes, numbered(a.class, 1, i, sizes[i]).Bytes) {
			t.Errorf("%s: frame of %d bytes was altered", a.class, sizes[i])
		}
	}
	if got := from.peer(t, 2).Dropped; got != uint64(len(classes)) {
		t.Errorf("%d frames dropped, want %d: one too large in each class", got, len(classes))
	}
}

// testWrongSends: frames to nobody, of no class, of no source and of no size harm nothing.
func testWrongSends(t *testing.T, f Factory) {
	n := start(t, f, Setup{2, usualBudget, usualMaxFrame})
	from, v := n.node(1), n.node(2)
	for _, to := range []int{-1, 0, 1, 3, 64, 65, 1 << 30} {
		from.Send(to, numbered(transport.Timely, 1, 0, 100))
	}
	from.Send(2, numbered(0, 1, 0, 100))
	from.Send(2, numbered(5, 1, 0, 100))
	from.Send(2, transport.Frame{Class: transport.Timely, Source: 1})
	from.Send(2, numbered(transport.Timely, -1, 1, 100))
	from.Send(2, numbered(transport.Timely, 1<<30, 2, 100))
	v.wait(t, "frames of an unknown source", func() bool { return len(v.arrived) == 2 })
	if got := from.peer(t, 2).Dropped; got != 3 {
		t.Errorf("%d frames dropped, want 3", got)
	}
}

// testConcurrency: everything may be called from everywhere at once.
func testConcurrency(t *testing.T, f Factory) {
	const replicas, senders, each = 3, 3, 200
	n := start(t, f, Setup{replicas, usualBudget, usualMaxFrame})
	var wg sync.WaitGroup
	for _, v := range n.nodes {
		for s := range senders {
			wg.Go(func() {
				for i := range each {
					for to := 1; to <= replicas; to++ {
						v.Send(to, numbered(classes[i%len(classes)], v.id, i*senders+s, 50+i))
					}
					if i%20 == 0 {
						v.Peers()
					}
				}
			})
		}
	}
	wg.Wait()
	for _, v := range n.nodes {
		v.wait(t, "all frames", func() bool { return len(v.arrived) == (replicas-1)*senders*each })
		v.mu.Lock()
		if v.overlaps != 0 {
			t.Errorf("r%d: the handler was called %d times while it was busy with the same peer and class", v.id, v.overlaps)
		}
		v.mu.Unlock()
	}
}

// testClose: a transport can be closed at any time and again and again, and nothing works afterwards, without harm.
func testClose(t *testing.T, f Factory) {
	n := start(t, f, Setup{2, usualBudget, usualMaxFrame})
	v := n.node(1)
	for i := range 100 {
		v.Send(2, numbered(transport.Bounded, 1, i, 1000))
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { v.stop(t) })
	}
	wg.Wait()
	v.Send(2, numbered(transport.Timely, 1, 0, 100))
	if err := v.Start(v.handle); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Start after Close: %v, want ErrClosed", err)
	}
	if p := v.peer(t, 2); p.Connected {
		t.Errorf("closed and connected: %+v", p)
	}
	never := n.open(1)
	if err := never.Close(); err != nil {
		t.Errorf("Close without Start: %v", err)
	}
	if err := never.Start(v.handle); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Start after Close: %v, want ErrClosed", err)
	}
}
