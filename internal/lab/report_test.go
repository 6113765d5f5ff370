package lab

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/bench"
	"github.com/primebft/prime/internal/bench/stall"
	"github.com/primebft/prime/internal/group"
)

const msec = int64(time.Millisecond)

// story is ten seconds in the life of four replicas, each of which delivers every 10 ms, with an update of each acknowledged 5 ms
// after it was submitted. At 4 s the leader r1 is killed, nothing is delivered for 300 ms, and view 2 begins; the machine stands
// still for 100 ms of that.
func story() *Log {
	l := &Log{
		Group: group.MustNew(1, 0), Window: stall.Span{From: 1000 * msec, To: 11_000 * msec},
		Stalls: []stall.Span{{From: 5100 * msec, To: 5200 * msec}}, Deliveries: map[int][]bench.Delivery{},
		Happened: []Happened{{Event: Event{Verb: Kill, At: 4 * time.Second, Text: "kill leader", Who: one(Target{Role: Leader})}, At: 5000 * msec, Replicas: []int{1}}},
	}
	kill, back := 5000*msec, 5300*msec
	for at := l.Window.From; at < l.Window.To; at += 10 * msec {
		for id := 1; id <= 4; id++ {
			if at >= kill && (id == 1 || at < back) {
				continue
			}
			l.Deliveries[id] = append(l.Deliveries[id], bench.Delivery{At: at, Ordinal: uint64(at / msec)})
			if at == back { // what was under way at the kill
				l.Samples = append(l.Samples, NewSample(id, kill-5*msec, at), NewSample(id, kill-5*msec, at))
			}
			l.Samples = append(l.Samples, NewSample(id, at-5*msec, at))
		}
	}
	note := func(by int, at int64, n Note) {
		n.At = at
		l.Notes = append(l.Notes, Noted{by, n})
	}
	judge := &Judgement{20 * msec, 100 * msec, 300 * msec}
	for id := 1; id <= 4; id++ {
		note(id, 500*msec, Note{Kind: Installed, View: 1})
		for at := l.Window.From; at < l.Window.To; at += 100 * msec {
			if id > 1 || at < kill {
				note(id, at, Note{Kind: Judged, View: 1, Judgement: judge})
				note(id, at, Note{Kind: Probed, Replica: id%4 + 1, Nanos: 2 * msec, Trip: 3 * msec})
			}
		}
		if id > 1 {
			note(id, 5270*msec, Note{Kind: Suspected, View: 1, Replica: 1})
			note(id, 5280*msec, Note{Kind: Preinstalled, View: 2})
			note(id, 5290*msec+int64(id), Note{Kind: Installed, View: 2})
		}
	}
	note(1, 4500*msec, Note{Kind: Gap, Nanos: 40 * msec})
	note(2, 5200*msec, Note{Kind: Gap, Nanos: 100 * msec, Lost: 7})
	return l
}

func fill(l *Log) *Report {
	node := config.Local()
	r := &Report{}
	r.Fill(l, &node)
	return r
}

func close1(got *float64, want float64) bool { return got != nil && *got > want-0.6 && *got < want+0.6 }

