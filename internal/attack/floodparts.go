package attack

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// floodParts sends parts of requests that do not exist, and of those that do.
func floodParts() Behaviour {
	return Behaviour{
		Name: "flood-parts", Does: "floods RECONs of requests that do not exist, or that everybody has", Noisy: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			enough := h.Group.OneCorrect()
			return &actor{host: h, Machine: inner,
				sees: func(a *actor, in core.Input, _ []effect.Send) {
					if in.Message != nil && in.Message.Kind == wire.KindPreorderRequest {
						a.remember(in.Message)
					}
				},
				acts: func(a *actor, _ clock.Instant, put func(effect.Send)) {
					for range 8 {
						m := &wire.Part{ID: h.id(1 + h.Rand.Uint64N(uint64(2*h.Limits.InFlight)+8)), Digest: h.digest(), Length: uint32(60 + h.Rand.IntN(60)),
							Origin: wire.Proof{Count: 1}, Path: make([]wire.Digest, height(h.Group.N()))}
						if len(a.seen) > 0 && h.Rand.IntN(2) == 0 {
							e := a.seen[h.Rand.IntN(len(a.seen))]
							m.ID.Origin, m.ID.Incarnation, m.ID.Seq = e.Sender, e.Incarnation, e.Msg.(*wire.PreorderRequest).Seq
							m.Digest, m.Length, m.Origin = e.Digest, uint32(len(e.Content)), e.Proof
						}
						m.Bytes = make([]byte, (int(m.Length)+enough-1)/enough)
						put(effect.Send{To: h.some(), Class: wire.Recon, Msg: &wire.Parts{List: []wire.Part{*m}}})
					}
				}}
		},
	}
}

// height is that of a tree over n leaves.
func height(n int) (levels int) {
	for width := 1; width < n; width *= 2 {
		levels++
	}
	return levels
}
