package datagram

import (
	"slices"
	"time"

	"github.com/primebft/prime/internal/clock"
)

// segment is what was sent under one number and is not yet known to have arrived.
type segment struct {
	secret uint64
	chunks []chunk
	size   int           // of the chunks
	born   clock.Instant // when the oldest of it was given to the link, on the link's own clock
	sent   clock.Instant // when it left last
	times  int           // how often it left
	acked  bool
	lost   bool // it waits to be sent again
	gone   bool // its content was given up
}

// waiting is a message that is not yet in a segment, or not all of it.
type waiting struct {
	bytes []byte
	born  clock.Instant
	next  int // index of the next fragment
	count int // of its fragments, once there is one
}

// later is a segment that is to be sent a second time.
type later struct {
	at     clock.Instant
	number uint64
}

// sender is the half of a link that sends.
type sender struct {
	ring    []segment // by number; grows to Window
	base    uint64    // lowest number that is not known to have arrived
	next    uint64    // number of the next new segment
	proven  uint64    // XOR of the secrets below base
	flying  int       // segments sent and not acknowledged
	queue   []waiting // from head on
	head    int
	queued  int    // bytes of what waits in queue
	message uint64 // number of the last large message: that of the segment with its first fragment
	lost    []uint64
	copies  []later // by time; from copyHead on
	copyAt  int
	limit   int           // segments that may be under way
	busy    bool          // the peer has no room
	since   clock.Instant // since when
	stood   time.Duration // how long it had none, before that
	probeAt clock.Instant // when the last segment is sent again unasked
	backoff int
	moved   clock.Instant // when something was acknowledged last, or sent after all was
	round   round
	given   uint64 // the last large message that was given up
}

// round counts losses from one acknowledgement of a number to the next.
type round struct {
	end         uint64
	acked, lost int
}

func (s *sender) at(number uint64) *segment { return &s.ring[number%uint64(len(s.ring))] }

// grow makes room for the next segment.
func (s *sender) grow() {
	if used := int(s.next - s.base); used < len(s.ring) {
		return
	}
	ring := make([]segment, max(16, min(Window, 2*len(s.ring))))
	for n := s.base; n < s.next; n++ {
		ring[n%uint64(len(ring))] = *s.at(n)
	}
	s.ring = ring
}

// open reports whether a new segment may leave.
func (s *sender) open() bool {
	return !s.busy && s.flying < s.limit && s.next-s.base < Window
}

// clock is the time by which messages age: it stands still while the peer has no room, for that is not the network's fault.
func (s *sender) clock(now clock.Instant) clock.Instant {
	if s.busy {
		now = s.since
	}
	return now.Add(-s.stood)
}

// told notes whether the peer has room.
func (s *sender) told(now clock.Instant, busy bool) {
	switch {
	case busy && !s.busy:
		s.since = now
	case !busy && s.busy:
		s.stood += now.Sub(s.since)
	}
	s.busy = busy
}

// push queues a message.
func (s *sender) push(now clock.Instant, message []byte) {
	s.queue = append(s.queue, waiting{bytes: message, born: s.clock(now)})
	s.queued += len(message)
}

// cut makes a new segment of what waits; there must be something.
func (l *Link) cut(now clock.Instant) *segment {
	s := &l.out
	l.doubt(now)
	if s.flying == 0 {
		s.moved = now
	}
	s.grow()
	g := s.at(s.next)
	*g = segment{secret: l.secret(s.next), chunks: g.chunks[:0], born: s.queue[s.head].born}
	room := l.width.body - segmentHeader
	for s.head < len(s.queue) {
		w := &s.queue[s.head]
		if len(w.bytes)+wholeHeader > room {
			if g.size == 0 {
				g.add(s.fragment(w, room-fragmentHeader))
			}
			break
		}
		c := chunk{kind: chunkWhole, bytes: w.bytes}
		if g.size+c.size() > room {
			break
		}
		g.add(c)
		s.shift()
	}
	s.next++
	s.flying++
	return g
}

func (g *segment) add(c chunk) {
	g.chunks = append(g.chunks, c)
	g.size += c.size()
}

// fragment cuts the next fragment off the message at the head of the queue; one of a new message has size bytes at most.
func (s *sender) fragment(w *waiting, size int) chunk {
	if w.next == 0 {
		s.message, w.count = s.next, (len(w.bytes)+size-1)/size
	}
	count := w.count
	c := chunk{kind: chunkFragment, index: byte(w.next), count: byte(count), id: s.message, total: uint32(len(w.bytes)), message: w.bytes}
	from, to := c.extent()
	c.bytes = w.bytes[from:to]
	if w.next++; w.next == count {
		s.shift()
	}
	return c
}

