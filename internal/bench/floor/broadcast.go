package floor

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport"
)

// A frame is a batch's envelope, or, as no envelope is so short, the leg (u32) and the number of batches taken (u64).
const ackSize = 4 + 8

// pool is how many different updates each process sends, over and over.
const pool = 1024

// broadcast is a leg in which every process sends batches to all others.
type broadcast struct {
	n       *node
	number  uint32
	batches []prepared
	window  uint64 // batches that may be on their way

	taken [65]uint64    // batches taken from each peer; each is written by that peer's reader alone
	mu    sync.Mutex    // of acked
	acked [65]uint64    // batches that each peer has taken from us
	moved chan struct{} // a token when acked has risen
}

// prepared is a batch, made and hashed before the measurement: making updates is the business of clients.
type prepared struct {
	updates []wire.Update
	frame   []byte
}

func newBroadcast(n *node, o order) (leg, error) {
	b := &broadcast{n: n, number: o.Leg, moved: make(chan struct{}, 1)}
	batch := max(1, o.Batch)
	updates, err := n.updates(max(pool, batch), o.Payload)
	if err != nil {
		return nil, err
	}
	for len(updates) >= batch {
		b.batches = append(b.batches, prepared{updates[:batch], n.envelope(o.Leg, updates[:batch])})
		updates = updates[batch:]
	}
	// As many as the transport holds for a peer without dropping any: processes that take turns must not wait for each other.
	b.window = uint64(max(1, n.cfg.Node.Network.BudgetBytes/2/len(b.batches[0].frame)))
	return b, nil
}

func (b *broadcast) receive(from group.ID, frame []byte) {
	if len(frame) == ackSize {
		if binary.LittleEndian.Uint32(frame) == b.number {
			b.mu.Lock()
			b.acked[from] = max(b.acked[from], binary.LittleEndian.Uint64(frame[4:]))
			b.mu.Unlock()
			select {
			case b.moved <- struct{}{}:
			default:
			}
		}
		return
	}
	if !b.take(frame) {
		return
	}
	b.taken[from]++
	if every := max(1, b.window/4); b.taken[from]%every == 0 {
		ack := binary.LittleEndian.AppendUint32(make([]byte, 0, ackSize), b.number)
		ack = binary.LittleEndian.AppendUint64(ack, b.taken[from])
		b.n.mesh.Send(int(from), boundedFrame(b.n.self, ack))
	}
}

// take decodes a batch, which hashes it, verifies what clients have signed, and hands it over.
func (b *broadcast) take(raw []byte) bool {
	e, err := b.n.limits.Decode(raw)
	if err != nil {
		return false
	}
	m, ok := e.Msg.(*wire.PreorderRequest)
	if !ok || m.Seq != uint64(b.number) || !b.verify(m.Updates) {
		return false
	}
	b.n.app.handed <- m.Updates
	return true
}

// verify checks every signature by itself. There is no cache: the updates repeat, but stand for different ones.
func (b *broadcast) verify(updates []wire.Update) bool {
	if !b.n.limits.SignedUpdates {
		return true
	}
	statement := make([]byte, 0, wire.UpdateStatementSize)
	for i := range updates {
		u := &updates[i]
		statement = wire.AppendUpdateStatement(statement[:0], b.n.cfg.Cluster.ID, u)
		if !b.n.scheme.Verify(u.Client[:], statement, &u.Sig) {
			return false
		}
	}
	return true
}

// run sends until the end, and counts what is handed over from the beginning of the measurement.
func (b *broadcast) run(from, to int64) answer {
	ctx, cancel := context.WithDeadline(context.Background(), b.n.clock.At(to))
	defer cancel()
	app := &b.n.app
	app.count.Store(0)
	begin := time.AfterFunc(time.Duration(from-b.n.clock.Now()), func() { app.counting.Store(true) })
	defer begin.Stop()
	b.send(ctx)
	<-ctx.Done()
	app.counting.Store(false)
	return answer{Updates: float64(app.count.Load())}
}

// send sends batches, never more than the window ahead of the slowest peer, and hands each over itself, verified like all
// others.
func (b *broadcast) send(ctx context.Context) {
	for sent := uint64(0); ctx.Err() == nil; sent++ {
		for sent >= b.slowest()+b.window {
			select {
			case <-b.moved:
			case <-ctx.Done():
				return
			}
		}
		next := &b.batches[sent%uint64(len(b.batches))]
		b.n.broadcast(next.frame)
		if b.verify(next.updates) {
			b.n.app.handed <- next.updates
		}
	}
}

// slowest is how many batches every peer has taken.
func (b *broadcast) slowest() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	least := ^uint64(0)
	for id := range b.n.group.Others(b.n.self).All() {
		least = min(least, b.acked[id])
	}
	return least
}

// envelope is a batch as it travels. Nobody signs it: that is no part of the floor.
func (n *node) envelope(leg uint32, updates []wire.Update) []byte {
	e := wire.NewEnvelope(n.header, &wire.PreorderRequest{Seq: uint64(leg), Updates: updates})
	e.Finish(wire.Proof{Count: 1})
	return e.Raw
}

func boundedFrame(from group.ID, bytes []byte) transport.Frame {
	return transport.Frame{Class: transport.Bounded, Source: int(from), Bytes: bytes}
}
