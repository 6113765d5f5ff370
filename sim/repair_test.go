package sim

import (
	"slices"
	"strings"
	"testing"
	"time"

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

// TestReconciliationAttack: origins that hide their requests from f others and acknowledge only each other's, in league with a
// leader that delays all it can, cost less than a third of what links can carry (the paper: about half), and repair takes no more
// bytes than the paper's analysis allows.
func TestReconciliationAttack(t *testing.T) {
	if testing.Short() {
		t.Skip("two experiments of some seconds each")
	}
	t.Parallel()
	measure := func(clients int, attacked bool) Measurement {
		e := PaperExperiment(7, clients)
		e.Attack, e.Hide, e.WarmUp, e.Measure = attacked, attacked, 4*time.Second, 4*time.Second
		m, err := e.Run()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	free, attacked := measure(1000, false), measure(1200, true)
	if attacked.ThroughputPerS < 0.7*free.ThroughputPerS || attacked.Views != 1 {
		t.Errorf("%.0f updates/s under attack, in view %d; %.0f without", attacked.ThroughputPerS, attacked.Views, free.ThroughputPerS)
	}
	t.Logf("%.0f updates/s, %.0f under attack; bytes for each update by replica: %.0f", free.ThroughputPerS, attacked.ThroughputPerS, attacked.RepairBytes)
	if free.BytesByKind["RECON"] > 1 {
		t.Errorf("%.0f bytes of parts for each update where nobody lacks anything", free.BytesByKind["RECON"])
	}
	// Each of Q replicas sends its part of a hidden request to at most f: 1/(f+1) of it, and what is around it.
	g := group.MustNew(2, 0)
	request := attacked.BytesByKind["PO-REQUEST"] / float64(g.N()-1) // of an update that everybody gets
	if most := 1.5 * request * float64(g.F()) / float64(g.OneCorrect()); slices.Max(attacked.RepairBytes) > most {
		t.Errorf("a replica spends %.0f bytes on repair for each update, and may spend %.0f", slices.Max(attacked.RepairBytes), most)
	}
}
