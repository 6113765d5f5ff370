package image

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

// busy is a core in the middle of work: its history is full, and so many clients have a session.
func busy(b *testing.B, clients int) *core.Replica {
	var machines []*core.Replica
	g := group.MustNew(1, 0)
	for id := range g.All().All() {
		r, err := core.New(core.Config{
			Self: id, Group: g, Epoch: 1, Incarnations: slices.Repeat([]uint32{1}, 4), Wall: int64(time.Hour),
			Limits: core.Limits{UpdateBytes: 1 << 16, RequestBytes: 1 << 18, RequestUpdates: 1024, InFlight: 64,
				PendingBytes: 1 << 24, Sessions: 1 << 16, SessionWindow: 1024, OrdinalWindow: 64, History: 256},
			Timing: core.Timing{Retransmit: time.Second, Fetch: 20 * time.Millisecond},
		})
		if err != nil {
			b.Fatal(err)
		}
		machines = append(machines, r)
	}
	type packet struct {
		to  group.ID
		env *wire.Envelope
	}
	var queue []packet
	var out effect.Output
	now := clock.Instant(0)
	step := func(id group.ID, in core.Input) {
		out.Reset()
		machines[id.Index()].Step(now, in, &out)
		for _, s := range out.Sends {
			env := s.Signed
			if env == nil {
				env = wire.NewEnvelope(wire.Header{Sender: id, Epoch: 1, Incarnation: 1}, s.Msg)
				env.Finish(wire.Proof{Count: 1})
			}
			for to := range s.To.All() {
				queue = append(queue, packet{to, env})
			}
		}
	}
	client := 0
	for seq := uint64(1); machines[0].Status().Collected < 8 || client < clients; seq++ {
		for _, id := range []group.ID{1, 2, 3, 4} {
			updates := make([]wire.Update, 100)
			for k := range updates {
				who := client % clients
				updates[k] = wire.Update{Client: wire.ClientID{byte(who), byte(who >> 8), 1}, Seq: seq, Payload: make([]byte, 300)}
				client++
			}
			step(id, core.Input{Submit: updates})
		}
		for len(queue) > 0 {
			p := queue[0]
			queue = queue[1:]
			step(p.to, core.Input{Message: p.env})
		}
		now += clock.Instant(time.Millisecond)
		for i, m := range machines {
			if m.Deadline() <= now {
				step(group.FromIndex(i), core.Tick)
			}
		}
	}
	return machines[1]
}

// BenchmarkTake is how long the loop of a replica stands still for an image of a busy core; Append and Read happen elsewhere.
func BenchmarkTake(b *testing.B) {
	for _, clients := range []int{1000, 60_000} {
		l, err := Of[core.Replica](core.Behaviour)
		if err != nil {
			b.Fatal(err)
		}
		r := busy(b, clients)
		i, err := l.Take(r)
		if err != nil {
			b.Fatal(err)
		}
		written := i.Append(nil)
		name := map[int]string{1000: "clients=1000", 60_000: "clients=60000"}[clients]
		b.Run("take/"+name, func(b *testing.B) {
			b.ReportMetric(float64(len(written))/(1<<20), "MiB")
			for b.Loop() {
				if _, err := l.Take(r); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("append/"+name, func(b *testing.B) {
			for b.Loop() {
				written = i.Append(written[:0])
			}
		})
		b.Run("read/"+name, func(b *testing.B) {
			limits := wire.Limits{N: 4, UpdateBytes: 1 << 16, RequestBytes: 1 << 18, RequestUpdates: 1024, AckParts: 1 << 10, Wants: 1 << 10,
				Window: 1 << 10, Recalls: 1 << 10, Enough: 2}
			for b.Loop() {
				if _, err := l.Read(written, limits); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
