package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/attack"
	"github.com/primebft/prime/internal/bench"
	"github.com/primebft/prime/internal/cluster"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/lab"
)

// attackFlag is an attack that a benchmark compares with none.
type attackFlag struct {
	Attack []string `sep:"none" placeholder:"WHO WHAT" help:"Compare with what is left when replicas misbehave, in alternation, for example \"leader delay+reconciliation; r2 reconciliation\"."`
}

// attackWarmUp is before the measurement of each leg over emulated links, as in the simulator: an attacker feels its way.
const attackWarmUp = 5 * time.Second

// corrupted are the replicas that misbehave, and how: their part of the group, by id.
type corrupted struct {
	ids  []int
	does map[int]string
}

// corrupted reads the attack.
func (f *attackFlag) corrupted(sizes group.Group) (corrupted, error) {
	rules := lab.Rules{Replicas: sizes.N(), Attack: func(what string) error { _, err := attack.Parse(what); return err }}
	x := corrupted{does: map[int]string{}}
	begin := lab.Moment{Replicas: sizes.N(), Leader: int(sizes.Leader(1)), Well: func(int) bool { return true }}
	for _, text := range f.Attack {
		events, err := lab.ParseAttacks("--attack", text, rules)
		if err != nil {
			return x, err
		}
		for i := range events {
			for _, id := range events[i].Who.Resolve(begin) {
				if x.does[id] != "" {
					return x, usageError(fmt.Errorf("--attack: r%d is named twice: join what it does with +", id))
				}
				x.ids, x.does[id] = append(x.ids, id), events[i].What
			}
		}
	}
	slices.Sort(x.ids)
	if len(x.ids) == sizes.N() {
		return x, usageError(errors.New("--attack: some replica has to be correct, or nobody can say what was ordered"))
	}
	return x, nil
}

// underAttack measures without the attack and with it in alternation, each time in a cluster of its own: nobody knows what a
// replica that was compromised has signed, so none is used again.
func (c *benchCmd) underAttack(g *globals) error {
	sizes, err := c.group()
	if err != nil {
		return err
	}
	if err := c.check(sizes.N(), config.DefaultLimits(), benchDuration); err != nil {
		return err
	}
	x, err := c.corrupted(sizes)
	if err != nil {
		return err
	}
	r := bench.AttackReport{Attack: c.Attack, Attacked: x.ids}
	var faults []error
	for round := range c.Rounds {
		for _, leg := range []struct {
			what string
			corrupted
			into *[]*bench.Report
		}{{"no attack", corrupted{}, &r.Without}, {"the attack", x, &r.With}} {
			fmt.Fprintf(g.err, "round %d of %d: %s, for %s\n", round+1, c.Rounds, leg.what, c.Duration)
			report, why, err := c.attackLeg(g, sizes, leg.corrupted)
			if err != nil {
				return err
			}
			*leg.into = append(*leg.into, report)
			faults = append(faults, verdict(report, why))
		}
	}
	r.Compare()
	if c.JSON {
		faults = append(faults, g.printLine(r))
	} else {
		printAttack(g.out, &r)
	}
	return errors.Join(faults...)
}

// attackLeg measures one cluster, of which some replicas are compromised before the load begins.
func (c *benchCmd) attackLeg(g *globals, sizes group.Group, x corrupted) (*bench.Report, string, error) {
	pulls := newPulls()
	stage, err := newStage(g, "", sizes, &c.loadFlags, func(o *cluster.Options) {
		c.equip(o)
		args := o.RunArgs
		o.RunArgs = func(id int) []string { return append([]string{"--puppet"}, args(id)...) }
		o.Heard = pulls.heard
	})
	if err != nil {
		return nil, "", err
	}
	defer stage.close()
	ctx, cancel := stage.guard(g.ctx, nil)
	defer cancel()
	clients := bench.Clients{Count: c.Clients, Through: bench.ThroughFor(stage.cluster.Config.Auth), Retry: benchRetry}
	session, err := bench.Open(ctx, stage.cluster, clients, stage.detector)
	if err != nil {
		return nil, "", because(ctx, err)
	}
	defer session.Close()
	for _, id := range x.ids {
		if err := pulls.pull(ctx, stage.cluster.Replica(id), lab.AttackArguments(x.ids, x.does[id])); err != nil {
			return nil, "", because(ctx, err)
		}
	}
	load := c.load(sizes.N())
	if load.WarmUp = benchWarmUp; c.WAN != "" {
		load.WarmUp = attackWarmUp
	}
	leg, err := session.Run(ctx, load)
	if err != nil {
		return nil, "", because(ctx, err)
	}
	for _, id := range x.ids { // what it has delivered proves nothing
		session.Exclude(id)
	}
	outcome, err := session.Settle(ctx)
	if err != nil {
		return nil, "", because(ctx, err)
	}
	report := c.report(stage.cluster)
	report.Storage = c.Storage
	report.Fill(leg)
	report.Settle(outcome)
	return &report, outcome.Why, nil
}

// pulls are commands to replicas to misbehave.
type pulls struct{ answers chan lab.Note }

func newPulls() *pulls { return &pulls{make(chan lab.Note, 1)} }

// heard takes what a replica notes. Only answers to commands are of interest here, and there is one command at a time.
func (p *pulls) heard(_ int, line []byte) {
	if n, err := lab.ParseNote(line); err == nil && n.Kind == lab.Done {
		p.answers <- n
	}
}

// pull makes a replica misbehave, and returns when it does.
func (p *pulls) pull(ctx context.Context, r *cluster.Replica, arguments string) error {
	if err := r.Tell(lab.Command{Verb: lab.Attack, Rest: arguments}.String()); err != nil {
		return err
	}
	select {
	case n := <-p.answers:
		if n.Problem != "" {
			return fmt.Errorf("r%d: %s", r.ID, n.Problem)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// printAttack shows people what an attack cost.
func printAttack(w io.Writer, r *bench.AttackReport) {
	first := r.Without[0]
	fmt.Fprintf(w, "%d replicas (f=%d, k=%d), updates of %d bytes, %s; attack: %s\n", first.Replicas, first.F, first.K, first.PayloadBytes,
		loadText(first), strings.Join(r.Attack, "; "))
	fmt.Fprintln(w, "  round  attack  updates/s  mean ms   p99 ms  bytes/update  repair mean/most  stalled  view changes")
	for i := range r.Without {
		for _, leg := range []*bench.Report{r.Without[i], r.With[i]} {
			is := "no"
			if leg == r.With[i] {
				is = "yes"
			}
			mean, most := leg.Repair()
			fmt.Fprintf(w, "  %5d  %6s  %9s  %7.1f  %7.1f  %12s  %16s  %5.1f %%  %12d\n", i+1, is, thousands(leg.ThroughputPerSUnstalled),
				leg.LatencyMS.Mean, leg.LatencyMS.P99, thousands(leg.BytesSentPerUpdate), fmt.Sprintf("%.0f/%.0f", mean, most),
				100*leg.HostStallShare, leg.ViewChanges)
		}
	}
	fmt.Fprintf(w, "  %s updates/s without, %s under attack: %.1f %% are left (medians, unstalled)\n", thousands(r.WithoutPerS), thousands(r.WithPerS), 100*r.Ratio)
}
