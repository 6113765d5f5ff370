package latency

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestAgainstSorting: percentiles are those of the sorted list, within half a percent, for durations of every size.
func TestAgainstSorting(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 10, 1000, 20000} {
		var h, other Histogram
		all := make([]time.Duration, n)
		var sum float64
		for i := range all {
			all[i] = time.Duration(math.Exp(random.Float64() * 30))
			sum += float64(all[i])
			if i%3 == 0 {
				other.Add(all[i])
			} else {
				h.Add(all[i])
			}
		}
		h.Merge(&other)
		slices.Sort(all)
		for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
			rank := max(1, int(math.Ceil(q*float64(n))))
			want := all[rank-1]
			if got := h.Quantile(q); math.Abs(float64(got-want)) > 0.005*float64(want) {
				t.Errorf("%d durations: Quantile(%v) = %d, sorting gives %d", n, q, got, want)
			}
		}
		if got := float64(h.Mean()); math.Abs(got-sum/float64(n)) > 1 {
			t.Errorf("Mean = %v, want %v", got, sum/float64(n))
		}
		if h.Max() != all[n-1] || h.Count() != uint64(n) {
			t.Errorf("Max = %v of %d, want %v of %d", h.Max(), h.Count(), all[n-1], n)
		}
	}
}

// TestBuckets: numbers rise without a gap, and the middle of a bucket is in the bucket.
func TestBuckets(t *testing.T) {
	t.Parallel()
	for i := range buckets {
		if m := middle(i); m < 0 || bucket(uint64(m)) != i {
			t.Fatalf("the middle of bucket %d is %d, which is in bucket %d", i, m, bucket(uint64(m)))
		}
	}
	if got := bucket(math.MaxInt64); got != buckets-1 {
		t.Errorf("the longest duration is in bucket %d of %d", got, buckets)
	}
}

func TestEmptyAndNegative(t *testing.T) {
	t.Parallel()
	var h Histogram
	if h.Summary() != (Summary{}) {
		t.Errorf("an empty histogram says %+v", h.Summary())
	}
	h.Add(-time.Second)
	h.Add(3 * time.Millisecond)
	if s := h.Summary(); s.Max != 3 || s.P50 != 0 || s.Mean != 1.5 {
		t.Errorf("0 and 3 ms give %+v", s)
	}
	h.Reset()
	if h.Summary() != (Summary{}) || h.Count() != 0 {
		t.Errorf("after Reset: %+v", h.Summary())
	}
}
