package sim

import (
	"flag"
	"os"
	"testing"
)

var replaySeed = flag.Uint64("replay", 0, "seed that TestReplay traces to standard error")

// TestReplay traces one world, for work on the simulator itself; prime sim --trace is the command for everybody.
func TestReplay(t *testing.T) {
	if *replaySeed == 0 {
		t.Skip("no -replay")
	}
	if r := Run(Options{Seed: *replaySeed, Trace: os.Stderr}); r.Violation != nil {
		t.Fatal(r.Violation.What)
	}
}
