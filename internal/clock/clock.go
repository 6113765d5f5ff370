// Package clock is time as the protocol sees it: a monotonic count of nanoseconds that somebody passes in. The core never
// asks what time it is.
package clock

import (
	"math"
	"time"
)

// Instant is nanoseconds since an arbitrary start that is fixed for the life of a process. Only differences mean anything.
type Instant int64

// Never is later than every deadline.
const Never Instant = math.MaxInt64

// Add is i plus d, saturating at Never.
func (i Instant) Add(d time.Duration) Instant {
	if i == Never || (d > 0 && i > Never-Instant(d)) {
		return Never
	}
	return i + Instant(d)
}

// Sub is the time from j to i.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

// Min is the earlier of the given instants, Never if there are none.
func Min(all ...Instant) Instant {
	first := Never
	for _, i := range all {
		first = min(first, i)
	}
	return first
}

// Real reads the machine's monotonic clock.
type Real struct{ start time.Time }

// NewReal starts a clock at Instant 0.
func NewReal() *Real { return &Real{start: time.Now()} }

// NewRealAt starts a clock at an instant, as if it had run since Instant 0.
func NewRealAt(i Instant) *Real { return &Real{start: time.Now().Add(-time.Duration(i))} }

// Now is the time since the clock started.
func (r *Real) Now() Instant { return Instant(time.Since(r.start)) }

// Wall is the calendar time, in Unix nanoseconds, of Instant 0.
func (r *Real) Wall() int64 { return r.start.UnixNano() }
