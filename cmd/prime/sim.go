package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/sim"
	"github.com/primebft/prime/threshold/bls"
	"github.com/primebft/prime/transport/emulate/wan"
)

// simCmd is prime sim.
type simCmd struct {
	Seeds          string        `placeholder:"A-B" help:"Which worlds to run: a range of seeds, both ends included, or one seed."`
	RealSignatures bool          `help:"Sign everything with Ed25519, and threshold proofs with BLS, instead of checksums: slower, and nothing else should change."`
	Disks          bool          `help:"Make correct replicas durable, and let them fall and start again: kills, losses of power, torn writes, full disks."`
	SeedTimeout    time.Duration `default:"10m" help:"How long one world may take, in real time, before that is a violation; 0: for ever."`
	For            time.Duration `help:"Begin no further world after this long; 0: run all."`
	Trace          bool          `help:"Print everything that happens on standard error, one world after the other."`
	Attack         []string      `placeholder:"NAME" help:"What attackers do in every world, instead of what the seeds draw; given several times, all of it. A name that does not exist lists them all."`
	JSON           bool          `name:"json" help:"End with one JSON object on standard output."`
	wanFlag
	experimentFlags
}

// Help is shown below the flags.
func (*simCmd) Help() string {
	return `Runs the protocol in simulated worlds: loss, partitions, pauses, crashes and attackers, all fixed by the seed, with checkers
that know what has to hold. Exit code 1 if something did not hold; every violation comes with the command that replays it.

Example:
  prime sim --seeds 1-2000
  prime sim --seeds 17-17 --trace
  prime sim --seeds 1-200 --attack two-replays
  prime sim --experiment paper --plot curves.svg`
}

// simReport is what prime sim --json ends with.
type simReport struct {
	Seeds      int            `json:"seeds"` // worlds that were run
	Violations []simViolation `json:"violations"`
	Events     uint64         `json:"events"`
	VirtualS   float64        `json:"virtual_s"` // time of the worlds, together
	Converged  int            `json:"converged"` // worlds of which convergence and the delay bound were demanded
	Updates    int            `json:"updates"`   // that took effect
	Bound      simBound       `json:"bound"`
	Repair     simRepair      `json:"repair"`
	// Checkpoints is how many ordinals correct replicas made one after, and Transfers how many states were given to those that lacked what
	// nobody kept.
	Checkpoints int        `json:"checkpoints"`
	Transfers   int        `json:"transfers"`
	CatchUp     simCatchUp `json:"catch_up"`
	Disks       *simDisks  `json:"disks,omitempty"`
}

// simDisks says what became of durable replicas.
type simDisks struct {
	Falls  int `json:"falls"`  // that were followed by a start
	Images int `json:"images"` // of cores, written into logs
	Drops  int `json:"drops"`  // of what was before an image
	Reborn int `json:"reborn"` // starts from an image
}

// simBound says how much was held to the bound on delay, so that a run that holds nothing to it shows.
type simBound struct {
	Worlds   int     `json:"worlds"`   // in which updates were held to the bound: all but those that need not converge, or hide requests
	Updates  int     `json:"updates"`  // that were held to it
	Closest  float64 `json:"closest"`  // the largest part of what it was allowed to take that one of them took
	Seed     uint64  `json:"seed"`     // in this world; 0: there is none
	TookMS   float64 `json:"took_ms"`  // what it took
	LimitMS  float64 `json:"limit_ms"` // and was allowed to take
	Fair     float64 `json:"fair"`     // the largest part among those under correct leaders,
	Suffered float64 `json:"suffered"` // under others that kept their place,
	Across   float64 `json:"across"`   // and across changes of views
	Change   float64 `json:"change"`   // and of what a change of views may take
	Changes  int     `json:"changes"`  // most changes of views of one world once it had settled
	Allowed  int     `json:"allowed"`  // as many as were allowed there, 2f+k
	Nested   int     `json:"nested"`   // worlds in which a view was given up before it was installed
	Peaceful int     `json:"peaceful"` // worlds in which no leader may be replaced, and none was
	Stalled  int     `json:"stalled"`  // standstills while updates were held to the bound
	Starved  int     `json:"starved"`  // worlds in which starved replicas had to replace a dead leader
}

