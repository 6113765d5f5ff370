package lab

import (
	"slices"
	"time"

	"github.com/primebft/prime/internal/bench/stall"
)

// shortest is the shortest span without a delivery that is an outage.
const shortest = 20 * time.Millisecond

// spell is a span without a delivery.
type spell struct {
	raw       time.Duration
	unstalled time.Duration // without the time in which the machine stood still
}

// outage is the longest span, in unstalled time, that begins in a window and in which none of the replicas that were running and
// correct delivered anything. A span that began before counts from the beginning of the window; one that is under way at its end,
// until it ends, or at most until limit, if more than slack of it was before the end: otherwise it is the next window's.
func (l *Log) outage(deliveries []int64, window stall.Span, limit int64, slack time.Duration) spell {
	var longest spell
	i, _ := slices.BinarySearch(deliveries, window.From)
	for at := window.From; at < window.To; i++ {
		next := max(at, limit)
		if i < len(deliveries) {
			next = min(next, deliveries[i])
		}
		if next > window.To && l.unstalled(stall.Span{From: at, To: window.To}) <= slack {
			next = window.To
		}
		if s := (spell{time.Duration(next - at), l.unstalled(stall.Span{From: at, To: next})}); s.unstalled > longest.unstalled {
			longest = s
		}
		if i >= len(deliveries) {
			break
		}
		at = deliveries[i]
	}
	return longest
}

// deliveries are the times at which a replica delivered something that was running and correct then, sorted.
func (l *Log) deliveries() []int64 {
	var times []int64
	away := l.away(false)
	for id, list := range l.Deliveries {
		for _, d := range list {
			if !touches(away[id], stall.Span{From: d.At, To: d.At}) {
				times = append(times, d.At)
			}
		}
	}
	slices.Sort(times)
	return times
}
