package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"text/tabwriter"

	"golang.org/x/term"

	"github.com/primebft/prime/internal/chart"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/sim"
)

// experimentFlags are those of prime sim that belong to experiments.
type experimentFlags struct {
	Experiment string `enum:",paper,lan" default:"" placeholder:"paper" help:"Instead of --seeds: measure in virtual time what the paper measured over a wide-area network (paper), or the same at one site (lan), and draw the curves."`
	Replicas   []int  `default:"4,7" placeholder:"N,…" help:"Experiment: sizes of the group."`
	Clients    []int  `placeholder:"N,…" help:"Experiment: how many clients, each with one update outstanding; by default from 1 to 2,400, at one site 30,000."`
	Auth       string `enum:"replica,client" default:"replica" help:"Experiment: who vouches for updates."`
	Cores      int    `default:"1" help:"Experiment: processors of a replica."`
	Datagrams  bool   `help:"Experiment: messages go in datagrams as between real replicas, and everything that adds is counted; by default each goes by itself."`
	Calibrate  bool   `help:"Experiment: let a processor be as fast as this machine's, instead of as fast as the one of docs/performance.md."`
	Plot       string `placeholder:"FILE" help:"Experiment: draw the curves into this file, SVG or PNG."`
}

// curve is one line of the experiment: a group size, and what its leader does.
type curve struct {
	Replicas int               `json:"replicas"`
	Attack   string            `json:"attack"` // "none", "delay", or "delay and" what f replicas do as well
	KLat     float64           `json:"k_lat"`
	Points   []sim.Measurement `json:"points"`
	faults   []string
}

// laid is an experiment by name.
func laid(name string, replicas, clients int) sim.Experiment {
	if name == "lan" {
		return sim.LANExperiment(replicas, clients)
	}
	return sim.PaperExperiment(replicas, clients)
}

func (c *curve) name() string {
	if c.Attack == "none" {
		return "fault-free"
	}
	return fmt.Sprintf("%s attack, K_Lat %g", c.Attack, c.KLat)
}

// experimentReport is what --experiment --json ends with.
type experimentReport struct {
	Experiment   string    `json:"experiment"`
	WAN          string    `json:"wan"`
	Auth         string    `json:"auth"`
	PayloadBytes int       `json:"payload_bytes"`
	Cores        int       `json:"cores"`
	Datagrams    bool      `json:"datagrams"`
	Costs        sim.Costs `json:"costs"`
	Curves       []curve   `json:"curves"`
}

// run does the experiment.
func (c *experimentFlags) run(g *globals, asJSON bool) error {
	if c.Plot != "" {
		if _, err := chart.Format(c.Plot); err != nil {
			return usageError(fmt.Errorf("--plot: %w", err))
		}
	}
	for _, n := range c.Replicas {
		if _, err := group.ForSize(n); err != nil {
			return usageError(fmt.Errorf("--replicas: %w", err))
		}
	}
	if len(c.Clients) == 0 {
		c.Clients = []int{1, 20, 50, 100, 200, 300, 350, 450, 600, 900, 1200, 1800, 2400}
		if c.Experiment == "lan" {
			c.Clients = []int{30_000}
		}
	}
	if slices.ContainsFunc(c.Clients, func(n int) bool { return n < 1 || n > 100_000 }) || c.Cores < 1 || c.Cores > 1024 {
		return usageError(errors.New("--clients, --cores: from 1 to 100,000 clients and 1,024 processors are possible"))
	}
	costs := sim.DefaultCosts()
	if c.Calibrate {
		var err error
		if costs, err = sim.Calibrate(); err != nil {
			return err
		}
	}
	base := laid(c.Experiment, 4, 1)
	report := experimentReport{
		Experiment: c.Experiment, WAN: base.WAN.Name, Auth: c.Auth, PayloadBytes: base.Payload, Cores: c.Cores, Costs: costs, Datagrams: c.Datagrams,
		Curves: c.curves(),
	}
	if err := c.measure(g, report.Curves, costs); err != nil {
		return err
	}
	if c.Plot != "" {
		if err := drawExperiment(c.Experiment, report.Curves).Save(c.Plot); err != nil {
			return err
		}
	}
	if asJSON {
		return g.printJSON(report)
	}
	return printExperiment(g.out, &report)
}

// curves are the lines to measure.
func (c *experimentFlags) curves() (list []curve) {
	for _, n := range c.Replicas {
		usual := laid(c.Experiment, n, 1).Node.Suspect.KLat
		for _, line := range []curve{
			{Attack: "none", KLat: usual}, {Attack: "delay", KLat: 1}, {Attack: "delay", KLat: 2},
			{Attack: "delay and reconciliation", KLat: usual, faults: []string{"reconciliation"}},
			{Attack: "delay and needy", KLat: usual, faults: []string{"needy"}},
			{Attack: "delay and flood-parts", KLat: usual, faults: []string{"flood-parts"}},
		} {
			line.Replicas, line.Points = n, make([]sim.Measurement, len(c.Clients))
			list = append(list, line)
		}
	}
	return list
}

