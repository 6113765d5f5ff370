package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/bench"
	"github.com/primebft/prime/internal/bench/floor"
	"github.com/primebft/prime/internal/bench/latency"
	"github.com/primebft/prime/internal/cluster"
	"github.com/primebft/prime/internal/group"
)

// benchCmd is prime bench.
type benchCmd struct {
	loadFlags
	storageFlag
	profileFlag
	transferFlags
	attackFlag
	Dir     string `help:"Folder of a cluster that runs on this machine; by default one is made for the measurement."`
	Floor   bool   `help:"Compare with what this machine does with the same updates when nobody orders them, in alternation."`
	Rounds  int    `default:"2" help:"With --floor, --attack or --transfer: how many times to alternate."`
	Profile string `placeholder:"DIR" help:"Write a CPU profile of each replica of an own cluster to DIR."`
	Through string `enum:",socket,port" default:"" hidden:"" help:"How updates enter: by the replicas' control sockets, or by their client ports."`
	Table   bool   `help:"Measure the table of docs/performance.md and print it; it takes --duration, --rounds, --replicas and --payload."`
}

// Help is shown below the flags.
func (*benchCmd) Help() string {
	return `Puts load on a cluster and measures throughput, latency and what the replicas use; it exits 1 if running replicas disagree
or have lost an acknowledged update. With --auth client the load comes from clients with keys over the client port, with
--auth replica from the replicas' own clients over their control sockets. docs/performance.md says how to read the figures.

Example:
  prime bench --outstanding 1000 --floor --json
  prime bench --dir demo --rate 500 --duration 1m
  prime bench --transfer 1GiB --kill-half
  prime bench --wan us-wide --replicas 7 --payload 512 --attack "leader delay patient+reconciliation; r2 reconciliation"`
}

// Times of a benchmark.
const (
	benchDuration = 10 * time.Second
	benchWarmUp   = time.Second
	benchRetry    = 20 * time.Second // a full queue is what is measured, not clients who lose patience with it
)

// Run measures.
func (c *benchCmd) Run(g *globals) error {
	if c.Rounds < 1 || c.Rounds > 1000 {
		return usageError(fmt.Errorf("--rounds %d: from 1 to 1000 are possible", c.Rounds))
	}
	if c.Transfer != 0 {
		return c.transfer(g)
	}
	if c.WAN != "" && (c.Floor || c.Table) {
		return errFloorHasNoWAN
	}
	if len(c.Attack) > 0 && (c.Floor || c.Table || c.Dir != "" || c.Through != "") {
		return usageError(errors.New("--attack: it makes its own clusters: leave out --dir, --through, --floor and --table"))
	}
	stop, err := c.profileFlag.start()
	if err != nil {
		return err
	}
	defer stop()
	switch {
	case c.Table:
		return c.table(g)
	case len(c.Attack) > 0:
		return c.underAttack(g)
	}
	report, why, err := c.bench(g)
	if err != nil {
		return err
	}
	if c.JSON {
		err = g.printLine(report)
	} else {
		printReport(g.out, report)
	}
	return errors.Join(err, verdict(report, why))
}

// bench measures once.
func (c *benchCmd) bench(g *globals) (*bench.Report, string, error) {
	stage, err := c.stage(g)
	if err != nil {
		return nil, "", err
	}
	defer stage.close()
	ctx, cancel := stage.guard(g.ctx, nil)
	defer cancel()
	through := bench.ThroughFor(stage.cluster.Config.Auth)
	switch {
	case c.Through != "":
		through = bench.Through(c.Through)
	case !stage.cluster.Config.AnyClient: // then only the replicas' own keys are ours to use
		through = bench.Socket
	}
	session, err := bench.Open(ctx, stage.cluster, bench.Clients{Count: c.Clients, Through: through, Retry: benchRetry}, stage.detector)
	if err != nil {
		return nil, "", because(ctx, err)
	}
	defer session.Close()
	report := c.report(stage.cluster)
	report.Storage = c.Storage
	m := &measurement{g: g, stage: stage, session: session, load: c.load(len(stage.cluster.Replicas)), rounds: 1}
	m.load.WarmUp = benchWarmUp
	if c.Floor {
		m.rounds = c.Rounds
		if err := m.openFloor(ctx); err != nil {
			return nil, "", because(ctx, err)
		}
		defer m.closeFloor()
	}
	if err := m.run(ctx); err != nil {
		return nil, "", because(ctx, err)
	}
	outcome, err := session.Settle(ctx)
	if err != nil {
		return nil, "", because(ctx, err)
	}
	report.Fill(bench.Merge(m.legs))
	report.Settle(outcome)
	if c.Floor {
		report.FloorReport = m.compare()
	}
	return &report, outcome.Why, nil
}

