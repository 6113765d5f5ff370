package attack

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// replay sends what anybody ever signed again, to anybody.
func replay() Behaviour {
	return Behaviour{
		Name: "replay", Does: "sends old messages of all replicas again", Noisy: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			return &actor{host: h, Machine: inner,
				sees: func(a *actor, in core.Input, _ []effect.Send) {
					if in.Message != nil {
						a.remember(in.Message)
					}
				},
				acts: func(a *actor, _ clock.Instant, put func(effect.Send)) {
					for range min(4, len(a.seen)) {
						old := a.seen[h.Rand.IntN(len(a.seen))]
						put(effect.Send{To: h.some(), Class: wire.Bounded, Signed: old})
					}
				}}
		},
	}
}

// frame accuses correct replicas with pairs of their own messages that contradict each other in nothing.
func frame() Behaviour {
	return Behaviour{
		Name: "frame", Does: "sends EVIDENCE of two messages that a correct replica may both sign", Noisy: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			return &actor{host: h, Machine: inner,
				sees: func(a *actor, in core.Input, _ []effect.Send) {
					if in.Message == nil {
						return
					}
					a.note(in.Message)
					switch m := in.Message.Msg.(type) {
					case *wire.SummaryMatrix:
						a.note(m.Rows...)
					case *wire.PrePrepare:
						a.note(m.Rows...)
					}
				},
				acts: func(a *actor, _ clock.Instant, put func(effect.Send)) {
					for range min(16, len(a.seen)) {
						x, y := a.seen[h.Rand.IntN(len(a.seen))], a.seen[h.Rand.IntN(len(a.seen))]
						if x.Sender == y.Sender && x.Kind == y.Kind && x.Digest != y.Digest {
							put(effect.Send{To: h.some(), Class: wire.Bounded, Msg: &wire.Evidence{First: x, Second: y}})
							return
						}
					}
				}}
		},
	}
}

// note remembers messages that could be evidence.
func (a *actor) note(all ...*wire.Envelope) {
	for _, env := range all {
		if env == nil {
			continue
		}
		switch env.Kind {
		case wire.KindPreorderRequest, wire.KindSummary, wire.KindPrePrepare:
			a.remember(env)
		}
	}
}