// shift removes the message at the head of the queue.
func (s *sender) shift() {
	s.queued -= len(s.queue[s.head].bytes)
	s.queue[s.head] = waiting{}
	if s.head++; s.head == len(s.queue) {
		s.queue, s.head = s.queue[:0], 0
	} else if s.head >= 64 && 2*s.head >= len(s.queue) {
		n := copy(s.queue, s.queue[s.head:])
		clear(s.queue[n:])
		s.queue, s.head = s.queue[:n], 0
	}
}

// giveUp replaces the content of a segment that is too old by a note, and counts the messages that will not arrive.
func (l *Link) giveUp(g *segment) {
	for i := range g.chunks {
		switch c := &g.chunks[i]; {
		case c.kind == chunkWhole:
			l.counters.Expired++
		case c.kind == chunkFragment && c.id > l.out.given:
			l.counters.Expired++
			l.out.given = c.id
		}
	}
	l.empty(g)
}

// empty replaces the content of a segment by a note of the messages that will not be completed.
func (l *Link) empty(g *segment) {
	kept := g.chunks[:0]
	g.size = 0
	for _, c := range g.chunks {
		if c.kind == chunkWhole {
			continue
		}
		kept = append(kept, chunk{kind: chunkAbandoned, id: c.id})
		g.size += kept[len(kept)-1].size()
	}
	clear(g.chunks[len(kept):])
	g.chunks, g.gone = kept, true
}

// pick chooses what goes next: what was lost, then second copies, then what is new. Nil if nothing may go now.
func (l *Link) pick(now clock.Instant) (number uint64, g *segment) {
	s := &l.out
	if s.probeAt <= now {
		if n, g := l.probe(now); g != nil {
			return n, g
		}
	}
	for len(s.lost) > 0 && !s.busy {
		n := s.lost[0]
		g := s.at(n)
		if n < s.base || g.acked || !g.lost {
			s.lost = slices.Delete(s.lost, 0, 1)
			continue
		}
		if !l.shared.spend(now, l.wire(g)) {
			break
		}
		s.lost = slices.Delete(s.lost, 0, 1)
		g.lost = false
		l.counters.Repaired++
		return n, l.fresh(now, g)
	}
	if n, g := l.copy(now); g != nil {
		return n, g
	}
	if s.head < len(s.queue) && s.open() {
		g := l.cut(now)
		n := s.next - 1
		if l.twice(now) && len(s.copies)-s.copyAt < maxCopies {
			s.copies = append(s.copies, later{now.Add(clamp(l.rtt.smooth/10, copyLeast, copyMost)), n})
		}
		l.counters.Sent++
		return n, g
	}
	return 0, nil
}

// wire is about what a segment takes on the wire.
func (l *Link) wire(g *segment) int { return Overhead + segmentHeader + g.size }

// fresh gives up what is too old to be worth repairing.
func (l *Link) fresh(now clock.Instant, g *segment) *segment {
	if !g.gone && l.out.clock(now).Sub(g.born) > l.life {
		l.giveUp(g)
	}
	return g
}

// twice reports whether segments are sent twice now: where a repair would come too late, on a link that loses packets.
func (l *Link) twice(now clock.Instant) bool {
	return l.double && now < l.shared.lossy && l.rtt.smooth >= twiceFrom
}

// copy is the next second copy that is due and of use.
func (l *Link) copy(now clock.Instant) (uint64, *segment) {
	s := &l.out
	for s.copyAt < len(s.copies) && s.copies[s.copyAt].at <= now {
		n := s.copies[s.copyAt].number
		if s.copyAt++; s.copyAt == len(s.copies) {
			s.copies, s.copyAt = s.copies[:0], 0
		}
		if n < s.base {
			continue
		}
		if g := s.at(n); !g.acked && g.times == 1 && l.shared.spend(now, l.wire(g)) {
			l.counters.Copies++
			return n, g
		}
	}
	if s.copyAt > maxCopies {
		s.copies = slices.Delete(s.copies, 0, s.copyAt)
		s.copyAt = 0
	}
	return 0, nil
}

// probe is the newest segment that is not acknowledged, so that the peer says what it has: the last of a train has no
// successor that would tell of its loss.
func (l *Link) probe(now clock.Instant) (uint64, *segment) {
	s := &l.out
	if s.backoff++; s.backoff > deafAfter && !s.busy {
		// Probes are answered, segments are not acknowledged: large packets do not get through, or the peer does not play.
		l.down()
	}
	s.backoff = min(s.backoff, deafAfter+1)
	l.armProbe(now)
	for n := s.next - 1; n >= s.base && n > 0; n-- {
		if g := s.at(n); !g.acked {
			if !l.shared.spend(now, l.wire(g)) {
				return 0, nil
			}
			g.lost = false
			l.counters.Repaired++
			return n, l.fresh(now, g)
		}
	}
	return 0, nil
}

