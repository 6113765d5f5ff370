package sim

import (
	"math/rand/v2"
	"time"

	"github.com/primebft/prime/internal/clock"
)

// million is the unit of drift: a clock that drifts by one millionth gains a microsecond in a second.
const million = 1_000_000

// drawDrift lets every replica's clock run a little fast or slow: as crystals do, or as badly as a clock ever does that somebody
// still calls a clock.
func drawDrift(rng *rand.Rand, p *plan) {
	if rng.IntN(2) == 0 {
		return
	}
	most := choose[int64](rng, 20, 200, 200, 10_000)
	for i := range p.replicas {
		p.replicas[i].drift = rng.Int64N(2*most+1) - most
	}
}

// local is what a replica's own clock shows at an instant of the world.
func (r *replicaPlan) local(now clock.Instant) clock.Instant {
	return r.start + now + clock.Instant(int64(now)/million*r.drift+int64(now)%million*r.drift/million)
}

// world is the first instant of the world at which a replica's own clock shows at least due.
func (r *replicaPlan) world(due clock.Instant) clock.Instant {
	switch {
	case due == clock.Never:
		return clock.Never
	case r.drift == 0 || due <= r.start:
		return due - r.start
	}
	at := clock.Instant(float64(due-r.start) / (1 + float64(r.drift)/million))
	for r.local(at) >= due && at > 0 {
		at--
	}
	for r.local(at) < due {
		at++
	}
	return at
}

// drift is by how much the clock of a correct replica differs from the world's at most, in millionths.
func (p *plan) drift() (most int64) {
	for i := range p.replicas {
		if r := &p.replicas[i]; len(r.attacks) == 0 {
			most = max(most, r.drift, -r.drift)
		}
	}
	return most
}

// stretch is how long it takes at most until the clock of a correct replica has counted d.
func (p *plan) stretch(d time.Duration) time.Duration {
	most := p.drift()
	return d + d*time.Duration(most)/time.Duration(million-most) + 1
}

// swell is what the clock of a correct replica shows at most for something that takes d.
func (p *plan) swell(d time.Duration) time.Duration {
	return d + d*time.Duration(p.drift())/million + 1
}
