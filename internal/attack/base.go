package attack

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// wrongBase is a leader that says that the ordinal before made something else eligible than it did: too much, too little, or
// something that does not exist. Nobody may prepare that.
func wrongBase() Behaviour {
	return Behaviour{
		Name: "wrong-base", Does: "as leader gives its PRE-PREPAREs a base that does not follow from the ordinal before", Leader: true,
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			if m, ok := s.Msg.(*wire.PrePrepare); ok {
				lie := *m
				lie.Base = append(wire.Vector(nil), m.Base...)
				at := &lie.Base[h.Rand.IntN(len(lie.Base))]
				switch {
				case at.Seq > 1 && h.Rand.IntN(2) == 0:
					at.Seq--
				case at.Seq > 0 && h.Rand.IntN(4) == 0:
					*at = wire.Position{}
				default:
					*at = h.id(at.Seq + 1 + h.Rand.Uint64N(3)).Position
				}
				s.Msg = &lie
			}
			put(s)
		}),
	}
}
