package sim_test

import (
	"fmt"
	"strconv"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/sim"
)

// Simulate your own application under Prime: a counter that adds up numbers. Every correct replica of every world gets one;
// that they answer equal records equally is checked.
func Example() {
	newCounter := func(int) app.Application {
		total := 0
		return app.Func(func(r app.Record) []byte {
			if n, err := strconv.Atoi(string(r.Payload)); err == nil {
				total += n
			}
			return strconv.AppendInt(nil, int64(total), 10)
		})
	}
	digits := func(random uint64) []byte { return strconv.AppendUint(nil, random%10, 10) }
	for seed := uint64(1); seed <= 5; seed++ {
		report := sim.Run(sim.Options{Seed: seed, App: newCounter, Payload: digits})
		if report.Violation != nil {
			fmt.Println(report.Violation.What, report.Replay())
			return
		}
	}
	fmt.Println("five worlds, no violation")
	// Output: five worlds, no violation
}
