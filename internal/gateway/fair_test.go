package gateway

import (
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/primebft/prime/internal/wire"
)

func testQueue(most int) *fairQueue {
	q := &fairQueue{}
	q.init(&Config{ClientBytes: most, AllClientBytes: most, UpdateBytes: 1000})
	return q
}

func fill(t *testing.T, q *fairQueue, client byte, updates, size int) {
	t.Helper()
	l := q.join(wire.ClientID{client})
	for i := range updates {
		if !l.reserve(size) || !l.push(wire.Update{Client: l.client, Seq: uint64(i), Payload: make([]byte, size)}, nil) {
			t.Fatal("closed")
		}
	}
	q.leave(l)
}

// TestFairInBytes: of clients that always have something, none gets ahead of another by more than a quantum and an update,
// whatever the sizes of their updates.
func TestFairInBytes(t *testing.T) {
	t.Parallel()
	q := testQueue(1 << 30)
	sizes := []int{0, 100, 5000, 60_000}
	for i, size := range sizes {
		fill(t, q, byte(i), 4_000_000/(size+updateCost), size)
	}
	got := make([]int, len(sizes))
	for range 8000 {
		w, _ := q.pop()
		got[w.u.Client[0]] += w.cost()
		for i := range got {
			for j := range got {
				if got[i]-got[j] > 2*(quantum+sizes[i]+sizes[j]+2*updateCost) {
					t.Fatalf("client %d is ahead of client %d: %v", i, j, got)
				}
			}
		}
	}
}

// TestNewcomerIsNext: behind a full lane of another client an update waits for less than two quanta.
func TestNewcomerIsNext(t *testing.T) {
	t.Parallel()
	q := testQueue(1 << 20)
	fill(t, q, 1, 3000, 10)
	for range 1000 {
		q.pop()
	}
	fill(t, q, 2, 1, 10)
	for n := 1; ; n++ {
		w, _ := q.pop()
		if w.u.Client[0] == 2 {
			return
		}
		if n > 2*quantum/(10+updateCost) {
			t.Fatalf("%d updates came before the newcomer's", n)
		}
	}
}

// TestQueueAgainstCount puts and takes at random: per client the order is kept, nothing is lost, and the charge is right.
func TestQueueAgainstCount(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	q := testQueue(1 << 30)
	var put, took [5]uint64
	waiting := 0
	for range 20_000 {
		c := rng.IntN(len(put))
		if waiting == 0 || rng.IntN(100) < 50 {
			l := q.join(wire.ClientID{byte(c)})
			size := rng.IntN(20_000)
			l.reserve(size)
			l.push(wire.Update{Client: l.client, Seq: put[c], Payload: make([]byte, size)}, nil)
			put[c]++
			waiting++
			q.leave(l)
			continue
		}
		var all []waitingUpdate
		if rng.IntN(500) == 0 {
			all = q.stale(time.Now().Add(time.Hour))
		} else {
			w, _ := q.pop()
			all = append(all, w)
		}
		for _, w := range all {
			c := w.u.Client[0]
			if w.u.Seq != took[c] {
				t.Fatalf("client %d: update %d instead of %d", c, w.u.Seq, took[c])
			}
			took[c]++
			waiting--
		}
	}
	for range waiting {
		q.pop()
	}
	if q.bytes != 0 || len(q.lanes) != 0 || len(q.turn) != 0 {
		t.Fatalf("%d bytes, %d lanes, %d turns are left", q.bytes, len(q.lanes), len(q.turn))
	}
}

// TestSharesShrink: the more lanes there are, the less each may have, but always two updates.
func TestSharesShrink(t *testing.T) {
	t.Parallel()
	q := testQueue(1 << 20)
	for i := range 2000 {
		want := max(2*(1000+updateCost), (1<<20)/(i+1))
		q.join(wire.ClientID{byte(i), byte(i >> 8)})
		if have := q.bound(); have != want {
			t.Fatalf("%d lanes: %d bytes, want %d", i+1, have, want)
		}
	}
}

type fakeConn struct {
	net.Conn
	from   string
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr {
	a, _ := net.ResolveTCPAddr("tcp", c.from)
	return a
}
func (c *fakeConn) Close() error { c.closed = true; return nil }

// TestWhoGivesWay: the oldest of the address that has most, but while somebody has said nothing nobody who has.
func TestWhoGivesWay(t *testing.T) {
	t.Parallel()
	p := halfOpen{limit: 4}
	var all []*fakeConn
	add := func(from string) *handshake {
		c := &fakeConn{from: from}
		all = append(all, c)
		h, _ := p.add(c)
		return h
	}
	add("10.0.0.1:1")              // 0
	add("[2001:db8::1]:1")         // 1
	h := add("[2001:db8::ffff]:2") // 2: the same machine, as far as one can tell
	add("[::ffff:10.0.0.2]:1")     // 3
	add("10.0.0.2:7")              // 4 pushes out 1
	add("10.0.0.3:1")              // 5 pushes out 3
	p.remove(h)                    //
	add("10.0.0.4:1")              // 6
	add("10.0.0.5:1")              // 7: all differ; pushes out 0
	want := map[int]bool{1: true, 3: true, 0: true}
	for i, c := range all {
		if c.closed != want[i] {
			t.Errorf("connection %d from %s: closed %v", i, c.from, c.closed)
		}
	}
	for _, h := range p.conns[:3] {
		h.spoke.Store(true)
	}
	add("10.0.0.9:1") // 8 pushes out 7, which is the only silent one
	add("10.0.0.9:2") // 9 pushes out 8
	if !all[7].closed || !all[8].closed || all[4].closed {
		t.Error("silent connections did not give way")
	}
	p.close()
	if _, evicted := p.add(&fakeConn{from: "10.0.0.9:1"}); evicted || p.len() != 4 {
		t.Errorf("added after close")
	}
}
