package mesh

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/transporttest"
)

// TestSiege: strangers who share the peers' address hold hundreds of connections open, at every stage of a handshake, and keep
// opening more. Peers that start in the middle of it connect all the same, and the replica spends a bounded number of places.
func TestSiege(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	r3 := c.run(t, 3, nil)
	address := c.peers[2].Address
	var held []net.Conn
	hold := func(first []byte) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(first)
		held = append(held, conn)
	}
	defer func() {
		for _, conn := range held {
			_ = conn.Close()
		}
	}()
	for i := range 400 {
		hold([][]byte{nil, {22}, {22, 3, 1, 2, 0, 1}, bytes.Repeat([]byte{22}, 500)}[i%4])
	}
	places := 2*2*perPeer + 16
	transporttest.Eventually(t, "the oldest strangers to be closed", func() bool {
		anybody, _ := r3.gate.waiting()
		return anybody <= places
	})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { openSilently(address, stop) })
		wg.Go(func() { shakeHands(address, stop) })
	}
	r1, r2 := c.run(t, 1, nil), c.run(t, 2, nil)
	exchange(t, r1, r3)
	exchange(t, r2, r3)
	if anybody, peers := r3.gate.waiting(); anybody > places || peers > 2*perPeer {
		t.Errorf("handshakes under way: %d of anybody, %d of peers; at most %d and %d", anybody, peers, places, 2*perPeer)
	}
	close(stop)
	wg.Wait()
	exchange(t, r1, r2)
	if n := len(r3.log.String()); n > 64<<10 {
		t.Errorf("the siege made a log of %d bytes", n)
	}
}

// openSilently opens connections and says nothing, until it is told to stop.
func openSilently(address string, stop <-chan struct{}) {
	var open [100]net.Conn
	closeOne := func(i int) {
		if open[i] != nil {
			_ = open[i].Close()
		}
	}
	for i := 0; ; i = (i + 1) % len(open) {
		select {
		case <-stop:
			for i := range open {
				closeOne(i)
			}
			return
		default:
		}
		closeOne(i)
		open[i], _ = net.Dial("tcp", address)
	}
}

// shakeHands completes handshakes with a key that nobody knows, until it is told to stop.
func shakeHands(address string, stop <-chan struct{}) {
	for i := (intruder{key: testKey(99)}); ; {
		select {
		case <-stop:
			return
		default:
		}
		if conn, _ := i.handshake(address); conn != nil {
			_ = conn.NetConn().Close()
		}
	}
}

// TestPeerThatStopsReading: what waits for it is bounded, nobody else notices, and in the end it is disconnected.
func TestPeerThatStopsReading(t *testing.T) {
	t.Parallel()
	const budget = 1 << 20
	c := newCluster(t, 3)
	change := func(o *Options) { o.Network.BudgetBytes, o.WriteTimeout = budget, 300*time.Millisecond }
	r2, r3 := c.run(t, 2, change), c.run(t, 3, change)
	conn, _, err := c.as(1, 2, transport.Bounded).join(t, c.peers[1].Address)
	if err != nil {
		t.Fatal(err)
	}
	lane := r2.peers[1].lane(transport.Bounded)
	transporttest.Eventually(t, "the connection", func() bool { return lane.current() != nil })
	exchange(t, r2, r3)
	link, frame := lane.current(), make([]byte, 64<<10)
	for i := 0; r2.peer(1).Dropped == 0; i++ {
		r2.Send(1, transport.Frame{Class: transport.Bounded, Source: 2, Bytes: frame})
		if q := r2.peer(1).Queued; q > budget {
			t.Fatalf("%d bytes wait for a peer that does not read; the budget is %d", q, budget)
		}
		if i%64 == 0 {
			exchange(t, r2, r3)
		}
	}
	<-link.dead
	_ = conn.NetConn().Close()
	exchange(t, r2, r3)
	r2.log.says(t, "connection lost", "peer=1", "timeout")
}

// TestNewConnectionReplacesOld: of two connections of one peer and class the later lives.
func TestNewConnectionReplacesOld(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	r2 := c.run(t, 2, nil)
	for round := range 5 {
		first, _, err := c.as(1, 2, transport.Timely).join(t, c.peers[1].Address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := first.Write(frameBytes([]byte("old"))); err != nil {
			t.Fatal(err)
		}
		transporttest.Eventually(t, "the first frame", func() bool { return r2.frames(1) == 2*round+1 })
		second, _, err := c.as(1, 2, transport.Timely).join(t, c.peers[1].Address)
		if err != nil {
			t.Fatal(err)
		}
		closedByPeer(t, first)
		if _, err := second.Write(frameBytes([]byte("new"))); err != nil {
			t.Fatal(err)
		}
		transporttest.Eventually(t, "the second frame", func() bool { return r2.frames(1) == 2*round+2 })
		r2.Send(1, transport.Frame{Class: transport.Timely, Source: 2, Bytes: []byte("to the new one")})
		r := reader{in: second, most: 100}
		if got, err := r.next(); err != nil || string(got) != "to the new one" {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

// TestPeerThatConnectsTooOften: a peer with the right key has a rate of its own.
func TestPeerThatConnectsTooOften(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	r3 := c.run(t, 3, func(o *Options) { o.Network.HandshakeRate = 0.001 })
	refused := 0
	for range 2 * perPeer {
		if _, _, err := c.as(1, 3, transport.Timely).join(t, c.peers[2].Address); err != nil {
			refused++
		}
	}
	if refused != perPeer {
		t.Errorf("%d of %d handshakes were refused, want %d", refused, 2*perPeer, perPeer)
	}
	exchange(t, c.run(t, 2, nil), r3) // the other peer at the same address has lost nothing
	r3.log.says(t, "peer=1", errTooOften.Error())
}

// TestBulkIsLazy: nobody opens a BULK connection that nobody needs, and either side may need it.
func TestBulkIsLazy(t *testing.T) {
	t.Parallel()
	for _, sender := range []int{1, 2} {
		c := newCluster(t, 2)
		rs := []*replica{c.run(t, 1, nil), c.run(t, 2, nil)}
		from, to := rs[sender-1], rs[2-sender]
		transporttest.Eventually(t, "the connection", func() bool {
			return from.peer(to.o.Self).Connected && to.peer(from.o.Self).Connected
		})
		from.Send(to.o.Self, transport.Frame{Class: transport.Recon, Source: sender, Bytes: []byte("first")})
		transporttest.Eventually(t, "a frame", func() bool { return to.frames(sender) == 1 })
		if to.peers[sender].lane(transport.Bulk).current() != nil {
			t.Error("BULK is connected before anybody wants it")
		}
		from.Send(to.o.Self, transport.Frame{Class: transport.Bulk, Source: sender, Bytes: []byte("second")})
		transporttest.Eventually(t, "a frame", func() bool { return to.frames(sender) == 2 })
	}
}
