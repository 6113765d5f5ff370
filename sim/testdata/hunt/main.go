// Command hunt runs simulated worlds from one seed to another and stops at the first violation, which it prints. Exit codes:
// 0 none was found, 1 one was found. The test of the planted bugs builds it with a bug in it.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/primebft/prime/sim"
)

func main() {
	from := flag.Uint64("from", 1, "first seed")
	to := flag.Uint64("to", 500, "last seed")
	flag.Parse()
	for seed := *from; seed <= *to; seed++ {
		if r := sim.Run(sim.Options{Seed: seed}); r.Violation != nil {
			fmt.Printf("seed %d (%s) at %v: %s\n", seed, r.World, r.Violation.At, r.Violation.What)
			os.Exit(1)
		}
	}
}
