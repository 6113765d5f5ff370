package lab

import (
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/bench"
	"github.com/primebft/prime/internal/bench/latency"
	"github.com/primebft/prime/internal/bench/stall"
)

// Report is what prime lab says at the end, as scripts read it. Times are seconds since the measurement began.
type Report struct {
	bench.Report
	Script     []string          `json:"script"`
	Events     []EventReport     `json:"events"`
	Leaders    []LeaderReport    `json:"leaders"`
	Changes    []ChangeReport    `json:"changes"`
	Suspected  []SuspicionReport `json:"suspected"`
	Judgement  []JudgementReport `json:"judgement"`
	Gaps       []GapReport       `json:"gaps"`
	Stalls     []StallReport     `json:"stalls"`
	BoundMS    *float64          `json:"bound_ms"` // nil: nothing was measured to compute it from
	BoundTerms *BoundTerms       `json:"bound_terms,omitempty"`
	OverBound  int               `json:"over_bound"`
	Judged     int               `json:"judged"`               // updates that the bound was held against
	WorstMS    float64           `json:"judged_worst_ms"`      // the longest of them
	Attacked   []int             `json:"attacked"`             // replicas that were ever compromised: nothing is asked of them
	LeftBehind []int             `json:"left_behind"`          // correct ones that need what no other holds any more
	NoQuorumS  float64           `json:"no_quorum_s"`          // in which fewer than a quorum were running, correct and connected
	LostNotes  int               `json:"lost_notes,omitempty"` // of replicas, for want of room
	Soak       *SoakReport       `json:"soak,omitempty"`
}

// EventReport is one event of the script and what followed it.
type EventReport struct {
	AtS                float64       `json:"at_s"`
	What               string        `json:"what"`               // verb and arguments
	Text               string        `json:"-"`                  // and what its roles meant, for people
	Replicas           []int         `json:"replicas,omitempty"` // what leader, follower and all were
	Problem            string        `json:"problem,omitempty"`  // why it was not carried out, or not everywhere
	OutageMS           *float64      `json:"outage_ms"`          // without the time in which the machine stood still; nil up to 20 ms
	OutageRawMS        *float64      `json:"outage_raw_ms"`
	UsualGapMS         float64       `json:"usual_gap_ms"` // the longest span without a delivery before it, measured in the same way
	LatencyMS          LatencyReport `json:"latency_ms"`
	SettledS           float64       `json:"settled_s"`               // when what follows it counts as stable again
	ViewChanges        int           `json:"view_changes"`            // views installed until the next event
	TurnaroundMS       *float64      `json:"turnaround_ms,omitempty"` // of kill, pause and attack: the leader's just before, as the others
	AcceptableMS       *float64      `json:"acceptable_ms,omitempty"` // saw it, what they would have accepted of a correct leader,
	LimitMS            *float64      `json:"limit_ms,omitempty"`      // and beyond what they suspect one; medians over the replicas
	OutageToAcceptable *float64      `json:"outage_to_acceptable,omitempty"`
	// Of restart, resume, heal and partition: what became of those who could come back. BackMS is the last of them, without the time in
	// which the machine stood still; nil if one was not back when it was taken away again, or at the end. BackBytes is all of them.
	BackMS    *float64     `json:"back_ms,omitempty"`
	BackBytes *uint64      `json:"back_bytes,omitempty"`
	Back      []BackReport `json:"back,omitempty"`
}

// BackReport is one replica that an event let come back.
type BackReport struct {
	Replica int      `json:"replica"`
	MS      *float64 `json:"back_ms"` // from the event until it was back in order, unstalled; nil: it was not
	RawMS   *float64 `json:"back_raw_ms"`
	Bytes   uint64   `json:"back_bytes"` // of its peers that it received until then
	// How it came to what it had missed, the most expensive of the ways that it used; "" if it was not back.
	By       Way    `json:"by,omitempty"`
	Ordinals uint64 `json:"ordinals"`    // that it had missed, with those that went on meanwhile
	State    uint64 `json:"state_bytes"` // of the bytes, those of the state of a checkpoint
	// Start is how it went through its log, if it was started again.
	Start *bench.Start `json:"start,omitempty"`
}

// comeback puts in when replicas were back.
func (l *Log) comeback(e *EventReport, h *Happened) {
	var last time.Duration
	var bytes uint64
	all := len(h.Returns) > 0
	for _, r := range h.Returns {
		b := BackReport{Replica: r.Replica, Bytes: r.Bytes, By: r.By, Ordinals: r.Missed, State: r.State, Start: r.Start}
		if all = all && r.At > 0; r.At > 0 {
			took := l.unstalled(stall.Span{From: h.At, To: r.At})
			ms, raw := milliseconds(int64(took)), milliseconds(r.At-h.At)
			b.MS, b.RawMS = &ms, &raw
			last = max(last, took)
		}
		bytes += r.Bytes
		e.Back = append(e.Back, b)
	}
	if all {
		ms := milliseconds(int64(last))
		e.BackMS, e.BackBytes = &ms, &bytes
	}
}

// LatencyReport is latencies in unstalled milliseconds, of updates whose replica was running, correct and connected all the time.
// nil where there was no such update.
type LatencyReport struct {
	BeforeP50 *float64 `json:"before_p50"`
	DuringP99 *float64 `json:"during_p99"` // until settled
	AfterP50  *float64 `json:"after_p50"`  // from then until the next event
}

// LeaderReport is who led from when on.
type LeaderReport struct {
	FromS  float64 `json:"from_s"`
	View   uint64  `json:"view"`
	Leader int     `json:"leader"`
}

