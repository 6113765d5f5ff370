package attack

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// forgeRows claims absurd things in its own row, puts rows where they do not belong, and lies about the base.
func forgeRows() Behaviour {
	return Behaviour{
		Name: "forge-rows", Does: "as leader forges its own row and the base of its PRE-PREPAREs, or repeats a row", Leader: true,
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			s = withRows(s, func(rows wire.Rows) {
				own := rows[h.Self.Index()]
				if own == nil {
					return
				}
				switch h.Rand.IntN(4) {
				case 0:
					for i := range rows {
						rows[i] = own // true, but only once
					}
				case 1:
					rows[h.Rand.IntN(len(rows))] = own
				default:
					rows[h.Self.Index()] = h.Sign(falseSummary(h, own.Msg.(*wire.Summary)))
				}
			})
			if m, ok := s.Msg.(*wire.PrePrepare); ok && h.Rand.IntN(4) == 0 {
				m.Base = append(wire.Vector(nil), m.Base...)
				m.Base[h.Rand.IntN(len(m.Base))] = h.id(1 + h.Rand.Uint64N(8)).Position
			}
			put(s)
		}),
	}
}
