package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/term"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/attack"
	"github.com/primebft/prime/internal/bench"
	"github.com/primebft/prime/internal/chart"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/lab"
)

// labCmd is prime lab.
type labCmd struct {
	loadFlags
	Dir        string        `help:"Folder to make the cluster in, and to leave there; by default a temporary one that is removed."`
	Event      []string      `sep:"none" placeholder:"EVENT" help:"An event, for example \"at 5s kill leader\". It can be repeated, and hold several with ; between them."`
	Script     string        `placeholder:"FILE" help:"Events from a file, one a line, # begins a comment."`
	Plot       string        `placeholder:"FILE" help:"Draw latency, throughput and the judgement of the leader over time, as .svg or .png."`
	Storage    string        `enum:"auto,ephemeral,durable" default:"auto" help:"Whether replicas keep a log, so that they can be started again; auto: if the script restarts any, but for those that it compromises."`
	History    int           `placeholder:"N" help:"Executed ordinals that replicas keep for those that are behind. 32,768 by default."`
	Checkpoint int           `placeholder:"N" help:"Executed ordinals between two checkpoints, from which replicas go on whose peers no longer remember what they missed. 2,000 by default, or 64 MiB of updates."`
	App        string        `enum:"echo,digest,store" default:"echo" help:"The application: echo and digest have hardly any state, store has --state bytes."`
	State      byteSize      `placeholder:"SIZE" help:"With --app store: how much state, for example 256MiB. 64 MiB by default."`
	Soak       time.Duration `placeholder:"TIME" help:"Instead of a script: rounds of kills and restarts, pauses and partitions that --seed draws, for so long."`
	Seed       uint64        `default:"1" help:"Of --soak."`
	Rounds     int           `placeholder:"N" help:"With --soak: fail if fewer rounds end with all replicas back in order."`
	Trials     int           `default:"1" placeholder:"N" help:"Run the script so many times, each in a fresh cluster, and end with medians."`
}

// Help is shown below the flags.
func (*labCmd) Help() string {
	return `Starts replicas as processes of their own on this machine, puts load on them, does to them what the events say, and ends
with a report of what followed. Verbs: kill, pause, resume, restart, attack, partition, heal, link; a replica is r1, leader,
follower or all. It exits 1 if running, correct replicas disagree or have lost an acknowledged update; docs/lab.md has it all.

Example:
  prime lab --event "at 5s attack leader delay; at 10s kill leader" --plot lab.svg
  prime lab --wan us-wide --rate 100 --script examples/lab/attacks.txt --duration 40s --json
  prime lab --event "at 3s kill leader" --duration 6s --trials 20`
}

// labDuration is how long the load runs unless it is told.
const labDuration = 20 * time.Second

// Limits of what can be asked of the lab.
const (
	maxLabDuration = 2 * time.Hour // every update is remembered
	maxTrials      = 1000
)

// Run does all trials.
func (c *labCmd) Run(g *globals) error {
	sizes, events, err := c.read()
	if err != nil {
		return err
	}
	var runs []*lab.Report
	var failures []error
	for trial := range c.Trials {
		if c.Trials > 1 {
			fmt.Fprintf(g.err, "trial %d of %d\n", trial+1, c.Trials)
		}
		report, why, err := c.once(g, sizes, events)
		if err != nil {
			return err
		}
		runs = append(runs, report)
		failures = append(failures, verdict(&report.Report, why), soakVerdict(report, c.Rounds))
	}
	var shown any = runs[0]
	if c.Trials > 1 {
		shown = lab.Summarise(runs)
	}
	if c.JSON {
		err = g.printLine(shown)
	} else if c.Trials > 1 {
		printTrials(g.out, lab.Summarise(runs))
	} else {
		printLab(g.out, runs[0])
	}
	return errors.Join(append(failures, err)...)
}

// read judges the flags and reads the script.
func (c *labCmd) read() (group.Group, []lab.Event, error) {
	sizes, err := c.group()
	if err != nil {
		return sizes, nil, err
	}
	if err := c.soakFlags(); err != nil {
		return sizes, nil, err
	}
	if err := c.check(sizes.N(), config.DefaultLimits(), labDuration); err != nil {
		return sizes, nil, err
	}
	if err := c.limits(); err != nil {
		return sizes, nil, err
	}
	if c.Plot != "" {
		if _, err := chart.Format(c.Plot); err != nil {
			return sizes, nil, usageError(fmt.Errorf("--plot: %w", err))
		}
	}
	events, err := c.events(sizes)
	return sizes, events, err
}

// limits judges the flags that are the lab's own.
func (c *labCmd) limits() error {
	window := config.DefaultLimits().OrdinalWindow
	switch {
	case c.Duration > maxLabDuration:
		return usageError(fmt.Errorf("--duration %s: at most %s are possible here", c.Duration, maxLabDuration))
	case c.Trials < 1 || c.Trials > maxTrials:
		return usageError(fmt.Errorf("--trials %d: from 1 to %d are possible", c.Trials, maxTrials))
	case c.History < 0 || c.History > 0 && c.History < window:
		return usageError(fmt.Errorf("--history %d: at least %d are possible", c.History, window))
	case c.Checkpoint < 0 || c.Checkpoint > 0 && c.Checkpoint < window:
		return usageError(fmt.Errorf("--checkpoint %d: at least %d are possible", c.Checkpoint, window))
	case c.State > 0 && c.App != "store":
		return usageError(errors.New("--state: only --app store has as much state as is wanted"))
	case c.Trials > 1 && c.Dir != "":
		return usageError(errors.New("--dir: each trial has a fresh cluster: leave it out, or --trials"))
	}
	return nil
}