// armProbe sets when the last segment is sent again if nothing is heard until then.
func (l *Link) armProbe(now clock.Instant) {
	s := &l.out
	if s.flying == 0 {
		s.probeAt, s.backoff = clock.Never, 0
		return
	}
	wait := max(probeLeast, l.rtt.smooth+4*l.rtt.variance+ackMost)
	wait = min(wait<<min(s.backoff, 10), max(probeMost, 2*l.rtt.smooth))
	s.probeAt = now.Add(wait)
}

// left notes that a segment leaves now.
func (l *Link) left(now clock.Instant, g *segment) {
	g.times++
	g.sent = now
	l.armProbe(now)
}

// hear takes an acknowledgement. What it claims is checked before anything of it is believed.
func (l *Link) hear(now clock.Instant, a *ack) error {
	s := &l.out
	a.upTo = Nearest(s.base, uint32(a.upTo))
	highest := a.upTo + uint64(a.beyond)
	if highest >= s.next || highest < a.upTo {
		return ErrLie
	}
	if a.upTo+1 < s.base {
		return nil // overtaken by a newer one
	}
	if l.receipt(a) != a.receipt {
		return ErrLie
	}
	s.told(now, a.busy)
	progress := false
	newest := uint64(0)
	arrived := func(n uint64) {
		g := s.at(n)
		if g.acked {
			return
		}
		g.acked, g.lost = true, false
		s.flying--
		progress = true
		if g.times == 1 {
			newest = n
		}
		s.round.acked++
		clear(g.chunks)
		g.chunks = g.chunks[:0]
	}
	for n := s.base; n <= a.upTo; n++ {
		arrived(n)
	}
	l.each(a, func(n uint64, missing bool) {
		if missing {
			l.miss(now, n)
		} else {
			arrived(n)
		}
	})
	if newest != 0 {
		l.rtt.sample(now.Sub(s.at(newest).sent) - min(time.Duration(a.delay)*time.Microsecond, ackMost*4))
	}
	for s.base < s.next && s.at(s.base).acked {
		s.proven ^= s.at(s.base).secret
		s.base++
	}
	l.adapt()
	if progress {
		s.backoff, s.moved = 0, now
		l.live.heard(now)
		l.armProbe(now)
	}
	return nil
}

// receipt is the XOR of the secrets of all that an acknowledgement claims.
func (l *Link) receipt(a *ack) uint64 {
	s := &l.out
	x := s.proven
	for n := s.base; n <= a.upTo; n++ {
		x ^= s.at(n).secret
	}
	l.each(a, func(n uint64, missing bool) {
		if !missing {
			x ^= s.at(n).secret
		}
	})
	return x
}

// each calls f for all segments beyond a.upTo that an acknowledgement speaks of.
func (l *Link) each(a *ack, f func(n uint64, missing bool)) {
	ranges := a.missing
	for i := range int(a.beyond) {
		for len(ranges) > 0 && i >= int(ranges[0].first)+int(ranges[0].count) {
			ranges = ranges[1:]
		}
		f(a.upTo+1+uint64(i), len(ranges) > 0 && i >= int(ranges[0].first))
	}
}

// miss notes that a segment has not arrived though a later one has. If it left so recently that it cannot have been waited
// for, the peer means an earlier copy.
func (l *Link) miss(now clock.Instant, n uint64) {
	s := &l.out
	g := s.at(n)
	if g.acked || g.lost || now.Sub(g.sent) < l.rtt.smooth*7/8 {
		return
	}
	g.lost = true
	s.round.lost++
	if !s.busy {
		l.shared.lost(now)
		l.counters.Lost++
	}
	i, found := slices.BinarySearch(s.lost, n)
	if !found {
		s.lost = slices.Insert(s.lost, i, n)
	}
}

// adapt changes, once in a round trip, how much may be under way on a link whose rate nobody has said.
func (l *Link) adapt() {
	s := &l.out
	if !l.shared.adaptive || s.base <= s.round.end {
		return
	}
	if s.round.lost*8 > s.round.acked+s.round.lost {
		s.limit = max(minWindow, s.limit*3/4)
	} else {
		s.limit = min(Window, s.limit+max(16, s.round.acked))
	}
	s.round = round{end: s.next - 1}
}
