package prime_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/primebft/prime"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/threshold/bls"
)

// TestThreshold: a program that embeds a replica of a cluster with threshold signatures has to name the scheme; then the cluster
// replaces a leader that stops.
func TestThreshold(t *testing.T) {
	t.Parallel()
	p := newPlan(t, 1, 0, func(c *config.Cluster, _ *config.Node) { c.Proof = config.ProofBLS })
	if _, err := prime.Open(p.config(t, 1), echo, prime.WithListeners(listen(t), listen(t))); err == nil ||
		!strings.Contains(err.Error(), "prime.WithThreshold") {
		t.Fatalf("opened without the scheme: %v", err)
	}
	foreign := p.config(t, 1)
	foreign.Share = p.config(t, 2).Share
	if _, err := prime.Open(foreign, echo, prime.WithListeners(listen(t), listen(t)), prime.WithThreshold(bls.Scheme{})); err == nil ||
		!strings.Contains(err.Error(), "wrong key share") || len(config.Problems(err)) != 1 {
		t.Fatalf("opened with another's key share: %v", err)
	}
	var all []*prime.Replica
	for id := 1; id <= 4; id++ {
		all = append(all, p.open(t, id, echo, prime.WithThreshold(bls.Scheme{})))
	}
	if err := submitMany(within(t), all[0], "before", 50); err != nil {
		t.Fatal(err)
	}
	leader := all[0].Status().Leader
	if err := all[leader-1].CloseNow(); err != nil {
		t.Fatal(err)
	}
	left := slices.Delete(slices.Clone(all), leader-1, leader)
	if err := submitMany(within(t), left[1], "after", 50); err != nil {
		t.Fatal(err)
	}
	settle(t, left, 100)
	for _, r := range left {
		if s := r.Status(); s.ViewChanges == 0 || s.Leader == leader {
			t.Errorf("%+v", s)
		}
	}
}
