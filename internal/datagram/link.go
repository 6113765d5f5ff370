package datagram

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/wire"
)

// Options are what a link is made with.
type Options struct {
	Class  wire.Class
	Secret [16]byte      // nobody but this end knows it: receipts and probes are made of it
	Shared *Shared       // what the classes of one peer have in common
	Life   time.Duration // how long a message is worth repairing; Life(Class) if zero
}

// Link is one end of one class of traffic between two replicas. It is not safe for concurrent use.
type Link struct {
	out      sender
	in       receiver
	live     live
	width    width
	rtt      rtt
	shared   *Shared
	prf      cipher.Block
	life     time.Duration
	double   bool // segments may be sent twice
	counters Counters
	decoded  body
	acking   ack
}

// Counters are what happened at one end of a link.
type Counters struct {
	Sent     uint64 // segments, each counted once
	Copies   uint64 // second copies of them, before anything was known to be lost
	Lost     uint64 // segments that the peer named missing
	Repaired uint64 // segments sent again, voids included
	Expired  uint64 // messages that were given up because they became too old
	Received uint64 // segments that were new
	Twice    uint64 // segments that had arrived before
	Beyond   uint64 // segments that no correct peer could have sent yet
	Overlaps uint64 // fragments that contradict others
}

// New returns one end of a link.
func New(now clock.Instant, o Options) *Link {
	prf, err := aes.NewCipher(o.Secret[:])
	if err != nil {
		panic(err) // the size of the key is right
	}
	l := &Link{shared: o.Shared, prf: prf, life: life[o.Class-1], double: o.Class == wire.Timely}
	if o.Life > 0 {
		l.life = o.Life
	}
	l.out = sender{base: 1, next: 1, limit: Window, probeAt: clock.Never}
	if o.Shared.adaptive {
		l.out.limit = 2 * minWindow
	}
	l.in.ackAt = clock.Never
	l.width = width{body: bodyLeast, at: clock.Never}
	l.live = live{interval: probeIdle, pause: probeUrgent, at: now}
	if o.Class == wire.Timely {
		l.live.interval = probeBusy
	}
	return l
}

