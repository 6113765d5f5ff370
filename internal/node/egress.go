package node

import (
	"sync/atomic"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/record"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport"
)

// batchContent is how many bytes of messages are signed together before the first of them leaves: a large request does not
// hold up the votes behind it for long.
const batchContent = 64 << 10

// egress signs what this replica says and sends it. While it signs one batch the next gathers, so batches grow with load and
// no timer is needed (group commit).
type egress struct {
	self     group.ID
	header   wire.Header
	complete func(wire.Message) wire.Message // adds what signing adds to the content
	sign     func([]*wire.Envelope)
	net      transport.Transport
	back     *mailbox[*wire.Envelope] // signed copies for this replica itself
	urgent   *mailbox[effect.Send]    // TIMELY
	rest     *mailbox[effect.Send]
	repair   *mailbox[effect.Send] // RECON and BULK: signed when nothing else waits
	eased    func()                // a batch has left
	// journal says when what a message follows from is durable: no promise leaves before.
	journal    *journal
	departures *mailbox[departure] // signed, and waiting for that

	queued  atomic.Int64  // messages that have been asked for and have not left
	batches atomic.Uint64 // batches signed
	signed  atomic.Uint64 // messages signed

	// The batch in hand.
	sends []effect.Send
	envs  []*wire.Envelope
	own   []*wire.Envelope
	later []departure
	size  int // bytes of content
}

// put takes sends over; urgent ones will be in the next batch.
func (e *egress) put(urgent, rest, repair []effect.Send) {
	e.queued.Add(int64(len(urgent) + len(rest) + len(repair)))
	if len(urgent) > 0 {
		e.urgent.put(len(urgent), urgent...)
	}
	if len(rest) > 0 {
		e.rest.put(len(rest), rest...)
	}
	if len(repair) > 0 {
		e.repair.put(len(repair), repair...)
	}
}

// load is how many messages wait to be signed and sent.
func (e *egress) load() int { return int(e.queued.Load()) }

// run signs and sends until stop.
func (e *egress) run(stop <-chan struct{}) {
	var urgent, rest, repair taken
	for {
		urgent.refill(e.urgent)
		rest.refill(e.rest)
		repair.refill(e.repair)
		if e.gather(&urgent); len(e.envs) > 0 || rest.left() || repair.left() {
			e.gather(&rest)
			e.gather(&repair)
			e.flush()
			select {
			case <-stop:
				return
			default:
			}
			continue
		}
		select {
		case <-e.urgent.ready:
		case <-e.rest.ready:
		case <-e.repair.ready:
		case <-stop:
			return
		}
	}
}

// taken is what has been taken from a mailbox, and how far it has been dealt with.
type taken struct {
	sends []effect.Send
	at    int
}

func (t *taken) left() bool { return t.at < len(t.sends) }

// refill takes what waits in m once everything taken before has been dealt with.
func (t *taken) refill(m *mailbox[effect.Send]) {
	if !t.left() {
		t.sends, _ = m.take(t.sends)
		t.at = 0
	}
}

// gather puts messages into the batch in hand while it has room.
func (e *egress) gather(t *taken) {
	for ; t.left() && len(e.envs) < wire.MaxBatch && e.size < batchContent; t.at++ {
		env := wire.NewEnvelope(e.header, e.complete(t.sends[t.at].Msg))
		e.size += len(env.Content)
		e.sends, e.envs = append(e.sends, t.sends[t.at]), append(e.envs, env)
	}
}

// flush signs the batch in hand and sends it, to this replica too: at once what promises nothing, and the rest, on another
// goroutine, when all that it follows from is durable. Meanwhile the next batch is signed, while the disk works.
func (e *egress) flush() {
	mark := e.journal.mark()
	e.sign(e.envs)
	e.batches.Add(1)
	e.signed.Add(uint64(len(e.envs)))
	for i, s := range e.sends {
		if e.journal != nil && record.Binding(e.envs[i].Kind) {
			e.later = append(e.later, departure{mark, s, e.envs[i]})
		} else {
			e.own = e.leave(e.own, s, e.envs[i])
		}
	}
	if len(e.later) > 0 {
		e.departures.put(len(e.later), e.later...)
	}
	e.left(len(e.envs)-len(e.later), e.own)
	clear(e.sends)
	clear(e.envs)
	clear(e.own)
	clear(e.later)
	e.sends, e.envs, e.own, e.later, e.size = e.sends[:0], e.envs[:0], e.own[:0], e.later[:0], 0
}

// departure is a signed message that leaves when the inputs up to mark are durable.
type departure struct {
	mark uint64
	send effect.Send
	env  *wire.Envelope
}

// depart lets leave what waits for the disk, in order, until stop or until the disk fails for good.
func (e *egress) depart(stop <-chan struct{}) {
	var waiting []departure
	var own []*wire.Envelope
	for {
		waiting, _ = e.departures.take(waiting)
		for at := 0; at < len(waiting); {
			mark, first := waiting[at].mark, at
			if !e.journal.wait(mark, stop) {
				return
			}
			for ; at < len(waiting) && waiting[at].mark == mark; at++ {
				own = e.leave(own, waiting[at].send, waiting[at].env)
			}
			e.left(at-first, own)
			clear(own)
			own = own[:0]
		}
		if len(waiting) > 0 {
			continue
		}
		select {
		case <-e.departures.ready:
		case <-stop:
			return
		}
	}
}

// leave sends a signed message, and adds it to own if it is for this replica too.
func (e *egress) leave(own []*wire.Envelope, s effect.Send, env *wire.Envelope) []*wire.Envelope {
	transmit(e.net, s.To.Without(e.self), s.Class, env)
	if s.To.Has(e.self) {
		own = append(own, env)
	}
	return own
}

// left gives this replica its own copies, and lets go on who waits for the egress.
func (e *egress) left(messages int, own []*wire.Envelope) {
	if len(own) > 0 {
		e.back.put(len(own), own...)
	}
	e.queued.Add(-int64(messages))
	e.eased()
}

// transmit hands a signed message to the network, charged to its signer.
func transmit(net transport.Transport, to group.Set, class wire.Class, env *wire.Envelope) {
	f := transport.Frame{Class: class, Source: int(env.Sender), Yields: env.Kind.Yields(), Bytes: env.Raw}
	for id := range to.All() {
		net.Send(int(id), f)
	}
}
