package main

import (
	"github.com/primebft/prime/internal/chart"
	"github.com/primebft/prime/internal/lab"
)

// drawLab draws a run: throughput, latency and how the leader was judged, over time, with the events marked.
func drawLab(x *experiment, title string, r *lab.Report, file string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := &chart.Chart{Title: title, X: "seconds", From: 0, To: r.DurationS, Height: 620}
	bins := x.log.Timeline(r.DurationS / 200)
	throughput := chart.Series{Points: []chart.Point{}}
	p50, p99 := chart.Series{Name: "median"}, chart.Series{Name: "99 %", Style: chart.Dots, Colour: 1}
	for _, b := range bins {
		throughput.Points = append(throughput.Points, chart.Point{X: b.AtS, Y: b.PerS})
		p50.Points = append(p50.Points, chart.Point{X: b.AtS, Y: b.P50})
		p99.Points = append(p99.Points, chart.Point{X: b.AtS, Y: b.P99})
	}
	latency := []chart.Series{p50, p99}
	if r.BoundMS != nil {
		latency = append(latency, chart.Series{Name: "bound", Style: chart.Dashed, Colour: 6,
			Points: []chart.Point{{X: 0, Y: *r.BoundMS}, {X: r.DurationS, Y: *r.BoundMS}}})
	}
	c.Panels = []chart.Panel{
		{Y: "updates per second", Series: []chart.Series{throughput}},
		{Y: "latency, ms", LogY: true, Series: latency},
		{Y: "turnaround, ms", LogY: true, Series: judgementCurves(r)},
	}
	if r.Soak != nil {
		c.Panels[2] = chart.Panel{Y: "of each round, ms", LogY: true, Series: soakSeries(r.Soak)}
	} else {
		for _, e := range r.Events {
			c.Marks = append(c.Marks, chart.Mark{X: e.AtS, Label: e.Text})
		}
	}
	for _, s := range r.Stalls {
		c.Shades = append(c.Shades, chart.Shade{From: s.AtS, To: s.AtS + s.MS/1000})
	}
	return c.Save(file)
}

// judgementCurves are medians over the replicas of what each thought.
func judgementCurves(r *lab.Report) []chart.Series {
	turnaround := chart.Series{Name: "measured", Colour: 0}
	acceptable := chart.Series{Name: "acceptable", Colour: 2}
	limit := chart.Series{Name: "limit", Colour: 1}
	for _, m := range r.MedianJudgement(r.DurationS / 100) {
		turnaround.Points = append(turnaround.Points, chart.Point{X: m.AtS, Y: m.Turnaround})
		acceptable.Points = append(acceptable.Points, chart.Point{X: m.AtS, Y: m.Acceptable})
		limit.Points = append(limit.Points, chart.Point{X: m.AtS, Y: m.Limit})
	}
	return []chart.Series{turnaround, acceptable, limit}
}

// soakSeries is how long each round was felt.
func soakSeries(s *lab.SoakReport) []chart.Series {
	outage := chart.Series{Name: "nothing delivered", Style: chart.Dots, Colour: 1}
	back := chart.Series{Name: "until all are back", Style: chart.Dots, Colour: 2}
	for _, r := range s.Rounds {
		outage.Points = append(outage.Points, chart.Point{X: r.AtS, Y: r.OutageMS})
		if r.BackMS != nil {
			back.Points = append(back.Points, chart.Point{X: r.AtS, Y: *r.BackMS})
		}
	}
	return []chart.Series{outage, back}
}
