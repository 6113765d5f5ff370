package attack

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// mute says nothing to anybody, but listens.
func mute() Behaviour {
	return Behaviour{
		Name: "mute", Does: "sends nothing at all",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			s.To = s.To.Intersect(group.SetOf(h.Self))
			put(s)
		}),
	}
}

// selective acknowledges and votes towards one half of the group only.
func selective() Behaviour {
	return Behaviour{
		Name: "selective", Does: "sends PO-ACK, PREPARE and COMMIT to one half of the group",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			switch s.Msg.(type) {
			case *wire.PreorderAck, *wire.Prepare, *wire.Commit:
				s.To = s.To.Intersect(half(h.Group.All()).With(h.Self))
			}
			put(s)
		}),
	}
}
