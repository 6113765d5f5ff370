package attack

import (
	"bytes"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// lieInParts sends parts of requests that are none.
func lieInParts() Behaviour {
	return Behaviour{
		Name: "wrong-parts", Does: "sends RECONs with wrong bytes, paths, lengths, digests and proofs, and parts that are another replica's",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			m, ok := s.Msg.(*wire.Parts)
			if !ok {
				put(s)
				return
			}
			if victims := h.some().Intersect(s.To); h.Rand.IntN(4) == 0 { // the truth to some
				put(effect.Send{To: victims, Class: s.Class, Msg: m})
				s.To = s.To.Minus(victims)
			}
			s.Msg = wrongParts(h, m)
			put(s)
		}),
	}
}

// wrongParts is m with something changed in one of its parts; that alone if it would not go with the others.
func wrongParts(h *Host, m *wire.Parts) *wire.Parts {
	lie := &wire.Parts{List: append([]wire.Part(nil), m.List...)}
	k := h.Rand.IntN(len(lie.List))
	lie.List[k] = *wrongPart(h, &m.List[k])
	if lie.List[k].ID != m.List[k].ID || lie.List[k].Length != m.List[k].Length {
		lie.List = lie.List[k : k+1]
	}
	return lie
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
