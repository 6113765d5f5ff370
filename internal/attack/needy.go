package attack

import (
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// needy pretends to miss every request, so that all the others send it their parts of all of them.
func needy() Behaviour {
	return Behaviour{
		Name: "needy", Does: "acknowledges nothing and claims to have preordered nothing, so that it is sent everything in parts",
		Wrap: edit(pretend),
	}
}

// pretend keeps back what shows that this replica has anything.
func pretend(_ *Host, s effect.Send, put func(effect.Send)) {
	switch m := s.Msg.(type) {
	case *wire.PreorderAck, *wire.Summary:
		return
	case *wire.Status:
		lie := *m
		lie.Preorders, lie.Held = make(wire.Vector, len(m.Preorders)), make(wire.Vector, len(m.Held))
		s.Msg = &lie
	}
	if s.Signed == nil || s.Signed.Kind != wire.KindSummary {
		put(s)
	}
}

// frameParts is needy, and accuses whoever sends it a part: it has the request, and says that the part is wrong.
func frameParts() Behaviour {
	return Behaviour{
		Name: "frame-parts", Does: "pretends to miss everything, and sends EVIDENCE against those who send it good parts", Noisy: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			var requests []*wire.Envelope
			return &watcher{Machine: &editor{host: h, Machine: inner, rewrite: pretend}, hears: func(env *wire.Envelope, put func(effect.Send)) {
				switch m := env.Msg.(type) {
				case *wire.PreorderRequest:
					if requests = append(requests, env); len(requests) > memory {
						requests = requests[1:]
					}
				case *wire.Parts:
					for _, r := range requests {
						if m.Of(r) != nil {
							put(effect.Send{To: h.Group.Others(h.Self), Class: wire.Bounded, Msg: &wire.Evidence{First: env, Second: r}})
						}
					}
				}
			}}
		},
	}
}
