package lab

import (
	"cmp"
	"slices"
	"time"

	"github.com/primebft/prime/internal/bench"
)

// judgedBefore puts in what the others thought of the leader just before something happened to replicas.
func (l *Log) judgedBefore(e *EventReport, h *Happened) {
	not := 0
	if len(h.Replicas) == 1 {
		not = h.Replicas[0]
	}
	turnaround := l.lastJudged(h.At, not, func(j *Judgement) int64 { return j.Turnaround })
	acceptable := l.lastJudged(h.At, not, func(j *Judgement) int64 { return j.Acceptable })
	e.TurnaroundMS, e.AcceptableMS = known(turnaround), known(acceptable)
	e.LimitMS = known(l.lastJudged(h.At, not, func(j *Judgement) int64 { return j.Limit }))
	if e.AcceptableMS != nil && e.OutageMS != nil {
		ratio := bench.Round(*e.OutageMS / *e.AcceptableMS, 3)
		e.OutageToAcceptable = &ratio
	}
}

// recent is how old what a replica noted of the leader may be.
const recent = int64(2 * time.Second)

// lastJudged is the median over the correct replicas, but for one, of what each noted last before a time; 0 if none did.
func (l *Log) lastJudged(at int64, not int, pick func(*Judgement) int64) int64 {
	last := map[int]*Noted{}
	for i := range l.Notes {
		n := &l.Notes[i]
		if n.Kind != Judged || n.Judgement == nil || n.By == not || n.At > at || n.At < at-recent || l.compromised(n.By, n.At) {
			continue
		}
		if last[n.By] == nil || last[n.By].At < n.At {
			last[n.By] = n
		}
	}
	var values []int64
	for _, n := range last {
		if v := pick(n.Judgement); v > 0 {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// compromised reports whether a replica had been attacked at a time.
func (l *Log) compromised(id int, at int64) bool {
	return slices.ContainsFunc(l.Happened, func(h Happened) bool {
		return h.Event.Verb == Attack && h.At <= at && slices.Contains(h.Replicas, id)
	})
}

// judgement is what replicas noted of the leader, thinned out evenly so that a report stays short.
func (l *Log) judgement() []JudgementReport {
	list := []JudgementReport{}
	every := l.Window.To - l.Window.From
	every = max(int64(200*time.Millisecond), every*int64(l.Group.N())/most)
	next := make([]int64, l.Group.N()+1)
	for _, n := range l.correct() {
		if n.Kind != Judged || n.Judgement == nil || n.At < l.Window.From || n.At >= l.Window.To || n.At < next[n.By] {
			continue
		}
		next[n.By] = n.At + every
		list = append(list, JudgementReport{
			l.seconds(n.At), n.By, milliseconds(n.Turnaround), known(n.Acceptable), known(n.Limit),
		})
	}
	return list
}

// lostNotes is how many notes of replicas found no room.
func (l *Log) lostNotes() (sum int) {
	lost := make([]uint64, l.Group.N()+1)
	for i := range l.Notes {
		n := &l.Notes[i]
		lost[n.By] = max(lost[n.By], n.Lost)
	}
	for _, count := range lost {
		sum += int(count)
	}
	return sum
}

// gaps are the standstills that replicas noticed; of too many, the longest.
func (l *Log) gaps() []GapReport {
	list := []GapReport{}
	for i := range l.Notes {
		n := &l.Notes[i]
		if n.Kind == Gap && n.At >= l.Window.From && n.At-n.Nanos < l.Window.To {
			list = append(list, GapReport{l.seconds(n.At), n.By, milliseconds(n.Nanos)})
		}
	}
	if len(list) > most {
		slices.SortFunc(list, func(a, b GapReport) int { return cmp.Compare(b.MS, a.MS) })
		list = list[:most]
	}
	slices.SortFunc(list, func(a, b GapReport) int { return cmp.Or(cmp.Compare(a.AtS, b.AtS), cmp.Compare(a.Replica, b.Replica)) })
	return list
}
