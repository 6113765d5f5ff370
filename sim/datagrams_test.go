package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/transport/emulate/wan"
)

// lossyWorld is a world of leaders that are judged as replicas of --preset wan judge them, with updates for so many seconds, over
// links that lose some of all packets.
func lossyWorld(t *testing.T, seed uint64, f int, delay time.Duration, loss wan.Loss, seconds int) *world {
	t.Helper()
	profile := &wan.Profile{Name: "lossy", Link: wan.Link{Delay: delay, Loss: loss}, Uplink: wan.Rate{Bits: 50e6, Queue: time.Second}}
	p := quietPlan(f, 0)
	p.stormEnd = clock.Instant(time.Duration(seconds) * time.Second)
	c, rng := client{id: clientID(1), next: uint64(calendar / 1000)}, rand.New(rand.NewPCG(seed, 9))
	p.work = workPlan{}
	for range 20 * seconds {
		s := submission{at: moment(rng, p.stormEnd), to: group.FromIndex(rng.IntN(p.group.N()))}
		s.updates = append(s.updates, c.update(rng, 200))
		p.work.submissions = append(p.work.submissions, s)
	}
	p.emulate(profile)
	p.judged = true
	s := config.WAN().Suspect
	for i := range p.replicas {
		p.replicas[i].timing.Suspect = core.Suspect{KLat: int(s.KLat * 1000), Delta: s.Delta, Floor: s.Floor, Ping: s.Ping, Check: s.Check,
			Window: s.Window, MaxStall: s.MaxStall}
	}
	w, err := newWorld(&Options{Seed: seed, WAN: profile}, p, newReplica)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestLossReplacesNobody: over links that lose 1 % of all packets, by themselves or two at a time, nobody replaces a correct
// leader, and everything executes.
func TestLossReplacesNobody(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{25 * time.Millisecond, 50 * time.Millisecond} {
		for i, loss := range []wan.Loss{wan.Bernoulli(0.01), wan.Bursts(0.01, 2)} {
			for f := 1; f <= 2-i; f++ {
				t.Run(fmt.Sprintf("%v loss %d f=%d", delay, i, f), func(t *testing.T) {
					t.Parallel()
					w := lossyWorld(t, uint64(10*i+f), f, delay, loss, 20)
					w.run()
					r := w.report()
					sum := w.links.traffic()
					t.Logf("view %d, slowest %v, %s", r.Views, r.Slowest, sum)
					if r.Violation != nil || !r.Converged {
						t.Fatalf("%+v, converged %v", r.Violation, r.Converged)
					}
					if r.Views != 1 {
						t.Errorf("the leader was replaced: view %d", r.Views)
					}
					if sum.lost < 100 || sum.repaired == 0 || sum.copies == 0 {
						t.Errorf("the links lost nothing worth speaking of: %s", sum)
					}
					if part := float64(sum.expired) / float64(sum.sent); part > 1e-4 {
						t.Errorf("%.5f of all messages were given up", part)
					}
				})
			}
		}
	}
}
