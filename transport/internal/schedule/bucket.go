package schedule

import (
	"time"

	"github.com/primebft/prime/internal/clock"
)

// bucket is a token bucket of bytes that can be overdrawn: whoever finds it above zero may send a whole frame, and the debt
// delays what follows.
type bucket struct {
	rate   float64 // bytes per second
	burst  float64 // most bytes saved up
	tokens float64
	at     clock.Instant // when tokens was right
}

func newBucket(rate, burst float64) bucket { return bucket{rate: rate, burst: burst, tokens: burst} }

// level is how many bytes are in the bucket. Time that seems to run backwards, because callers asked for it in another order
// than they came, changes nothing.
func (b *bucket) level(now clock.Instant) float64 {
	if now > b.at {
		b.tokens = min(b.burst, b.tokens+b.rate*now.Sub(b.at).Seconds())
		b.at = now
	}
	return b.tokens
}

// take removes n bytes.
func (b *bucket) take(n int) { b.tokens -= float64(n) }

// positive is when the bucket will be above zero.
func (b *bucket) positive(now clock.Instant) clock.Instant {
	if b.level(now) > 0 {
		return now
	}
	return now.Add(time.Duration((1-b.tokens)/b.rate*1e9) + 1)
}
