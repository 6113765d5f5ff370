package sim

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/datagram"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// datagramClasses is how many classes go over datagrams between real replicas, the most urgent ones.
const datagramClasses = int(wire.Recon)

// tagSize is how many bytes of a message say which one it is.
const tagSize = 8

// post is how one replica sends and receives over emulated links: an end of a link of package datagram for each other replica and
// class, and, for what is too large for those or comes before they work, frames of a TLS stream, which are delayed and never lost.
type post struct {
	lines [][]*datagram.Link // by the other's index and class less one, and then that of BOUNDED messages that yield; nil for itself
	sent  []*event           // by tag; nil if it has arrived, or never will
	spare []byte
}

// parcel is what a link carries: a datagram's body, or a whole message.
type parcel struct {
	from  group.ID
	line  int // index in lines
	body  []byte
	whole *event
}

// lineOf is the index in lines of a class.
func lineOf(class wire.Class, yields bool) int {
	if yields && class == wire.Bounded {
		return datagramClasses
	}
	return int(class) - 1
}

// classOf is the class of a line, and whether what is on it yields.
func classOf(line int) (class wire.Class, yields bool) {
	if line == datagramClasses {
		return wire.Bounded, true
	}
	return wire.Class(line + 1), false
}

func newPost(self, n int) post {
	p := post{lines: make([][]*datagram.Link, n), spare: make([]byte, 0, datagram.BodySize)}
	for other := range n {
		if other == self {
			continue
		}
		shared := datagram.NewShared(0)
		for c := range datagramClasses + 1 {
			class, _ := classOf(c)
			o := datagram.Options{Class: class, Secret: [16]byte{byte(self), byte(other), byte(c)}, Shared: shared}
			p.lines[other] = append(p.lines[other], datagram.New(0, o))
		}
	}
	return p
}

// depart lets a message come to its link. Its class is in arg.
func (l *links) depart(e *event) {
	if l.crashed(e.from) {
		return
	}
	sent, class, now := *e, wire.Class(e.arg), l.world.now
	p := &l.posts[e.from.Index()]
	size, yields := len(e.env.Raw), e.env.Kind.Yields()
	line := lineOf(class, yields)
	if int(class) > datagramClasses || !datagram.Fits(size) || size < tagSize || !p.lines[e.node.Index()][line].Up() {
		l.ports[e.from.Index()].OfferStream(now, int(e.node), class, yields, size, parcel{from: e.from, whole: &sent})
		l.arm(e.from)
		l.answer()
		return
	}
	// Bytes do not matter to a link, so they say where the message is to be found; how many there are does.
	message := make([]byte, size)
	binary.LittleEndian.PutUint64(message, uint64(len(p.sent)))
	p.sent = append(p.sent, &sent)
	p.lines[e.node.Index()][line].Send(now, message)
	l.pump(e.from)
}

// transit does what is due at the links of a replica, unless it was done by an earlier event.
func (l *links) transit(e *event) {
	i := e.from.Index()
	if l.armed[i] != e.at {
		return
	}
	l.armed[i] = clock.Never
	l.ports[i].Advance(l.world.now)
	l.pump(e.from)
}

// answer lets those who have been given datagrams say what follows from them.
func (l *links) answer() {
	for l.heard != 0 {
		for id := range l.heard.All() {
			l.heard = l.heard.Without(id)
			l.say(id)
		}
	}
}

// pump lets everything leave that a replica has to send now, and what others say to that.
func (l *links) pump(from group.ID) {
	l.say(from)
	l.answer()
}

// say lets everything leave that a replica has to send now.
func (l *links) say(from group.ID) {
	i, now := from.Index(), l.world.now
	if !l.crashed(from) {
		for other, lines := range l.posts[i].lines {
			for i, line := range lines {
				l.drain(line, now, from, group.FromIndex(other), i)
			}
		}
	}
	l.arm(from)
}

// drain lets everything leave that one end of a link has to send now.
func (l *links) drain(line *datagram.Link, now clock.Instant, from, to group.ID, index int) {
	p := &l.posts[from.Index()]
	class, yields := classOf(index)
	offer := l.ports[from.Index()].Offer
	if yields {
		offer = l.ports[from.Index()].OfferLast
	}
	for line.Deadline(now) <= now {
		p.spare = line.Next(now, p.spare[:0], true)
		if len(p.spare) == 0 {
			continue // its timers have moved on
		}
		body := slices.Clone(p.spare)
		offer(now, int(to), class, len(body)+datagram.Overhead, parcel{from: from, line: index, body: body})
	}
}

// arm makes sure that there is an event when something is due at the links of a replica next.
func (l *links) arm(from group.ID) {
	i := from.Index()
	next := l.ports[i].Next()
	if !l.crashed(from) {
		for _, lines := range l.posts[i].lines {
			for _, line := range lines {
				next = min(next, line.Deadline(l.world.now))
			}
		}
	}
	if next < l.armed[i] {
		l.armed[i] = next
		l.world.queue.push(event{at: next, kind: transit, from: from})
	}
}

func (l *links) crashed(id group.ID) bool {
	nodes := l.world.nodes
	return len(nodes) > 0 && nodes[id.Index()].crashed != clock.Never
}

// land takes what a link has carried to a replica.
func (l *links) land(at clock.Instant, to int, p parcel) {
	if p.whole != nil {
		l.deliver(at, p.whole)
		return
	}
	self := group.ID(to)
	if l.crashed(self) {
		return
	}
	line, sent := l.posts[self.Index()].lines[p.from.Index()][p.line], l.posts[p.from.Index()].sent
	err := line.Receive(at, p.body, true, func(message []byte) {
		tag := binary.LittleEndian.Uint64(message)
		if sent[tag] == nil {
			l.world.fail("a message of %s arrived twice at %s", p.from, self)
			return
		}
		l.deliver(at, sent[tag])
		sent[tag] = nil
	})
	if err != nil {
		l.world.fail("the links of %s and %s accuse each other: %v", p.from, self, err)
	}
	l.heard = l.heard.With(self)
}

// deliver schedules the arrival of a message that a link has delivered.
func (l *links) deliver(at clock.Instant, e *event) {
	at = at.Add(l.world.nodes[e.node.Index()].plan.verifyCost)
	l.world.queue.push(event{at: at, kind: arrive, node: e.node, from: e.from, env: e.env, departs: e.departs, life: e.life})
}

// traffic is what the datagrams of a world came to.
type traffic struct{ sent, copies, lost, repaired, expired uint64 }

func (l *links) traffic() (sum traffic) {
	for i := range l.posts {
		for _, lines := range l.posts[i].lines {
			for _, line := range lines {
				c := line.Counters()
				sum.sent += c.Sent
				sum.copies += c.Copies
				sum.lost += c.Lost
				sum.repaired += c.Repaired
				sum.expired += c.Expired
			}
		}
	}
	return sum
}

func (t traffic) String() string {
	return fmt.Sprintf("%d segments, %d sent twice, %d lost, %d repaired, %d messages given up", t.sent, t.copies, t.lost, t.repaired, t.expired)
}
