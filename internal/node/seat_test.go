package node

import (
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// speaker says a signed message of its own to everybody, itself included, again and again.
type speaker struct {
	core.Machine
	seat  Seat
	heard chan<- *wire.Envelope
}

func (s *speaker) Step(now clock.Instant, in core.Input, out *effect.Output) {
	s.Machine.Step(now, in, out)
	if in.Message == nil && in.Submit == nil {
		said := s.seat.Sign(&wire.Ping{View: 1, Seq: 4711})
		out.Sends = append(out.Sends, effect.Send{To: s.seat.Group.All(), Class: wire.Timely, Signed: said})
	}
	listen(s.heard, in)
}

// listener hears what speaker says.
type listener struct {
	core.Machine
	heard chan<- *wire.Envelope
}

func (l *listener) Step(now clock.Instant, in core.Input, out *effect.Output) {
	l.Machine.Step(now, in, out)
	listen(l.heard, in)
}

func listen(heard chan<- *wire.Envelope, in core.Input) {
	if in.Message == nil {
		return
	}
	if m, ok := in.Message.Msg.(*wire.Ping); ok && m.Seq == 4711 {
		select {
		case heard <- in.Message:
		default: // one is enough
		}
	}
}

// TestSeat: whoever wraps a machine knows where it sits, and what it signs is taken by its peers, and by the replica itself, as
// that replica's own. A twin is another machine that has seen nothing.
func TestSeat(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, nil)
	own, other := make(chan *wire.Envelope, 10), make(chan *wire.Envelope, 10)
	seats := make(chan Seat, 1)
	c.open(2, echo, Options{Wrap: func(seat Seat, m core.Machine) core.Machine {
		seats <- seat
		return &speaker{Machine: m, seat: seat, heard: own}
	}})
	c.open(3, echo, Options{Wrap: func(_ Seat, m core.Machine) core.Machine { return &listener{m, other} }})
	c.openAll()
	for _, heard := range []chan *wire.Envelope{own, other} {
		select {
		case env := <-heard:
			if env.Sender != 2 {
				t.Errorf("r2's message is one of %s", env.Sender)
			}
		case <-time.After(time.Minute):
			t.Fatal("what was said was not heard")
		}
	}
	seat := <-seats
	if seat.Self != 2 || seat.Group != group.MustNew(1, 0) || len(seat.Incarnations) != 4 || seat.Retransmit <= 0 || seat.Limits.History == 0 {
		t.Errorf("seat %+v", seat)
	}
	if twin, ok := seat.Twin().(*core.Replica); !ok || twin.Status().Executed != 0 {
		t.Error("there is no twin")
	}
	c.runAll(20, 1, 2, 3, 4)
	c.agree(1, 2, 3, 4)
}
