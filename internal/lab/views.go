package lab

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/primebft/prime/internal/bench/stall"
)

// views is what became of leaders in a run, as correct replicas noted it.
type views struct {
	leaders   []LeaderReport
	changes   []ChangeReport
	suspected []SuspicionReport
	spans     []stall.Span // of the changes, in their order
	installed []int64      // when each of these views was installed first; 0: never
}

// change is one view change while notes are gone through.
type change struct {
	view                    uint64
	began, installed, ended int64
}

// views goes through the notes of replicas that were correct when they made them.
func (l *Log) views() views {
	leader := func(view uint64) int { return int(l.Group.Leader(view)) }
	first := uint64(1)
	byView := map[uint64]*change{}
	away := l.away(false)
	of := func(view uint64, n *Noted) *change {
		c := byView[view]
		if c == nil {
			c = &change{view: view, began: n.At}
			byView[view] = c
		}
		if c.began = min(c.began, n.At); !touches(away[n.By], stall.Span{From: n.At, To: n.At}) {
			c.ended = max(c.ended, n.At) // who was away is late, and nobody waits for it
		}
		return c
	}
	v := views{suspected: []SuspicionReport{}, changes: []ChangeReport{}}
	for _, n := range l.correct() {
		inside := n.At >= l.Window.From
		switch {
		case n.Kind == Suspected:
			if inside {
				v.suspected = append(v.suspected, SuspicionReport{l.seconds(n.At), n.By, n.Replica, n.View})
			}
			of(n.View+1, &n)
		case n.Kind == Preinstalled:
			of(n.View, &n)
		case n.Kind == Installed:
			c := of(n.View, &n)
			if c.installed == 0 {
				c.installed = n.At
			}
			if !inside {
				first = max(first, n.View)
			}
		}
	}
	v.leaders = []LeaderReport{{0, first, leader(first)}}
	for _, view := range slices.Sorted(keys(byView)) {
		c := byView[view]
		if c.ended = max(c.ended, c.began); c.ended < l.Window.From || view <= first {
			continue
		}
		if c.installed > 0 {
			v.leaders = append(v.leaders, LeaderReport{l.seconds(c.installed), view, leader(view)})
		}
		v.changes = append(v.changes, l.describe(c, leader(view-1), leader(view)))
		v.spans = append(v.spans, stall.Span{From: c.began, To: c.ended})
		v.installed = append(v.installed, c.installed)
	}
	return v
}

