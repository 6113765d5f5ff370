package lab

import (
	"reflect"
	"testing"
	"time"

	"github.com/primebft/prime/internal/group"
)

// TestSoakRounds: a seed fixes the rounds; each undoes all that it does, and most leave a quorum.
func TestSoakRounds(t *testing.T) {
	t.Parallel()
	for _, g := range []group.Group{group.MustNew(1, 0), group.MustNew(1, 1), group.MustNew(2, 0)} {
		a, b := NewSoak(g, 7), NewSoak(g, 7)
		total, kinds := 0, map[Verb]int{}
		for range 1000 {
			r := a.Next()
			if !reflect.DeepEqual(r, b.Next()) {
				t.Fatal("one seed, two soaks")
			}
			if r.Total {
				total++
			}
			checkRound(t, g, &r)
			for i := range r.Events {
				kinds[r.Events[i].Verb]++
			}
		}
		if total < 100 || total > 200 {
			t.Errorf("%s: nothing can be ordered in %d rounds of 1000", g, total)
		}
		for _, v := range []Verb{Kill, Restart, Pause, Resume, Partition, Heal} {
			if kinds[v] < 50 {
				t.Errorf("%s: only %d times %s", g, kinds[v], v)
			}
		}
	}
}

// checkRound plays a round.
func checkRound(t *testing.T, g group.Group, r *Round) {
	t.Helper()
	away := map[int]Verb{}
	last := time.Duration(0)
	for i := range r.Events {
		e := &r.Events[i]
		if e.At < last || e.At > 10*time.Second {
			t.Errorf("%s: an event at %s after one at %s", r.What, e.At, last)
		}
		last = e.At
		ids := e.Who.Resolve(Moment{Replicas: g.N()})
		if e.Verb == Partition {
			ids = e.Groups[0].Resolve(Moment{Replicas: g.N()})
		}
		for _, id := range ids {
			switch {
			case e.Verb == Restart && away[id] == Pause, e.Verb == Resume && away[id] != Pause:
				t.Errorf("%s: %s of r%d, which is away by %s", r.What, e.Verb, id, away[id])
			case e.Verb == Restart, e.Verb == Resume:
				delete(away, id)
			default:
				away[id] = e.Verb
			}
		}
		if e.Verb == Heal {
			clear(away)
		}
		if most := g.F() + g.K(); !r.Total && len(away) > most {
			t.Errorf("%s: %d are away, %d may be", r.What, len(away), most)
		}
	}
	if len(away) > 0 {
		t.Errorf("%s: left away: %v", r.What, away)
	}
}
