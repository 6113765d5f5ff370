package lab

import (
	"math"
	"slices"
	"time"

	"github.com/primebft/prime/internal/bench/latency"
)

// Bin is what was acknowledged in a short time. Latencies are as they were, with the time in which the machine stood still, and
// not a number if nothing was acknowledged.
type Bin struct {
	AtS      float64 // its middle
	PerS     float64
	P50, P99 float64 // milliseconds
}

// Timeline is the window in bins of so many seconds, about.
func (l *Log) Timeline(seconds float64) []Bin {
	length := max(1, int64(seconds*1e9))
	var bins []Bin
	for from := l.Window.From; from < l.Window.To; from += length {
		to := min(from+length, l.Window.To)
		var h latency.Histogram
		for i := l.sampleFrom(from); i < len(l.Samples) && l.Samples[i].To < to; i++ {
			s := &l.Samples[i]
			h.Add(time.Duration(s.To - s.from()))
		}
		b := Bin{AtS: l.seconds(from/2 + to/2), PerS: float64(h.Count()) / (float64(to-from) / 1e9), P50: math.NaN(), P99: math.NaN()}
		if h.Count() > 0 {
			b.P50, b.P99 = latency.Milliseconds(h.Quantile(0.5)), latency.Milliseconds(h.Quantile(0.99))
		}
		bins = append(bins, b)
	}
	return bins
}

// Median is medians over the replicas of what they thought of the leader; not a number if none knew.
type Median struct {
	AtS                           float64
	Turnaround, Acceptable, Limit float64 // milliseconds
}

// MedianJudgement is the judgement over time in steps of so many seconds.
func (r *Report) MedianJudgement(seconds float64) []Median {
	var list []Median
	var t, a, l []float64
	flush := func(at float64) {
		if len(t) > 0 {
			list = append(list, Median{at, middle(t), middle(a), middle(l)})
		}
		t, a, l = t[:0], a[:0], l[:0]
	}
	begin := 0.0
	for i := range r.Judgement {
		j := &r.Judgement[i]
		if j.AtS >= begin+seconds {
			flush(begin + seconds/2)
			begin = math.Floor(j.AtS/seconds) * seconds
		}
		t = append(t, j.TurnaroundMS)
		if j.AcceptableMS != nil {
			a = append(a, *j.AcceptableMS)
		}
		if j.LimitMS != nil {
			l = append(l, *j.LimitMS)
		}
	}
	flush(begin + seconds/2)
	return list
}

// middle is the median of values, whose order it changes.
func middle(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	return values[len(values)/2]
}
