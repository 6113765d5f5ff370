package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/bench"
	"github.com/primebft/prime/internal/bench/stall"
	"github.com/primebft/prime/internal/cluster"
	"github.com/primebft/prime/internal/group"
)

// loadFlags are the flags that prime demo and prime bench share.
type loadFlags struct {
	Replicas    int           `placeholder:"N" help:"Number of replicas: f is the largest with N-1-3f even and not negative. 4 by default."`
	F           *int          `placeholder:"N" help:"Instead of --replicas: how many replicas may be compromised."`
	K           *int          `placeholder:"N" help:"Instead of --replicas: how many more may be unavailable."`
	Payload     int           `default:"300" help:"Bytes of an update."`
	Clients     int           `placeholder:"N" help:"Clients in all. Two for each replica by default."`
	Outstanding int           `default:"100" help:"Updates under way at once, for each replica; when one is done its client submits the next."`
	Rate        float64       `placeholder:"N" help:"Instead of --outstanding: updates per second in all, at fixed times, whatever becomes of them."`
	Duration    time.Duration `placeholder:"TIME" help:"How long to measure."`
	Auth        string        `enum:"replica,client" default:"replica" help:"Who vouches for updates: the replica that introduces them, or each client by signature."`
	Proof       string        `enum:"list,bls" default:"list" help:"What challenges a new leader: a list of signatures, or one threshold signature (bls)."`
	JSON        bool          `name:"json" help:"End with one JSON object on standard output."`
	wanFlag
}

// storageFlag is whether the replicas of a measurement remember.
type storageFlag struct {
	Storage string `enum:"durable,ephemeral" default:"durable" help:"Whether replicas keep a log of what they are given, in the folder of the cluster."`
}

// equip is for newStage.
func (f *storageFlag) equip(o *cluster.Options) { o.Node.Storage.Mode = config.StorageMode(f.Storage) }

// Limits of what can be asked for.
const (
	maxDuration = 24 * time.Hour
	maxClients  = 256
)

// group is the sizes that were asked for.
func (f *loadFlags) group() (group.Group, error) {
	switch {
	case f.Replicas != 0 && (f.F != nil || f.K != nil):
		return group.Group{}, usageError(errors.New("--replicas and --f, --k: give the number of replicas, or what they withstand"))
	case f.F != nil || f.K != nil:
		failures := func(n *int, otherwise int) int {
			if n == nil {
				return otherwise
			}
			return *n
		}
		g, err := group.New(failures(f.F, 1), failures(f.K, 0))
		if err != nil {
			return g, usageError(fmt.Errorf("--f, --k: %w", err))
		}
		return g, nil
	case f.Replicas == 0:
		f.Replicas = 4
	}
	g, err := group.ForSize(f.Replicas)
	if err != nil {
		return g, usageError(fmt.Errorf("--replicas: %w", err))
	}
	return g, nil
}

// check judges the flags for a cluster of n replicas with these limits, and fills in what depends on n.
func (f *loadFlags) check(n int, limits config.Limits, duration time.Duration) error {
	if f.Clients == 0 {
		f.Clients = 2 * n
	}
	if f.Duration == 0 {
		f.Duration = duration
	}
	perClient := (f.Outstanding*n + f.Clients - 1) / max(1, f.Clients)
	switch {
	case f.Payload < 0 || f.Payload > limits.UpdateBytes:
		return usageError(fmt.Errorf("--payload %d: from 0 to %d bytes are possible (limits.update_bytes)", f.Payload, limits.UpdateBytes))
	case f.Clients < 1 || f.Clients > maxClients:
		return usageError(fmt.Errorf("--clients %d: from 1 to %d are possible", f.Clients, maxClients))
	case f.Rate < 0 || f.Rate > 1e7:
		return usageError(fmt.Errorf("--rate %g: from 0 to 10 million per second are possible", f.Rate))
	case f.Duration < 100*time.Millisecond || f.Duration > maxDuration:
		return usageError(fmt.Errorf("--duration %s: from 100ms to %s are possible", f.Duration, maxDuration))
	case f.Rate > 0:
		f.Outstanding = 0
	case f.Outstanding < 1 || f.Outstanding > limits.SessionWindow:
		return usageError(fmt.Errorf("--outstanding %d: from 1 to %d are possible (limits.session_window)", f.Outstanding, limits.SessionWindow))
	case perClient > limits.SessionWindow:
		return usageError(fmt.Errorf("--outstanding %d: %d for each of %d clients is more than a session remembers (%d): give more --clients",
			f.Outstanding, perClient, f.Clients, limits.SessionWindow))
	}
	return nil
}

// load is what the flags ask of a cluster of which n replicas run here.
func (f *loadFlags) load(n int) bench.Load {
	return bench.Load{PayloadBytes: f.Payload, InFlight: f.Outstanding * n, Rate: f.Rate, Duration: f.Duration}
}

// report begins the report about a cluster.
func (f *loadFlags) report(c *cluster.Cluster) bench.Report {
	return bench.Report{
		Replicas: len(c.Config.Replicas), F: c.Config.F, K: c.Config.K, PayloadBytes: f.Payload, Clients: f.Clients,
		Outstanding: f.Outstanding, Rate: f.Rate, Auth: c.Config.Auth, Storage: "none", WAN: f.WAN,
	}
}

// stage is a cluster of processes that exists for one command, with a watcher of stalls.
type stage struct {
	cluster  *cluster.Cluster
	detector *stall.Detector
	remove   string // folder that goes away at the end; "" if none does
}

// readyLimit is how long the replicas of a stage may take to connect.
const readyLimit = 60 * time.Second