func keys[V any](m map[uint64]V) func(func(uint64) bool) {
	return func(yield func(uint64) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// correct is the notes that replicas made while they were not compromised, in the order of their times.
func (l *Log) correct() []Noted {
	since := map[int]int64{}
	for _, h := range l.Happened {
		for _, id := range h.Replicas {
			if _, already := since[id]; h.Event.Verb == Attack && !already {
				since[id] = h.At
			}
		}
	}
	list := slices.DeleteFunc(slices.Clone(l.Notes), func(n Noted) bool {
		at, attacked := since[n.By]
		return attacked && n.At >= at
	})
	slices.SortStableFunc(list, func(a, b Noted) int { return cmp.Compare(a.At, b.At) })
	return list
}

// lookBack is how long before a suspicion its cause may lie: a turnaround counts for up to two windows of package suspect.
const lookBack = int64(20 * time.Second)

// describe is what there is to say of a view change.
func (l *Log) describe(c *change, old, leader int) ChangeReport {
	r := ChangeReport{
		AtS: l.seconds(c.began), View: c.view, Leader: leader, OldLeader: old, TookMS: milliseconds(c.ended - c.began),
	}
	r.Because = l.cause(old, c.began)
	gap := int64(0)
	for i := range l.Notes {
		n := &l.Notes[i]
		if n.By == old && n.Kind == Gap && n.At-n.Nanos <= c.began && n.At > c.began-lookBack && n.Nanos > gap {
			gap = n.Nanos
			at := l.seconds(n.At)
			r.OwnGapMS, r.OwnGapS = milliseconds(gap), &at
		}
	}
	limit := l.lastJudged(c.began, 0, func(j *Judgement) int64 { return j.Limit })
	r.LimitMS = known(limit)
	r.Excused = r.Because != "" || limit > 0 && gap > limit
	return r
}

// cause is what the script had done to a leader until it was suspected: what still holds, or, not long before, what was undone.
// "" if there is nothing.
func (l *Log) cause(leader int, at int64) (text string) {
	var last *Happened
	for i := range l.Happened {
		h := &l.Happened[i]
		if h.At > at {
			break
		}
		var was Verb // what it has to have been for this to matter
		concerned := slices.Contains(h.Replicas, leader)
		switch h.Event.Verb {
		case Kill, Restart, Attack:
			started := h.Event.Verb == Restart && h.back(leader) > 0
			if concerned && (h.Event.Verb != Restart || started || last == nil || last.Event.Verb != Kill) { // a dead one stays dead
				last = h
			}
			continue
		case Resume:
			was = Pause
		case Heal:
			was, concerned = Partition, true
		case Partition, Link:
			concerned = h.Event.Verb == Partition || concerned || slices.Contains(h.To, leader)
		}
		switch final := last != nil && slices.Contains([]Verb{Kill, Restart, Attack}, last.Event.Verb) && last.back(leader) == 0; {
		case !concerned || final:
		case was == "" || last != nil && (last.Event.Verb == was || was == Partition && last.Event.Verb == Link):
			last = h
		}
	}
	switch {
	case last == nil:
		return ""
	case last.Event.Verb == Resume || last.Event.Verb == Heal || last.back(leader) > 0 && at > last.back(leader):
		if at-last.At > lookBack {
			return ""
		}
		return last.Event.Text + ", " + time.Duration(at-last.At).Round(time.Millisecond).String() + " before"
	}
	return last.Event.Text
}

// installedIn counts views that were installed first in a window.
func (v *views) installedIn(window stall.Span) (count int) {
	for _, at := range v.installed {
		if at >= window.From && at < window.To {
			count++
		}
	}
	return count
}

// unsettled is the time that is not stable: from each event, and from the beginning of each view change, until no view change is
// under way, and for one bound longer, so that what was under way is over. While no group of connected, running, correct
// replicas is a quorum, nothing is stable.
func (l *Log) unsettled(v *views, bound time.Duration) []stall.Span {
	grace := int64(max(bound, leastGrace))
	var spans []stall.Span
	for i := range l.Happened {
		spans = append(spans, stall.Span{From: l.Happened[i].At, To: l.Happened[i].At + grace})
	}
	for _, s := range v.spans {
		spans = append(spans, stall.Span{From: s.From, To: s.To + grace})
	}
	for _, s := range l.withoutQuorum() {
		to := s.To
		if to < forever {
			to += grace
		}
		spans = append(spans, stall.Span{From: s.From, To: to})
	}
	return union(spans)
}

// leastGrace is how long after a change nothing is judged at least.
const leastGrace = time.Second

// withoutQuorum is the time in which fewer replicas than a quorum were running, correct and connected.
func (l *Log) withoutQuorum() []stall.Span {
	away := l.away(false)
	type edge struct {
		at   int64
		step int
	}
	var edges []edge
	for _, spans := range away {
		for _, s := range spans {
			edges = append(edges, edge{s.From, -1}, edge{s.To, 1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.step, a.step)) })
	var spans []stall.Span
	present, since := l.Group.N(), int64(-1)
	for _, e := range edges {
		present += e.step
		switch enough := present >= l.Group.Quorum(); {
		case !enough && since < 0:
			since = e.at
		case enough && since >= 0:
			spans, since = append(spans, stall.Span{From: since, To: e.at}), -1
		}
	}
	if since >= 0 {
		spans = append(spans, stall.Span{From: since, To: forever})
	}
	return spans
}

// settledAt is when the unstable time ends that a moment is in; the moment itself if it is in none.
func settledAt(unsettled []stall.Span, at int64) int64 {
	i := sort.Search(len(unsettled), func(i int) bool { return unsettled[i].To > at })
	if i < len(unsettled) && unsettled[i].From <= at {
		return unsettled[i].To
	}
	return at
}

// sampleFrom is the index of the first sample acknowledged at or after a time.
func (l *Log) sampleFrom(at int64) int {
	return sort.Search(len(l.Samples), func(i int) bool { return l.Samples[i].To >= at })
}

// overBound counts the updates of stable replicas in stable time, and those of them that took longer than the bound.
func (l *Log) overBound(unsettled []stall.Span, bound time.Duration) (judged, over int, worstMS float64) {
	away := l.away(true)
	var worst time.Duration
	for i := l.sampleFrom(l.Window.From); i < len(l.Samples) && l.Samples[i].To < l.Window.To; i++ {
		s := &l.Samples[i]
		life := stall.Span{From: s.from(), To: s.To}
		if touches(away[int(s.Home)], life) || touches(unsettled, life) {
			continue
		}
		judged++
		took := l.unstalled(life)
		worst = max(worst, took)
		if took > bound {
			over++
		}
	}
	return judged, over, milliseconds(int64(worst))
}
