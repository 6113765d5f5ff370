package sign

import (
	"sync"

	"github.com/primebft/prime/internal/wire"
)

// item is one message on its way through the pool.
type item struct {
	raw     []byte         // as received; nil once its proofs are checked
	env     *wire.Envelope // once its proofs are checked; nil if it was refused
	at      int            // while its parts are being checked: the next one
	size    int            // what it takes of the lane's budget
	checked bool           // wholly
}

// lane is the queue of one peer and class. Items are in the order of arrival from head to tail; those from head to next are
// being checked, or have been; the rest wait. Checks end in any order, but items leave only at the head, when checked.
// Positions only rise. A lane belongs to its pool's lock.
type lane struct {
	ring             []item   // its length is a power of two
	head, next, tail uint64   // head <= next <= tail
	paused           []uint64 // positions of items that are partly checked and on which no worker is, the oldest first
	bytes            int      // sizes of all items
	credit           int      // what may be spent on this lane's messages in this round; see Pool.claim
	space            sync.Cond
	recent           [recentDigests]accepted
}

// accepted is where an item with this digest was.
type accepted struct {
	digest wire.Digest
	after  uint64 // its position, plus one
}

const (
	recentDigests = 32  // accepted messages that a lane compares new ones with
	itemOverhead  = 256 // bytes of budget that an item takes beyond its length: the decoded message and its place in the queue
	firstRing     = 16
)

func (l *lane) at(position uint64) *item { return &l.ring[position&uint64(len(l.ring)-1)] }

// push adds a message at the tail.
func (l *lane) push(raw []byte) {
	if int(l.tail-l.head) == len(l.ring) {
		old := l.ring
		l.ring = make([]item, max(firstRing, 2*len(old)))
		for p := l.head; p != l.tail; p++ {
			*l.at(p) = old[p&uint64(len(old)-1)]
		}
	}
	*l.at(l.tail) = item{raw: raw, size: len(raw) + itemOverhead}
	l.bytes += len(raw) + itemOverhead
	l.tail++
}

// pop takes the item at the head.
func (l *lane) pop() *wire.Envelope {
	i := l.at(l.head)
	env := i.env
	l.bytes -= i.size
	*i = item{}
	l.head++
	return env
}

// holds reports whether an accepted message with this digest, which came before position, still waits to be taken. Once it
// is taken an equal one is let through: a peer repeats what we may have had no use for the first time.
func (l *lane) holds(d *wire.Digest, position uint64) bool {
	a := &l.recent[d[0]%recentDigests]
	return a.after > l.head && a.after <= position && a.digest == *d
}

// unread reports whether there is an item for a worker.
func (l *lane) unread() bool { return len(l.paused) > 0 || l.next != l.tail }

// read chooses the item that a worker is to check: one that was put back, or the next one.
func (l *lane) read() (position uint64, i item) {
	if len(l.paused) > 0 {
		position = l.paused[0]
		l.paused = append(l.paused[:0], l.paused[1:]...)
	} else {
		position = l.next
		l.next++
	}
	return position, *l.at(position)
}

// pause puts an item back whose parts are checked up to at.
func (l *lane) pause(position uint64, env *wire.Envelope, at int) {
	i := l.at(position)
	i.raw, i.env, i.at = nil, env, at
	l.paused = append(l.paused, position)
}

// finish records the result of the check of an item; env is nil if it was refused.
func (l *lane) finish(position uint64, env *wire.Envelope) {
	i := l.at(position)
	i.raw, i.env, i.checked = nil, env, true
	if env != nil {
		l.recent[env.Digest[0]%recentDigests] = accepted{digest: env.Digest, after: position + 1}
	}
}

// dropRefused drops refused items at the head, so that a lane of refused items needs no consumer.
func (l *lane) dropRefused() {
	for l.head != l.next && l.at(l.head).checked && l.at(l.head).env == nil {
		l.pop()
	}
}

// ready reports whether the item at the head can be taken.
func (l *lane) ready() bool {
	return l.head != l.next && l.at(l.head).checked && l.at(l.head).env != nil
}
