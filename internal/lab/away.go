package lab

import (
	"slices"
	"sort"

	"github.com/primebft/prime/internal/bench/stall"
)

const forever = int64(1<<63 - 1)

// absence is when replicas were away, by the reasons why.
type absence struct {
	since map[int]map[string]int64
	spans map[int][]stall.Span
}

// begin says that replicas are away from some time on, if they were not for the same reason before.
func (a *absence) begin(ids []int, why string, at int64) {
	for _, id := range ids {
		if a.since[id] == nil {
			a.since[id] = map[string]int64{}
		}
		if _, already := a.since[id][why]; !already {
			a.since[id][why] = at
		}
	}
}

// end says that a replica is no longer away for a reason.
func (a *absence) end(id int, why string, at int64) {
	if from, is := a.since[id][why]; is {
		a.spans[id] = append(a.spans[id], stall.Span{From: from, To: at})
		delete(a.since[id], why)
	}
}

// away is the times, by replica, in which the script had it not running, compromised or cut off; and with links, in which its
// links were not as they should be either.
func (l *Log) away(links bool) map[int][]stall.Span {
	a := &absence{map[int]map[string]int64{}, map[int][]stall.Span{}}
	for i := range l.Happened {
		h := &l.Happened[i]
		switch h.Event.Verb {
		case Kill:
			a.begin(h.Replicas, "killed", h.At)
		case Restart:
			a.begin(h.Replicas, "killed", h.At)
			for _, id := range h.Replicas {
				if back := h.back(id); back > 0 {
					a.end(id, "killed", back)
				}
			}
		case Attack: // for ever: who knows what it has signed
			a.begin(h.Replicas, "attack", h.At)
		case Pause:
			a.begin(h.Replicas, "paused", h.At)
		case Resume:
			for _, id := range h.Replicas {
				a.end(id, "paused", l.caughtUp(id, h.At))
			}
		case Partition:
			l.split(a, h)
		case Heal:
			for id := 1; id <= l.Group.N(); id++ {
				back := l.caughtUp(id, h.At)
				a.end(id, "cut", back)
				a.end(id, "links", back)
			}
		case Link:
			if links {
				a.begin(slices.Concat(h.Replicas, h.To), "links", h.At)
			}
		}
	}
	for id, reasons := range a.since {
		for why := range reasons {
			a.end(id, why, forever)
		}
	}
	for id := range a.spans {
		a.spans[id] = union(a.spans[id])
	}
	return a.spans
}

// split notes who is cut off by a partition, and who no longer is.
func (l *Log) split(a *absence, h *Happened) {
	for _, side := range h.Sides {
		if len(side) < l.Group.Quorum() {
			a.begin(side, "cut", h.At)
			continue
		}
		for _, id := range side {
			a.end(id, "cut", l.caughtUp(id, h.At))
		}
	}
}

// caughtUp is when a replica had delivered what any replica had at a time; forever if it never has.
func (l *Log) caughtUp(id int, at int64) int64 {
	var most uint64
	for _, list := range l.Deliveries {
		if i := sort.Search(len(list), func(i int) bool { return list[i].At > at }); i > 0 {
			most = max(most, list[i-1].Ordinal)
		}
	}
	own := l.Deliveries[id]
	i := sort.Search(len(own), func(i int) bool { return own[i].Ordinal >= most })
	switch {
	case i < len(own):
		return max(at, own[i].At)
	case most == 0:
		return at
	}
	return forever
}
