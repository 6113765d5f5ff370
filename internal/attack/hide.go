package attack

import (
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// hide keeps this replica's requests from f others for ever, and answers nobody who asks for them.
func hide() Behaviour {
	return Behaviour{
		Name: "hide", Hides: true, Does: "sends its PO-REQUESTs to all but f replicas, and never answers a FETCH",
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			var victims group.Set
			for victims.Len() < h.Group.F() {
				victims = victims.Union(h.anyone())
			}
			return &editor{host: h, Machine: inner, rewrite: func(h *Host, s effect.Send, put func(effect.Send)) {
				own := s.Signed != nil && s.Signed.Sender == h.Self && s.Signed.Kind == wire.KindPreorderRequest
				if _, request := s.Msg.(*wire.PreorderRequest); request || own {
					s.To = s.To.Minus(victims)
				}
				put(s)
			}}
		},
	}
}
