package wire

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/primebft/prime/internal/group"
)

// TestEveryPathLeadsToTheRoot, for every size of group and every place in it, and no changed part has the same root.
func TestEveryPathLeadsToTheRoot(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	for n := 1; n <= 64; n++ {
		parts := make([][]byte, n)
		for i := range parts {
			parts[i] = make([]byte, 1+n%3)
			for k := range parts[i] {
				parts[i][k] = byte(rng.Uint32())
			}
		}
		var first Digest
		for i := range parts {
			root, path := PartTree(parts, 100, i)
			if first == (Digest{}) {
				first = root
			}
			if root != first || PartRoot(i, 100, parts[i], path) != root || len(path) != partPathLen(n) {
				t.Fatalf("n=%d: part %d with a path of %d has root %s, the tree %s", n, i, len(path), PartRoot(i, 100, parts[i], path), first)
			}
			other := slices.Clone(parts[i])
			other[0]++
			if PartRoot(i, 100, other, path) == root || PartRoot(i, 101, parts[i], path) == root || PartRoot(i+1, 100, parts[i], path) == root {
				t.Fatalf("n=%d: another part, length or place than that of %d has the same root", n, i)
			}
		}
	}
}

// Where parts are not expected, none is accepted, and none that cannot be of a request.
func TestRefusesParts(t *testing.T) {
	t.Parallel()
	s, l := &sampler{n: 4}, limitsFor(4)
	_, good := s.partOf(700)
	with := func(f func(m *Part)) []byte {
		m := *good
		m.Path, m.Bytes = slices.Clone(good.Path), slices.Clone(good.Bytes)
		f(&m)
		return s.seal(2, 1, &Parts{[]Part{m}}).Raw
	}
	most := uint32(l.MaxFrame(KindPreorderRequest) - batchSize + headerSize)
	refuseAll(t, l, []refusal{
		{"part of nothing", with(func(m *Part) { m.Length = headerSize - 1 }), "length of the request"},
		{"part of too much", with(func(m *Part) { m.Length = most + 1 }), "length of the request"},
		{"part too short", with(func(m *Part) { m.Bytes = m.Bytes[1:] }), Truncated},
		{"part too long", with(func(m *Part) { m.Bytes = append(m.Bytes, 0) }), Trailing},
		{"path too long", with(func(m *Part) { m.Path = append(m.Path, Digest{}) }), Trailing},
		{"proof of no batch", with(func(m *Part) { m.Origin.Count = 0 }), "place in the batch"},
		{"request 0", with(func(m *Part) { m.ID.Seq = 0 }), "sequence number 0"},
		{"of nobody", with(func(m *Part) { m.ID.Origin = 5 }), "origin is not a member"},
	})
	several := func(list ...*Part) []byte {
		m := &Parts{}
		for _, p := range list {
			m.List = append(m.List, *p)
		}
		return s.seal(2, 1, m).Raw
	}
	at := func(origin group.ID, seq uint64) *Part {
		m := *good
		m.ID.Origin, m.ID.Seq = origin, seq
		return &m
	}
	many := slices.Repeat([]*Part{at(1, 1)}, MaxParts+1)
	refuseAll(t, l, []refusal{
		{"nothing", several(), "number of parts"},
		{"too many", several(many...), "number of parts"},
		{"one twice", several(at(1, 1), at(1, 1)), "requests do not ascend"},
		{"numbers fall", several(at(1, 2), at(1, 1)), "requests do not ascend"},
		{"origins fall", several(at(2, 1), at(1, 2)), "requests do not ascend"},
		{"too much together", several(slices.Collect(func(yield func(*Part) bool) {
			for i := range uint64(40) {
				yield(at(1, i+1))
			}
		})...), "more bytes of parts than go together"},
	})
	if _, err := l.Decode(several(at(1, 7), at(1, 9), at(4, 1))); err != nil {
		t.Errorf("three parts: %v", err)
	}
	l.Enough = 0
	refuseAll(t, l, []refusal{{"not expected", with(func(*Part) {}), "length of the request"}})
}

// What holds a part and its request says what each is for.
func TestRestoredRequestIsTheRequest(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	request, part := s.partOf(500)
	if got := part.Restore(request.Content); !slices.Equal(got, request.Raw) {
		t.Errorf("restored %d bytes, the request has %d", len(got), len(request.Raw))
	}
	other, _ := s.partOf(500)
	if part.Names(other) || !part.Names(request) {
		t.Error("the part names another request")
	}
}
