package sim

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/attack"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
)

// smallPlan is a small world of durable replicas whose logs are shortened all the time; attacks are what r3 does, or r1, the first leader,
// if it is a leader's.
func smallPlan(attacks ...string) *plan {
	p := quietPlan(1, 0)
	p.stormEnd = clock.Instant(120 * time.Millisecond)
	p.limits.CheckpointOrdinals, p.check = 1, false
	p.work.submissions = p.work.submissions[:6]
	for i := range p.work.submissions {
		p.work.submissions[i].at = clock.Instant(10+12*i) * clock.Instant(time.Millisecond)
	}
	p.serve = servePlan{rounds: 1, load: []offering{{0, 1, 1}, {1, 2, 1}, {2, 4, 1}}}
	attacker := &p.replicas[2]
	for _, name := range attacks {
		if b, _ := attack.Named(name); b.Leader {
			attacker = &p.replicas[0]
		}
	}
	attacker.attacks = attacks
	p.disks = make([]diskPlan, p.group.N())
	for i := range p.disks {
		p.disks[i] = diskPlan{write: time.Millisecond, ready: i%2 == 0, torn: 1}
	}
	return p
}

// downFor is how long a replica that falls in a small world is down, and lastFall when one falls at the latest.
const (
	downFor  = 3 * time.Millisecond
	lastFall = clock.Instant(100 * time.Millisecond)
)

// places is how many inputs each replica of a small world has until lastFall, and how many operations its disk.
func places(t *testing.T, attacks ...string) (inputs, operations []int) {
	t.Helper()
	o := chain()
	w, err := newWorld(&o, smallPlan(attacks...), newReplica)
	if err != nil {
		t.Fatal(err)
	}
	for e, ok := w.queue.pop(); ok && e.at < lastFall; e, ok = w.queue.pop() {
		w.now = e.at
		w.handle(&e)
	}
	if w.violation != nil || w.images == 0 || w.drops == 0 {
		t.Fatalf("%+v; %d images, %d logs shortened: the world is to have what it is for", w.violation, w.images, w.drops)
	}
	for _, n := range w.nodes {
		if n.disk == nil {
			inputs, operations = append(inputs, 0), append(operations, 0)
			continue
		}
		inputs, operations = append(inputs, n.steps), append(operations, n.disk.fault.Operations)
	}
	return inputs, operations
}

func chain() Options {
	return Options{Seed: 1, App: func(int) app.Application { return &chained{} }}
}

// matrix runs a world for every stride-th place, beginning with the first-th, each at another replica than the one before.
func matrix(t *testing.T, first, stride int, attacks ...string) {
	inputs, operations := places(t, attacks...)
	worlds, reborn, changes := 0, 0, 0
	try := func(id group.ID, number int, points ...point) {
		p, o := smallPlan(attacks...), chain()
		p.disks[id.Index()].points, p.disks[id.Index()].torn = points, uint64(1+number)
		what := fmt.Sprintf("%v, %s falls at %+v", attacks, id, points)
		r := run(&o, p, newReplica)
		if r.Violation != nil {
			t.Errorf("%s: at %v: %s", what, r.Violation.At, r.Violation.What)
		} else if r.Restarts == 0 || r.Restarts > len(points) || !r.Converged {
			t.Errorf("%s: %d restarts, converged %v", what, r.Restarts, r.Converged)
		}
		worlds++
		reborn += r.Reborn
		if r.Views > 1 {
			changes++
		}
	}
	for i := range inputs {
		id := group.FromIndex(i)
		for number := 1 + (first+i)%stride; number <= inputs[i]; number += stride {
			try(id, number, point{input: number, before: (number+first)%2 == 0, back: downFor})
		}
		for number := 1 + (first+i)%stride; number <= operations[i]; number += stride {
			points := []point{{operation: number, back: downFor}}
			if number%3 == 0 { // and again soon, perhaps while it starts
				points = append(points, point{operation: number + 1 + number/3%5, back: downFor})
			}
			try(id, number, points...)
		}
	}
	t.Logf("%v: of %v inputs and %v operations of disks; %d worlds, %d starts from images, %d worlds that replaced a leader", attacks, inputs,
		operations, worlds, reborn, changes)
	if reborn == 0 || len(inputs) > 0 && inputs[0] == 0 && changes < worlds {
		t.Error("no replica started from an image, or a leader that attacks kept its place")
	}
}

// TestEveryFall lets a replica fall at every input and at every operation of its disk, one world for each, with an honest rest with a
// compromised replica among it, and with a leader that is replaced. Whatever the place, it goes on, contradicts nothing, and the others and it agree.
func TestEveryFall(t *testing.T) {
	t.Parallel()
	first, stride := 0, 7
	if underRace {
		stride = 100
	}
	if every := os.Getenv("PRIME_EVERY_FALL"); every != "" { // all of them; "before" and "after" say on which side of even inputs
		first, stride = map[string]int{"before": 0, "after": 1}[every], 1
	}
	for _, attacks := range [][]string{nil, {"equivocate", "agree"}, {"two-proposals"}} {
		t.Run(fmt.Sprint(attacks), func(t *testing.T) {
			t.Parallel()
			matrix(t, first, stride, attacks...)
		})
	}
}