// newStage makes and starts a cluster in dir, or in a folder that is removed at the end. equip changes how, if it is not nil.
func newStage(g *globals, dir string, sizes group.Group, f *loadFlags, equip func(*cluster.Options)) (*stage, error) {
	node, wanArgs, err := f.replicas(sizes)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	l := &stage{}
	if dir == "" {
		if l.remove, err = os.MkdirTemp("", "prime-"); err != nil {
			return nil, err
		}
		dir = filepath.Join(l.remove, "cluster")
	}
	o := cluster.Options{
		Command: []string{self, "--log-level", "warn"}, Dir: dir, Group: sizes, Auth: config.Auth(f.Auth), Node: node,
		Proof: config.Proof(f.Proof), Shares: dealtHere,
		Limits: config.DefaultLimits(), RunArgs: func(int) []string { return wanArgs }, Ready: readyLimit,
	}
	if equip != nil {
		equip(&o)
	}
	if l.cluster, err = cluster.Start(g.ctx, o); err == nil {
		l.detector, err = stall.Start(self, "stall-watch")
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// attachStage finds a running cluster.
func attachStage(g *globals, dir string) (*stage, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	l := &stage{}
	if l.cluster, err = cluster.Attach(g.ctx, dir); err != nil {
		return nil, err
	}
	if l.detector, err = stall.Start(self, "stall-watch"); err != nil {
		return nil, err
	}
	return l, nil
}

// close ends every process that the stage has started and removes its folder.
func (l *stage) close() {
	if l.cluster != nil {
		l.cluster.Stop()
	}
	if l.detector != nil {
		_ = l.detector.Close()
	}
	if l.remove != "" {
		_ = os.RemoveAll(l.remove)
	}
}

// guard ends the context with an error when a replica ends that nobody has killed, and that is not excused.
func (l *stage) guard(ctx context.Context, excused func(id int) bool) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	for _, r := range l.cluster.Replicas {
		go r.Watch(ctx, func(words string) {
			if excused == nil || !excused(r.ID) {
				cancel(fmt.Errorf("r%d ended by itself; the last that it said: %s", r.ID, words))
			}
		})
	}
	return ctx, func() { cancel(nil) }
}

// because is why something was given up: the end of the context, if it has ended, else err.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// verdict is the error of a report that is not what it should be.
func verdict(r *bench.Report, why string) error {
	if r.Agreed && r.Lost == 0 {
		return nil
	}
	return fmt.Errorf("the replicas failed their clients: agreed %v, lost %d: %s", r.Agreed, r.Lost, why)
}

// printLine writes v to standard output as one line of JSON.
func (g *globals) printLine(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = g.out.Write(append(text, '\n'))
	return err
}

// stallWatchCmd is the process that finds out when the whole machine stands still.
type stallWatchCmd struct{}

// Run watches until standard input ends.
func (*stallWatchCmd) Run(g *globals) error { return stall.Watch(g.in, g.out) }

// printReport shows a report to people.
func printReport(w io.Writer, r *bench.Report) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(w, "%d replicas (f=%d, k=%d), updates of %d bytes vouched for by %s, %d clients, %s, %.1f s\n",
		r.Replicas, r.F, r.K, r.PayloadBytes, r.Auth, r.Clients, loadText(r), r.DurationS)
	if r.WAN != "" {
		row("links", "emulated between replicas: %s", r.WAN)
	}
	row("throughput", "%s updates/s; %s in the time in which the machine ran (it stood still for %.1f s, %.0f %%)",
		thousands(r.ThroughputPerS), thousands(r.ThroughputPerSUnstalled), r.StalledS, 100*r.HostStallShare)
	l := r.LatencyMS
	row("latency", "mean %.2f  p50 %.2f  p90 %.2f  p99 %.2f  p99.9 %.2f  max %.2f ms", l.Mean, l.P50, l.P90, l.P99, l.P999, l.Max)
	row("longest gap", "%.1f ms without a delivery at some replica", r.MaxGapMS)
	if r.CPUUsPerUpdate > 0 {
		row("used", "%.0f µs CPU and %.0f bytes sent per update, by all replicas together", r.CPUUsPerUpdate, r.BytesSentPerUpdate)
	}
	if f := r.FloorReport; f != nil {
		row("floor", "%s updates/s broadcast and hashed, nothing ordered: ordering reaches %.0f %% of it (plain TLS copying: %s)",
			thousands(f.ThroughputPerS), 100*f.Ratio, thousands(f.TLSPerS))
		row("", "six signed rounds %.2f ms, a lone update %.2f ms: %.2f times", f.RoundMS, f.LoneMS, f.LatencyRatio)
	}
	for _, k := range r.Killed {
		row("killed", "r%d after %.1f s; %s updates were acknowledged since", k.Replica, k.AtS, thousands(float64(k.After)))
	}
	if r.Failed > 0 || r.Late > 0 {
		row("failed", "%d updates without an acknowledgement, %d never sent", r.Failed, r.Late)
		for why, count := range r.Failures {
			row("", "%d: %s", count, why)
		}
	}
	row("view", "%d, after %d view changes", r.View, r.ViewChanges)
	if r.Agreed {
		row("agreed", "yes: every running replica delivered the same stream, digest %.16s…", r.StreamDigest)
	} else {
		row("agreed", "NO")
	}
	row("lost", "%d acknowledged updates", r.Lost)
}

// loadText says how much was asked of a cluster.
func loadText(r *bench.Report) string {
	if r.Rate > 0 {
		return fmt.Sprintf("%g/s at fixed times", r.Rate)
	}
	return fmt.Sprintf("%d outstanding per replica", r.Outstanding)
}

// thousands is a whole number for people: 12,345.
func thousands(x float64) string {
	digits := fmt.Sprintf("%.0f", x)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
