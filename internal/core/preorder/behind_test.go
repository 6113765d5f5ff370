package preorder

import (
	"testing"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// TestBehind: who lacks what f origins can hide is not behind, however much that is, nor is who is a little late in all lanes. Who does
// not follow more lanes than that is, and who never said anything.
func TestBehind(t *testing.T) {
	t.Parallel()
	s := holder(0, 0)
	row := func(from group.ID, seqs ...uint64) {
		v := make(wire.Vector, 4)
		for i, seq := range seqs {
			v[i] = wire.Position{Incarnation: 1, Seq: seq}
		}
		s.rows[from.Index()] = say(from, &wire.Summary{Number: 1, Vector: v})
	}
	for i := range s.lanes {
		s.lanes[i].preordered = 1000
	}
	row(1, 1000, 1000, 1000, 1000)
	row(2, 0, 1000, 1000-far, 1000-far) // r1 hides from it
	row(3, 1000-far, 1000-far, 1000-far, 1000-far)
	row(4, 999-far, 999-far, 1000, 1000)
	if got := s.Behind(); got != group.SetOf(4) {
		t.Errorf("%s are behind, want r4", got)
	}
	s.rows[2] = nil
	if got := s.Behind(); got != group.SetOf(3, 4) {
		t.Errorf("%s are behind, want r3 and r4", got)
	}
	if got := holder(2, 10).Behind(); got != 0 {
		t.Errorf("%s are behind before there is anything", got)
	}
}
