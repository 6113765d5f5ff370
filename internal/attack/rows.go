package attack

import (
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// omitRows leaves rows out of its matrices, so that what they cover is not ordered.
func omitRows() Behaviour {
	return Behaviour{
		Name: "omit-rows", Does: "leaves rows out of its SUMMARY-MATRIXes and, as leader, its PRE-PREPAREs",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			put(withRows(s, func(rows wire.Rows) {
				for range 1 + h.Rand.IntN(len(rows)) {
					rows[h.Rand.IntN(len(rows))] = nil
				}
			}))
		}),
	}
}

// staleRows puts old summaries into its matrices.
func staleRows() Behaviour {
	return Behaviour{
		Name: "stale-rows", Does: "puts old PO-SUMMARYs into its SUMMARY-MATRIXes and, as leader, its PRE-PREPAREs",
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			old := make([]wire.Rows, h.Group.N())
			return &editor{host: h, Machine: inner, rewrite: func(h *Host, s effect.Send, put func(effect.Send)) {
				put(withRows(s, func(rows wire.Rows) {
					for i, row := range rows {
						if row != nil && len(old[i]) < memory {
							old[i] = append(old[i], row)
						}
						if len(old[i]) > 0 && h.Rand.IntN(2) == 0 {
							rows[i] = old[i][h.Rand.IntN(len(old[i]))]
						}
					}
				}))
			}}
		},
	}
}

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

// twoProposals sends each half of the group another proposal for the same ordinal.
func twoProposals() Behaviour {
	return Behaviour{
		Name: "two-proposals", Does: "as leader sends two PRE-PREPAREs for one ordinal, each to one half of the group", Leader: true,
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			if _, ok := s.Msg.(*wire.PrePrepare); !ok {
				put(s)
				return
			}
			deceived := half(h.Group.Others(h.Self))
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
			other.To = s.To.Intersect(deceived)
			put(other)
			s.To = s.To.Minus(deceived)
			put(s)
		}),
	}
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

// withRows returns s with rows changed by f, if it is a message of this replica that has rows.
func withRows(s effect.Send, f func(wire.Rows)) effect.Send {
	switch m := s.Msg.(type) {
	case *wire.SummaryMatrix:
		other := *m
		other.Rows = append(wire.Rows(nil), m.Rows...)
		f(other.Rows)
		s.Msg = &other
	case *wire.PrePrepare:
		other := *m
		other.Rows = append(wire.Rows(nil), m.Rows...)
		f(other.Rows)
		s.Msg = &other
	}
	return s
}
