package attack

import (
	"math"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// liar claims other things in its summaries to one half of the group than to the other: too much, too little, or absurd.
func liar() Behaviour {
	return Behaviour{
		Name: "liar", Does: "sends inconsistent PO-SUMMARYs to the two halves of the group",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			m, ok := s.Msg.(*wire.Summary)
			if !ok || h.Rand.IntN(3) == 0 {
				put(s)
				return
			}
			deceived := half(h.Group.All()).Without(h.Self)
			put(effect.Send{To: s.To.Intersect(deceived), Class: s.Class, Msg: falseSummary(h, m)})
			s.To = s.To.Minus(deceived)
			put(s)
		}),
	}
}

// falseSummary is m with some entries changed.
func falseSummary(h *Host, m *wire.Summary) *wire.Summary {
	lie := &wire.Summary{Number: m.Number, Time: m.Time, Vector: append(wire.Vector(nil), m.Vector...)}
	if h.Rand.IntN(8) == 0 {
		lie.Number += h.Rand.Uint64()
	}
	for i := range lie.Vector {
		at := &lie.Vector[i]
		if h.Rand.IntN(2) == 0 {
			continue
		}
		at.Incarnation = h.Incarnations[i]
		switch h.Rand.IntN(6) {
		case 0:
			at.Seq = h.Rand.Uint64()
		case 1:
			at.Seq = 1 << 62
		case 2:
			*at = wire.Position{Incarnation: h.Rand.Uint32(), Seq: at.Seq + 1}
		case 3:
			at.Seq /= 2
		default:
			at.Seq += uint64(h.Rand.IntN(5))
		}
		if at.Seq == 0 {
			*at = wire.Position{}
		}
	}
	return lie
}

// absurdTime puts impossible times into its summaries.
func absurdTime() Behaviour {
	return Behaviour{
		Name: "absurd-time", Does: "claims times from the far past and future in its PO-SUMMARYs",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			if m, ok := s.Msg.(*wire.Summary); ok {
				lies := []int64{0, -1, math.MaxInt64, math.MinInt64, m.Time + 1<<40, m.Time - 1<<40, m.Time + 1_000_000}
				s.Msg = &wire.Summary{Number: m.Number, Time: lies[h.Rand.IntN(len(lies))], Vector: m.Vector}
			}
			put(s)
		}),
	}
}
