// Package emulate puts emulated wide-area links under real replicas: a transport that delays, loses and paces what it sends
// before another transport, usually of TLS links on one machine, carries it. It is for tests, demonstrations and measurements.
//
// Package wan says what a link does. With a transport that sends over a path (transport.Pathed, package mesh), the emulator sits
// below it: a packet of that package is a sealed datagram, which may be lost and is then repaired by the link as on a wire. What goes
// by TLS is delayed, takes its share of the rate and stops while a link is down, a frame at a time, but is never lost: nobody here
// pretends to lose bytes of a stream. A profile that loses packets is therefore refused where datagrams are off; where they are on
// but do not get through, what falls back to TLS is spared the loss, and Peers says that it has fallen back.
//
// With any other transport a packet is a frame of the protocol, which is lost as a whole and not repeated below.
//
// Handshakes are not delayed and not counted; neither is what clients and replicas say to each other. The queue of an emulated bottleneck takes the place of the transport's own, which sees no congestion and stays empty. It
// therefore serves classes in the same order: TIMELY first, and a floor for RECON and BULK. It is fair by time of arrival, not
// by source, and demotes nobody.
package emulate

import (
	"errors"
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

	through bool // it is the path of inner
	streams bool // inner uses no datagrams

	mu     sync.Mutex
	port   *wan.Port[parcel]
	armed  clock.Instant // when the goroutine will look again
	closed bool
}

// parcel is what a link carries: something that leaves by itself, or a frame for inner.
type parcel struct {
	leave func()
	frame transport.Frame
}

var (
	_ transport.Transport = (*Transport)(nil)
	_ transport.Path      = (*Transport)(nil)
)

// errStream is why a link over TLS can not be made to lose packets.
var errStream = errors.New("emulate: the profile loses or doubles packets, but network.datagrams is \"off\" and a TLS stream loses " +
	"nothing: set it to \"auto\", or leave loss and duplicate out")

// Wrap returns a transport that sends through inner what the links of the profile let through, when they do. It owns inner.
// The events of the profile count from now.
//
// Frames leave when due, or as soon after as the machine wakes up: that is usually within 1 ms. Lateness does not add up.
func Wrap(inner transport.Transport, p wan.Profile, o Options) (*Transport, error) {
	t := &Transport{
		inner: inner, self: o.Self, clock: clock.NewReal(), news: make(chan struct{}, 1), done: make(chan struct{}), armed: clock.Never,
	}
	port, err := wan.NewPort(p, o.Self, o.Replicas, o.Seed, t.clock.Now(), t.land)
	if err != nil {
		return nil, err
	}
	t.port = port
	if pathed, ok := inner.(transport.Pathed); ok {
		t.through, t.streams = true, !pathed.Datagrams()
		if t.streams && p.Loses(o.Replicas) {
			return nil, errStream
		}
		pathed.Through(t)
	}
	return t, nil
}

// land lets what a link has carried leave.
func (t *Transport) land(_ clock.Instant, to int, x parcel) {
	if x.leave != nil {
		x.leave()
		return
	}
	t.inner.Send(to, x.frame)
}

// Carry takes what the transport below puts on the network.
func (t *Transport) Carry(p transport.Parcel) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || p.To < 1 || p.To > t.port.Replicas() || p.To == t.self {
		return
	}
	now, x := t.clock.Now(), parcel{leave: p.Leave}
	switch {
	case p.Stream:
		t.port.OfferStream(now, p.To, p.Class, p.Yields, p.Size, x)
	case p.Yields:
		t.port.OfferLast(now, p.To, p.Class, p.Size, x)
	default:
		t.port.Offer(now, p.To, p.Class, p.Size, x)
	}
	if t.port.Next() < t.armed {
		t.rouse()
	}
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
	if t.through || to < 1 || to == t.self || f.Class < transport.Timely || f.Class > transport.Bulk || len(f.Bytes) == 0 {
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
	offer(t.clock.Now(), to, f.Class, len(f.Bytes), parcel{frame: f})
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
		if !t.through { // else it is datagrams, which are repaired, and frames are counted where they are given up
			p.Dropped += t.port.Counters(p.ID).Overflow
		}
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
		if t.streams && l.Loses() {
			return errStream
		}
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
