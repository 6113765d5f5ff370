package core_test

import (
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// BenchmarkUpdate is what the protocol itself costs for an update, summed over a group of four: steps, encoding and hashing,
// without signatures and network. Each round submits a batch of 300-byte updates at every replica.
func BenchmarkUpdate(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(map[int]string{1: "lone", 100: "batch=100"}[batch], func(b *testing.B) {
			b.ReportAllocs()
			w := newBenchWorld(b)
			payload := make([]byte, 300)
			for done, seq := 0, uint64(1); done < b.N; seq++ {
				for id := range w.machines {
					updates := make([]wire.Update, batch)
					for k := range updates {
						updates[k] = wire.Update{Client: wire.ClientID{1 + byte(id), byte(k)}, Seq: seq, Payload: payload}
					}
					w.step(group.FromIndex(id), core.Input{Submit: updates})
				}
				target := w.delivered + 4*4*batch
				for w.delivered < target {
					w.run()
				}
				done += 4 * batch
			}
		})
	}
}

type benchWorld struct {
	machines  []*core.Replica
	now       clock.Instant
	queue     []packet
	out       effect.Output
	delivered int
}

func newBenchWorld(b *testing.B) *benchWorld {
	w := &benchWorld{}
	for id := range group.MustNew(1, 0).All().All() {
		r, err := core.New(core.Config{
			Self: id, Group: group.MustNew(1, 0), Epoch: 1, Incarnations: slices.Repeat([]uint32{1}, 4), Wall: int64(time.Hour),
			Limits: core.Limits{UpdateBytes: 1 << 16, RequestBytes: 1 << 18, RequestUpdates: 1024, InFlight: 64,
				PendingBytes: 1 << 24, Sessions: 1 << 16, SessionWindow: 1024, OrdinalWindow: 64, History: 256},
			Timing: core.Timing{Retransmit: time.Second, Fetch: 20 * time.Millisecond},
		})
		if err != nil {
			b.Fatal(err)
		}
		w.machines = append(w.machines, r)
	}
	return w
}

func (w *benchWorld) step(id group.ID, in core.Input) {
	w.out.Reset()
	w.machines[id.Index()].Step(w.now, in, &w.out)
	for _, d := range w.out.Deliver {
		w.delivered += len(d.Updates)
	}
	for _, s := range w.out.Sends {
		env := s.Signed
		if env == nil {
			env = wire.NewEnvelope(wire.Header{Sender: id, Epoch: 1, Incarnation: 1}, s.Msg)
			env.Finish(wire.Proof{Count: 1})
		}
		for to := range s.To.All() {
			w.queue = append(w.queue, packet{to: to, env: env})
		}
	}
}

// run delivers everything that is under way, then lets a little time pass.
func (w *benchWorld) run() {
	for i := 0; i < len(w.queue); i++ {
		w.step(w.queue[i].to, core.Input{Message: w.queue[i].env})
	}
	w.queue = w.queue[:0]
	w.now += clock.Instant(time.Millisecond)
	for i, m := range w.machines {
		if m.Deadline() <= w.now {
			w.step(group.FromIndex(i), core.Tick)
		}
	}
}
