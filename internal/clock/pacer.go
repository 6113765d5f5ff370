package clock

import "time"

// Pacer lets something happen at once if the last time is at least Interval ago, and otherwise as soon as it is. So at light
// load nothing waits, and under load what accumulates in an interval goes together. The zero Pacer never holds anything up.
type Pacer struct {
	Interval time.Duration
	next     Instant
}

// Due reports whether it may happen now.
func (p *Pacer) Due(now Instant) bool { return now >= p.next }

// Done says that it happened now.
func (p *Pacer) Done(now Instant) { p.next = now.Add(p.Interval) }

// Next is the earliest instant at which it may happen.
func (p *Pacer) Next() Instant { return p.next }
