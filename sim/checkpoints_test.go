package sim

import (
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
)

// checkpointPlan is a world in which r4 of n = 4 + … is away for most of the storm and everybody forgets soon.
func checkpointPlan(f, k int, attacks ...string) *plan {
	p := quietPlan(f, k)
	p.limits.History, p.limits.CheckpointOrdinals = 1, 2
	p.limits.Recon = true
	p.net.cuts = []cut{{from: p.stormEnd / 10, until: p.stormEnd - clock.Instant(20*time.Millisecond), side: group.SetOf(4)}}
	p.replicas[2].attacks = attacks
	return p
}

// TestCheckpointsWithLiars: a replica that was away until nobody knew what it missed goes on from a checkpoint, and everything that is
// demanded of a world holds, whatever r3 does to checkpoints. With one more replica there is a quorum without both.
func TestCheckpointsWithLiars(t *testing.T) {
	notUnderRace(t)
	t.Parallel()
	for _, attacks := range [][]string{nil, {"wrong-checkpoints"}, {"two-checkpoints"}, {"no-checkpoints"}, {"flood-checkpoints"},
		{"forged-proofs"}, {"no-checkpoints", "forged-proofs"}} {
		transfers := 0
		for seed := uint64(1); seed <= 3; seed++ {
			r := run(&Options{Seed: seed}, checkpointPlan(1, 1, attacks...), newReplica)
			if r.Violation != nil {
				t.Fatalf("%v, seed %d: %s", attacks, seed, r.Violation.What)
			}
			if !r.Converged && attacks == nil {
				t.Errorf("seed %d: convergence was not demanded", seed)
			}
			if r.Checkpoints == 0 || r.Stable == 0 {
				t.Errorf("%v, seed %d: %d checkpoints, the last that is stable is %d", attacks, seed, r.Checkpoints, r.Stable)
			}
			transfers += r.Transfers
		}
		if transfers == 0 {
			t.Errorf("%v: nobody needed a checkpoint", attacks)
		}
	}
}

// TestCheckpointsWithoutAQuorumOfVotes: n = 4, and the liar orders with the two that are there, but votes for no checkpoint. None is
// stable while r4 is away; the votes of two, one of which is correct, bring it back.
func TestCheckpointsWithoutAQuorumOfVotes(t *testing.T) {
	t.Parallel()
	transfers := 0
	for seed := uint64(1); seed <= 3; seed++ {
		p := checkpointPlan(1, 0, "no-checkpoints")
		p.limits.OrdinalWindow = 1 // what is kept in any case, because nobody else may have executed it, is less than what r4 misses
		r := run(&Options{Seed: seed}, p, newReplica)
		if r.Violation != nil {
			t.Fatalf("seed %d: %s", seed, r.Violation.What)
		}
		transfers += r.Transfers
	}
	if transfers == 0 {
		t.Error("nobody needed a checkpoint")
	}
}
