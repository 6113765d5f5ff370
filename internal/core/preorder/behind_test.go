package preorder

import (
	"testing"

	"github.com/primebft/prime/internal/core/effect"
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

// TestWithoutProof: a request that came together without its origin's proof is held, and not passed on before the proof is here, too. It
// proves nothing against an origin that sent another, and takes its place if a quorum acknowledged it.
func TestWithoutProof(t *testing.T) {
	t.Parallel()
	s := holder(0, 0)
	one := say(2, &wire.PreorderRequest{Seq: 1, Updates: []wire.Update{{Seq: 1}}})
	other := say(2, &wire.PreorderRequest{Seq: 1, Updates: []wire.Update{{Seq: 2}}})
	var out effect.Output
	s.OnRequest(0, wire.WithoutProof(one), &out)
	if held := s.lanes[1].held; held != 1 || len(asks(s, 1, 1)) != 0 {
		t.Fatalf("held to %d, or passed on", held)
	}
	if s.OnRequest(0, one, &out); len(asks(s, 2, 1)) != 1 {
		t.Error("it is not passed on with its proof")
	}
	s = holder(0, 0)
	s.OnRequest(0, other, &out)
	s.OnRequest(0, wire.WithoutProof(one), &out)
	if at := s.lanes[1].slots.At(1); at.request != other || len(out.Evidence) != 0 {
		t.Fatalf("%+v, %d proofs: it is not bound", at.request, len(out.Evidence))
	}
	at := s.lanes[1].slots.At(1)
	at.bound, at.digest = true, one.Digest
	if s.OnRequest(0, wire.WithoutProof(one), &out); at.request.Digest != one.Digest || s.lanes[1].preordered != 1 || len(out.Evidence) != 0 {
		t.Errorf("%+v, preordered to %d, %d proofs", at.request, s.lanes[1].preordered, len(out.Evidence))
	}
}