// measure fills in the points of curves, on all processors.
func (c *experimentFlags) measure(g *globals, curves []curve, costs sim.Costs) error {
	type place struct{ curve, point int }
	places := make(chan place)
	progress := newProgress(g.err, len(curves)*len(c.Clients))
	var running sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range min(runtime.GOMAXPROCS(0), len(curves)*len(c.Clients)) {
		running.Go(func() {
			for p := range places {
				line := &curves[p.curve]
				e := laid(c.Experiment, line.Replicas, c.Clients[p.point])
				e.Node.Suspect.KLat, e.Attack, e.Faults = line.KLat, line.Attack != "none", line.faults
				e.ClientAuth, e.Cores, e.Costs, e.Datagrams = c.Auth == "client", c.Cores, costs, c.Datagrams
				m, err := e.Run()
				mu.Lock()
				line.Points[p.point] = m
				if err != nil {
					failed = errors.Join(failed, fmt.Errorf("%d replicas, %s, %d clients: %w", line.Replicas, line.name(), e.Clients, err))
				}
				progress.step()
				mu.Unlock()
			}
		})
	}
	for i := range curves {
		for j := range c.Clients {
			select {
			case places <- place{i, j}:
			case <-g.ctx.Done():
			}
		}
	}
	close(places)
	running.Wait()
	progress.end()
	if g.ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return failed
}

// progress is a line on a terminal.
type progress struct {
	w           io.Writer
	shown       bool
	done, total int
}

func newProgress(w io.Writer, total int) *progress {
	file, isFile := w.(*os.File)
	return &progress{w: w, total: total, shown: isFile && term.IsTerminal(int(file.Fd()))}
}

func (p *progress) step() {
	if p.done++; p.shown {
		fmt.Fprintf(p.w, "\r%d of %d points ", p.done, p.total)
	}
}

func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// printExperiment writes a table for people, in the form of docs/performance.md.
func printExperiment(w io.Writer, r *experimentReport) error {
	fmt.Fprintf(w, "%s, %d-byte updates, auth %s, %d processors; one signature %s, one verification %s\n", r.WAN, r.PayloadBytes, r.Auth,
		r.Cores, r.Costs.Sign, r.Costs.Verify)
	for i := range r.Curves {
		line := &r.Curves[i]
		fmt.Fprintf(w, "\n%d replicas, %s\n", line.Replicas, line.name())
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "clients\tupdates/s\tmean ms\tp50 ms\tp99 ms\tbytes/update\tordinals/s\tupdates/request\tuplink\tprocessor\tdropped\trepair mean/most\tanalysis\tturnaround/limit ms\tview\t")
		for k := range line.Points {
			m := &line.Points[k]
			fmt.Fprintf(t, "%d\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.1f\t%.1f\t%.0f %%\t%.0f %%\t%d\t%.0f/%.0f\t%.0f\t%.0f/%.0f\t%d\t\n", m.Clients, m.ThroughputPerS,
				m.LatencyMS.Mean, m.LatencyMS.P50, m.LatencyMS.P99, m.BytesPerUpdate, m.OrdinalsPerS, m.PerRequest,
				100*slices.Max(m.Uplink), 100*slices.Max(m.Processor), m.DroppedBytes, m.RepairMean, slices.Max(m.RepairBytes), m.RepairAnalysis, m.TurnaroundMS, m.TurnaroundLimit, m.Views)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// drawExperiment is the picture of the curves, with what the paper reports beside them: its plateaus, and where it gives one the
// number of clients.
func drawExperiment(name string, curves []curve) *chart.Chart {
	title := "us-wide: 50 ms, 10 Mbit/s out of each replica, 512-byte updates"
	if name == "lan" {
		title = "lan: 0.1 ms, 1 Gbit/s, 512-byte updates"
	}
	c := &chart.Chart{
		Title: title, X: "clients, one update outstanding each",
		Width: 720, Height: 760,
	}
	paper := map[int]chart.Series{
		4: {Name: "paper: 1,140/s at 600 clients", Style: chart.Dashed, Colour: 6, Points: []chart.Point{{X: 550, Y: 1140}, {X: 650, Y: 1140}}},
		7: {Name: "paper: plateau just under 850/s", Style: chart.Dashed, Colour: 6, Points: []chart.Point{{X: 350, Y: 850}, {X: 600, Y: 850}}},
	}
	for i := 0; i < len(curves); {
		n := curves[i].Replicas
		rate := chart.Panel{Y: fmt.Sprintf("updates/s, n = %d", n)}
		latency := chart.Panel{Y: fmt.Sprintf("mean latency ms, n = %d", n)}
		for k := 0; i < len(curves) && curves[i].Replicas == n; i, k = i+1, k+1 {
			line := &curves[i]
			r := chart.Series{Name: line.name(), Style: chart.Dotted, Colour: k}
			l := chart.Series{Style: chart.Dotted, Colour: k}
			for j := range line.Points {
				m := &line.Points[j]
				r.Points = append(r.Points, chart.Point{X: float64(m.Clients), Y: m.ThroughputPerS})
				l.Points = append(l.Points, chart.Point{X: float64(m.Clients), Y: m.LatencyMS.Mean})
			}
			rate.Series, latency.Series = append(rate.Series, r), append(latency.Series, l)
		}
		if s, ok := paper[n]; ok && name == "paper" {
			rate.Series = append(rate.Series, s)
		}
		c.Panels = append(c.Panels, rate, latency)
	}
	return c
}
