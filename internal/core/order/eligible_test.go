package order

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

func drawGroup(t *rapid.T) group.Group {
	return group.MustNew(rapid.IntRange(0, 3).Draw(t, "f"), rapid.IntRange(0, 2).Draw(t, "k"))
}

func drawRows(t *rapid.T, g group.Group) wire.Rows {
	rows := make(wire.Rows, g.N())
	for i := range rows {
		if rapid.IntRange(0, 4).Draw(t, "missing") == 0 {
			continue
		}
		m := &wire.Summary{Number: 1, Time: rapid.Int64Range(0, 50).Draw(t, "time"), Vector: make(wire.Vector, g.N())}
		for c := range m.Vector {
			if seq := rapid.Uint64Range(0, 6).Draw(t, "seq"); seq > 0 {
				m.Vector[c] = wire.Position{Incarnation: rapid.Uint32Range(1, 2).Draw(t, "incarnation"), Seq: seq}
			}
		}
		rows[i] = &wire.Envelope{Header: wire.Header{Kind: wire.KindSummary, Sender: group.FromIndex(i)}, Msg: m}
	}
	return rows
}

// TestSection52EligibleIsTheSetM compares Eligible with the definition in section 5.2: an identifier is in M(T) if at least a
// quorum of rows of its incarnation reach it.
func TestSection52EligibleIsTheSetM(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g := drawGroup(t)
		rows := drawRows(t, g)
		got := make(wire.Vector, g.N())
		Eligible(g, rows, got)
		for c := range got {
			for incarnation := uint32(1); incarnation <= 2; incarnation++ {
				for seq := uint64(1); seq <= 7; seq++ {
					reach := 0
					for _, row := range rows {
						if row == nil {
							continue
						}
						if p := row.Msg.(*wire.Summary).Vector[c]; p.Incarnation == incarnation && p.Seq >= seq {
							reach++
						}
					}
					member := got[c].Incarnation == incarnation && got[c].Seq >= seq
					if member != (reach >= g.Quorum()) {
						t.Fatalf("%s column %d: (%d,%d) reached by %d rows of %d needed, eligible up to %v",
							g, c, incarnation, seq, reach, g.Quorum(), got[c])
					}
				}
			}
		}
	})
}

// TestWorkedExample is protocol example 12.1: f=1, k=1, rows 7 5 9 5 0 8 make 5 eligible.
func TestWorkedExample(t *testing.T) {
	t.Parallel()
	g := group.MustNew(1, 1)
	at := func(incarnation uint32, seqs ...uint64) (column []wire.Position) {
		for _, seq := range seqs {
			column = append(column, wire.Position{Incarnation: incarnation, Seq: seq})
		}
		return column
	}
	for _, c := range []struct {
		name string
		rows []wire.Position
		want wire.Position
	}{
		{"one incarnation", append(at(1, 7, 5, 9, 5, 8), wire.Position{}), wire.Position{Incarnation: 1, Seq: 5}},
		{"four of the newer", append(at(1, 9, 9), at(2, 1, 1, 2, 1)...), wire.Position{Incarnation: 2, Seq: 1}},
		{"three and three", append(at(1, 9, 9, 9), at(2, 1, 2, 1)...), wire.Position{}},
	} {
		if got := quorumEntry(c.rows, g.Quorum()); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestTimeCannotBePushedByLiars: whatever f rows say, the ordered time is at most the highest correct clock (or what it was
// before), and never falls.
func TestTimeCannotBePushedByLiars(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g := drawGroup(t)
		rows := drawRows(t, g)
		highest := int64(0)
		for i, row := range rows {
			switch {
			case row == nil:
			case i < g.F():
				row.Msg.(*wire.Summary).Time = rapid.Int64().Draw(t, "lie")
			default:
				highest = max(highest, row.Msg.(*wire.Summary).Time)
			}
		}
		previous := rapid.Int64Range(0, 60).Draw(t, "previous")
		if got := Time(g, rows, previous); got < previous || got > max(previous, highest) {
			t.Fatalf("%s: time %d, previous %d, highest correct clock %d", g, got, previous, highest)
		}
	})
}
