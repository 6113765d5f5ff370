package sim

import (
	"encoding/binary"
	"slices"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/datagram"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// packing is how the replicas of an experiment send if that counts the bytes of datagrams: by the ends of links that real replicas
// have, so that what is around messages, acknowledgements and probes take their share of a link.
type packing struct {
	trial   *trial
	posts   []post // by sender
	packets []packet
	idle    []int // free places in packets
}

// packet is a datagram that has come to a replica.
type packet struct {
	line int
	body []byte
}

func newPacking(t *trial) *packing {
	d := &packing{trial: t}
	for i := range t.group.N() {
		d.posts = append(d.posts, newPost(i, t.group.N()))
	}
	return d
}

// send gives a message to the link of a replica; by TLS, if it is too large for datagrams or comes before these work.
func (d *packing) send(from, to group.ID, class wire.Class, env *wire.Envelope) {
	p, size, line := &d.posts[from.Index()], len(env.Raw), lineOf(class, env.Kind.Yields())
	if int(class) > datagramClasses || !datagram.Fits(size) || size < tagSize || !p.lines[to.Index()][line].Up() {
		d.trial.offer(from, to, class, env.Kind.Yields(), true, size, letter{env: env, class: class, from: from})
		return
	}
	message := make([]byte, size) // what is in it does not matter to a link, so it says where to find what it stands for
	binary.LittleEndian.PutUint64(message, uint64(len(p.sent)))
	p.sent = append(p.sent, &event{kind: arrive, node: to, from: from, env: env, arg: int(class)})
	p.lines[to.Index()][line].Send(d.trial.now, message)
}

// say lets everything leave that a replica has to send now.
func (d *packing) say(from group.ID) {
	now, p := d.trial.now, &d.posts[from.Index()]
	for other, lines := range p.lines {
		for i, line := range lines {
			for line.Deadline(now) <= now {
				p.spare = line.Next(now, p.spare[:0], true)
				if len(p.spare) == 0 {
					continue // its timers have moved on
				}
				class, yields := classOf(i)
				d.trial.offer(from, group.FromIndex(other), class, yields, false, len(p.spare)+datagram.Overhead,
					letter{class: class, from: from, line: i, body: slices.Clone(p.spare)})
			}
		}
	}
}

// next is when a replica has something to send by itself.
func (d *packing) next(from group.ID) clock.Instant {
	next := clock.Never
	for _, lines := range d.posts[from.Index()].lines {
		for _, line := range lines {
			next = min(next, line.Deadline(d.trial.now))
		}
	}
	return next
}

// lands lets a datagram arrive.
func (d *packing) lands(at clock.Instant, to group.ID, l letter) {
	place := len(d.packets)
	if k := len(d.idle); k > 0 {
		place = d.idle[k-1]
		d.idle = d.idle[:k-1]
		d.packets[place] = packet{l.line, l.body}
	} else {
		d.packets = append(d.packets, packet{l.line, l.body})
	}
	d.trial.queue.push(event{at: at, kind: opened, node: to, from: l.from, arg: place})
}

// open takes a datagram that has come, and says what follows from it.
func (d *packing) open(e *event) {
	p := d.packets[e.arg]
	d.packets[e.arg] = packet{}
	d.idle = append(d.idle, e.arg)
	sent := d.posts[e.from.Index()].sent
	err := d.posts[e.node.Index()].lines[e.from.Index()][p.line].Receive(d.trial.now, p.body, true, func(message []byte) {
		tag := binary.LittleEndian.Uint64(message)
		arrival := *sent[tag]
		sent[tag], arrival.at = nil, d.trial.now
		d.trial.queue.push(arrival)
	})
	if err != nil {
		d.trial.err = err
	}
	d.trial.leave(e.node)
}
