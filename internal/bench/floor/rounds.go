package floor

import (
	"context"
	"sync"
	"time"

	"github.com/primebft/prime/internal/bench/latency"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

const (
	roundsPerLap = 6
	ahead        = 256 // rounds for which messages are kept that come too early
)

// rounds is a leg in which every process takes part in one signed all-to-all round after the other.
type rounds struct {
	n      *node
	number uint32

	mu      sync.Mutex
	running bool
	round   uint64               // the current one, from 1
	heard   map[uint64]group.Set // whose messages of this round and later ones were verified
	lap     int64                // when the current lap began; 0: it does not count
	from    int64
	to      int64
	laps    latency.Histogram
}

func newRounds(n *node, o order) (leg, error) {
	return &rounds{n: n, number: o.Leg, heard: map[uint64]group.Set{}}, nil
}

func (r *rounds) receive(from group.ID, frame []byte) {
	e, err := r.n.limits.Decode(frame)
	if err != nil || e.Sender != from || r.n.verifier.Verify(e) != nil {
		return
	}
	if m, ok := e.Msg.(*wire.Prepare); ok && m.View == uint64(r.number) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.hear(from, m.Ordinal)
	}
}

// hear notes a verified message, and goes on with the next round when a quorum of messages is there. The caller holds r.mu.
func (r *rounds) hear(from group.ID, round uint64) {
	if round < r.round || round > r.round+ahead {
		return
	}
	r.heard[round] = r.heard[round].With(from)
	for r.running && r.heard[r.round].Len() >= r.n.group.Quorum() {
		r.advance(r.round + 1)
	}
	// A round that others have finished without us: we were too slow, and missed messages will not come again.
	if r.running && round > r.round && r.heard[round].Len() >= r.n.group.Quorum() {
		r.lap = 0
		r.advance(round + 1)
	}
}

// advance begins a round: it signs a message and sends it to all. The caller holds r.mu.
func (r *rounds) advance(round uint64) {
	for old := range r.heard {
		if old < round {
			delete(r.heard, old)
		}
	}
	now := r.n.clock.Now()
	if round%roundsPerLap == 1 {
		if r.lap >= r.from && r.lap != 0 && now < r.to {
			r.laps.Add(time.Duration(now - r.lap))
		}
		r.lap = now
	}
	r.round = round
	if now >= r.to {
		r.running = false
		return
	}
	e := wire.NewEnvelope(r.n.header, &wire.Prepare{Vote: wire.Vote{View: uint64(r.number), Ordinal: round}})
	r.n.signer.Sign([]*wire.Envelope{e})
	r.heard[round] = r.heard[round].With(r.n.self)
	r.n.broadcast(e.Raw)
}

func (r *rounds) run(from, to int64) answer {
	r.mu.Lock()
	r.from, r.to, r.running = from, to, true
	r.advance(1)
	r.hear(r.n.self, 1) // the others may have begun before
	r.mu.Unlock()
	ctx, cancel := context.WithDeadline(context.Background(), r.n.clock.At(to))
	defer cancel()
	<-ctx.Done()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = false
	return answer{Laps: r.laps.Count(), LapNS: int64(r.laps.Quantile(0.5))}
}
