package bulk

import (
	"fmt"
	"io"
	"slices"

	"github.com/primebft/prime/internal/transfer"
)

// Report is what was measured. Seconds are without those in which the machine stood still; rates are in bytes of state.
type Report struct {
	Replicas   int       `json:"replicas"`
	F          int       `json:"f"`
	Bytes      int64     `json:"bytes"`
	Copies     []Leg     `json:"copies"`
	Transfers  []Row     `json:"transfers"`
	Resumed    []Resumed `json:"resumed,omitempty"`
	CopyPerS   float64   `json:"copy_per_s"`  // median, bytes per second until all are durable
	WorstRatio float64   `json:"worst_ratio"` // the smaller ratio of the worst row
	PeakMiB    float64   `json:"peak_mib"`    // resident memory of the fetching process, most
}

// Leg is how long a copy or transfer took, seconds.
type Leg struct {
	There   float64 `json:"there_s"`   // until all bytes had come and were written
	Durable float64 `json:"durable_s"` // and until they were durable
	CPU     float64 `json:"cpu_s"`     // processor time of all processes together until then
}

// Row is one kind of transfer, all rounds of it.
type Row struct {
	Strategy           string  `json:"strategy"`
	Liars              Lie     `json:"liars"` // what f of the others did
	Legs               []Leg   `json:"legs"`
	PerS               float64 `json:"per_s"`       // median, bytes per second until all are durable
	Ratio              float64 `json:"ratio"`       // median, to the copies before and after, until all are durable
	RatioThere         float64 `json:"ratio_there"` // and until all have come
	CPURatio           float64 `json:"cpu_ratio"`   // median, processor time of the copies before and after to that of the transfer
	Lies               int     `json:"lies"`        // replicas that were convicted, in the last round
	Silences           int     `json:"silences"`    // times that one was silent for too long, in the last round
	Wasted             uint64  `json:"wasted"`      // bytes that came in vain, in the last round
	ratios, come, work []float64
}

// Resumed is a transfer whose process was killed when half was there.
type Resumed struct {
	Strategy string  `json:"strategy"`
	Blocks   int     `json:"blocks"`
	Before   int     `json:"before"`  // of them, when it was killed
	Copied   int     `json:"copied"`  // that the next process found
	Bytes    uint64  `json:"bytes"`   // that it fetched
	Seconds  float64 `json:"seconds"` // from its start to the end
}

// add counts a transfer between two copies.
func (r *Report) add(s Strategy, lie Lie, leg, before, after Leg, p *transfer.Progress) {
	i := slices.IndexFunc(r.Transfers, func(row Row) bool { return row.Strategy == s.String() && row.Liars == lie })
	if i < 0 {
		r.Transfers = append(r.Transfers, Row{Strategy: s.String(), Liars: lie})
		i = len(r.Transfers) - 1
	}
	row := &r.Transfers[i]
	row.Legs = append(row.Legs, leg)
	row.ratios = append(row.ratios, (before.Durable+after.Durable)/2/leg.Durable)
	row.come = append(row.come, (before.There+after.There)/2/leg.There)
	row.work = append(row.work, (before.CPU+after.CPU)/2/leg.CPU)
	if p == nil {
		return
	}
	row.Lies, row.Silences, row.Wasted = p.Lies, p.Silences, 0
	for _, peer := range p.Peers {
		row.Wasted += peer.Wasted
	}
}

// compare takes medians.
func (r *Report) compare() {
	var copies []float64
	for _, l := range r.Copies {
		copies = append(copies, float64(r.Bytes)/l.Durable)
	}
	r.CopyPerS = median(copies)
	for i := range r.Transfers {
		row := &r.Transfers[i]
		var rates []float64
		for _, l := range row.Legs {
			rates = append(rates, float64(r.Bytes)/l.Durable)
		}
		row.PerS, row.Ratio, row.RatioThere, row.CPURatio = median(rates), median(row.ratios), median(row.come), median(row.work)
		if worst := min(row.Ratio, row.RatioThere); i == 0 || worst < r.WorstRatio {
			r.WorstRatio = worst
		}
	}
}

// median is the middle of a list, the mean of the middle two if there are two; 0 of none.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

// Print writes the report in Markdown.
func (r *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "%d replicas, f = %d, %.0f MiB; a plain copy: %.0f MB/s until it is durable\n\n", r.Replicas, r.F, float64(r.Bytes)/(1<<20),
		r.CopyPerS/1e6)
	fmt.Fprintln(w, "| strategy | f replicas | MB/s | seconds | of the copy | until all has come | in processor time | lies | silences | wasted MB |")
	fmt.Fprintln(w, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, row := range r.Transfers {
		var seconds []float64
		for _, l := range row.Legs {
			seconds = append(seconds, l.Durable)
		}
		fmt.Fprintf(w, "| %s | %s | %.0f | %.2f | %.2f | %.2f | %.2f | %d | %d | %.1f |\n", row.Strategy, row.Liars, row.PerS/1e6, median(seconds),
			row.Ratio, row.RatioThere, row.CPURatio, row.Lies, row.Silences, float64(row.Wasted)/1e6)
	}
	for _, k := range r.Resumed {
		fmt.Fprintf(w, "\n%s, killed with %d of %d blocks there: the next process found %d, fetched %.0f MB, and was done after %.2f s\n",
			k.Strategy, k.Before, k.Blocks, k.Copied, float64(k.Bytes)/1e6, k.Seconds)
	}
	fmt.Fprintf(w, "\nworst ratio %.2f; the fetching process had at most %.0f MiB of memory\n", r.WorstRatio, r.PeakMiB)
}
