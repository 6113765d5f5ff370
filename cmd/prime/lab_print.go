package main

import (
	"fmt"
	"io"

	"github.com/primebft/prime/internal/lab"
)

// printLab shows a report to people.
func printLab(w io.Writer, r *lab.Report) {
	printReport(w, &r.Report)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	if r.Soak != nil {
		printSoak(w, r.Soak)
		return
	}
	for _, e := range r.Events {
		name := fmt.Sprintf("at %.1f s", e.AtS)
		row(name, "%s", e.Text)
		if e.Problem != "" {
			row("", "problem: %s", e.Problem)
		}
		row("", "outage %s, latency p50 %s before, p99 %s during, p50 %s after; settled at %.1f s, %d view changes",
			ms(e.OutageMS), ms(e.LatencyMS.BeforeP50), ms(e.LatencyMS.DuringP99), ms(e.LatencyMS.AfterP50), e.SettledS, e.ViewChanges)
		for _, b := range e.Back {
			if b.MS == nil {
				row("", "r%d was not back in order; it received %s bytes", b.Replica, thousands(float64(b.Bytes)))
				continue
			}
			row("", "r%d was back in order after %s, %s ordinals by %s, %s bytes received, %s of them state", b.Replica, ms(b.MS),
				thousands(float64(b.Ordinals)), b.By, thousands(float64(b.Bytes)), thousands(float64(b.State)))
			if s := b.Start; s != nil {
				row("", "it went through %s bytes of its log in %.1f ms: %s inputs after an image of %s bytes, as of ordinal %d", thousands(float64(s.LogBytes)),
					s.MS, thousands(float64(s.Inputs)), thousands(float64(s.ImageBytes)), s.Ordinal)
			}
		}
		if e.AcceptableMS != nil {
			row("", "just before, a turnaround of %s was acceptable, and up to %s not suspected", ms(e.AcceptableMS), ms(e.LimitMS))
		}
	}
	for _, c := range r.Changes {
		why := c.Because
		if why == "" {
			why = fmt.Sprintf("its own clock had stood still for %.0f ms at most", c.OwnGapMS)
		}
		row("view", "%d at %.1f s: r%d after r%d (%s), in %.0f ms", c.View, c.AtS, c.Leader, c.OldLeader, why, c.TookMS)
	}
	if r.BoundMS != nil {
		row("bound", "%.0f ms; %d of %d updates in stable time took longer, the longest %.0f ms (with the median delay it would be %.0f ms)",
			*r.BoundMS, r.OverBound, r.Judged, r.WorstMS, r.BoundTerms.TypicalMS)
	}
	if r.NoQuorumS > 0 {
		row("no quorum", "for %.1f s fewer replicas than a quorum were running, correct and connected: then nothing is promised", r.NoQuorumS)
	}
	if len(r.LeftBehind) > 0 {
		row("left behind", "%s: away for longer than the others remember", lab.Names(r.LeftBehind))
	}
}

func ms(x *float64) string {
	if x == nil {
		return "none"
	}
	return fmt.Sprintf("%.1f ms", *x)
}

// printTrials shows what several runs have in common.
func printTrials(w io.Writer, s *lab.Summary) {
	fmt.Fprintf(w, "%d trials: agreed %v, lost %d acknowledged updates\n", s.Trials, s.Agreed, s.Lost)
	spread := func(v *lab.Spread) string {
		if v == nil {
			return "none"
		}
		return fmt.Sprintf("%.1f (%.1f to %.1f)", v.Median, v.Min, v.Max)
	}
	for _, e := range s.Events {
		fmt.Fprintf(w, "  at %.1f s  %s\n", e.AtS, e.What)
		fmt.Fprintf(w, "    outage %s ms, raw %s ms; %s view changes\n", spread(e.OutageMS), spread(e.OutageRawMS), spread(e.ViewChanges))
		fmt.Fprintf(w, "    latency p50 before %s, p99 during %s, p50 after %s ms\n", spread(e.BeforeP50), spread(e.DuringP99), spread(e.AfterP50))
		if e.MedianToAcceptable != nil {
			fmt.Fprintf(w, "    acceptable turnaround %s ms, limit %s ms: the median outage is %.2f times the acceptable turnaround\n",
				spread(e.AcceptableMS), spread(e.LimitMS), *e.MedianToAcceptable)
		}
	}
}