// events reads the script.
func (c *labCmd) events(sizes group.Group) ([]lab.Event, error) {
	rules := lab.Rules{Replicas: sizes.N(), Duration: c.Duration,
		Attack:   func(what string) error { _, err := attack.Parse(what); return err },
		Settings: func(words string) error { _, err := lab.ParseSettings(words); return err },
	}
	var events []lab.Event
	var faults []error
	read := func(name, text string, lines bool) {
		list, err := lab.Parse(name, text, lines, rules)
		events, faults = append(events, list...), append(faults, err)
	}
	if c.Script != "" {
		text, err := os.ReadFile(c.Script)
		if err != nil {
			return nil, usageError(fmt.Errorf("--script: %w", err))
		}
		read(c.Script, string(text), true)
	}
	for _, text := range c.Event {
		read("--event", text, false)
	}
	lab.Sort(events)
	return events, errors.Join(faults...)
}

// once runs the script in a cluster of its own.
func (c *labCmd) once(g *globals, sizes group.Group, events []lab.Event) (*lab.Report, string, error) {
	if !c.JSON {
		fmt.Fprintf(g.err, "starting %d replicas\n", sizes.N())
	}
	x := newExperiment(sizes, events, c.Duration)
	if x.storage = storageFor(events); c.Storage != "auto" {
		x.storage = storage{all: config.StorageMode(c.Storage)}
	}
	if c.Soak > 0 {
		x.soak, x.seed, x.storage = lab.NewSoak(sizes, c.Seed), c.Seed, storage{all: config.StorageDurable}
	}
	if c.History > 0 {
		x.history = c.History
	}
	x.checkpoint = c.Checkpoint
	x.app = config.App{Kind: c.App, StoreBytes: config.LAN().App.StoreBytes}
	if c.State > 0 {
		x.app.StoreBytes = int(c.State)
	}
	stage, err := newStage(g, c.Dir, sizes, &c.loadFlags, x.equip)
	if err != nil {
		return nil, "", err
	}
	defer stage.close()
	ctx, cancel := stage.guard(g.ctx, x.isAttacked)
	defer cancel()
	session, err := bench.Open(ctx, stage.cluster, bench.Clients{Count: c.Clients, Through: bench.Port}, stage.detector)
	if err != nil {
		return nil, "", because(ctx, err)
	}
	defer session.Close()
	x.begin(ctx, stage.cluster, session)
	defer x.end()
	report, why, err := c.show(ctx, g, x)
	if err != nil {
		return nil, "", because(ctx, err)
	}
	if c.Plot != "" {
		if err := drawLab(x, c.title(stage.cluster.Config), report, c.Plot); err != nil {
			return nil, "", err
		}
	}
	return report, why, nil
}

// show runs load and script, with the picture or a few lines of text, and judges.
func (c *labCmd) show(ctx context.Context, g *globals, x *experiment) (*lab.Report, string, error) {
	out, isFile := g.out.(*os.File)
	live := isFile && !c.JSON && c.Trials == 1 && term.IsTerminal(int(out.Fd()))
	x.say = func(format string, args ...any) {
		if !live {
			fmt.Fprintf(g.err, format+"\n", args...)
		}
	}
	report := &lab.Report{Report: c.report(x.cluster), Script: []string{}}
	report.Storage = x.storage.String()
	for _, e := range x.events {
		report.Script = append(report.Script, fmt.Sprintf("at %s %s", e.At, e.Text))
	}
	x.say("%d replicas are running; load for %s, and %d events", report.Replicas, c.Duration, len(x.events))
	load := c.load(report.Replicas)
	load.WarmUp = labWarmUp
	if c.WAN != "" {
		load.WarmUp = labWarmUpWAN
	}
	load.Began, load.Acknowledged = x.began, x.acknowledged
	showing, stop := context.WithCancel(ctx)
	defer stop()
	picturing := make(chan struct{})
	go func() {
		defer close(picturing)
		if live {
			p := &picture{out: out, title: c.title(x.cluster.Config), duration: c.Duration, begin: time.Now().Add(load.WarmUp),
				session: x.session, fate: x.fate, leading: x.leading, below: x.latest}
			p.run(showing)
		}
	}()
	scripting := make(chan struct{})
	go func() {
		defer close(scripting)
		x.play(showing)
	}()
	leg, err := x.session.Run(ctx, load)
	stop()
	<-picturing
	<-scripting
	if err != nil {
		return nil, "", err
	}
	x.say("the load has ended; waiting until every running, correct replica has delivered everything")
	x.tidy()
	if len(x.session.Counted()) == 0 {
		return nil, "", errors.New("the script has left no replica that runs and is correct: nobody can say what was ordered")
	}
	outcome, err := x.session.Settle(ctx)
	if err != nil {
		return nil, "", err
	}
	report.Report.Fill(leg)
	report.Settle(outcome)
	return report, outcome.Why, x.report(ctx, report)
}

func (c *labCmd) title(cl config.Cluster) string {
	title := fmt.Sprintf("Prime: %d replicas (f=%d, k=%d), %d clients, updates of %d bytes", len(cl.Replicas), cl.F, cl.K, c.Clients, c.Payload)
	if c.WAN != "" {
		title += ", links like " + c.WAN
	}
	return title
}

// Before the measurement: leaders have to be known to each other, and clients connected.
const (
	labWarmUp    = time.Second
	labWarmUpWAN = 3 * time.Second
)

// others are the ids of 1..n that are not in a list.
func others(n int, ids []int) []int {
	var rest []int
	for id := 1; id <= n; id++ {
		if !slices.Contains(ids, id) {
			rest = append(rest, id)
		}
	}
	return rest
}
