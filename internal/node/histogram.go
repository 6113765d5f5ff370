package node

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts durations by powers of two. The zero histogram is empty.
type histogram struct {
	buckets [histogramBuckets]atomic.Uint64
	total   atomic.Int64 // nanoseconds
}

// histogramBuckets is enough for every duration below a day and a half; the last has all that are longer.
const histogramBuckets = 48

// add counts one duration.
func (h *histogram) add(d time.Duration) {
	h.buckets[min(bits.Len64(uint64(max(0, d))), histogramBuckets-1)].Add(1)
	h.total.Add(int64(d))
}

// Bucket is how many durations were shorter than Below nanoseconds and not shorter than half of it.
type Bucket struct {
	Below uint64 `json:"below_ns"`
	Count uint64 `json:"count"`
}

// snapshot is the buckets that are not empty, by ascending bound; never nil.
func (h *histogram) snapshot() []Bucket {
	list := []Bucket{}
	for i := range h.buckets {
		if count := h.buckets[i].Load(); count > 0 {
			list = append(list, Bucket{Below: 1 << i, Count: count})
		}
	}
	return list
}
