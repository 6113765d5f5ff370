package datagram

import (
	"math/bits"
	"time"

	"github.com/primebft/prime/internal/clock"
)

// receiver is the half of a link that receives.
type receiver struct {
	secrets  []uint64 // by number, of what arrived out of turn; grows to Window
	got      []bool
	upTo     uint64 // every segment up to this one has arrived
	highest  uint64 // of those that were seen, whether there was room or not
	receipt  uint64 // XOR of the secrets of all that arrived
	busy     bool   // something was refused because there was no room
	since    int    // segments since the last acknowledgement
	latest   clock.Instant
	ackAt    clock.Instant // when the next acknowledgement is due
	partials []partial     // oldest first
	held     int           // bytes of partials
}

// partial is a message of which fragments are missing.
type partial struct {
	id      uint64
	bytes   []byte
	got     uint64 // fragments, as bits
	count   byte
	expires clock.Instant
}

// take takes a segment. It reports whether it was new; room says whether there is any for what is in it.
func (l *Link) take(now clock.Instant, d *body, room bool, deliver func([]byte)) bool {
	r := &l.in
	n := Nearest(r.upTo, uint32(d.number))
	for i := range d.chunks {
		switch c := &d.chunks[i]; c.kind {
		case chunkFragment:
			c.id = n - uint64(c.index)
		case chunkAbandoned:
			c.id = Nearest(n, uint32(c.id))
		}
	}
	if n <= r.upTo || n <= r.highest && r.has(n) {
		l.counters.Twice++
		r.soon(now) // an acknowledgement was lost, or is under way
		return false
	}
	if n > r.upTo+Window {
		l.counters.Beyond++ // a correct peer waits until the window has moved
		return false
	}
	gap := n > r.highest+1
	r.highest = max(r.highest, n)
	r.latest = now
	if !room || !l.fits(now, d.chunks) {
		r.busy = r.busy || !room
		r.soon(now)
		return false
	}
	r.mark(n, d.secret)
	l.counters.Received++
	r.since++
	switch {
	case r.since >= ackEvery:
		r.soon(now)
	case gap || r.highest > r.upTo:
		r.ackAt = min(r.ackAt, now.Add(clamp(l.rtt.smooth/8, nackLeast, nackMost)))
	default:
		r.ackAt = min(r.ackAt, now.Add(clamp(l.rtt.smooth/4, ackLeast, ackMost)))
	}
	for i := range d.chunks {
		switch c := &d.chunks[i]; c.kind {
		case chunkWhole:
			deliver(c.bytes)
		case chunkFragment:
			l.fragment(now, c, deliver)
		case chunkAbandoned:
			r.forget(c.id)
		}
	}
	return true
}

// soon makes an acknowledgement due.
func (r *receiver) soon(now clock.Instant) { r.ackAt = min(r.ackAt, now) }

func (r *receiver) has(n uint64) bool {
	return n > r.upTo && n-r.upTo <= uint64(len(r.got)) && r.got[n%uint64(len(r.got))]
}

// mark notes that a segment has arrived.
func (r *receiver) mark(n, secret uint64) {
	for n-r.upTo > uint64(len(r.got)) {
		r.grow()
	}
	size := uint64(len(r.got))
	r.got[n%size], r.secrets[n%size] = true, secret
	r.receipt ^= secret
	for r.got[(r.upTo+1)%size] {
		r.upTo++
		r.got[r.upTo%size] = false
	}
}

func (r *receiver) grow() {
	size := max(16, 2*len(r.got))
	got, secrets := make([]bool, size), make([]uint64, size)
	for i := 1; i <= len(r.got); i++ {
		n := r.upTo + uint64(i)
		got[n%uint64(size)] = r.got[n%uint64(len(r.got))]
		secrets[n%uint64(size)] = r.secrets[n%uint64(len(r.got))]
	}
	r.got, r.secrets = got, secrets
}

// fits reports whether there is memory for the fragments in a segment.
func (l *Link) fits(now clock.Instant, chunks []chunk) bool {
	r := &l.in
	for len(r.partials) > 0 && r.partials[0].expires <= now {
		r.drop(0)
	}
	need := 0
	for i := range chunks {
		if c := &chunks[i]; c.kind == chunkFragment && r.find(c.id) < 0 {
			need += int(c.total)
		}
	}
	return need == 0 || r.held+need <= Partial
}

func (r *receiver) find(id uint64) int {
	for i := range r.partials {
		if r.partials[i].id == id {
			return i
		}
	}
	return -1
}

// fragment puts a fragment in its place, and delivers its message if it was the last that was missing.
func (l *Link) fragment(now clock.Instant, c *chunk, deliver func([]byte)) {
	r := &l.in
	i := r.find(c.id)
	if i < 0 {
		i = len(r.partials)
		r.partials = append(r.partials, partial{
			id: c.id, bytes: make([]byte, c.total), count: c.count, expires: now.Add(2 * l.life),
		})
		r.held += int(c.total)
	}
	p := &r.partials[i]
	if p.count != c.count || len(p.bytes) != int(c.total) || p.got&(1<<c.index) != 0 {
		l.counters.Overlaps++ // of a message of the same number: no correct peer does that
		return
	}
	from, _ := c.extent()
	copy(p.bytes[from:], c.bytes)
	p.got |= 1 << c.index
	if bits.OnesCount64(p.got) == int(p.count) {
		whole := p.bytes
		r.drop(i)
		deliver(whole)
	}
}

// forget drops what has come of a message that was given up.
func (r *receiver) forget(id uint64) {
	if i := r.find(id); i >= 0 {
		r.drop(i)
	}
}

func (r *receiver) drop(i int) {
	r.held -= len(r.partials[i].bytes)
	copy(r.partials[i:], r.partials[i+1:])
	r.partials[len(r.partials)-1] = partial{}
	r.partials = r.partials[:len(r.partials)-1]
}

// reportSize is what an acknowledgement takes at most now.
func (r *receiver) reportSize() int {
	if r.highest > r.upTo {
		return ackMaximum
	}
	return ackHeader
}

// report makes the acknowledgement that is sent now.
func (l *Link) report(now clock.Instant) *ack {
	r := &l.in
	a := &l.acking
	*a = ack{busy: r.busy, upTo: r.upTo, missing: a.missing[:0], receipt: r.receipt}
	if r.latest != 0 {
		a.delay = uint32(min(now.Sub(r.latest), time.Minute) / time.Microsecond)
	}
	for n := r.upTo + 1; n <= r.highest; n++ {
		offset := uint16(n - r.upTo - 1)
		if r.has(n) {
			a.beyond = offset + 1
			continue
		}
		if k := len(a.missing); k > 0 && a.missing[k-1].first+a.missing[k-1].count == offset {
			a.missing[k-1].count++
		} else if k == maxRanges {
			// There is no room to say more: what was not named missing may not be claimed either.
			for m := n; m <= r.highest; m++ {
				if r.has(m) {
					a.receipt ^= r.secrets[m%uint64(len(r.secrets))]
				}
			}
			break
		} else {
			a.missing = append(a.missing, span{offset, 1})
		}
		a.beyond = offset + 1
	}
	r.since = 0
	r.ackAt = clock.Never
	if r.highest > r.upTo { // until the gaps are closed, say so again
		r.ackAt = now.Add(max(l.rtt.smooth, 10*time.Millisecond))
	}
	return a
}
