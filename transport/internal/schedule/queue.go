package schedule

import "github.com/primebft/prime/internal/clock"

// quantum is how many bytes a source may send in its turn.
const quantum = 1500

// FrameCost is how many bytes a frame is charged beside its own bytes: about the memory of its slot, which is also about what framing and
// encryption add on the wire. It makes a flood of tiny frames as expensive as it is.
const FrameCost = 32

// none ends a chain of indexes.
const none = -1

// slot is a place in the memory that the sources of a queue share: a waiting frame, or a link of the chain of free slots.
type slot struct {
	bytes []byte
	since clock.Instant // when it was queued
	next  int32
}

// source is what waits for one replica's account.
type source struct {
	chains  [2]chain // of frames; those that yield are in the second
	bytes   int      // charged for all of them
	deficit int      // bytes it may still send in this turn; below zero it has borrowed
	next    int32    // the source after it in its round
	listed  bool     // it is in one of the rounds
}

// chain is frames in the order in which they came.
type chain struct{ head, tail int32 }

// empty reports whether nothing waits.
func (s *source) empty() bool { return s.chains[0].head == none && s.chains[1].head == none }

// round is a chain of sources that take turns.
type round struct{ head, tail int32 }

// queue is the frames of one class that wait for one peer: deficit round robin in bytes between sources (Shreedhar and
// Varghese, SIGCOMM 1995), and a source that becomes active goes to a short list that is served first (RFC 8290 section 4.2),
// as Spines' urgent queue does.
type queue struct {
	budget  int // most bytes charged
	bytes   int // charged now
	frames  int
	urgent  int // of those, how many do not yield
	last    int // the source of the frame that popUrgent took last
	slots   []slot
	free    int32
	sources []source
	fresh   round // became active and has not used up its first turn
	old     round
}

func newQueue(sources, budget int) queue {
	q := queue{budget: budget, free: none, sources: make([]source, sources), fresh: round{none, none}, old: round{none, none}}
	for i := range q.sources {
		q.sources[i].chains = [2]chain{{none, none}, {none, none}}
	}
	return q
}

// push queues a frame and returns how many frames were dropped for it, and whether it was queued. When the budget is full,
// the source that uses most of it loses its oldest frame, of those that yield if it has any.
func (q *queue) push(now clock.Instant, src int, yields bool, bytes []byte) (dropped int, queued bool) {
	cost := len(bytes) + FrameCost
	if cost > q.budget {
		return 1, false
	}
	for q.bytes+cost > q.budget {
		q.drop(q.largest(src))
		dropped++
	}
	i := q.take(slot{bytes, now, none})
	s := &q.sources[src]
	c := &s.chains[0]
	if yields {
		c = &s.chains[1]
	}
	if c.head == none {
		c.head = i
	} else {
		q.slots[c.tail].next = i
	}
	c.tail = i
	s.bytes += cost
	q.bytes += cost
	q.frames++
	if !yields {
		q.urgent++
	}
	if !s.listed {
		s.deficit, s.listed = quantum, true
		q.append(&q.fresh, int32(src))
	}
	return dropped, true
}

// pop removes the frame whose turn it is. The queue must not be empty.
func (q *queue) pop() []byte {
	i := q.turn()
	bytes := q.popFrom(int(i))
	q.sources[i].deficit -= len(bytes) + FrameCost
	if q.frames == 0 {
		q.forgive()
	}
	return bytes
}

// turn finds the source whose turn it is. A source that borrowed to send a large frame waits until its turns have paid for it,
// even if it has nothing to send in the meantime.
func (q *queue) turn() int32 {
	for {
		r := &q.fresh
		if r.head == none {
			r = &q.old
		}
		i := r.head
		s := &q.sources[i]
		switch {
		case s.deficit <= 0:
			s.deficit += quantum
			q.remove(r)
			q.append(&q.old, i)
		case !s.empty():
			return i
		case r == &q.fresh && q.old.head != none:
			// It may not come back as a fresh source at once: that would starve the old ones.
			q.remove(r)
			q.append(&q.old, i)
		default:
			q.remove(r)
			s.listed = false
		}
	}
}

// forgive ends all turns: nobody waits, so nobody was kept waiting by what others borrowed.
func (q *queue) forgive() {
	for _, r := range [...]*round{&q.fresh, &q.old} {
		for r.head != none {
			q.sources[r.head].listed = false
			q.remove(r)
		}
	}
}

// popFrom removes the frame that a source sends next; it must have one.
func (q *queue) popFrom(src int) []byte {
	s := &q.sources[src]
	if s.chains[0].head != none {
		return q.unchain(s, &s.chains[0])
	}
	return q.unchain(s, &s.chains[1])
}

// popUrgent removes a frame that does not yield, the oldest of a source, sources in turn; there must be one.
func (q *queue) popUrgent() []byte {
	for {
		q.last = (q.last + 1) % len(q.sources)
		s := &q.sources[q.last]
		if s.chains[0].head == none {
			continue
		}
		bytes := q.unchain(s, &s.chains[0])
		s.deficit -= len(bytes) + FrameCost // it has had its turn
		if q.frames == 0 {
			q.forgive()
		}
		return bytes
	}
}

// drop removes the frame that a source loses; it must have one.
func (q *queue) drop(src int) {
	s := &q.sources[src]
	if s.chains[1].head != none {
		q.unchain(s, &s.chains[1])
		return
	}
	q.unchain(s, &s.chains[0])
}

// unchain removes the oldest frame of a chain of a source.
func (q *queue) unchain(s *source, c *chain) []byte {
	i := c.head
	bytes := q.slots[i].bytes
	if c.head = q.slots[i].next; c.head == none {
		c.tail = none
	}
	q.slots[i] = slot{next: q.free}
	q.free = i
	s.bytes -= len(bytes) + FrameCost
	q.bytes -= len(bytes) + FrameCost
	q.frames--
	if c == &s.chains[0] {
		q.urgent--
	}
	return bytes
}

// largest is the source that uses most of the budget; of equals the given one.
func (q *queue) largest(src int) int {
	for i := range q.sources {
		if q.sources[i].bytes > q.sources[src].bytes {
			src = i
		}
	}
	return src
}

// take puts a frame into a free slot. Slots are never given back: their number is bounded by the budget.
func (q *queue) take(frame slot) int32 {
	i := q.free
	if i == none {
		q.slots = append(q.slots, frame)
		return int32(len(q.slots) - 1)
	}
	q.free = q.slots[i].next
	q.slots[i] = frame
	return i
}

// expire removes the frames that were queued before a time, and returns how many.
func (q *queue) expire(before clock.Instant) (dropped int) {
	for i := range q.sources {
		s := &q.sources[i]
		for j := range s.chains {
			c := &s.chains[j]
			for c.head != none && q.slots[c.head].since < before {
				q.unchain(s, c)
				dropped++
			}
		}
	}
	return dropped
}

func (q *queue) append(r *round, i int32) {
	q.sources[i].next = none
	if r.head == none {
		r.head = i
	} else {
		q.sources[r.tail].next = i
	}
	r.tail = i
}

func (q *queue) remove(r *round) {
	if r.head = q.sources[r.head].next; r.head == none {
		r.tail = none
	}
}
