package attack

import (
	"math"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
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

// falseAcks acknowledges requests that it does not have, under digests of nothing, and claims certificates for them.
func falseAcks() Behaviour {
	return Behaviour{
		Name: "false-acks", Does: "acknowledges what does not exist, and two digests of what does",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			m, ok := s.Msg.(*wire.PreorderAck)
			put(s)
			if !ok {
				return
			}
			lie := &wire.PreorderAck{Incarnations: m.Incarnations}
			for _, part := range m.Parts {
				part.Digest, part.Certified = h.digest(), h.Rand.IntN(2) == 0
				if h.Rand.IntN(3) == 0 {
					part.ID.Origin = group.FromIndex(h.Rand.IntN(h.Group.N()))
					part.ID.Seq += uint64(h.Rand.IntN(4))
				}
				lie.Parts = append(lie.Parts, part)
			}
			put(effect.Send{To: h.some(), Class: s.Class, Msg: lie})
		}),
	}
}

// wrongVotes votes for proposals that do not exist, next to its true votes or before them.
func wrongVotes() Behaviour {
	return Behaviour{
		Name: "wrong-votes", Does: "sends PREPAREs and COMMITs for proposals and ordinals that do not exist",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			switch m := s.Msg.(type) {
			case *wire.Prepare:
				put(effect.Send{To: h.some(), Class: s.Class, Msg: &wire.Prepare{Vote: h.vote(m.Vote)}})
				put(effect.Send{To: h.some(), Class: s.Class, Msg: &wire.Commit{Vote: m.Vote}}) // before it may
			case *wire.Commit:
				put(effect.Send{To: h.some(), Class: s.Class, Msg: &wire.Commit{Vote: h.vote(m.Vote)}})
			}
			put(s)
		}),
	}
}

// vote is v with something wrong.
func (h *Host) vote(v wire.Vote) wire.Vote {
	switch h.Rand.IntN(4) {
	case 0:
		v.Ordinal += uint64(h.Rand.IntN(3))
	case 1:
		v.Incarnations = h.digest()
	case 2:
		v.View += uint64(h.Rand.IntN(2))
	}
	if h.Rand.IntN(2) == 0 {
		v.Proposal = h.digest()
	}
	return v
}
