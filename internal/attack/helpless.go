package attack

import (
	"slices"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// silentHelper vouches for what was executed, and tells nobody what it was.
func silentHelper() Behaviour {
	return Behaviour{
		Name: "silent-helper", Does: "answers OUTLINE-ASKs, and no SEGMENT-ASK", Apart: true,
		Wrap: edit(func(_ *Host, s effect.Send, put func(effect.Send)) {
			if _, ok := s.Msg.(*wire.Segment); !ok {
				put(s)
			}
		}),
	}
}

// slowHelper tells what was executed as late as it can without saying nothing.
func slowHelper() Behaviour {
	return Behaviour{
		Name: "slow-helper", Does: "holds every SEGMENT back for a long time", Apart: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			return &hesitant{host: h, Machine: inner}
		},
	}
}

// hesitant keeps segments for ten pauses.
type hesitant struct {
	core.Machine
	host    *Host
	scratch effect.Output
	held    []effect.Send
	due     []clock.Instant
}

// Step implements core.Machine.
func (l *hesitant) Step(now clock.Instant, in core.Input, out *effect.Output) {
	l.scratch.Reset()
	l.Machine.Step(now, in, &l.scratch)
	pass(&l.scratch, out)
	for _, s := range l.scratch.Sends {
		if _, ok := s.Msg.(*wire.Segment); ok && len(l.held) < memory {
			l.held, l.due = append(l.held, s), append(l.due, now.Add(10*l.host.Pause))
			continue
		}
		out.Sends = append(out.Sends, s)
	}
	for len(l.held) > 0 && l.due[0] <= now {
		out.Sends = append(out.Sends, l.held[0])
		l.held, l.due = l.held[1:], l.due[1:]
	}
}

// Deadline implements core.Machine.
func (l *hesitant) Deadline() clock.Instant {
	return clock.Min(append(slices.Clone(l.due[:min(1, len(l.due))]), l.Machine.Deadline())...)
}
