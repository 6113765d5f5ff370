// Package latency counts how long things took, in little memory and precisely enough for percentiles.
package latency

import (
	"math"
	"math/bits"
	"time"
)

// subBits is the number of bits of a value that its bucket keeps below the highest one: a bucket is at most 1/128 of its
// values wide, so its middle is within 0.4 % of each.
const subBits = 7

const (
	subs    = 1 << subBits
	buckets = (64 - subBits) * subs
)

// Histogram counts durations in logarithmic buckets, each divided linearly. The zero Histogram is empty. It is for one
// goroutine at a time.
type Histogram struct {
	counts []uint64 // by bucket; nil while nothing was counted
	count  uint64
	sum    float64
	max    time.Duration
}

// bucket is the number of v's bucket: v itself below subs, else its highest bits.
func bucket(v uint64) int {
	shift := max(0, bits.Len64(v)-subBits-1)
	return shift<<subBits + int(v>>shift)
}

// middle is the value in the middle of a bucket.
func middle(bucket int) time.Duration {
	if bucket < 2*subs {
		return time.Duration(bucket)
	}
	shift := bucket>>subBits - 1
	low := uint64(bucket-shift<<subBits) << shift
	return time.Duration(low + uint64(1)<<shift/2)
}

// Add counts d; a negative d counts as zero.
func (h *Histogram) Add(d time.Duration) {
	d = max(0, d)
	if h.counts == nil {
		h.counts = make([]uint64, buckets)
	}
	h.counts[bucket(uint64(d))]++
	h.count++
	h.sum += float64(d)
	h.max = max(h.max, d)
}

// Merge adds everything that other has counted.
func (h *Histogram) Merge(other *Histogram) {
	if other.count == 0 {
		return
	}
	if h.counts == nil {
		h.counts = make([]uint64, buckets)
	}
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.count += other.count
	h.sum += other.sum
	h.max = max(h.max, other.max)
}

// Reset forgets everything.
func (h *Histogram) Reset() {
	clear(h.counts)
	h.count, h.sum, h.max = 0, 0, 0
}

// Count is how many durations were counted.
func (h *Histogram) Count() uint64 { return h.count }

// Mean is exact; zero if nothing was counted.
func (h *Histogram) Mean() time.Duration {
	if h.count == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.count))
}

// Max is exact; zero if nothing was counted.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile is the smallest duration that at least a share q (0 to 1) of all are no longer than, within 0.4 %; zero if
// nothing was counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.count)))
	rank = min(max(rank, 1), h.count)
	if rank == 0 {
		return 0
	}
	var below uint64
	for i, n := range h.counts {
		if below += n; below >= rank {
			return min(middle(i), h.max)
		}
	}
	return h.max
}

// Summary is a histogram in milliseconds, as scripts see it.
type Summary struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Summary returns the usual percentiles.
func (h *Histogram) Summary() Summary {
	return Summary{
		Mean: Milliseconds(h.Mean()), P50: Milliseconds(h.Quantile(0.5)), P90: Milliseconds(h.Quantile(0.9)),
		P99: Milliseconds(h.Quantile(0.99)), P999: Milliseconds(h.Quantile(0.999)), Max: Milliseconds(h.max),
	}
}

// Milliseconds is d in milliseconds, to the microsecond.
func Milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
