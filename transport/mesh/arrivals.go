package mesh

import (
	"github.com/primebft/prime/internal/datagram"
)

// arrivalBytes is how much of one peer and class may wait for the handler before nothing more is taken from it.
const arrivalBytes = 256 << 10

// arrivals are frames that came in datagrams and wait for the handler. They are guarded by the peer's mu.
type arrivals struct {
	frames [][]byte
	bytes  int // of those in frames, and of those that the handler is being given
	slab   []byte
	wake   chan struct{}
}

// room reports whether more may be taken.
func (a *arrivals) room() bool { return a.bytes < arrivalBytes }

// keep is a frame in memory of its own: long ones have that already.
func (a *arrivals) keep(frame []byte) []byte {
	if len(frame) > datagram.BodySize {
		return frame
	}
	if len(a.slab) < len(frame) {
		a.slab = make([]byte, slabSize)
	}
	own := a.slab[:len(frame):len(frame)]
	a.slab = a.slab[len(frame):]
	copy(own, frame)
	return own
}

// arrive takes a frame that came in a datagram. The caller holds mu.
func (l *lane) arrive(frame []byte) {
	a := &l.arrivals
	if len(frame) > l.peer.limits[l.class-1] {
		l.peer.refused.Add(1)
		return
	}
	a.frames = append(a.frames, a.keep(frame))
	a.bytes += len(frame)
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// deliverLoop gives frames that came in datagrams to the handler.
func (l *lane) deliverLoop() {
	p := l.peer
	var batch [][]byte
	for {
		p.mu.Lock()
		clear(batch)
		batch, l.arrivals.frames = l.arrivals.frames, batch[:0]
		p.mu.Unlock()
		for _, frame := range batch {
			l.deliver(frame, nil)
			p.mu.Lock()
			l.arrivals.bytes -= len(frame)
			if l.arrivals.bytes < arrivalBytes/2 {
				l.relieve()
			}
			p.mu.Unlock()
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-l.arrivals.wake:
		case <-p.mesh.ctx.Done():
			return
		}
	}
}

// relieve tells the peer that there is room again, if it was refused something. The caller holds mu.
func (l *lane) relieve() {
	now := l.peer.mesh.clock.Now()
	for s := range l.all {
		if s.link.Relieve(now) {
			l.rouse()
		}
	}
}

// deliver gives a frame, of a connection or of a datagram, to the handler, one at a time.
func (l *lane) deliver(frame []byte, of *link) {
	l.delivering.Lock()
	defer l.delivering.Unlock()
	if l.peer.mesh.ctx.Err() != nil || l.peer.mesh.stoodStill() || of != nil && of.old.Load() { // in this order: see look
		return
	}
	l.recvCount.Add(1)
	l.peer.mesh.handler(l.peer.ID, l.class, frame)
}
