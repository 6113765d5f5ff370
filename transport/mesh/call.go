package mesh

import (
	"errors"
	"log/slog"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/transport"
)

// The replica with the smaller id dials, so that two never make each a connection of their own. But it cannot know when the other is
// back: the longer that was away, the longer are its pauses, and a connection to a machine that lost its power looks well until a
// timeout. So whoever waits to be dialled calls: it connects, says who it is and which connection it lacks, and hangs up.

// errCalled is why a connection is given up that the peer does not have any more.
var errCalled = errors.New("the peer has called, it has lost its end")

// callLoop calls a peer, which is the one to dial, for as long as connections are missing.
func (p *peer) callLoop() {
	m := p.mesh
	pause := backoff{least: m.o.Network.DialMin, most: m.o.Network.DialMax}
	for m.ctx.Err() == nil {
		if len(p.missing()) == 0 {
			pause.reset()
			select {
			case <-p.down:
			case <-m.ctx.Done():
			}
			continue
		}
		select {
		case <-time.After(pause.next()): // it may be dialling
		case <-m.ctx.Done():
		}
		for _, l := range p.missing() {
			if link, err := l.dial(); err == nil {
				link.fail()
			}
		}
	}
}

// missing is the lanes that have no connection and should.
func (p *peer) missing() (lanes []*lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lanes {
		if l.class != transport.Bulk && l.link == nil {
			lanes = append(lanes, l)
		}
	}
	return lanes
}

// called dials a peer that has called, now. A connection that is older than the call can be is dead.
func (l *lane) called() {
	l.peer.mu.Lock()
	link := l.link
	young := link != nil && time.Since(link.since) <= l.peer.mesh.o.Network.Handshake
	l.peer.mu.Unlock()
	if young {
		return
	}
	signal(l.hurry)
	if link != nil {
		l.lost(link, errCalled)
	}
}

// vigilLoop looks whether this process has stood still.
func (m *Mesh) vigilLoop() {
	tick := time.NewTicker(m.o.Stale / 8)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.look()
		case <-m.ctx.Done():
			return
		}
	}
}

// outdate makes what has come by a peer's connections old.
func (p *peer) outdate() {
	for _, l := range p.lanes {
		if link := l.current(); link != nil {
			link.old.Store(true)
		}
	}
}

// stoodStill reports whether this process has not looked for so long that it must have stood still: it was stopped, or its machine
// was. Peers went on sending, and what came of it is old: it would cost more than it helps, before anything new is seen.
func (m *Mesh) stoodStill() bool {
	return m.o.Stale > 0 && m.still() > 2*m.o.Stale
}

// still is how long ago this process looked.
func (m *Mesh) still() time.Duration { return m.clock.Now().Sub(clock.Instant(m.looked.Load())) }

// look makes all connections anew if this process has stood still. What is in them was refused until then, and what has been read and
// not delivered is refused afterwards.
func (m *Mesh) look() {
	if m.stoodStill() {
		m.warn(0, "this process stood still: it makes its connections anew and drops what has waited in them",
			slog.Duration("for", m.still()))
		for _, p := range m.peers {
			if p != nil {
				p.outdate()
				p.stop()
			}
		}
	}
	m.looked.Store(int64(m.clock.Now()))
}
