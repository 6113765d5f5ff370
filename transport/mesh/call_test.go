package mesh

import (
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/transporttest"
)

// TestCall: a replica that is the one to dial, and has given up for an hour, dials when the other calls.
func TestCall(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	_ = c.first[1].Close() // r2 is not there yet
	c.first[1] = nil
	r1 := c.run(t, 1, func(o *Options) { o.Network.DialMin, o.Network.DialMax = time.Hour, time.Hour })
	transporttest.Eventually(t, "r1 to have found nobody", func() bool {
		p := r1.peers[2]
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, l := range p.lanes[:transport.Recon] {
			if l.why == nil {
				return false
			}
		}
		return true
	})
	r2 := c.run(t, 2, nil)
	exchange(t, r1, r2)
}

// TestCallAboutADeadConnection: a connection that looks well is given up when the peer says that it has none, but not one that may be
// younger than the call.
func TestCallAboutADeadConnection(t *testing.T) {
	t.Parallel()
	for _, dead := range []bool{true, false} {
		c := newCluster(t, 2)
		r1 := c.run(t, 1, nil)
		r2 := c.run(t, 2, nil)
		exchange(t, r1, r2)
		lane := r1.peers[2].lane(transport.Bounded)
		link, other := lane.current(), r2.peers[1].lane(transport.Bounded).current()
		if dead {
			lane.peer.mu.Lock()
			link.since = link.since.Add(-time.Hour)
			lane.peer.mu.Unlock()
		}
		conn, answer, err := c.as(2, 1, transport.Bounded).join(t, c.peers[0].Address)
		if err != nil || answer.answer != welcome {
			t.Fatalf("%+v, %v", answer, err)
		}
		closedByPeer(t, conn)
		if dead {
			renewed(t, lane, link)
			renewed(t, r2.peers[1].lane(transport.Bounded), other)
		}
		exchange(t, r1, r2)
		if replaced := lane.current() != link; replaced != dead {
			t.Errorf("dead %v, replaced %v", dead, replaced)
		}
	}
}

// renewed waits until a lane has another connection than the last.
func renewed(t *testing.T, l *lane, last *link) {
	t.Helper()
	transporttest.Eventually(t, "a new connection", func() bool {
		now := l.current()
		return now != nil && now != last
	})
}

// TestStoodStill: what came while a process stood still is dropped, and so are the connections that it came by; then all goes on.
func TestStoodStill(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	hour := func(o *Options) { o.Stale = time.Hour } // nobody looks but the test
	r1, r2 := c.run(t, 1, hour), c.run(t, 2, hour)
	exchange(t, r1, r2)
	links := map[*lane]*link{}
	for _, l := range append(r1.peers[2].lanes[:], r2.peers[1].lanes[:]...) {
		links[l] = l.current()
	}
	r2.looked.Add(-int64(3 * time.Hour))
	before, taken := r2.frames(1), r2.peer(1).RecvBytes
	r1.Send(2, transport.Frame{Class: transport.Bounded, Source: 1, Bytes: []byte("old")})
	transporttest.Eventually(t, "the frame to come", func() bool { return r2.peer(1).RecvBytes > taken })
	r2.look()
	bounded := r2.peers[1].lane(transport.Bounded)
	bounded.deliver([]byte("read before, and delivered only now"), links[bounded])
	for l, last := range links {
		renewed(t, l, last)
	}
	if got := r2.frames(1); got != before {
		t.Errorf("%d frames were delivered, want none", got-before)
	}
	exchange(t, r1, r2)
	r2.log.says(t, "stood still")
}

// TestStale: what has waited long for a connection is dropped when there is one, and what has not is sent.
func TestStale(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	r1 := c.run(t, 1, func(o *Options) { o.Stale = time.Hour })
	send := func(text string, ago time.Duration) {
		p := r1.peers[2]
		p.mu.Lock()
		defer p.mu.Unlock()
		p.queue.Push(r1.clock.Now()-clock.Instant(ago), transport.Frame{Class: transport.Bounded, Source: 1, Bytes: []byte(text)})
	}
	send("old", 2*time.Hour)
	send("new", time.Minute)
	r2 := c.run(t, 2, nil)
	transporttest.Eventually(t, "the new frame to come", func() bool { return r2.frames(1) == 1 })
	exchange(t, r1, r2) // and nothing else came before it
	if dropped := r1.peer(2).Dropped; dropped != 1 {
		t.Errorf("%d frames counted as dropped, want 1", dropped)
	}
}
