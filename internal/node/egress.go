package node

import (
	"sync/atomic"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
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
	back     *mailbox[ownCopy]     // signed copies for this replica itself
	urgent   *mailbox[effect.Send] // TIMELY
	rest     *mailbox[effect.Send]
	repair   *mailbox[effect.Send] // RECON and BULK: signed when nothing else waits
	eased    func()                // a batch has left

	queued  atomic.Int64  // messages that have been asked for and have not left
	batches atomic.Uint64 // batches signed
	signed  atomic.Uint64 // messages signed

	// The batch in hand.
	sends []effect.Send
	envs  []*wire.Envelope
	own   []ownCopy
	size  int // bytes of content
}

// ownCopy is a signed message of this replica, and what the core had asked for.
type ownCopy struct {
	env *wire.Envelope
	of  wire.Message
}

// lots are new messages by how urgent they are.
type lots struct{ urgent, rest, repair []effect.Send }

func (l *lots) add(s *effect.Send) {
	switch {
	case s.Class == wire.Timely:
		l.urgent = append(l.urgent, *s)
	case s.Class >= wire.Recon:
		l.repair = append(l.repair, *s)
	default:
		l.rest = append(l.rest, *s)
	}
}

// clear empties l and keeps its memory.
func (l *lots) clear() {
	clear(l.urgent)
	clear(l.rest)
	clear(l.repair)
	l.urgent, l.rest, l.repair = l.urgent[:0], l.rest[:0], l.repair[:0]
}

// expect says that messages have been asked for, which put will bring.
func (e *egress) expect(messages int) { e.queued.Add(int64(messages)) }

// put takes over messages that it expects; urgent ones will be in the next batch.
func (e *egress) put(l *lots) {
	for _, to := range []struct {
		box   *mailbox[effect.Send]
		sends []effect.Send
	}{{e.urgent, l.urgent}, {e.rest, l.rest}, {e.repair, l.repair}} {
		if len(to.sends) > 0 {
			to.box.put(len(to.sends), to.sends...)
		}
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

// flush signs the batch in hand and sends it, to this replica too.
func (e *egress) flush() {
	e.sign(e.envs)
	e.batches.Add(1)
	e.signed.Add(uint64(len(e.envs)))
	for i, s := range e.sends {
		transmit(e.net, s.To.Without(e.self), s.Class, e.envs[i])
		if s.To.Has(e.self) {
			e.own = append(e.own, ownCopy{e.envs[i], s.Msg})
		}
	}
	if len(e.own) > 0 {
		e.back.put(len(e.own), e.own...)
	}
	e.queued.Add(-int64(len(e.envs)))
	e.eased()
	clear(e.sends)
	clear(e.envs)
	clear(e.own)
	e.sends, e.envs, e.own, e.size = e.sends[:0], e.envs[:0], e.own[:0], 0
}

// transmit hands a signed message to the network, charged to its signer.
func transmit(net transport.Transport, to group.Set, class wire.Class, env *wire.Envelope) {
	f := transport.Frame{Class: class, Source: int(env.Sender), Yields: env.Kind.Yields(), Bytes: env.Raw}
	for id := range to.All() {
		net.Send(int(id), f)
	}
}
