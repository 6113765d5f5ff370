package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/primebft/prime/internal/bench"
)

// tableDuration is how long each leg of the table takes unless it is told.
const tableDuration = 4 * time.Second

// table measures the table of docs/performance.md and prints it as it stands there.
func (c *benchCmd) table(g *globals) error {
	if c.Dir != "" || c.JSON || c.Rate != 0 {
		return usageError(errors.New("--table: it makes its own clusters and loads: leave out --dir, --json and --rate"))
	}
	sizes := []int{4, 7}
	if c.Replicas != 0 {
		sizes = []int{c.Replicas}
	}
	var failed error
	var rows []*bench.Report
	for _, n := range sizes {
		for _, auth := range []string{"replica", "client"} {
			for _, outstanding := range []int{1, 10, 100, 1000} {
				leg := *c
				leg.Replicas, leg.Auth, leg.Outstanding, leg.Floor, leg.Clients = n, auth, outstanding, true, 0
				if leg.Duration == 0 {
					leg.Duration = tableDuration
				}
				fmt.Fprintf(g.err, "%d replicas, auth %s, %d outstanding\n", n, auth, outstanding)
				report, why, err := leg.bench(g)
				if err != nil {
					return err
				}
				failed = errors.Join(failed, verdict(report, why))
				rows = append(rows, report)
			}
		}
	}
	printTable(g, rows)
	return failed
}

// printTable prints what was measured in Markdown.
func printTable(g *globals, rows []*bench.Report) {
	fmt.Fprintln(g.out, "| n | auth | outstanding per replica | updates/s | p50 ms | p99 ms | CPU µs/update | RSS MiB | bytes sent/update | stalled | floor/s | of the floor | floor to TLS |")
	fmt.Fprintln(g.out, "|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range rows {
		fmt.Fprintf(g.out, "| %d | %s | %d | %s | %.1f | %.1f | %.0f | %.0f | %s | %.0f %% | %s | %.1f %% | %.2f |\n", r.Replicas, r.Auth,
			r.Outstanding, thousands(r.ThroughputPerSUnstalled), r.LatencyMS.P50, r.LatencyMS.P99, r.CPUUsPerUpdate, mean(r.RSSMiB),
			thousands(r.BytesSentPerUpdate), 100*r.HostStallShare, thousands(r.FloorReport.ThroughputPerS), 100*r.Ratio, r.TLSRatio)
	}
	fmt.Fprintln(g.out, "\n| n | auth | lone update p50 ms | six rounds ms | ratio |")
	fmt.Fprintln(g.out, "|--:|---|--:|--:|--:|")
	for i, r := range rows {
		if i > 0 && rows[i-1].Replicas == r.Replicas && rows[i-1].Auth == r.Auth {
			continue
		}
		var lone, six, ratios []float64 // all rows of one size and mode measure the same here
		for _, same := range rows {
			if same.Replicas == r.Replicas && same.Auth == r.Auth {
				lone, six = append(lone, same.LoneMS), append(six, same.RoundMS)
				ratios = append(ratios, same.LatencyRatio)
			}
		}
		fmt.Fprintf(g.out, "| %d | %s | %.2f | %.2f | %.2f |\n", r.Replicas, r.Auth, bench.Median(lone), bench.Median(six), bench.Median(ratios))
	}
}

// mean of the values; 0 if there are none.
func mean(values map[int]float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return bench.Ratio(sum, float64(len(values)))
}