// secret is a pseudo-random function of a number that only this end can compute.
func (l *Link) secret(n uint64) uint64 {
	var b [aes.BlockSize]byte
	binary.LittleEndian.PutUint64(b[:], n)
	l.prf.Encrypt(b[:], b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// Up reports whether datagrams are known to get through both ways. Messages should be sent over a link that is up only.
func (l *Link) Up() bool { return l.live.up }

// Changed reports, once, that Up has changed.
func (l *Link) Changed() bool {
	news := l.live.news
	l.live.news = false
	return news
}

// News reports whether Up has changed since Changed was asked.
func (l *Link) News() bool { return l.live.news }

// Doubt makes the link probe the peer at once: there is a reason to believe that it is gone.
func (l *Link) Doubt(now clock.Instant) {
	l.live.at, l.live.sign = min(l.live.at, now), min(l.live.sign, now.Add(-l.live.interval))
}

// Distrust makes the link go down, until several probes in a row have been answered.
func (l *Link) Distrust(now clock.Instant) {
	l.live.up, l.live.answers, l.live.pause, l.live.at = false, 0, probeUrgent, now
	l.width.reset(clock.Never)
}

// Reclaim takes back the messages that have not been acknowledged and are not too old, for another way of sending them: the
// peer may have some of them already. The link goes on without them.
func (l *Link) Reclaim(now clock.Instant) [][]byte {
	s := &l.out
	var all [][]byte
	last := uint64(0)
	for n := s.base; n < s.next; n++ {
		g := s.at(n)
		if g.acked || g.gone || s.clock(now).Sub(g.born) > l.life {
			continue
		}
		for i := range g.chunks {
			switch c := &g.chunks[i]; {
			case c.kind == chunkWhole:
				all = append(all, c.bytes)
			case c.kind == chunkFragment && c.id != last:
				last = c.id
				all = append(all, c.message)
			}
		}
		l.empty(g)
	}
	for i := s.head; i < len(s.queue); i++ {
		if w := &s.queue[i]; w.next == 0 || last != s.message {
			all = append(all, w.bytes)
		}
	}
	clear(s.queue)
	s.queue, s.head, s.queued = s.queue[:0], 0, 0
	return all
}

// Fits reports whether a message of so many bytes can be sent.
func Fits(size int) bool { return size > 0 && size <= MaxMessage }

// Hungry reports whether the link would put another message into a segment now: owners keep what waits where it is fair, and
// give the link no more than it can send.
func (l *Link) Hungry() bool { return l.out.queued < l.width.body && l.out.open() }

// Send queues a message, which must fit. It must not be changed afterwards.
func (l *Link) Send(now clock.Instant, message []byte) { l.out.push(now, message) }

// Waiting is how many bytes of messages have not left for the first time.
func (l *Link) Waiting() int { return l.out.queued }

// Idle reports whether everything that was sent has been acknowledged or given up, and nothing waits.
func (l *Link) Idle() bool { return l.out.flying == 0 && l.out.queued == 0 }

// RTT is the smoothed round trip; 0 if nothing is known of it.
func (l *Link) RTT() time.Duration { return l.rtt.smooth }

// Counters are what happened so far.
func (l *Link) Counters() Counters { return l.counters }

// Undelivered is how many messages have not been acknowledged, nor been counted as expired: they are lost if the link is
// dropped.
func (l *Link) Undelivered() uint64 {
	s := &l.out
	count, last := uint64(0), uint64(0)
	for n := s.base; n < s.next; n++ {
		for _, c := range s.at(n).chunks {
			switch {
			case c.kind == chunkWhole:
				count++
			case c.kind == chunkFragment && c.id != last:
				count++
				last = c.id
			}
		}
	}
	for i := s.head; i < len(s.queue); i++ {
		if s.queue[i].next == 0 || s.message != last {
			count++
		}
	}
	return count
}

// Deadline is when Next has something to say even if nothing else happens before.
func (l *Link) Deadline(now clock.Instant) clock.Instant {
	if l.Loaded(now) {
		return now
	}
	at := min(l.Unloaded(now), l.out.probeAt)
	if s := &l.out; s.copyAt < len(s.copies) {
		at = min(at, s.copies[s.copyAt].at)
	}
	if len(l.out.lost) > 0 && !l.out.busy {
		at = min(at, l.shared.refilled(now))
	}
	return at
}

// Unloaded is when Next has something to say without a segment: what need not wait for its turn.
func (l *Link) Unloaded(now clock.Instant) clock.Instant {
	if l.live.owing {
		return now
	}
	return min(l.in.ackAt, l.live.at, l.width.at)
}

// Loaded reports whether there is a segment to send now: something new, or a repair. What else a link says is short.
func (l *Link) Loaded(now clock.Instant) bool {
	s := &l.out
	switch {
	case s.head < len(s.queue) && s.open():
		return true
	case s.probeAt <= now:
		return true
	case len(s.lost) > 0 && !s.busy && l.shared.level(now) > 0:
		return true
	}
	return s.copyAt < len(s.copies) && s.copies[s.copyAt].at <= now
}

// Next appends the body of the datagram that should leave now; nothing if there is none. With loaded false it has no segment.
func (l *Link) Next(now clock.Instant, dst []byte, loaded bool) []byte {
	var number uint64
	var g *segment
	pad := false
	if loaded {
		number, g = l.pick(now)
	}
	room := l.width.body
	if g != nil {
		room -= segmentHeader + g.size
	} else if l.width.at <= now {
		return l.widen(now, dst)
	}
	r := &l.in
	if r.ackAt <= now || g != nil && r.since > 0 && room >= r.reportSize() {
		a := l.report(now)
		if size := ackHeader + rangeSize*len(a.missing); size <= room {
			dst = a.append(dst)
			room -= size
		} else {
			r.ackAt = now // in a datagram of its own
		}
	}
	if room >= pingSize && l.due(now) {
		pad = !l.live.up // whether packets of this size get through is what has to be known
		dst = append(dst, recordPing)
		dst = binary.LittleEndian.AppendUint64(dst, l.ask(now))
		room -= pingSize
	}
	if room >= pingSize && l.live.owing {
		dst = append(dst, recordPong)
		dst = binary.LittleEndian.AppendUint64(dst, l.live.owed)
		l.live.owing = false
		room -= pingSize
	}
	if g != nil {
		dst = append(dst, recordSegment)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(number))
		dst = binary.LittleEndian.AppendUint64(dst, g.secret)
		for i := range g.chunks {
			dst = g.chunks[i].append(dst)
		}
		l.left(now, g)
	} else if pad && room > 0 {
		dst = append(dst, recordPadding)
		dst = append(dst, zeros[:room-1]...)
	}
	return dst
}

// zeros is what padding consists of.
var zeros [BodySize]byte

// Receive takes the body of a datagram of the peer. Whole messages are given to deliver, which must copy what it keeps, but
// may keep those longer than BodySize. With room false nothing new is taken; the peer will send it again after Relieve. An error is
// proof that the peer is faulty.
func (l *Link) Receive(now clock.Instant, b []byte, room bool, deliver func([]byte)) error {
	d := &l.decoded
	if err := d.decode(b); err != nil {
		return err
	}
	if d.hasAck {
		if err := l.hear(now, &d.ack); err != nil {
			return err
		}
	}
	if d.hasPing {
		l.live.owed, l.live.owing = d.ping, true
	}
	if d.hasPong {
		l.answered(now, d.pong)
	}
	if d.hasSegment {
		l.take(now, d, room, deliver)
	}
	return nil
}

// Relieve says that there is room again, and reports whether the peer has been refused something: it is told at once.
func (l *Link) Relieve(now clock.Instant) bool {
	if !l.in.busy {
		return false
	}
	l.in.busy = false
	l.in.soon(now)
	return true
}
