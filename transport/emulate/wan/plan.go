package wan

import (
	"time"

	"github.com/primebft/prime/internal/clock"
)

// step is a link from some time on. Until ramp has passed it changes evenly from what it was.
type step struct {
	at   clock.Instant
	ramp time.Duration
	was  *Link
	link *Link
}

// plan is what a link will be: as it is now, and the steps to come.
type plan struct {
	current *Link
	steps   []step // by time
}

// perfect is the link of those that have none.
var perfect Link

// at is the link at a time, which must not be earlier than in calls before.
func (p *plan) at(now clock.Instant) *Link {
	for len(p.steps) > 0 && p.steps[0].at <= now {
		s := &p.steps[0]
		if passed := now.Sub(s.at); passed < s.ramp && !(len(p.steps) > 1 && p.steps[1].at <= now) {
			return between(s.was, s.link, float64(passed)/float64(s.ramp))
		}
		p.current = s.link
		p.steps = p.steps[1:]
	}
	if p.current == nil {
		return &perfect
	}
	return p.current
}

// between is a link on its way from a to b. What is not a number changes at the beginning.
func between(a, b *Link, part float64) *Link {
	l := *b
	l.Delay = mix(a.Delay, b.Delay, part)
	l.Jitter.Uniform = mix(a.Jitter.Uniform, b.Jitter.Uniform, part)
	l.Loss.Good = mix(a.Loss.Good, b.Loss.Good, part)
	l.Duplicate = mix(a.Duplicate, b.Duplicate, part)
	if a.Rate.Bits > 0 && b.Rate.Bits > 0 {
		l.Rate.Bits = mix(a.Rate.Bits, b.Rate.Bits, part)
	}
	return &l
}

func mix[T ~int64 | ~float64](a, b T, part float64) T { return a + T(part*float64(b-a)) }
