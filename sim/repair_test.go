package sim

import (
	"fmt"
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
	notUnderRace(t)
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

// TestReconciliationAttack: at the plateau and beyond, where links are full, replicas that hide their requests from f others, acknowledge
// only each other's and help nobody cost less than three tenths of what is ordered without them (the paper: about half), alone and in
// league with a leader that delays all it can; so do those who pretend to lack everything, and those who flood parts. At every load hiding
// costs at most a tenth of what the leader's delay alone leaves, and with twice as many clients as fill the links it costs as little.
func TestReconciliationAttack(t *testing.T) {
	t.Parallel()
	if testing.Short() || underRace {
		t.Skip("some twenty experiments of a second each")
	}
	for _, c := range []struct {
		replicas, clients int
		faults            []string
		delay             bool
		least             float64 // of what is ordered without
	}{
		{7, 450, []string{"reconciliation"}, false, 0.85}, {7, 450, []string{"reconciliation"}, true, 0.6},
		{7, 1200, []string{"reconciliation"}, true, 0.8}, {7, 1200, []string{"reconciliation"}, false, 0.7},
		{7, 1800, []string{"reconciliation"}, true, 0.85}, {7, 2400, []string{"reconciliation"}, true, 0.85},
		{7, 2400, []string{"reconciliation"}, false, 0.85},
		{7, 1200, []string{"needy"}, true, 0.7}, {7, 2400, []string{"needy"}, true, 0.7},
		{7, 1800, []string{"flood-parts"}, true, 0.7},
		{4, 600, []string{"reconciliation"}, true, 0.6}, {4, 1800, []string{"reconciliation"}, true, 0.7}, {4, 1800, []string{"needy"}, true, 0.7},
	} {
		t.Run(fmt.Sprintf("n=%d/%d/%v/%v", c.replicas, c.clients, c.faults, c.delay), func(t *testing.T) {
			t.Parallel()
			e := PaperExperiment(c.replicas, c.clients)
			e.WarmUp, e.Measure = 4*time.Second, 6*time.Second
			free := measured(t, e)
			delayed := free
			if e.Attack = c.delay; e.Attack {
				delayed = measured(t, e)
			}
			e.Faults = c.faults
			m := measured(t, e)
			if c.faults[0] == "reconciliation" && m.ThroughputPerS < 0.9*delayed.ThroughputPerS {
				t.Errorf("%.0f updates/s under attack, %.0f under the delay attack alone", m.ThroughputPerS, delayed.ThroughputPerS)
			}
			if m.ThroughputPerS < c.least*free.ThroughputPerS {
				t.Errorf("%.0f updates/s under attack, %.0f without", m.ThroughputPerS, free.ThroughputPerS)
			}
			if free.BytesByKind["RECON"] > 1 {
				t.Errorf("%.0f bytes of parts for each update where nobody lacks anything", free.BytesByKind["RECON"])
			}
			t.Logf("%.0f updates/s, %.0f with the leader's part of the attack, %.0f with all of it; bytes for each update by replica: %.0f",
				free.ThroughputPerS, delayed.ThroughputPerS, m.ThroughputPerS, m.RepairBytes)
		})
	}
}

// TestReconciliationAttackAtOneSite: where processors are the limit, both attacks together cost less than a tenth, and where nobody hides
// anything hardly a part is sent. With fewer clients the leader's delay decides, and hiding costs less than a tenth of what that leaves.
func TestReconciliationAttackAtOneSite(t *testing.T) {
	t.Parallel()
	if testing.Short() || underRace {
		t.Skip("four experiments of ten seconds each")
	}
	// A single trajectory is some per cent better or worse by chance, so the mean counts.
	for replicas, clients := range map[int][]int{4: {30_000}, 7: {18_000, 20_000, 22_000}} {
		t.Run(fmt.Sprint(replicas), func(t *testing.T) {
			t.Parallel()
			var without, with float64
			for _, n := range clients {
				e := LANExperiment(replicas, n)
				e.Measure = 2 * time.Second
				free := measured(t, e)
				e.Attack, e.Faults = true, []string{"reconciliation"}
				m := measured(t, e)
				without, with = without+free.ThroughputPerS, with+m.ThroughputPerS
				t.Logf("%d clients: %.0f updates/s, %.0f under attack, processors %.2f and %.2f; parts take %.0f of %.0f bytes an update without", n,
					free.ThroughputPerS, m.ThroughputPerS, slices.Max(free.Processor), slices.Max(m.Processor), free.BytesByKind["RECON"], free.BytesPerUpdate)
				if slices.Max(free.Processor) < 0.95 || m.Views != 1 {
					t.Errorf("%d clients: processors %.2f busy, view %d", n, free.Processor, m.Views)
				}
				if free.BytesByKind["RECON"] > 0.02*free.BytesPerUpdate {
					t.Errorf("%.0f bytes of parts for each update where nobody lacks anything", free.BytesByKind["RECON"])
				}
			}
			if with < 0.9*without {
				t.Errorf("%.3f of the updates under attack", with/without)
			}
		})
	}
}

// TestHidingAtOneSite: see TestReconciliationAttackAtOneSite.
func TestHidingAtOneSite(t *testing.T) {
	t.Parallel()
	if testing.Short() || underRace {
		t.Skip("four experiments of some seconds each")
	}
	for _, replicas := range []int{4, 7} {
		e := LANExperiment(replicas, 2400)
		e.Attack, e.Measure = true, time.Second
		delayed := measured(t, e)
		e.Faults = []string{"reconciliation"}
		if m := measured(t, e); m.ThroughputPerS < 0.9*delayed.ThroughputPerS {
			t.Errorf("n=%d: %.0f updates/s under both attacks, %.0f under the delay attack alone", replicas, m.ThroughputPerS, delayed.ThroughputPerS)
		}
	}
}

// TestRepairBytes: under the reconciliation attack, repair takes less than the paper's analysis says, with all that is around parts; what it takes of
// the busiest replica is hardly more than its part of each hidden request to f others, 1/(f+1) of it each.
func TestRepairBytes(t *testing.T) {
	t.Parallel()
	for _, replicas := range []int{4, 7} {
		e := PaperExperiment(replicas, 1200)
		e.Attack, e.Faults, e.WarmUp, e.Measure = true, []string{"reconciliation"}, 4*time.Second, 4*time.Second
		m, g := measured(t, e), group.MustNew((replicas-1)/3, 0)
		busiest := m.RepairAnalysis * float64(g.N()) / float64(g.Quorum()) // each of the senders of the analysis
		t.Logf("n=%d: %.0f bytes for each update and replica, the busiest %.0f; the analysis says %.0f and %.0f", replicas, m.RepairMean,
			slices.Max(m.RepairBytes), m.RepairAnalysis, busiest)
		if m.RepairMean >= m.RepairAnalysis || m.RepairMean < m.RepairAnalysis/4 || slices.Max(m.RepairBytes) > 1.25*busiest {
			t.Error("that is too much, or nothing")
		}
	}
}
