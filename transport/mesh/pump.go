package mesh

import (
	"net/netip"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/datagram"
	"github.com/primebft/prime/transport"
)

// Sizes of what a pump does at once.
const (
	pumpBatch = 16   // datagrams that are made before they are sent and others get their turn
	pieceSize = 1400 // bytes of a stream on a link with a rate, between which more urgent packets slip in
	udpHeader = 28   // bytes that IP and UDP add to a datagram
)

// piece is a part of a frame on its way into a stream; of the first, of is the length of the frame.
type piece struct {
	bytes []byte
	of    int
}

// pump takes what waits for a lane from the scheduler, at the rate of the link, and sends it: in datagrams while these work, else
// by TLS, where large frames always go. It is the only one that seals packets of its lane. A lane has one if there is anything
// to decide; without datagrams, rates and paths the writer takes frames by itself.
type pump struct {
	lane   *lane
	timer  *time.Timer
	out    [pumpBatch]outgoing
	n      int
	frames []departing // to go by TLS over a path
	body   []byte
	memory [pumpBatch][]byte
}

// outgoing is a datagram that is sealed and addressed.
type outgoing struct {
	packet []byte
	to     netip.AddrPort
	yields bool
}

// departing is a frame that goes by TLS.
type departing struct {
	bytes  []byte
	yields bool
}

func (l *lane) pumpLoop() {
	w := &pump{lane: l, timer: time.NewTimer(time.Hour), body: make([]byte, 0, datagram.BodySize)}
	defer w.timer.Stop()
	for l.peer.mesh.ctx.Err() == nil {
		until := w.fill()
		if w.n == 0 && len(w.frames) == 0 {
			w.sleep(until)
			continue
		}
		w.send()
	}
}

// fill makes datagrams until there is nothing to send or enough; if there is none, it says until when.
func (w *pump) fill() (until clock.Instant) {
	l, p := w.lane, w.lane.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	l.waiting = false
	now := p.mesh.clock.Now()
	l.tidy(now)
	for until = now; w.n < pumpBatch && len(w.frames) == 0 && until <= now; now = p.mesh.clock.Now() {
		until = w.step(now)
	}
	if w.n == 0 && len(w.frames) == 0 {
		l.waiting, l.armed = true, until
	}
	return until
}

// step sends one packet or piece, or says when to look again. The caller holds mu.
func (w *pump) step(now clock.Instant) clock.Instant {
	l, p := w.lane, w.lane.peer
	at := w.load(now)
	if at <= now {
		return now
	}
	if at == clock.Never {
		p.rouseFirst(l, now)
	}
	for s := range l.all {
		if now < s.muted {
			at = min(at, s.muted)
			continue
		}
		quiet := s.link.Unloaded(now)
		if quiet <= now && w.emit(now, s, false) {
			return now
		}
		if !s.link.Loaded(now) {
			quiet = min(s.link.Unloaded(now), s.link.Deadline(now))
		}
		at = min(at, max(quiet, now+1), s.until)
	}
	return at
}

// load sends something that has to wait for its turn, and is when it did or may. The caller holds mu.
func (w *pump) load(now clock.Instant) clock.Instant {
	l, p := w.lane, w.lane.peer
	active := l.active(now)
	takes, yielding := l.takes(now, active)
	l.starved = !takes || !yielding
	takes = takes && p.queue.Waits(l.class, yielding)
	if !takes && len(l.parting) == 0 && l.loaded(now) == nil {
		if p.queue.Busy(l.class) {
			p.rouseOthers(l)
		}
		return clock.Never
	}
	if at := p.queue.Permit(now, l.class); at > now {
		return at
	}
	defer p.rouseOthers(l)
	if len(l.parting) > 0 {
		w.part(now)
		return now
	}
	if takes {
		w.feed(now, active)
	}
	if loaded := l.loaded(now); loaded == nil || !w.emit(now, loaded, true) {
		p.queue.Spend(now, l.class, 0) // nothing came of it, or it went by TLS
	}
	return now
}

// takes reports whether frames can be taken from the scheduler now, and whether that is so of those that yield. The caller holds mu.
func (l *lane) takes(now clock.Instant, active *session) (any, yielding bool) {
	switch {
	case len(l.parting) > 0:
		return false, false
	case active == nil:
		return l.streams(), l.streams()
	case active.tail == nil || !active.tail.works(now):
		return active.link.Hungry(), active.link.Hungry()
	}
	return active.link.Hungry(), active.link.Hungry() && active.tail.link.Hungry()
}

// feed gives the session in use as many frames as fill a packet; without one, or if a frame is too large, the stream gets it.
func (w *pump) feed(now clock.Instant, active *session) {
	l, p := w.lane, w.lane.peer
	for {
		takes, yielding := l.takes(now, active)
		if !takes {
			return
		}
		frame, yields := p.queue.Pop(l.class, yielding)
		switch {
		case frame == nil:
			return
		case active == nil || !datagram.Fits(len(frame)):
			l.parting, l.partingAt, l.yielding = frame, 0, yields
			w.part(now)
			return
		case yields && active.tail != nil && active.tail.works(now):
			active.tail.link.Send(now, frame)
		default:
			active.link.Send(now, frame)
		}
		l.sentCount.Add(1)
	}
}

