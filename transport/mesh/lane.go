package mesh

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/datagram"
	"github.com/primebft/prime/transport"
)

// link is one live connection.
type link struct {
	conn *tls.Conn
	raw  net.Conn
	dead chan struct{} // closed by fail
	once sync.Once

	since time.Time   // when it was made
	old   atomic.Bool // this process stood still meanwhile: what came by it is not wanted
}

func newLink(conn *tls.Conn, raw net.Conn) *link {
	return &link{conn: conn, raw: raw, dead: make(chan struct{}), since: time.Now()}
}

// fail ends the link and reports whether it was the first to do so.
func (l *link) fail() (first bool) {
	l.once.Do(func() {
		first = true
		close(l.dead)
		_ = l.raw.Close() // the peer sees the end of the stream; whoever reads or writes here sees an error
	})
	return first
}

// lane is the traffic of one class with one peer: at most one live link, one goroutine that reads from whichever link is
// live, and one that writes to it. Because the goroutines outlive links, the handler is never called twice at once.
type lane struct {
	peer    *peer
	class   transport.Class
	wake    chan struct{} // tells the pump, or the writer if there is none, to look again
	drain   chan struct{} // tells the writer to look again, if there is a pump
	demand  chan struct{} // closed when the link is wanted; BULK only, others are always wanted
	wanted  atomic.Bool   // demand is closed
	request atomic.Bool   // RECON only: ask the peer to dial BULK
	hurry   chan struct{} // the peer has called: dial now

	sentBytes, sentCount, recvBytes, recvCount atomic.Uint64
	delivering                                 sync.Mutex // held while the handler is called

	// Guarded by peer.mu:
	waiting bool          // the writer sleeps until it is told of frames
	link    *link         // nil if not connected
	changed chan struct{} // closed when link is replaced by a new one
	why     error         // why link is nil; nil: not tried yet

	// Of datagrams, guarded by peer.mu as well:
	sessions  []*session    // the newest first
	armed     clock.Instant // until when the pump sleeps
	starved   bool          // frames wait that the session in use could not take
	arrivals  arrivals
	retired   datagram.Counters // of sessions that have ended
	whyTLS    string            // why the last session was not used
	parting   []byte            // the frame that goes by TLS
	yielding  bool              // it yields
	partingAt int               // how far it has gone
	stream    []piece           // what the writer has not taken
	flowing   int               // bytes of stream
}

func newLane(p *peer, c transport.Class) *lane {
	return &lane{peer: p, class: c, wake: make(chan struct{}, 1), demand: make(chan struct{}), changed: make(chan struct{}),
		drain: make(chan struct{}, 1), hurry: make(chan struct{}, 1), arrivals: arrivals{wake: make(chan struct{}, 1)}}
}

// current is the live link, or nil.
func (l *lane) current() *link {
	l.peer.mu.Lock()
	defer l.peer.mu.Unlock()
	return l.link
}

// await waits for a live link other than the last one; nil when the mesh is closed.
func (l *lane) await(last *link) *link {
	for {
		l.peer.mu.Lock()
		now, changed := l.link, l.changed
		l.peer.mu.Unlock()
		if now != nil && now != last {
			return now
		}
		select {
		case <-changed:
		case <-l.peer.mesh.ctx.Done():
			return nil
		}
	}
}

// install makes a link the live one; an older one is replaced.
func (l *lane) install(n *link) {
	p := l.peer
	p.mu.Lock()
	old := l.link
	l.link, l.why = n, nil
	close(l.changed)
	l.changed = make(chan struct{})
	complete := p.complete()
	if stale := p.mesh.o.Stale; stale > 0 && old == nil {
		p.dropped.Add(uint64(p.queue.Expire(l.class, p.mesh.clock.Now()-clock.Instant(stale))))
	}
	p.mu.Unlock()
	l.begin(n)
	l.rouse()
	if old != nil && old.fail() {
		p.mesh.warn(p.ID, "connection replaced", slog.String("class", l.class.String()))
	}
	if p.mesh.ctx.Err() != nil {
		n.fail()
	}
	if complete && old == nil && l.class != transport.Bulk {
		p.mesh.log.say(slog.LevelInfo, p.ID, "connected", slog.String("address", p.Address))
	}
	if l.class == transport.Recon && !p.dials() && p.lane(transport.Bulk).wanted.Load() {
		l.ask()
	}
}

// lost ends a link that a reader or writer had trouble with.
func (l *lane) lost(n *link, err error) {
	p := l.peer
	first := n.fail()
	p.mu.Lock()
	if l.link == n {
		l.link, l.why = nil, fmt.Errorf("connection lost: %w", err)
		clear(l.stream)
		l.stream, l.flowing = l.stream[:0], 0
	}
	now := p.mesh.clock.Now()
	for s := range l.all {
		s.link.Doubt(now) // perhaps the peer is gone; perhaps somebody has only made its connection fail
	}
	p.mu.Unlock()
	l.rouse()
	signal(p.down)
	if first && p.mesh.ctx.Err() == nil {
		p.mesh.warn(p.ID, "connection lost", slog.String("class", l.class.String()), slog.String("cause", clip(err.Error())))
	}
}

// reason says why the lane has no link. The caller holds peer.mu.
func (l *lane) reason() string {
	switch {
	case l.why != nil:
		return clip(l.why.Error())
	case l.peer.dials():
		return "connecting"
	}
	return fmt.Sprintf("waiting for r%d to connect", l.peer.ID)
}

// blame notes why there is no link.
func (l *lane) blame(err error) {
	l.peer.mu.Lock()
	defer l.peer.mu.Unlock()
	if l.link == nil {
		l.why = err
	}
}

// rouse makes the writer look again.
func (l *lane) rouse() { signal(l.wake) }

// signal lets whoever waits for c, which has room for one, go on.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// want makes sure that the link of BULK will be opened: by this replica, or at its request by the peer.
func (l *lane) want() {
	if l.wanted.Load() || !l.wanted.CompareAndSwap(false, true) {
		return
	}
	close(l.demand)
	if !l.peer.dials() {
		l.peer.lane(transport.Recon).ask()
	}
}

// ask makes the writer of RECON request BULK.
func (l *lane) ask() {
	l.request.Store(true)
	l.rouse()
	signal(l.drain)
}

// sleep waits until there may be something to write, and reports whether the link is still alive.
func (l *lane) sleep(n *link, until clock.Instant) bool {
	var expired <-chan time.Time
	if until != clock.Never {
		timer := time.NewTimer(until.Sub(l.peer.mesh.clock.Now()))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-l.wake:
	case <-expired:
	case <-n.dead:
		return false
	}
	return true
}