// add takes one more world into account.
func (b *simBound) add(r *sim.Report) {
	if r.Held > 0 {
		b.Worlds++
		b.Updates += r.Held
	}
	for i, most := range [...]*float64{&b.Fair, &b.Suffered, &b.Across, &b.Change} {
		*most = max(*most, r.Closest[i])
	}
	if r.Bound > 0 {
		if closest := float64(r.Slowest) / float64(r.Bound); closest > b.Closest || closest == b.Closest && r.Seed < b.Seed {
			b.Closest, b.Seed = closest, r.Seed
			b.TookMS, b.LimitMS = float64(r.Slowest)/1e6, float64(r.Bound)/1e6
		}
	}
	if r.Changes > b.Changes || r.Changes == b.Changes && r.Allowed < b.Allowed {
		b.Changes, b.Allowed = r.Changes, r.Allowed
	}
	b.Stalled += r.Stalled
	for _, c := range []struct {
		is    bool
		count *int
	}{{r.Nested, &b.Nested}, {r.Peaceful, &b.Peaceful}, {r.Starved, &b.Starved}} {
		if c.is {
			*c.count++
		}
	}
}

// simRepair is what correct replicas sent to bring requests to those who lack them.
type simRepair struct {
	Parts        int `json:"parts"` // messages, one for each receiver
	PartBytes    int `json:"part_bytes"`
	Whole        int `json:"whole"` // requests that were asked for
	WholeBytes   int `json:"whole_bytes"`
	RequestBytes int `json:"request_bytes"` // what they sent of their own requests
	Joined       int `json:"joined"`        // requests that came together from parts
	Unneeded     int `json:"unneeded"`      // parts of requests that were there already
	Most         int `json:"most_bytes"`    // by one replica of one world
}

// describe is one line for people.
func (r *simRepair) describe(updates int) string {
	each := float64(r.PartBytes+r.WholeBytes) / float64(max(updates, 1))
	return fmt.Sprintf("%d parts and %d whole requests, %.0f bytes for each update, %.2f of what origins sent, at most %d bytes by one replica; %d requests put together, %d parts not needed",
		r.Parts, r.Whole, each, float64(r.PartBytes+r.WholeBytes)/float64(max(r.RequestBytes, 1)), r.Most, r.Joined, r.Unneeded)
}

type simViolation struct {
	Seed   uint64 `json:"seed"`
	What   string `json:"what"`
	Replay string `json:"replay"`
}

// Run runs the worlds.
func (c *simCmd) Run(g *globals) error {
	switch {
	case (c.Seeds == "") == (c.Experiment == ""):
		return usageError(errors.New("give --seeds A-B for worlds, or --experiment paper for a measurement"))
	case c.Experiment != "":
		if c.WAN != "" {
			return usageError(errors.New("--wan: the experiment has the paper's network: leave it out"))
		}
		return c.experimentFlags.run(g, c.JSON)
	}
	first, last, err := parseSeeds(c.Seeds)
	if err != nil {
		return usageError(err)
	}
	if err := sim.CheckAttacks(c.Attack); err != nil {
		return usageError(fmt.Errorf("--attack: %w", err))
	}
	links, err := c.profile(1)
	if err != nil {
		return err
	}
	report := c.runAll(g, first, last, links)
	slices.SortFunc(report.Violations, func(a, b simViolation) int { return cmp.Compare(a.Seed, b.Seed) })
	if c.JSON {
		if err := g.printJSON(report); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(g.out, "%d worlds, %d had to converge, %d violations; %d updates, %d events, %.0f s of their time\n", report.Seeds,
			report.Converged, len(report.Violations), report.Updates, report.Events, report.VirtualS)
		b := &report.Bound
		fmt.Fprintf(g.out, "%d updates of %d worlds held to the bound on delay; the closest took %.1f of %.1f ms (%.0f %%, seed %d)\n", b.Updates,
			b.Worlds, b.TookMS, b.LimitMS, 100*b.Closest, b.Seed)
		fmt.Fprintf(g.out, "at most %d view changes once settled, of %d; %d worlds with nested ones, %d peaceful, %d standstills, %d starved\n", b.Changes,
			b.Allowed, b.Nested, b.Peaceful, b.Stalled, b.Starved)
		fmt.Fprintf(g.out, "repair: %s\n", report.Repair.describe(report.Updates))
		if d := report.Disks; d != nil {
			fmt.Fprintf(g.out, "disks: %d restarts, %d of them from an image of the core; %d images, %d logs shortened\n", d.Falls, d.Reborn,
				d.Images, d.Drops)
		}
		fmt.Fprintf(g.out, "%d checkpoints; %d states transferred\n", report.Checkpoints, report.Transfers)
		fmt.Fprintf(g.out, "catching up: %s\n", &report.CatchUp)
	}
	if g.ctx.Err() != nil {
		return fmt.Errorf("interrupted after %d worlds", report.Seeds)
	}
	if len(report.Violations) > 0 {
		return fmt.Errorf("%d of %d worlds violated what has to hold", len(report.Violations), report.Seeds)
	}
	return nil
}

