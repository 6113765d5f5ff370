package sim

import (
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/threshold/bls"
)

// deadLeaderPlan is a world of six whose first leader stops, and in which the given replica forges shares; 0: none does.
func deadLeaderPlan(forger int, thresholds bool) *plan {
	p := quietPlan(1, 1)
	p.roundTrip, p.threshold = true, thresholds
	p.replicas[0].crash = clock.Instant(200 * time.Millisecond)
	if forger > 0 {
		p.replicas[forger-1].attacks = []string{"forged-shares"}
	}
	return p
}

// TestThresholdProofs: a dead leader is replaced where proofs are threshold signatures as where they are lists, whoever forges
// shares, the next leader or another; and BLS changes nothing but the bytes.
func TestThresholdProofs(t *testing.T) {
	t.Parallel()
	for _, forger := range []int{0, 2, 4} {
		for _, thresholds := range []bool{false, true} {
			fake := run(&Options{Seed: 1}, deadLeaderPlan(forger, thresholds), newReplica)
			if fake.Violation != nil || !fake.Converged || fake.Views < 2 || (forger > 0) != (fake.Forged > 0) {
				t.Errorf("forger r%d, thresholds %v: %+v", forger, thresholds, fake)
			}
			if strings.Contains(fake.World, "threshold proofs") != thresholds {
				t.Errorf("thresholds %v: %s", thresholds, fake.World)
			}
			if !thresholds || underRace {
				continue
			}
			real := run(&Options{Seed: 1, RealSignatures: true, Threshold: bls.Groups}, deadLeaderPlan(forger, true), newReplica)
			again := run(&Options{Seed: 1, RealSignatures: true, Threshold: bls.Groups}, deadLeaderPlan(forger, true), newReplica)
			if real.Hash != again.Hash {
				t.Errorf("forger r%d: one seed makes two worlds with BLS", forger)
			}
			if real.Hash == fake.Hash {
				t.Errorf("forger r%d: BLS makes the same bytes as checksums", forger)
			}
			real.Hash = fake.Hash
			if real != fake {
				t.Errorf("forger r%d: with BLS\n%+v, with checksums\n%+v", forger, real, fake)
			}
		}
	}
}

// TestThresholdIsDrawnApart: which worlds have threshold proofs changes nothing else that is drawn.
func TestThresholdIsDrawnApart(t *testing.T) {
	t.Parallel()
	with, forging := 0, 0
	for seed := range uint64(400) {
		p := draw(seed)
		if p.threshold {
			with++
		}
		for i := range p.replicas {
			if n := len(p.replicas[i].attacks); n > 0 && p.replicas[i].attacks[n-1] == "forged-shares" {
				forging++
				if !p.threshold || n < 2 {
					t.Errorf("seed %d: r%d forges shares: %v", seed, i+1, p.replicas[i].attacks)
				}
			}
		}
	}
	if with < 60 || with > 140 || forging < 10 {
		t.Errorf("of 400 worlds, %d have threshold proofs, and in %d shares are forged", with, forging)
	}
}
