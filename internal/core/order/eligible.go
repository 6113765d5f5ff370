package order

import (
	"cmp"
	"slices"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// Eligible is, per origin, up to where at least a quorum of rows has preordered the origin's lane in one and the same
// incarnation; the zero Position where there is no such quorum (TDSC 2011 section 5.2, M(T)). A missing row is before
// everything. into, of n entries, receives it.
func Eligible(g group.Group, rows wire.Rows, into wire.Vector) {
	var column [group.MaxReplicas]wire.Position
	for c := range into {
		filled := 0
		for _, row := range rows {
			if row != nil {
				column[filled] = row.Msg.(*wire.Summary).Vector[c]
				filled++
			}
		}
		into[c] = quorumEntry(column[:filled], g.Quorum())
	}
}

// quorumEntry is the quorum-th highest entry of the incarnation that at least a quorum of entries has. It sorts column.
func quorumEntry(column []wire.Position, quorum int) wire.Position {
	slices.SortFunc(column, func(a, b wire.Position) int {
		if c := cmp.Compare(b.Incarnation, a.Incarnation); c != 0 {
			return c
		}
		return cmp.Compare(b.Seq, a.Seq)
	})
	for first := 0; first+quorum <= len(column); {
		last := first + quorum - 1
		if column[first].Incarnation == column[last].Incarnation {
			return column[last]
		}
		next := first
		for next < len(column) && column[next].Incarnation == column[first].Incarnation {
			next++
		}
		first = next
	}
	return wire.Position{}
}

// Time is the ordered time that a matrix gives: the (f+1)-th highest clock of its rows, Unix nanoseconds, and at least
// previous. Of the f+1 highest clocks one is correct, so liars cannot push it into the future; it never falls.
func Time(g group.Group, rows wire.Rows, previous int64) int64 {
	var clocks [group.MaxReplicas]int64
	filled := 0
	for _, row := range rows {
		if row != nil {
			clocks[filled] = row.Msg.(*wire.Summary).Time
			filled++
		}
	}
	if filled < g.OneCorrect() {
		return previous
	}
	slices.Sort(clocks[:filled])
	return max(previous, clocks[filled-g.OneCorrect()])
}

// raise is the entry-by-entry maximum of two vectors, new.
func raise(a, b wire.Vector) wire.Vector {
	top := slices.Clone(a)
	for i := range b {
		if top[i].Less(b[i]) {
			top[i] = b[i]
		}
	}
	return top
}
