package sim

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestLongAbsences: whoever was away for long is back in time, in worlds of all kinds, and whatever f helpers do.
func TestLongAbsences(t *testing.T) {
	notUnderRace(t)
	t.Parallel()
	back, caught := 0, 0
	closest := 0.0
	for seed := uint64(1); seed <= 24; seed++ {
		p := draw(seed)
		if p.quiet || p.group.F()+p.group.K() == 0 {
			continue
		}
		if p.absence.who == 0 {
			p.depart(rand.New(rand.NewPCG(seed, 6)), 2*time.Second, 0)
			for i := range p.replicas {
				if r := &p.replicas[i]; len(r.attacks) > 0 {
					r.attacks = helpers[seed%uint64(len(helpers)):][:1]
				}
			}
		}
		if p.judged {
			p.setLimits()
		}
		r := run(&Options{Seed: seed}, p, newReplica)
		if r.Violation != nil {
			t.Errorf("seed %d, %s: %v: %s", seed, r.World, r.Violation.At, r.Violation.What)
		}
		if r.Back > 0 {
			back++
			caught += r.CaughtUp
			closest = max(closest, float64(r.Back)/float64(r.BackMost))
			t.Logf("seed %d, %s: away %v, back after %v of %v, %d caught up", seed, r.World, r.Away, r.Back, r.BackMost, r.CaughtUp)
		}
	}
	if back < 15 || caught < 300 {
		t.Errorf("%d came back, and executed %d ordinals from what others told: the worlds show nothing", back, caught)
	}
	t.Logf("%d came back, the closest took %.0f %% of what it may", back, 100*closest)
}
