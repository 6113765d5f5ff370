package attack

import (
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// reconciliation is the second attack of the paper's experiments (TDSC 2011, section 7.2): faulty origins show their requests to so
// few that they are just preordered, and acknowledge only each other's. So as many correct replicas as possible have to be given
// what was ordered, in each other's name.
func reconciliation() Behaviour {
	return Behaviour{
		Name: "reconciliation", Hides: true,
		Does: "hides its PO-REQUESTs from f replicas, acknowledges only those of its allies, and helps nobody",
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			var victims group.Set
			for honest := h.Group.Others(h.Self).Minus(h.Allies); victims.Len() < min(h.Group.F(), honest.Len()); {
				victims = victims.Union(h.anyone().Intersect(honest))
			}
			friends := h.Allies.With(h.Self)
			return &editor{host: h, Machine: inner, rewrite: func(h *Host, s effect.Send, put func(effect.Send)) {
				kind := kindOf(s)
				switch m := s.Msg.(type) {
				case *wire.PreorderAck:
					other := *m
					other.Parts = nil
					for _, part := range m.Parts {
						if friends.Has(part.ID.Origin) {
							other.Parts = append(other.Parts, part)
						}
					}
					if s.Msg = &other; len(other.Parts) == 0 {
						return
					}
				case *wire.Certificate, *wire.Window, *wire.Parts:
					return
				}
				if kind == wire.KindPreorderRequest {
					if s.Signed != nil && s.Signed.Sender != h.Self {
						return // asked for by somebody who lacks it
					}
					s.To = s.To.Minus(victims)
				}
				put(s)
			}}
		},
	}
}

// kindOf is the kind of what is sent.
func kindOf(s effect.Send) wire.Kind {
	if s.Msg == nil {
		return s.Signed.Kind
	}
	return s.Msg.Kind()
}
