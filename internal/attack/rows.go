package attack

import (
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/core/order"
	"github.com/primebft/prime/internal/wire"
)

// omitRows leaves rows out of its matrices, so that what they cover is not ordered.
func omitRows() Behaviour {
	return Behaviour{
		Name: "omit-rows", Does: "leaves rows out of its SUMMARY-MATRIXes and, as leader, its PRE-PREPAREs",
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			line := make(wire.Vector, h.Group.N())
			return &editor{host: h, Machine: inner, rewrite: func(h *Host, s effect.Send, put func(effect.Send)) {
				put(rebased(h, line, withRows(s, func(rows wire.Rows) {
					for range 1 + h.Rand.IntN(len(rows)) {
						rows[h.Rand.IntN(len(rows))] = nil
					}
				})))
			}}
		},
	}
}

// staleRows puts old summaries into its matrices.
func staleRows() Behaviour {
	return Behaviour{
		Name: "stale-rows", Does: "puts old PO-SUMMARYs into its SUMMARY-MATRIXes and, as leader, its PRE-PREPAREs",
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			line, old := make(wire.Vector, h.Group.N()), make([]wire.Rows, h.Group.N())
			return &editor{host: h, Machine: inner, rewrite: func(h *Host, s effect.Send, put func(effect.Send)) {
				put(rebased(h, line, withRows(s, func(rows wire.Rows) {
					for i, row := range rows {
						if row != nil && len(old[i]) < memory {
							old[i] = append(old[i], row)
						}
						if len(old[i]) > 0 && h.Rand.IntN(2) == 0 {
							rows[i] = old[i][h.Rand.IntN(len(old[i]))]
						}
					}
				})))
			}}
		},
	}
}

// rebased gives a proposal the base that follows from the proposals before it, all of which passed through here. line is what
// they made eligible. So the changed proposals are valid, and others have to live with them.
func rebased(h *Host, line wire.Vector, s effect.Send) effect.Send {
	m, ok := s.Msg.(*wire.PrePrepare)
	if !ok {
		return s
	}
	m.Base = append(wire.Vector(nil), line...)
	eligible := make(wire.Vector, len(line))
	order.Eligible(h.Group, m.Rows, eligible)
	for i := range line {
		if line[i].Less(eligible[i]) {
			line[i] = eligible[i]
		}
	}
	return s
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
