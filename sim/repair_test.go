package sim

import (
	"strings"
	"testing"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
)

// besieged is the world of a seed in which f replicas do what is said and nothing else, and requests are sent in parts or not.
func besieged(seed uint64, inParts bool, attacks ...string) *plan {
	p := draw(seed)
	free := p.group.F()
	for i := range p.replicas {
		r := &p.replicas[i]
		if r.attacks = nil; r.crash == clock.Never && free > 0 && group.FromIndex(i) != p.group.Leader(1) {
			r.attacks = attacks
			free--
		}
	}
	p.limits.Recon = inParts
	if p.judged {
		p.setLimits()
	}
	return p
}

// TestReconciliationHoldsTheBound: what a faulty origin shows to some only delays nobody, as it comes in parts, whatever faulty
// replicas do with their parts.
func TestReconciliationHoldsTheBound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		attacks []string
		joined  int // requests that come together, at least
	}{
		{[]string{"hide"}, 60},
		{[]string{"equivocate"}, 10},
		{[]string{"hide", "wrong-parts"}, 20},
		{[]string{"hide", "flood-parts"}, 30},
		{[]string{"hide", "frame-parts"}, 10},
		{[]string{"needy"}, 0},
	} {
		t.Run(strings.Join(c.attacks, "+"), func(t *testing.T) {
			t.Parallel()
			var sum Repair
			held := 0
			for seed := uint64(1); seed <= 16; seed++ {
				p := besieged(seed, true, c.attacks...)
				if p.group.F() == 0 {
					continue
				}
				r := run(&Options{Seed: seed}, p, newReplica)
				if r.Violation != nil {
					t.Errorf("seed %d, %s: %v: %s", seed, r.World, r.Violation.At, r.Violation.What)
				}
				held += r.Held
				sum.Add(r.Repair)
			}
			if held < 200 || sum.Joined < c.joined {
				t.Errorf("%d updates were held to the bound, %d requests came together: the worlds show nothing", held, sum.Joined)
			}
			t.Logf("%d updates held to the bound; %+v", held, sum)
		})
	}
}
