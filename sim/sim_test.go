package sim

import (
	"bytes"
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"
)

var seeds = flag.Int("seeds", 40, "worlds that TestSeeds runs")

// notUnderRace leaves a test of many worlds to `make gates`: the race detector makes it ten times slower, and finds nothing in what one
// goroutine does.
func notUnderRace(t *testing.T) {
	t.Helper()
	if underRace {
		t.Skip("make gates runs it, without the race detector")
	}
}

// TestSeeds runs worlds and expects no violation.
func TestSeeds(t *testing.T) {
	t.Parallel()
	last := uint64(*seeds)
	if underRace {
		last = min(last, 8)
	}
	for seed := uint64(1); seed <= last; seed++ {
		r := Run(Options{Seed: seed})
		if r.Violation != nil {
			t.Errorf("seed %d (%s) at %v: %s\n%s", seed, r.World, r.Violation.At, r.Violation.What, r.Replay())
		}
	}
}

// TestOneSeedOneWorld runs one seed twice and expects the same events in the same order.
func TestOneSeedOneWorld(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{2, 5, 16} {
		var first, second bytes.Buffer
		a, b := Run(Options{Seed: seed, Trace: &first}), Run(Options{Seed: seed, Trace: &second})
		if a.Hash != b.Hash || a.Events != b.Events || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatalf("seed %d: hash %x after %d events, then %x after %d", seed, a.Hash, a.Events, b.Hash, b.Events)
		}
		if untraced := Run(Options{Seed: seed}); untraced.Hash != a.Hash {
			t.Fatalf("seed %d: the trace changes what happens", seed)
		}
	}
}

// TestRegressions runs the worlds that once failed.
func TestRegressions(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/regressions.txt")
	if err != nil {
		t.Fatal(err)
	}
	worlds := 0
	for line := range strings.Lines(string(text)) {
		line, disks := strings.CutPrefix(strings.TrimSpace(line), "disks ")
		number, why, _ := strings.Cut(line, " ")
		if number == "" || number == "#" {
			continue
		}
		seed, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Fatalf("%q does not begin with a seed", line)
		}
		if worlds++; underRace && worlds > 3 {
			break
		}
		if r := Run(Options{Seed: seed, Disks: disks}); r.Violation != nil {
			t.Errorf("seed %d, which once failed because %s: %s", seed, why, r.Violation.What)
		}
	}
	if worlds == 0 {
		t.Fatal("the list is empty")
	}
}
