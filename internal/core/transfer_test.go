package core

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
)

// TestTransferPause: however often a liar introduces transfer points, two of one origin that take effect are ten seconds of ordered time
// apart, and those of others have no part in it; an own one that is asked for comes, and only one at a time.
func TestTransferPause(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const self = group.ID(2)
		x := transfers{last: make([]int64, 4)}
		last := map[group.ID]int64{}
		ordered, now := int64(1), clock.Instant(0)
		wanted, underway := false, false
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			step := rapid.Int64Range(0, int64(4*time.Second)).Draw(t, "step")
			ordered, now = ordered+step, now+clock.Instant(step)
			origin := group.ID(rapid.IntRange(1, 4).Draw(t, "origin"))
			if origin == self {
				if rapid.Bool().Draw(t, "ask") {
					x.want(now, self, 0)
					wanted = true
				}
				if x.due(now) {
					if underway || !wanted {
						t.Fatal("two at once, or one that nobody asked for")
					}
					x.underway, underway = true, true
				}
				if !underway {
					continue
				}
				underway = false
			}
			effective := x.execute(now, origin, self, ordered)
			before, any := last[origin]
			if effective != (!any || ordered-before >= int64(TransferPause)) {
				t.Fatalf("r%d at %d, the last one at %d: effect %v", origin, ordered, before, effective)
			}
			if effective {
				last[origin] = ordered
				wanted = wanted && origin != self
			}
		}
		x.want(now, self, 0)
		if x.underway = false; x.deadline() > now.Add(TransferPause+transferRetry) {
			t.Fatal("one that is wanted does not come")
		}
		x.restored(nil, 2, 0)
		if x.last[0] != 0 || len(x.last) != 4 {
			t.Fatal("a state without any")
		}
	})
}

// TestTransferTimesAreTakenOver: who goes on from a checkpoint knows when transfer points had effect, so it gives effect to the same ones as all.
func TestTransferTimesAreTakenOver(t *testing.T) {
	t.Parallel()
	x := transfers{last: make([]int64, 4)}
	for _, last := range [][]int64{{5, 0, 7, 0}, nil, {0, 0, 0, 9}} {
		x.restored(last, 2, 0)
		want := make([]int64, 4)
		copy(want, last)
		if !slices.Equal(x.last, want) {
			t.Errorf("%v after a checkpoint with %v", x.last, last)
		}
	}
}
