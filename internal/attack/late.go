package attack

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
)

// late holds half of its messages back, and sends a part of them twice, in another order.
func late() Behaviour {
	return Behaviour{
		Name: "late", Does: "delays and repeats its own messages at random",
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			return &lingerer{host: h, Machine: inner, due: clock.Never}
		},
	}
}

// lingerer keeps messages for later.
type lingerer struct {
	core.Machine
	host    *Host
	scratch effect.Output
	held    []effect.Send
	due     clock.Instant
}

// Step implements core.Machine.
func (l *lingerer) Step(now clock.Instant, in core.Input, out *effect.Output) {
	l.scratch.Reset()
	l.Machine.Step(now, in, &l.scratch)
	pass(&l.scratch, out)
	for _, s := range l.scratch.Sends {
		prompt := s
		if hold := l.host.Rand.IntN(2) == 0; hold && len(l.held) < memory {
			prompt.To = s.To.Intersect(group.SetOf(l.host.Self)) // its own copy is never late
		}
		if prompt.To != 0 {
			out.Sends = append(out.Sends, prompt)
		}
		if l.host.Rand.IntN(4) > 0 && len(l.held) < memory {
			s.To = s.To.Without(l.host.Self)
			l.held = append(l.held, s)
			l.due = min(l.due, now.Add(1+l.host.Pause*2))
		}
	}
	if now < l.due {
		return
	}
	for len(l.held) > 0 {
		i, last := l.host.Rand.IntN(len(l.held)), len(l.held)-1
		if l.held[i].To != 0 {
			out.Sends = append(out.Sends, l.held[i])
		}
		l.held[i] = l.held[last]
		l.held = l.held[:last]
	}
	l.due = clock.Never
}

// Deadline implements core.Machine.
func (l *lingerer) Deadline() clock.Instant { return min(l.due, l.Machine.Deadline()) }