// TestReport: what is said of the story.
func TestReport(t *testing.T) {
	t.Parallel()
	r := fill(story())
	if len(r.Events) != 1 {
		t.Fatalf("events %+v", r.Events)
	}
	e := r.Events[0]
	if e.AtS != 4 || e.What != "kill leader" || e.Text != "kill leader (r1)" || e.ViewChanges != 1 {
		t.Errorf("event %+v", e)
	}
	if !close1(e.OutageMS, 200) || !close1(e.OutageRawMS, 300) || e.UsualGapMS != 10 {
		t.Errorf("outage %v, raw %v, usually %v; want 200, 300, 10", *e.OutageMS, *e.OutageRawMS, e.UsualGapMS)
	}
	if !close1(e.TurnaroundMS, 20) || !close1(e.AcceptableMS, 100) || !close1(e.LimitMS, 300) || !close1(e.OutageToAcceptable, 2) {
		t.Errorf("judged before: %+v", e)
	}
	if l := e.LatencyMS; !close1(l.BeforeP50, 5) || !close1(l.DuringP99, 205) || !close1(l.AfterP50, 5) {
		t.Errorf("latencies %v %v %v", *l.BeforeP50, *l.DuringP99, *l.AfterP50)
	}
	if len(r.Leaders) != 2 || r.Leaders[0] != (LeaderReport{0, 1, 1}) || r.Leaders[1] != (LeaderReport{4.29, 2, 2}) {
		t.Errorf("leaders %+v", r.Leaders)
	}
	if len(r.Changes) != 1 || r.Changes[0].Because != "kill leader" || r.Changes[0].OldLeader != 1 || r.Changes[0].OwnGapMS != 40 || !r.Changes[0].Excused {
		t.Errorf("changes %+v", r.Changes)
	}
	if len(r.Suspected) != 3 || r.Suspected[0].Leader != 1 || len(r.Gaps) != 2 || len(r.Stalls) != 1 || r.Stalls[0] != (StallReport{4.1, 100}) {
		t.Errorf("suspected %+v, gaps %+v, stalls %+v", r.Suspected, r.Gaps, r.Stalls)
	}
	if r.LostNotes != 7 || r.NoQuorumS != 0 || len(r.Judgement) == 0 || len(r.Judgement) > most {
		t.Errorf("lost %d notes, no quorum for %v, %d judgements", r.LostNotes, r.NoQuorumS, len(r.Judgement))
	}
	// 6 x 2 ms, the limit of 300 ms, what gathers (4.5 ms), and 20 ms of checking.
	if !close1(r.BoundMS, 336.5) || r.OverBound != 0 || r.Judged == 0 || r.WorstMS != 5 || r.BoundTerms.Probes == 0 {
		t.Errorf("bound %v, terms %+v, %d over of %d, worst %v", *r.BoundMS, r.BoundTerms, r.OverBound, r.Judged, r.WorstMS)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{`"outage_ms":`, `"before_p50":`, `"leaders":`, `"bound_ms":`, `"over_bound":0`, `"stalls":[{"at_s":4.1,"ms":100}]`} {
		if !strings.Contains(string(text), key) {
			t.Errorf("there is no %s in the JSON", key)
		}
	}
}

// TestOverBound: an update of a correct replica in quiet times that takes too long is counted, with the stall taken out; one of a
// killed replica, or during the change of views, is not.
func TestOverBound(t *testing.T) {
	t.Parallel()
	l := story()
	slow := func(home int, at int64) { l.Samples = append(l.Samples, NewSample(home, at-400*msec, at)) }
	slow(2, 3000*msec)                                                // counts
	slow(1, 3000*msec)                                                // counts: it is killed only later
	slow(3, 5350*msec)                                                // the views change
	slow(1, 8000*msec)                                                // its replica is dead
	slow(2, 10_000*msec)                                              // counts
	l.Samples = append(l.Samples, NewSample(4, 8000*msec, 8336*msec)) // within the bound
	l.Stalls = append(l.Stalls, stall.Span{From: 9700 * msec, To: 9800 * msec})
	sortSamples(l)
	if r := fill(l); r.OverBound != 2 || r.WorstMS != 400 {
		t.Errorf("%d over the bound, worst %v; want 2 and 400", r.OverBound, r.WorstMS)
	}
}

func sortSamples(l *Log) {
	for i := range l.Samples {
		for k := i; k > 0 && l.Samples[k].To < l.Samples[k-1].To; k-- {
			l.Samples[k], l.Samples[k-1] = l.Samples[k-1], l.Samples[k]
		}
	}
}

// TestUnexcusedChange: a view change without a reason is called that, and one of a leader that stood still for too long is not.
func TestUnexcusedChange(t *testing.T) {
	t.Parallel()
	l := story()
	l.Happened = nil
	if r := fill(l); len(r.Changes) != 1 || r.Changes[0].Excused || r.Changes[0].OwnGapMS != 40 || !close1(r.Changes[0].LimitMS, 300) {
		t.Errorf("changes %+v", r.Changes)
	}
	l.Notes = append(l.Notes, Noted{1, Note{At: 5300 * msec, Kind: Gap, Nanos: 310 * msec}})
	if r := fill(l); len(r.Changes) != 1 || !r.Changes[0].Excused || r.Changes[0].OwnGapMS != 310 {
		t.Errorf("changes %+v", r.Changes)
	}
}

// TestCause: what the script had done to a leader, and what it had not.
func TestCause(t *testing.T) {
	t.Parallel()
	happened := func(text string, at int64, ids ...int) Happened {
		verb, _, _ := strings.Cut(text, " ")
		return Happened{Event: Event{Verb: Verb(verb), Text: text}, At: at * 1000 * msec, Replicas: ids}
	}
	for _, c := range []struct {
		happened []Happened
		want     string
	}{
		{nil, ""}, {[]Happened{happened("kill r2", 1, 2)}, ""}, {[]Happened{happened("kill r1", 1, 1)}, "kill r1"},
		{[]Happened{happened("kill r1", 1, 1), happened("restart r1", 2, 1)}, "kill r1"}, {[]Happened{happened("restart r1", 2, 1)}, "restart r1"},
		{[]Happened{happened("pause r1", 1, 1), happened("resume all", 2, 1, 2)}, "resume all, 48s before"},
		{[]Happened{happened("attack r1", 1, 1), happened("heal", 2), happened("resume all", 3, 1)}, "attack r1"},
		{[]Happened{happened("resume all", 49, 1), happened("heal", 49)}, ""},
		{[]Happened{happened("partition r1", 48), happened("heal", 49)}, "heal, 1s before"},
		{[]Happened{happened("link r1>r2 down", 48, 1), happened("kill r1", 60, 1)}, "link r1>r2 down"},
	} {
		l := &Log{Group: group.MustNew(1, 0), Happened: c.happened}
		want := c.want
		if want == "resume all, 48s before" {
			want = "" // too long ago
		}
		if got := l.cause(1, 50_000*msec); got != want {
			t.Errorf("%v: cause %q, want %q", c.happened, got, want)
		}
	}
}

// TestCompromisedDoNotCount: what an attacked replica notes is not believed.
func TestCompromisedDoNotCount(t *testing.T) {
	t.Parallel()
	l := story()
	l.Happened = append([]Happened{{Event: Event{Verb: Attack, What: "delay", Text: "attack r4 delay", At: 0}, At: 1000 * msec, Replicas: []int{4}}}, l.Happened...)
	l.Notes = append(l.Notes,
		Noted{4, Note{At: 2000 * msec, Kind: Suspected, View: 7, Replica: 3}}, Noted{4, Note{At: 2000 * msec, Kind: Installed, View: 8}},
		Noted{4, Note{At: 2000 * msec, Kind: Probed, Replica: 1, Nanos: 9000 * msec, Trip: 1}},
		Noted{4, Note{At: 2000 * msec, Kind: Judged, Judgement: &Judgement{1, 2, 3 * 60_000 * msec}}})
	r := fill(l)
	if len(r.Leaders) != 2 || len(r.Suspected) != 2 || !close1(r.BoundMS, 336.5) {
		t.Errorf("leaders %+v, suspected %+v, bound %v", r.Leaders, r.Suspected, *r.BoundMS)
	}
	if r.NoQuorumS != 6 {
		t.Errorf("two of four were not correct or not running from the kill on, and a quorum is missing for %v s", r.NoQuorumS)
	}
}

// TestSummarise: medians over runs, with a run without an outage among them.
func TestSummarise(t *testing.T) {
	t.Parallel()
	runs := []*Report{fill(story()), fill(story()), fill(story())}
	runs[0].Agreed, runs[1].Agreed, runs[2].Agreed = true, true, true
	twice := 400.0
	runs[1].Events[0].OutageMS, runs[2].Events[0].OutageMS = nil, &twice
	s := Summarise(runs)
	if !s.Agreed || s.Trials != 3 || len(s.Events) != 1 || s.Events[0].OutageMS.Median != 200 || s.Events[0].OutageMS.Min != 0 || s.Events[0].OutageMS.Max != 400 {
		t.Errorf("summary %+v", s.Events[0].OutageMS)
	}
	if s.Events[0].MedianToAcceptable == nil || *s.Events[0].MedianToAcceptable != 2 {
		t.Errorf("ratio %v", s.Events[0].MedianToAcceptable)
	}
	runs[1].Agreed, runs[1].Lost = false, 3
	if s := Summarise(runs); s.Agreed || s.Lost != 3 {
		t.Error("a run that failed does not show")
	}
}

// TestTimeline: every acknowledgement is in one bin.
func TestTimeline(t *testing.T) {
	t.Parallel()
	l := story()
	bins := l.Timeline(0.37)
	sum := 0.0
	for i, b := range bins {
		length := 0.37
		if i == len(bins)-1 {
			length = 10 - 0.37*float64(len(bins)-1)
		}
		sum += b.PerS * length
	}
	if want := float64(len(l.Samples)); sum < want-0.5 || sum > want+0.5 {
		t.Errorf("%v updates in all bins, want %v", sum, want)
	}
	r := fill(l)
	for _, m := range r.MedianJudgement(0.5) {
		if m.Turnaround != 20 || m.Acceptable != 100 || m.Limit != 300 {
			t.Errorf("median judgement %+v", m)
		}
	}
}
