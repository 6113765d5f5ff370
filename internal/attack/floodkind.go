package attack

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// floodKind floods one kind of message, whichever it draws.
func floodKind() Behaviour {
	return Behaviour{
		Name: "flood-kind", Hides: true, Does: "floods one kind of message; flood:KIND floods that one, as in flood:RTT-PING", Noisy: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			kinds := FloodKinds()
			return h.flooder(inner, kinds[h.Rand.IntN(len(kinds))])
		},
	}
}

// floodOf is the flood of the kind of that name.
func floodOf(name string) (Behaviour, bool) {
	for _, kind := range FloodKinds() {
		if kind.String() == name {
			return Behaviour{
				Name: "flood:" + name, Hides: kind == wire.KindPreorderRequest, Does: "floods well-formed " + name + "s that nobody needs", Noisy: true,
				Wrap: func(h *Host, inner core.Machine) core.Machine { return h.flooder(inner, kind) },
			}, true
		}
	}
	return Behaviour{}, false
}

// flooder sends eight messages of a kind at once, again and again, of the view that others are in.
func (h *Host) flooder(inner core.Machine, kind wire.Kind) core.Machine {
	view := uint64(1)
	return &actor{host: h, Machine: inner,
		sees: func(_ *actor, in core.Input, _ []effect.Send) {
			if in.Message != nil {
				if m, ok := in.Message.Msg.(*wire.Turnaround); ok && in.Message.Sender == h.Self {
					view = max(view, m.View)
				}
			}
		},
		acts: func(_ *actor, _ clock.Instant, put func(effect.Send)) {
			for range 8 {
				put(effect.Send{To: h.some(), Class: wire.Bounded, Msg: h.junkOf(kind, view)})
			}
		}}
}
