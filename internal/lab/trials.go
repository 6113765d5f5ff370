package lab

import (
	"slices"

	"github.com/primebft/prime/internal/bench"
)

// Summary is what several runs of one script have in common.
type Summary struct {
	Trials     int            `json:"trials"`
	Agreed     bool           `json:"agreed"` // in all of them
	Lost       int            `json:"lost"`   // in all together
	Events     []EventSummary `json:"events"`
	BoundMS    *Spread        `json:"bound_ms"`
	OverBound  int            `json:"over_bound"` // in all together
	Judged     int            `json:"judged"`
	Throughput *Spread        `json:"throughput_per_s_unstalled"`
	Runs       []*Report      `json:"runs"`
}

// EventSummary is one event of the script over all runs.
type EventSummary struct {
	AtS          float64 `json:"at_s"` // as the script says
	What         string  `json:"what"`
	OutageMS     *Spread `json:"outage_ms"` // unstalled; a run without an outage counts as 0
	OutageRawMS  *Spread `json:"outage_raw_ms"`
	AcceptableMS *Spread `json:"acceptable_ms"` // what the cluster had computed just before
	LimitMS      *Spread `json:"limit_ms"`
	ToAcceptable *Spread `json:"outage_to_acceptable"` // in each run
	// MedianToAcceptable is the median outage divided by the median acceptable turnaround.
	MedianToAcceptable *float64 `json:"median_outage_to_median_acceptable"`
	ViewChanges        *Spread  `json:"view_changes"`
	BeforeP50          *Spread  `json:"before_p50"`
	DuringP99          *Spread  `json:"during_p99"`
	AfterP50           *Spread  `json:"after_p50"`
	BackMS             *Spread  `json:"back_ms,omitempty"`
	BackBytes          *Spread  `json:"back_bytes,omitempty"`
}

// Spread is one figure over several runs; those in which it is not known are left out.
type Spread struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	All    []float64 `json:"all"` // in the order of the runs
}

// spread is nil if there are no values.
func spread(values []float64) *Spread {
	if len(values) == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return &Spread{bench.Round((sorted[(n-1)/2]+sorted[n/2])/2, 3), sorted[0], sorted[n-1], values}
}

// Summarise puts runs of one script together.
func Summarise(runs []*Report) *Summary {
	s := &Summary{Trials: len(runs), Agreed: true, Events: []EventSummary{}, Runs: runs}
	var bounds, throughputs []float64
	for _, r := range runs {
		s.Agreed = s.Agreed && r.Agreed
		s.Lost += r.Lost
		s.OverBound += r.OverBound
		s.Judged += r.Judged
		throughputs = append(throughputs, r.ThroughputPerSUnstalled)
		if r.BoundMS != nil {
			bounds = append(bounds, *r.BoundMS)
		}
	}
	s.BoundMS, s.Throughput = spread(bounds), spread(throughputs)
	for i := range runs[0].Events {
		s.Events = append(s.Events, summarise(runs, i))
	}
	return s
}

// summarise is one event over all runs.
func summarise(runs []*Report, i int) EventSummary {
	of := func(pick func(*EventReport) *float64) *Spread {
		var values []float64
		for _, r := range runs {
			if i >= len(r.Events) {
				continue
			}
			if v := pick(&r.Events[i]); v != nil {
				values = append(values, *v)
			}
		}
		return spread(values)
	}
	zero := func(v *float64) *float64 {
		if v == nil {
			v = new(float64)
		}
		return v
	}
	first := &runs[0].Events[i]
	s := EventSummary{
		AtS: first.AtS, What: first.What,
		OutageMS:     of(func(e *EventReport) *float64 { return zero(e.OutageMS) }),
		OutageRawMS:  of(func(e *EventReport) *float64 { return zero(e.OutageRawMS) }),
		AcceptableMS: of(func(e *EventReport) *float64 { return e.AcceptableMS }),
		LimitMS:      of(func(e *EventReport) *float64 { return e.LimitMS }),
		ToAcceptable: of(func(e *EventReport) *float64 { return e.OutageToAcceptable }),
		ViewChanges:  of(func(e *EventReport) *float64 { n := float64(e.ViewChanges); return &n }),
		BeforeP50:    of(func(e *EventReport) *float64 { return e.LatencyMS.BeforeP50 }),
		DuringP99:    of(func(e *EventReport) *float64 { return e.LatencyMS.DuringP99 }),
		AfterP50:     of(func(e *EventReport) *float64 { return e.LatencyMS.AfterP50 }),
		BackMS:       of(func(e *EventReport) *float64 { return e.BackMS }),
		BackBytes: of(func(e *EventReport) *float64 {
			if e.BackBytes == nil {
				return nil
			}
			bytes := float64(*e.BackBytes)
			return &bytes
		}),
	}
	if s.OutageMS != nil && s.AcceptableMS != nil && s.AcceptableMS.Median > 0 {
		ratio := bench.Round(s.OutageMS.Median/s.AcceptableMS.Median, 3)
		s.MedianToAcceptable = &ratio
	}
	return s
}
