// Package emulate puts emulated wide-area links under real replicas: a transport that delays, loses and paces what it sends
// before another transport, usually of TLS links on one machine, carries it. It is for tests, demonstrations and measurements.
//
// Package wan says what a link does. Here a packet of that package is one frame of the protocol: the emulator sits above the
// encryption, so a loss is the loss of a whole frame, which the transport below never sees and does not repeat, just as with
// datagrams. It does not pretend to lose bytes of a TLS stream. What TLS and its handshakes add is not delayed and not counted;
// neither is what clients and replicas say to each other.
//
// The queue of an emulated bottleneck takes the place of the transport's own, which sees no congestion and stays empty. It
// therefore serves classes in the same order: TIMELY first, and a floor for RECON and BULK. It is fair by time of arrival, not
// by source, and demotes nobody.
package emulate

import (
	"fmt"
	"sync"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/emulate/wan"
)

// Options say whose links are emulated.
type Options struct {
	Self     int    // the replica whose transport it is, 1..n
	Replicas int    // n
	Seed     uint64 // of all that is random; replicas with the same seed draw different numbers
}

// Transport sends through emulated links. It is safe for concurrent use.
type Transport struct {
	inner transport.Transport
	self  int
	clock *clock.Real
	news  chan struct{} // something is due earlier than the goroutine knows
	done  chan struct{}
	wg    sync.WaitGroup

	mu     sync.Mutex
	port   *wan.Port[transport.Frame]
	armed  clock.Instant // when the goroutine will look again
	closed bool
}

var _ transport.Transport = (*Transport)(nil)

// Wrap returns a transport that sends through inner what the links of the profile let through, when they do. It owns inner.
// The events of the profile count from now.
//
// Frames leave when due, or as soon after as the machine wakes up: that is usually within 1 ms. Lateness does not add up.
func Wrap(inner transport.Transport, p wan.Profile, o Options) (*Transport, error) {
	t := &Transport{
		inner: inner, self: o.Self, clock: clock.NewReal(), news: make(chan struct{}, 1), done: make(chan struct{}), armed: clock.Never,
	}
	port, err := wan.NewPort(p, o.Self, o.Replicas, o.Seed, t.clock.Now(),
		func(_ clock.Instant, to int, f transport.Frame) { t.inner.Send(to, f) })
	if err != nil {
		return nil, err
	}
	t.port = port
	return t, nil
}

// Start begins to receive and to send.
func (t *Transport) Start(h transport.Handler) error {
	if err := t.inner.Start(h); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return transport.ErrClosed
	}
	t.wg.Go(t.run)
	return nil
}

// run gives the transport below what is due. There is one goroutine and one timer for all links of a replica.
func (t *Transport) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		t.mu.Lock()
		t.port.Advance(t.clock.Now())
		t.armed = t.port.Next()
		wait := time.Hour
		if t.armed != clock.Never {
			wait = max(0, t.armed.Sub(t.clock.Now()))
		}
		t.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-t.news:
		case <-t.done:
			return
		}
	}
}

// Send sends a frame through its link. What no link could carry is left to the transport below, which counts it.
func (t *Transport) Send(to int, f transport.Frame) {
	if to < 1 || to == t.self || f.Class < transport.Timely || f.Class > transport.Bulk || len(f.Bytes) == 0 {
		t.inner.Send(to, f)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || to > t.port.Replicas() {
		return
	}
	offer := t.port.Offer
	if f.Yields {
		offer = t.port.OfferLast
	}
	offer(t.clock.Now(), to, f.Class, len(f.Bytes), f)
	if t.port.Next() < t.armed {
		t.rouse()
	}
}

// rouse makes the goroutine look again.
func (t *Transport) rouse() {
	select {
	case t.news <- struct{}{}:
	default:
	}
}

// Peers is the state of every link of the transport below. A link that is down is not connected, what waits for an emulated
// bottleneck is queued, and what its queue had no room for is dropped.
func (t *Transport) Peers() []transport.Peer {
	all := t.inner.Peers()
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	for i := range all {
		p := &all[i]
		if p.ID < 1 || p.ID > t.port.Replicas() {
			continue
		}
		p.Queued += t.port.Waiting(p.ID)
		p.Dropped += t.port.Counters(p.ID).Overflow
		if t.port.Link(now, p.ID).Down && p.Connected {
			p.Connected, p.Why = false, "the emulated link is down"
		}
	}
	return all
}

// Set changes links for frames that are sent from now on; events that the profile had for them are off. 0 is every replica. This
// transport has the links from its own replica only: others are left alone, so that the same change can be given to all.
func (t *Transport) Set(from, to int, l wan.Link) error {
	return t.Change(from, to, func(old *wan.Link) { *old = l })
}

// Change is Set with what is to be changed only.
func (t *Transport) Change(from, to int, change func(*wan.Link)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.port.Replicas()
	if from < 0 || from > n || to < 0 || to > n {
		return fmt.Errorf("emulate: there is no link from %d to %d: replicas are 1..%d, 0 for all of them", from, to, n)
	}
	if from != 0 && from != t.self {
		return nil
	}
	now := t.clock.Now()
	for id := 1; id <= n; id++ {
		if id == t.self || to != 0 && to != id {
			continue
		}
		l := t.port.Link(now, id)
		change(&l)
		if err := t.port.Set(id, l); err != nil {
			return err
		}
	}
	return nil
}

// Counters are what became of the frames to a peer so far; zero for one that does not exist.
func (t *Transport) Counters(to int) wan.Counters {
	t.mu.Lock()
	defer t.mu.Unlock()
	if to < 1 || to > t.port.Replicas() {
		return wan.Counters{}
	}
	return t.port.Counters(to)
}

// Close stops everything. Frames that are under way are lost.
func (t *Transport) Close() error {
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		close(t.done)
	}
	t.mu.Unlock()
	t.wg.Wait()
	return t.inner.Close()
}
