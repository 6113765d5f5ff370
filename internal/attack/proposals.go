package attack

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// twoProposals sends each half of the group another proposal for the same ordinal.
func twoProposals() Behaviour {
	return Behaviour{
		Name: "two-proposals", Does: "as leader sends two PRE-PREPAREs for one ordinal, each to one half of the group", Leader: true,
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			splitProposal(h, s, put, half(h.Group.Others(h.Self)))
		}),
	}
}

// proposalToTheRest sends another proposal for the same ordinal to all but two replicas.
func proposalToTheRest() Behaviour {
	return Behaviour{
		Name: "all-but-two", Does: "as leader sends another PRE-PREPARE for the same ordinal to all but two replicas", Leader: true,
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			splitProposal(h, s, put, h.Group.Others(h.Self).Minus(h.anyone().Union(h.anyone())))
		}),
	}
}

func splitProposal(h *Host, s effect.Send, put func(effect.Send), deceived group.Set) {
	if _, ok := s.Msg.(*wire.PrePrepare); !ok {
		put(s)
		return
	}
	other := withRows(s, func(rows wire.Rows) {
		i := h.Self.Index()
		if rows[i] == nil {
			rows[h.Rand.IntN(len(rows))] = nil
			return
		}
		own := *rows[i].Msg.(*wire.Summary)
		own.Number++
		rows[i] = h.Sign(&own)
	})
	put(effect.Send{To: s.To.Intersect(deceived), Class: s.Class, Signed: h.Sign(other.Msg)})
	s.To = s.To.Minus(deceived)
	put(s)
}

// proposeToOne shows its proposals to a single replica and leaves the rest to it.
func proposeToOne() Behaviour {
	return Behaviour{
		Name: "propose-to-one", Does: "as leader sends each PRE-PREPARE to one replica only", Leader: true,
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			own := s.Signed != nil && s.Signed.Sender == h.Self && s.Signed.Kind == wire.KindPrePrepare
			if _, ok := s.Msg.(*wire.PrePrepare); ok || own {
				s.To = s.To.Intersect(h.anyone().Union(group.SetOf(h.Self)))
			}
			put(s)
		}),
	}
}
