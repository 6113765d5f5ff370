package attack

import (
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
)

// stalls stands still again and again, as if its machine were frozen, and then says so; as leader it hopes to be excused.
func stalls() Behaviour {
	return Behaviour{
		Name: "stalls", Does: "handles nothing for a while, again and again, and claims to have been frozen",
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			return &sleeper{host: h, Machine: inner, next: clock.Never}
		},
	}
}

// sleeper keeps its inputs until it wakes up.
type sleeper struct {
	core.Machine
	host   *Host
	asleep bool
	next   clock.Instant // when it wakes up, or falls asleep; Never before its first input
	inputs []core.Input
}

// Step implements core.Machine.
func (s *sleeper) Step(now clock.Instant, in core.Input, out *effect.Output) {
	if s.next == clock.Never {
		s.next = now.Add(s.host.Pause)
	}
	if now >= s.next {
		s.asleep = !s.asleep
		s.next = now.Add(1 + time.Duration(s.host.Rand.Int64N(int64(8*s.host.Pause))))
	}
	if in.Message != nil || in.Submit != nil {
		s.inputs = append(s.inputs, in)
	}
	if s.asleep && len(s.inputs) < memory {
		return
	}
	for _, input := range s.inputs {
		s.Machine.Step(now, input, out)
	}
	s.inputs = s.inputs[:0]
	s.Machine.Step(now, core.Tick, out)
}

// Deadline implements core.Machine.
func (s *sleeper) Deadline() clock.Instant {
	if s.asleep {
		return s.next
	}
	return min(s.next, s.Machine.Deadline())
}