// ChangeReport is one view change, and what there is to say of the leader that was replaced.
type ChangeReport struct {
	AtS       float64  `json:"at_s"` // first suspicion, or what is known of the beginning
	View      uint64   `json:"view"` // the new one
	Leader    int      `json:"leader"`
	OldLeader int      `json:"old_leader"`
	TookMS    float64  `json:"took_ms"`           // until the last running, correct replica had installed it
	Because   string   `json:"because,omitempty"` // what the script had done to the old leader
	OwnGapMS  float64  `json:"own_gap_ms"`        // the longest standstill that the old leader itself had noticed lately; 0: none
	OwnGapS   *float64 `json:"own_gap_at_s,omitempty"`
	LimitMS   *float64 `json:"limit_ms,omitempty"` // beyond what the others suspected it
	Excused   bool     `json:"excused"`            // because of the script, or a gap beyond the limit
}

// SuspicionReport is a replica's vote against a leader.
type SuspicionReport struct {
	AtS    float64 `json:"at_s"`
	By     int     `json:"by"`
	Leader int     `json:"leader"`
	View   uint64  `json:"view"`
}

// JudgementReport is what a replica thought of the leader.
type JudgementReport struct {
	AtS          float64  `json:"at_s"`
	Replica      int      `json:"replica"`
	TurnaroundMS float64  `json:"turnaround_ms"`
	AcceptableMS *float64 `json:"acceptable_ms"` // nil while not known
	LimitMS      *float64 `json:"limit_ms"`
}

// GapReport is a standstill that a replica noticed of its own clock.
type GapReport struct {
	AtS     float64 `json:"at_s"` // its end
	Replica int     `json:"replica"`
	MS      float64 `json:"ms"`
}

// StallReport is time in which the whole machine stood still.
type StallReport struct {
	AtS float64 `json:"at_s"`
	MS  float64 `json:"ms"`
}

// most is how many judgements, and how many gaps, a report has; there are fewer of each replica if there are many replicas.
const most = 1200

// Fill puts in what a run's log says. node is the settings of the replicas.
func (r *Report) Fill(l *Log, node *config.Node) {
	bound, terms := l.Bound(node)
	v := l.views()
	r.Leaders, r.Changes, r.Suspected = v.leaders, v.changes, v.suspected
	r.Judgement, r.Gaps = l.judgement(), l.gaps()
	r.NoQuorumS = bench.Round(stall.Total(stall.Clip(l.withoutQuorum(), l.Window)).Seconds(), 3)
	r.LostNotes = l.lostNotes()
	r.Stalls = []StallReport{}
	for _, s := range l.Stalls {
		r.Stalls = append(r.Stalls, StallReport{l.seconds(s.From), milliseconds(s.To - s.From)})
	}
	unsettled := l.unsettled(&v, bound)
	l.report(r, unsettled, &v)
	if bound > 0 {
		r.BoundMS, r.BoundTerms = known(int64(bound)), terms
		r.Judged, r.OverBound, r.WorstMS = l.overBound(unsettled, bound)
	}
}

func milliseconds(ns int64) float64 { return latency.Milliseconds(time.Duration(ns)) }

// known is a duration in milliseconds, nil for 0.
func known(ns int64) *float64 {
	if ns == 0 {
		return nil
	}
	ms := milliseconds(ns)
	return &ms
}

// report says what followed each event.
func (l *Log) report(r *Report, unsettled []stall.Span, v *views) {
	r.Events = []EventReport{}
	deliveries, away := l.deliveries(), l.away(false)
	before := l.Window.From
	for i := range l.Happened {
		h := &l.Happened[i]
		end := l.Window.To
		for _, later := range l.Happened[i+1:] {
			if later.At > h.At && later.Event.At != h.Event.At {
				end = later.At
				break
			}
		}
		e := EventReport{AtS: l.seconds(h.At), What: h.Event.Text, Text: h.Text(), Replicas: h.Replicas, Problem: h.Problem}
		if s := l.outage(deliveries, stall.Span{From: h.At, To: end}, l.Window.To, shortest); s.unstalled > shortest {
			e.OutageMS, e.OutageRawMS = known(int64(s.unstalled)), known(int64(s.raw))
		}
		e.UsualGapMS = milliseconds(int64(l.outage(deliveries, stall.Span{From: before, To: h.At}, h.At, 0).unstalled))
		settled := settledAt(unsettled, h.At)
		e.SettledS = l.seconds(min(settled, l.Window.To))
		e.LatencyMS = LatencyReport{
			BeforeP50: l.latency(away, stall.Span{From: before, To: h.At}, 0.5),
			DuringP99: l.latency(away, stall.Span{From: h.At, To: min(max(settled, h.At), end)}, 0.99),
			AfterP50:  l.latency(away, stall.Span{From: settled, To: end}, 0.5),
		}
		e.ViewChanges = v.installedIn(stall.Span{From: h.At, To: end})
		switch h.Event.Verb {
		case Kill, Pause, Attack:
			l.judgedBefore(&e, h)
		}
		l.comeback(&e, h)
		r.Events = append(r.Events, e)
		if i+1 < len(l.Happened) && l.Happened[i+1].Event.At != h.Event.At {
			before = h.At
		}
	}
}

// latency is a quantile of the updates acknowledged in a window; nil if there are none.
func (l *Log) latency(away map[int][]stall.Span, window stall.Span, q float64) *float64 {
	var h latency.Histogram
	for i := l.sampleFrom(window.From); i < len(l.Samples) && l.Samples[i].To < window.To; i++ {
		s := &l.Samples[i]
		life := stall.Span{From: s.from(), To: s.To}
		if !touches(away[int(s.Home)], life) {
			h.Add(l.unstalled(life))
		}
	}
	if h.Count() == 0 {
		return nil
	}
	ms := latency.Milliseconds(h.Quantile(q))
	return &ms
}
