package attack

import (
	"bytes"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// wrongParts sends parts of requests that are none.
func wrongParts() Behaviour {
	return Behaviour{
		Name: "wrong-parts", Does: "sends RECONs with wrong bytes, paths, lengths, digests and proofs, and parts that are another replica's",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			m, ok := s.Msg.(*wire.Part)
			if !ok {
				put(s)
				return
			}
			if victims := h.some().Intersect(s.To); h.Rand.IntN(4) == 0 { // the truth to some
				put(effect.Send{To: victims, Class: s.Class, Msg: m})
				s.To = s.To.Minus(victims)
			}
			s.Msg = wrongPart(h, m)
			put(s)
		}),
	}
}

// wrongPart is m with something changed.
func wrongPart(h *Host, m *wire.Part) *wire.Part {
	lie := *m
	lie.Bytes, lie.Path = bytes.Clone(m.Bytes), append([]wire.Digest(nil), m.Path...)
	switch h.Rand.IntN(7) {
	case 0:
		lie.Digest = h.digest()
	case 1:
		lie.Length += uint32(h.Rand.IntN(3)) // the part need not be longer for it
	case 2:
		if len(lie.Path) > 0 {
			lie.Path[h.Rand.IntN(len(lie.Path))] = h.digest()
		}
	case 3:
		lie.Origin.Sig[h.Rand.IntN(len(lie.Origin.Sig))] ^= 1
	case 4:
		lie.ID.Seq++
	case 5: // that of whoever shares its parent in the tree has about these bytes
		for i := range lie.Bytes {
			lie.Bytes[i] = byte(h.Rand.Uint32())
		}
	default:
		lie.Bytes[h.Rand.IntN(len(lie.Bytes))] ^= 1 << h.Rand.IntN(8)
	}
	lie.Root = wire.PartRoot(h.Self.Index(), lie.Length, lie.Bytes, lie.Path)
	return &lie
}

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
						put(effect.Send{To: h.some(), Class: wire.Recon, Msg: m})
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