// part lets a piece of the frame that goes by TLS leave; all of it, if nothing is paced.
func (w *pump) part(now clock.Instant) {
	l, p := w.lane, w.lane.peer
	from := l.partingAt
	to := len(l.parting)
	if p.queue.Paced() {
		to = min(to, from+pieceSize)
	}
	p.queue.Spend(now, l.class, to-from)
	if p.mesh.path == nil {
		of := 0
		if from == 0 {
			of = len(l.parting)
		}
		l.flow(piece{l.parting[from:to], of})
	}
	if l.partingAt = to; to == len(l.parting) {
		if p.mesh.path != nil {
			w.frames = append(w.frames, departing{l.parting, l.yielding})
		}
		l.parting = nil
	}
}

// emit seals the next packet of a session, and reports whether there was one.
func (w *pump) emit(now clock.Instant, s *session, loaded bool) bool {
	l, p := w.lane, w.lane.peer
	w.body = s.link.Next(now, w.body[:0], loaded)
	if len(w.body) == 0 {
		return false
	}
	memory := w.memory[w.n][:0]
	if memory == nil || p.mesh.path != nil { // a path keeps packets
		memory = make([]byte, 0, datagram.Payload)
		w.memory[w.n] = memory
	}
	packet := s.sealer.Seal(now, memory, w.body)
	p.queue.Spend(now, l.class, len(packet)+udpHeader)
	l.sentBytes.Add(uint64(len(packet)))
	w.out[w.n] = outgoing{packet, s.to, s.yields}
	w.n++
	return true
}

// send lets what was made leave.
func (w *pump) send() {
	l, m := w.lane, w.lane.peer.mesh
	for i := range w.n {
		m.sendDatagram(l, w.out[i])
	}
	for _, frame := range w.frames {
		leave := func() {
			l.peer.mu.Lock()
			defer l.peer.mu.Unlock()
			l.flow(piece{frame.bytes, len(frame.bytes)})
		}
		m.path.Carry(transport.Parcel{To: l.peer.ID, Class: l.class, Yields: frame.yields, Size: len(frame.bytes) + lengthSize,
			Stream: true, Leave: leave})
	}
	clear(w.frames)
	w.n, w.frames = 0, w.frames[:0]
}

// sendDatagram puts a datagram on the network, or on the path to it. What the system does not take is lost, as datagrams are.
func (m *Mesh) sendDatagram(l *lane, o outgoing) {
	if m.path == nil {
		m.put(l.class, o)
		return
	}
	m.path.Carry(transport.Parcel{To: l.peer.ID, Class: l.class, Yields: o.yields, Size: len(o.packet),
		Leave: func() { m.put(l.class, o) }})
}

// sleep waits until there may be something to send.
func (w *pump) sleep(until clock.Instant) {
	m := w.lane.peer.mesh
	wait := time.Hour
	if until != clock.Never {
		wait = max(0, until.Sub(m.clock.Now()))
	}
	w.timer.Reset(wait)
	select {
	case <-w.lane.wake:
	case <-w.timer.C:
	case <-m.ctx.Done():
	}
}

// loaded is a session that has a segment to send, one for frames that yield only if there is no other; older ones have only repairs
// left. The caller holds mu.
func (l *lane) loaded(now clock.Instant) *session {
	for s := range l.all {
		if now >= s.muted && s.link.Loaded(now) {
			return s
		}
	}
	return nil
}

// streams reports whether the stream takes another frame: what waits in the scheduler is where it is fair. The caller holds mu.
func (l *lane) streams() bool { return l.link != nil && l.flowing < writeSize }

// flow puts a piece into the stream. The caller holds mu.
func (l *lane) flow(x piece) {
	if l.link == nil {
		if x.of > 0 {
			l.peer.dropped.Add(1)
		}
		return
	}
	l.stream = append(l.stream, x)
	l.flowing += len(x.bytes)
	select {
	case l.drain <- struct{}{}:
	default:
	}
}

// drainTo appends to dst what the writer should write now; see peer.take.
func (l *lane) drainTo(link *link, block bool, dst []piece) (_ []piece, alive bool) {
	for {
		l.peer.mu.Lock()
		if l.link != link {
			l.peer.mu.Unlock()
			return dst, false
		}
		dst = append(dst, l.stream...)
		clear(l.stream)
		l.stream, l.flowing = l.stream[:0], 0
		if len(dst) > 0 && l.waiting {
			l.waiting = false
			l.rouse()
		}
		l.peer.mu.Unlock()
		if len(dst) > 0 || !block || l.request.Load() {
			return dst, true
		}
		select {
		case <-l.drain:
		case <-link.dead:
			return dst, false
		}
	}
}

// resend queues frames again that a session has not delivered. The caller holds mu.
func (l *lane) resend(now clock.Instant, s *session) {
	p := l.peer
	for _, frame := range s.link.Reclaim(now) {
		v := p.queue.Push(now, transport.Frame{Class: l.class, Yields: s.yields, Bytes: frame})
		p.dropped.Add(uint64(v.Dropped))
		p.lane(v.Class).rouse()
	}
}
