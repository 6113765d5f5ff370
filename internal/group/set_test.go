package group

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// twin is a Set written the obvious way.
type twin map[ID]bool

func (t twin) sorted() []ID { return slices.Sorted(maps.Keys(t)) }

func (t twin) filter(other twin, in bool) twin {
	out := twin{}
	for id := range t {
		if other[id] == in {
			out[id] = true
		}
	}
	return out
}

// Any sequence of operations gives what a map gives, with nobody (0) and ids that no group has left out.
func TestSetAgainstMap(t *testing.T) {
	t.Parallel()
	ids := rapid.SliceOf(rapid.Uint8Range(0, MaxReplicas+3))
	rapid.Check(t, func(t *rapid.T) {
		s, m := Set(0), twin{}
		u, v := Set(0), twin{}
		for _, id := range ids.Draw(t, "with") {
			s = s.With(ID(id))
			if id >= 1 && id <= MaxReplicas {
				m[ID(id)] = true
			}
		}
		for _, id := range ids.Draw(t, "without") {
			s = s.Without(ID(id))
			delete(m, ID(id))
		}
		for _, id := range ids.Draw(t, "other") {
			u = u.With(ID(id))
			if id >= 1 && id <= MaxReplicas {
				v[ID(id)] = true
			}
		}
		union := maps.Clone(m)
		maps.Copy(union, v)
		for _, c := range []struct {
			what string
			got  Set
			want twin
		}{
			{"the set", s, m}, {"Union", s.Union(u), union},
			{"Minus", s.Minus(u), m.filter(v, false)}, {"Intersect", s.Intersect(u), m.filter(v, true)},
			{"SetOf", SetOf(m.sorted()...), m},
		} {
			if got := slices.Collect(c.got.All()); !slices.Equal(got, c.want.sorted()) || c.got.Len() != len(c.want) {
				t.Fatalf("%s is %v (%d), want %v", c.what, got, c.got.Len(), c.want.sorted())
			}
			for i := 0; i <= 255; i++ {
				if c.got.Has(ID(i)) != c.want[ID(i)] {
					t.Fatalf("%s: Has(%d) = %v", c.what, i, c.got.Has(ID(i)))
				}
			}
		}
	})
}

func TestSetIterationStops(t *testing.T) {
	t.Parallel()
	var got []ID
	for id := range SetOf(2, 5, 9).All() {
		if got = append(got, id); id == 5 {
			break
		}
	}
	if !slices.Equal(got, []ID{2, 5}) {
		t.Errorf("saw %v", got)
	}
}
