package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/bench"
	"github.com/primebft/prime/internal/group"
)

// demoCmd is prime demo.
type demoCmd struct {
	loadFlags
	storageFlag
	Dir  string   `help:"Folder to make the cluster in, and to leave there; by default a temporary one that is removed."`
	Kill []string `placeholder:"rN@TIME" help:"Kill a replica so long after the beginning, for example r3@7s. It can be repeated."`
}

// Help is shown below the flags.
func (*demoCmd) Help() string {
	return `Starts replicas as processes of their own on free ports of this machine, with keys and an application each, lets clients
submit updates to them, and ends with a summary. It exits 1 if running replicas disagree or have lost an acknowledged update.

Example:
  prime demo --kill r3@7s
  prime demo --wan us-wide --rate 100
  prime demo --replicas 7 --outstanding 10 --duration 5s --json`
}

// demoDuration is how long the demo runs unless it is told.
const demoDuration = 15 * time.Second

// kill is one replica to be killed.
type kill struct {
	id int
	at time.Duration
}

// Run shows a cluster at work.
func (c *demoCmd) Run(g *globals) (err error) {
	sizes, err := c.group()
	if err != nil {
		return err
	}
	if err := c.check(sizes.N(), config.DefaultLimits(), demoDuration); err != nil {
		return err
	}
	kills, err := parseKills(c.Kill, sizes, c.Duration)
	if err != nil {
		return err
	}
	if !c.JSON {
		fmt.Fprintf(g.err, "starting %d replicas\n", sizes.N())
	}
	stage, err := newStage(g, c.Dir, sizes, &c.loadFlags, c.storageFlag.equip)
	if err != nil {
		return err
	}
	defer stage.close()
	ctx, cancel := stage.guard(g.ctx, nil)
	defer cancel()
	session, err := bench.Open(ctx, stage.cluster, bench.Clients{Count: c.Clients, Through: bench.Port}, stage.detector)
	if err != nil {
		return because(ctx, err)
	}
	defer session.Close()
	report, why, err := c.show(ctx, g, stage, session, kills)
	if err != nil {
		return because(ctx, err)
	}
	if c.JSON {
		err = g.printLine(report)
	} else {
		printReport(g.out, report)
	}
	return errors.Join(err, verdict(report, why))
}

// show runs the load, with the picture or a few lines of text, kills what is to be killed, and judges.
func (c *demoCmd) show(ctx context.Context, g *globals, stage *stage, s *bench.Session, kills []kill) (*bench.Report, string, error) {
	out, isFile := g.out.(*os.File)
	live := isFile && !c.JSON && term.IsTerminal(int(out.Fd()))
	say := func(format string, args ...any) {
		if !live {
			fmt.Fprintf(g.err, format+"\n", args...)
		}
	}
	report := c.report(stage.cluster)
	report.Storage = c.Storage
	say("%d replicas are running; load for %s", report.Replicas, c.Duration)
	showing, stop := context.WithCancel(ctx)
	defer stop()
	var busy sync.WaitGroup
	begin := time.Now()
	victims := newVictims()
	for _, k := range kills {
		busy.Go(func() {
			if victims.kill(showing, stage, s, k) {
				say("r%d is killed after %s", k.id, k.at)
			}
		})
	}
	if live {
		p := &picture{out: out, title: c.title(stage.cluster.Config), duration: c.Duration, begin: begin, session: s, fate: victims.fate}
		busy.Go(func() { p.run(showing) })
	}
	leg, err := s.Run(ctx, c.load(len(stage.cluster.Replicas)))
	stop()
	busy.Wait()
	if err != nil {
		return nil, "", err
	}
	say("the load has ended; waiting until every running replica has delivered everything")
	outcome, err := s.Settle(ctx)
	if err != nil {
		return nil, "", err
	}
	report.Fill(leg)
	report.Settle(outcome)
	report.Killed = victims.report(s.Look().Acknowledged)
	return &report, outcome.Why, nil
}

func (c *demoCmd) title(cl config.Cluster) string {
	return fmt.Sprintf("Prime: %d replicas (f=%d, k=%d), %d clients, updates of %d bytes, auth %s",
		len(cl.Replicas), cl.F, cl.K, c.Clients, c.Payload, cl.Auth)
}

// parseKills reads what is to be killed.
func parseKills(list []string, sizes group.Group, duration time.Duration) ([]kill, error) {
	var kills []kill
	seen := map[int]bool{}
	for _, text := range list {
		who, when, _ := strings.Cut(text, "@")
		id, err := strconv.Atoi(strings.TrimPrefix(who, "r"))
		if err != nil || id < 1 || id > sizes.N() || seen[id] {
			return nil, usageError(fmt.Errorf("--kill %s: give a replica from r1 to r%d, each once, and a time, for example r3@7s", text, sizes.N()))
		}
		at, err := time.ParseDuration(when)
		if err != nil || at < 0 || at >= duration {
			return nil, usageError(fmt.Errorf("--kill %s: give a time before the end (%s), for example r%d@%s", text, duration, id, duration/2))
		}
		seen[id] = true
		kills = append(kills, kill{id, at})
	}
	if len(kills) == sizes.N() {
		return nil, usageError(errors.New("--kill: leave one replica to tell the tale"))
	}
	return kills, nil
}

// victims are the replicas that have been killed.
type victims struct {
	mu   sync.Mutex
	list []bench.KillReport
	at   map[int]uint64 // updates acknowledged until then
}

func newVictims() *victims { return &victims{at: map[int]uint64{}} }

// kill waits and kills; false if the demo ended before.
func (v *victims) kill(ctx context.Context, stage *stage, s *bench.Session, k kill) bool {
	select {
	case <-time.After(k.at):
	case <-ctx.Done():
		return false
	}
	if err := stage.cluster.Replica(k.id).Kill(); err != nil {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.list = append(v.list, bench.KillReport{Replica: k.id, AtS: k.at.Seconds()})
	v.at[k.id] = s.Acknowledged()
	return true
}

func (v *victims) fate(id int) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, dead := v.at[id]; dead {
		return "down: killed"
	}
	return ""
}

// report says how many of all acknowledged updates came after each kill.
func (v *victims) report(acknowledged uint64) []bench.KillReport {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.list {
		v.list[i].After = acknowledged - v.at[v.list[i].Replica]
	}
	return v.list
}