// parseSeeds reads A-B or A.
func parseSeeds(text string) (first, last uint64, err error) {
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	first, err = strconv.ParseUint(from, 10, 64)
	if err == nil {
		last, err = strconv.ParseUint(to, 10, 64)
	}
	if err != nil || last < first {
		return 0, 0, fmt.Errorf("--seeds %q: give a range as 1-2000, or one seed as 17", text)
	}
	return first, last, nil
}

// runAll runs the worlds on all processors; with a trace one after the other.
func (c *simCmd) runAll(g *globals, first, last uint64, links *wan.Profile) simReport {
	ctx := g.ctx
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	workers := runtime.GOMAXPROCS(0)
	if c.Trace {
		workers = 1
	}
	seeds, reports := make(chan uint64), make(chan sim.Report)
	go func() {
		defer close(seeds)
		for seed := first; ctx.Err() == nil; seed++ {
			select {
			case seeds <- seed:
			case <-ctx.Done():
				return
			}
			if seed == last {
				return
			}
		}
	}()
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for seed := range seeds {
				o := sim.Options{Seed: seed, RealSignatures: c.RealSignatures, Timeout: c.SeedTimeout, WAN: links, Attacks: c.Attack,
					Threshold: bls.Groups, Disks: c.Disks}
				if c.Disks {
					o.App = func(int) app.Application { return new(digest) } // its results depend on everything before
				}
				if c.Trace {
					o.Trace = g.err
				}
				reports <- sim.Run(o)
			}
		})
	}
	go func() {
		running.Wait()
		close(reports)
	}()
	return c.gather(g.err, reports, last-first+1)
}

// gather sums reports up, shows progress on a terminal, and prints violations as they come.
func (c *simCmd) gather(w io.Writer, reports <-chan sim.Report, total uint64) simReport {
	sum, repair := simReport{Violations: []simViolation{}}, sim.Repair{}
	if c.Disks {
		sum.Disks = new(simDisks)
	}
	file, isFile := w.(*os.File)
	progress := isFile && term.IsTerminal(int(file.Fd())) && !c.Trace
	shown := time.Now()
	for r := range reports {
		sum.Seeds++
		sum.Events += r.Events
		sum.VirtualS += r.Virtual.Seconds()
		sum.Updates += r.Updates
		sum.Checkpoints, sum.Transfers = sum.Checkpoints+r.Checkpoints, sum.Transfers+r.Transfers
		repair.Add(r.Repair)
		sum.CatchUp.add(&r)
		sum.Bound.add(&r)
		if r.Converged {
			sum.Converged++
		}
		if d := sum.Disks; d != nil {
			d.Falls, d.Images, d.Drops, d.Reborn = d.Falls+r.Restarts, d.Images+r.Images, d.Drops+r.Drops, d.Reborn+r.Reborn
		}
		if v := r.Violation; v != nil {
			replay := sim.Replay(r.Seed, c.RealSignatures)
			for _, name := range c.Attack {
				replay += " --attack " + name
			}
			if c.Disks {
				replay += " --disks"
			}
			if c.WAN != "" {
				replay += " --wan " + c.WAN
			}
			sum.Violations = append(sum.Violations, simViolation{Seed: r.Seed, What: v.What, Replay: replay})
			fmt.Fprintf(w, "\rseed %d, %s, at %v: %s\n  replay: %s\n", r.Seed, r.World, v.At, v.What, replay)
		}
		if progress && time.Since(shown) > 200*time.Millisecond {
			shown = time.Now()
			fmt.Fprintf(w, "\r%d of %d worlds, %d violations ", sum.Seeds, total, len(sum.Violations))
		}
	}
	if progress {
		fmt.Fprint(w, "\r\x1b[K")
	}
	sum.Repair = simRepair(repair)
	return sum
}
