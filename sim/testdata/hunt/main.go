// Command hunt runs simulated worlds from one seed to another and stops at the first violation, which it prints; with -all it
// goes on. Exit codes: 0 none was found, 1 one was found. The test of the planted bugs builds it with a bug in it.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/primebft/prime/sim"
)

func main() {
	from := flag.Uint64("from", 1, "first seed")
	to := flag.Uint64("to", 500, "last seed")
	timeout := flag.Duration("timeout", time.Minute, "how long one world may take")
	all := flag.Bool("all", false, "go on after a violation")
	trace := flag.Bool("trace", false, "print what happens")
	attack := flag.String("attack", "", "what attackers do, instead of what seeds draw")
	disks := flag.Bool("disks", false, "replicas are durable, and fall and start again")
	flag.Parse()
	found := false
	var worlds, changed, views, bound, updates, restarts uint64
	var held, heldWorlds, changes, nested, peaceful, stalled, starved int
	var most float64
	var ratios [4]float64
	var where [4]uint64
	var closest sim.Report
	for seed := *from; seed <= *to; seed++ {
		o := sim.Options{Seed: seed, Timeout: *timeout, Disks: *disks}
		if *attack != "" {
			o.Attacks = []string{*attack}
		}
		if *trace {
			o.Trace = os.Stdout
		}
		r := sim.Run(o)
		worlds, views, bound, updates = worlds+1, views+r.Views-1, bound+uint64(r.Rebound), updates+uint64(r.Updates)
		restarts += uint64(r.Restarts)
		if r.Views > 1 {
			changed++
		}
		if held += r.Held; r.Held > 0 {
			heldWorlds++
		}
		changes, stalled = max(changes, r.Changes), stalled+r.Stalled
		if r.Starved {
			starved++
		}
		if r.Nested {
			nested++
		}
		if r.Peaceful {
			peaceful++
		}
		for i, c := range r.Closest {
			if c > ratios[i] {
				ratios[i], where[i] = c, r.Seed
			}
		}
		if ratio := float64(r.Slowest) / float64(max(1, r.Bound)); ratio > most {
			most, closest = ratio, r
		}
		if r.Violation != nil {
			fmt.Printf("seed %d (%s) at %v: %s\n", seed, r.World, r.Violation.At, r.Violation.What)
			if found = true; !*all {
				break
			}
		}
	}
	if *all {
		fmt.Printf("%d worlds, %d with %d view changes, which bound %d ordinals; %d updates; %d restarts\n", worlds, changed, views, bound, updates, restarts)
		fmt.Printf("%d updates of %d worlds held to the bound, the closest in seed %d: %v of %v; %d view changes at most; %d worlds with nested ones, %d peaceful, %d starved; %d standstills\n",
			held, heldWorlds, closest.Seed, closest.Slowest, closest.Bound, changes, nested, peaceful, starved, stalled)
		fmt.Printf("closest under correct leaders %.3f (seed %d), under others %.3f (seed %d), across views %.3f (seed %d); changes %.3f (seed %d)\n",
			ratios[0], where[0], ratios[1], where[1], ratios[2], where[2], ratios[3], where[3])
	}
	if found {
		os.Exit(1)
	}
}