// stage finds the cluster to measure, or makes one.
func (c *benchCmd) stage(g *globals) (*stage, error) {
	if c.Dir == "" {
		sizes, err := c.group()
		if err != nil {
			return nil, err
		}
		if err := c.check(sizes.N(), config.DefaultLimits(), benchDuration); err != nil {
			return nil, err
		}
		if c.Profile != "" {
			if err := os.MkdirAll(c.Profile, 0o755); err != nil {
				return nil, usageError(fmt.Errorf("--profile: %w", err))
			}
		}
		return newStage(g, "", sizes, &c.loadFlags, c.equip)
	}
	if c.Replicas != 0 || c.F != nil || c.K != nil || c.Profile != "" || c.WAN != "" {
		return nil, usageError(errors.New("--dir: the cluster is what it is: leave out --replicas, --f, --k, --wan and --profile"))
	}
	l, err := attachStage(g, c.Dir)
	if err != nil {
		return nil, err
	}
	if err := c.check(len(l.cluster.Config.Replicas), l.cluster.Config.Limits, benchDuration); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// equip is how the replicas of an own cluster run.
func (c *benchCmd) equip(o *cluster.Options) {
	c.storageFlag.equip(o)
	if c.Profile == "" {
		return
	}
	args := o.RunArgs
	o.RunArgs = func(id int) []string {
		return append([]string{"--cpuprofile", filepath.Join(c.Profile, fmt.Sprintf("r%d.pprof", id))}, args(id)...)
	}
}

// measurement is legs of ordering, and, in alternation with them, of the floor.
type measurement struct {
	g       *globals
	stage   *stage
	session *bench.Session
	load    bench.Load
	rounds  int

	floor    *floor.Floor // nil: without
	floorDir string

	legs      []*bench.Leg
	floors    []float64 // updates per second in unstalled time, one for each leg of ordering
	copies    []float64
	lone, six []time.Duration
}

func (m *measurement) openFloor(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if m.floorDir, err = os.MkdirTemp("", "prime-floor-"); err != nil {
		return err
	}
	cl := m.stage.cluster.Config
	sizes, err := group.New(cl.F, cl.K)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	m.floor, err = floor.Start(ctx, filepath.Join(m.floorDir, "cluster"), sizes, cl.Auth, cl.Limits, self, "floor-node")
	if err != nil {
		m.closeFloor()
	}
	return err
}

func (m *measurement) closeFloor() {
	if m.floor != nil {
		m.floor.Close()
	}
	_ = os.RemoveAll(m.floorDir)
}

// run does all legs.
func (m *measurement) run(ctx context.Context) error {
	for round := range m.rounds {
		fmt.Fprintf(m.g.err, "leg %d of %d: ordering for %s\n", round+1, m.rounds, m.load.Duration)
		leg, err := m.session.Run(ctx, m.load)
		if err != nil {
			return err
		}
		m.legs = append(m.legs, leg)
		if m.floor == nil {
			continue
		}
		if err := m.floorLegs(ctx, leg); err != nil {
			return err
		}
	}
	return nil
}

// floorLegs does the floor of one leg of ordering: the same batches, copied, broadcast, and lone updates and six rounds.
func (m *measurement) floorLegs(ctx context.Context, leg *bench.Leg) error {
	batch := max(1, int(leg.PerRequest+0.5))
	fmt.Fprintf(m.g.err, "  floor: broadcast in batches of %d, copy, lone updates, six rounds\n", batch)
	for _, kind := range []struct {
		measure func(context.Context, int, int, time.Duration) (float64, bench.Span, error)
		into    *[]float64
	}{{m.floor.Broadcast, &m.floors}, {m.floor.Copy, &m.copies}} {
		updates, window, err := kind.measure(ctx, batch, m.load.PayloadBytes, m.load.Duration)
		if err != nil {
			return err
		}
		stalls, err := m.stage.detector.Stalled(ctx, window)
		if err != nil {
			return err
		}
		*kind.into = append(*kind.into, bench.PerSecond(updates, window, stalls))
	}
	lone := m.load
	lone.InFlight, lone.Rate = 1, 0
	alone, err := m.session.Run(ctx, lone)
	if err != nil {
		return err
	}
	six, err := m.floor.Rounds(ctx, m.load.Duration)
	if err != nil {
		return err
	}
	m.lone = append(m.lone, alone.Histogram.Quantile(0.5))
	m.six = append(m.six, six)
	return nil
}

// compare takes medians over the rounds.
func (m *measurement) compare() *bench.FloorReport {
	var ratios, latencies, straw []float64
	var lone, six []float64
	for i, leg := range m.legs {
		ratios = append(ratios, bench.Ratio(bench.Unstalled(leg), m.floors[i]))
		straw = append(straw, bench.Ratio(m.floors[i], m.copies[i]))
		latencies = append(latencies, bench.Ratio(float64(m.lone[i]), float64(m.six[i])))
		lone = append(lone, latency.Milliseconds(m.lone[i]))
		six = append(six, latency.Milliseconds(m.six[i]))
	}
	return &bench.FloorReport{
		ThroughputPerS: bench.Round(bench.Median(m.floors), 1), Ratio: bench.Round(bench.Median(ratios), 4), RoundMS: bench.Median(six),
		LoneMS: bench.Median(lone), LatencyRatio: bench.Round(bench.Median(latencies), 3), TLSPerS: bench.Round(bench.Median(m.copies), 1),
		TLSRatio: bench.Round(bench.Median(straw), 3),
	}
}

// floorNodeCmd is a process of the floor.
type floorNodeCmd struct {
	Dir string `arg:"" help:"Folder of the member."`
	profileFlag
}

// Run serves until standard input ends.
func (c *floorNodeCmd) Run(g *globals) error {
	stop, err := c.profileFlag.start()
	if err != nil {
		return err
	}
	defer stop()
	return floor.Serve(c.Dir, g.in, g.out)
}
