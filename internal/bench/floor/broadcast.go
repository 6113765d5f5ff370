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

// Kinds of frames of a broadcast leg; then follows the leg (u32), and a batch's envelope or the count of batches taken (u64).
const (
	dataFrame = 1
	ackFrame  = 2
	ackSize   = 1 + 4 + 8
)

// pool is how many different updates each process sends, over and over.
const pool = 1024

// broadcast is a leg in which every process sends batches to all others.
type broadcast struct {
	n       *node
	number  uint32
	updates []wire.Update
	batch   int
	window  uint64 // batches that may be on their way
	proof   wire.Proof

	taken [65]uint64    // batches taken from each peer; each is written by that peer's reader alone
	mu    sync.Mutex    // of acked
	acked [65]uint64    // batches that each peer has taken from us
	moved chan struct{} // a token when acked has risen
}

func newBroadcast(n *node, o order) leg {
	b := &broadcast{n: n, number: o.Leg, batch: max(1, o.Batch), proof: wire.Proof{Count: 1},
		moved: make(chan struct{}, 1)}
	b.updates, _ = n.updates(pool, o.Payload)
	// As many as a replica may have under way, but never more than the transport holds for a peer: it would drop them.
	size := b.batch * (o.Payload + 256)
	budget := max(1, n.cfg.Node.Network.BudgetBytes/2/size)
	b.window = uint64(max(1, min(n.cfg.Cluster.Limits.InFlight, budget)))
	return b
}

func (b *broadcast) receive(from group.ID, frame []byte) {
	if len(frame) < 5 || binary.LittleEndian.Uint32(frame[1:]) != b.number {
		return
	}
	switch frame[0] {
	case ackFrame:
		if len(frame) != ackSize {
			return
		}
		b.mu.Lock()
		b.acked[from] = max(b.acked[from], binary.LittleEndian.Uint64(frame[5:]))
		b.mu.Unlock()
		select {
		case b.moved <- struct{}{}:
		default:
		}
	case dataFrame:
		if !b.take(frame[5:]) {
			return
		}
		b.taken[from]++
		if every := max(1, b.window/4); b.taken[from]%every == 0 {
			b.n.mesh.Send(int(from), boundedFrame(b.n.self, appendHead(make([]byte, 0, ackSize), ackFrame, b.number, b.taken[from])))
		}
	}
}

// take decodes a batch, which hashes it, verifies what clients have signed, and hands it over.
func (b *broadcast) take(raw []byte) bool {
	e, err := b.n.limits.Decode(raw)
	if err != nil {
		return false
	}
	m, ok := e.Msg.(*wire.PreorderRequest)
	if !ok || !b.verify(m.Updates) {
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

// send sends batches, never more than the window ahead of the slowest peer, and takes part as a receiver of its own.
func (b *broadcast) send(ctx context.Context) {
	at := 0
	for sent := uint64(0); ctx.Err() == nil; sent++ {
		for sent >= b.slowest()+b.window {
			select {
			case <-b.moved:
			case <-ctx.Done():
				return
			}
		}
		updates := make([]wire.Update, b.batch)
		for i := range updates {
			updates[i] = b.updates[at]
			at = (at + 1) % len(b.updates)
		}
		e := wire.NewEnvelope(b.n.header, &wire.PreorderRequest{Seq: sent + 1, Updates: updates})
		e.Finish(b.proof)
		frame := appendHead(make([]byte, 0, 5+len(e.Raw)), dataFrame, b.number, 0)[:5]
		b.n.broadcast(append(frame, e.Raw...))
		if b.verify(updates) {
			b.n.app.handed <- updates
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

// appendHead appends kind, leg and number of a frame.
func appendHead(b []byte, kind byte, leg uint32, number uint64) []byte {
	b = append(b, kind)
	b = binary.LittleEndian.AppendUint32(b, leg)
	return binary.LittleEndian.AppendUint64(b, number)
}

func boundedFrame(from group.ID, bytes []byte) transport.Frame {
	return transport.Frame{Class: transport.Bounded, Source: int(from), Bytes: bytes}
}
