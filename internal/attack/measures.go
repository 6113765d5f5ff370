package attack

import (
	"math"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// falseMeasures lies about round trips, bounds and turnarounds: nothing, or more than anybody can believe.
func falseMeasures() Behaviour {
	return Behaviour{
		Name: "false-measures", Does: "reports round trips, bounds and turnarounds of nothing, or for ever",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			lies := []uint64{0, 1, 1 << 40, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64}
			lie := lies[h.Rand.IntN(len(lies))]
			switch m := s.Msg.(type) {
			case *wire.RoundTrip:
				s.Msg = &wire.RoundTrip{View: m.View, Dest: m.Dest, Nanos: lie}
			case *wire.Bound:
				s.Msg = &wire.Bound{View: m.View, Nanos: lie}
			case *wire.Turnaround:
				s.Msg = &wire.Turnaround{View: m.View, Number: m.Number, Nanos: lie}
			}
			put(s)
		}),
	}
}

// voter votes against every leader, for the next view and for absurd ones.
func voter() Behaviour {
	return Behaviour{
		Name: "voter", Does: "votes for new leaders all the time, and accuses them of being slow", Noisy: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			number := uint64(1 << 32)
			return &actor{host: h, Machine: inner,
				sees: func(a *actor, in core.Input, _ []effect.Send) {
					if in.Message != nil && in.Message.Kind == wire.KindTurnaround {
						a.remember(in.Message)
					}
				},
				acts: func(a *actor, _ clock.Instant, put func(effect.Send)) {
					view := uint64(1)
					for _, env := range a.seen {
						view = max(view, env.Msg.(*wire.Turnaround).View)
					}
					number++
					accusation := &wire.Turnaround{View: view, Number: number, Nanos: math.MaxInt64}
					put(effect.Send{To: h.some(), Class: wire.Bounded, Msg: accusation})
					vote := &wire.NewLeader{View: view + 1}
					if h.Rand.IntN(8) == 0 {
						vote.View = h.Rand.Uint64() | 1
					}
					put(effect.Send{To: h.some(), Class: wire.Bounded, Msg: vote})
				}}
		},
	}
}
