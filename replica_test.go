package prime_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/primebft/prime"
)

// TestCluster: clusters of several sizes order updates of all replicas' own clients into one stream.
func TestCluster(t *testing.T) {
	for _, size := range []struct{ f, k int }{{0, 0}, {1, 0}, {1, 1}, {2, 0}} {
		t.Run(fmt.Sprintf("f=%d k=%d", size.f, size.k), func(t *testing.T) {
			t.Parallel()
			const each = 100
			all := newPlan(t, size.f, size.k, nil).openAll(t)
			submitAll(t, all, each)
			settle(t, all, each*len(all))
			for _, r := range all {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// submitAll submits at all replicas at once.
func submitAll(t *testing.T, all []*prime.Replica, each int) {
	t.Helper()
	ctx := within(t)
	var wg sync.WaitGroup
	for i, r := range all {
		wg.Go(func() {
			if err := r.Ready(ctx); err != nil {
				t.Error(err)
			} else if err := submitMany(ctx, r, fmt.Sprint("r", i+1), each); err != nil {
				t.Errorf("%v; %+v", err, r.Status())
			}
		})
	}
	wg.Wait()
}
