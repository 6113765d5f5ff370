package node

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/core/effect"
)

// TestComingBackOfApplications: whatever an application is given and when, with states that come and are too late, it misses nothing but what
// a state replaces, what it missed is counted, and what is held is bounded although it may never return.
func TestComingBackOfApplications(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		keep := rapid.IntRange(500, 20_000).Draw(t, "keep")
		r := newRecords(1, 1, keep, 1000)
		var last, at, given, most uint64 // ordinals; most is that of the largest entry
		flight, gone := uint64(0), uint64(0)
		var next turn
		most = uint64(entryBytes + 5*(recordBytes+100))
		stop := make(chan struct{})
		close(stop) // nobody waits
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0: // a state comes
				to := rapid.Uint64Range(0, last).Draw(t, "state")
				if flight == 0 && r.expect(to) {
					if to <= at {
						t.Fatalf("the state as of %d, and it has %d", to, at)
					}
					if rapid.Bool().Draw(t, "soon") && !r.land(&landing{at: app.Position{Ordinal: to, Index: 1}}) {
						t.Fatal("it does not land")
					}
				}
			case 1:
				if flight == 0 {
					r.resume()
				}
			case 2, 3: // it takes a turn
				if b := r.app(); flight > 0 || !b.behind && b.jump == nil && (b.waits || b.taken == last) {
					continue // it would wait
				}
				if !r.nextForApp(stop, &next) {
					continue
				}
				if next.jump != nil {
					gone += next.jump.at.Ordinal - at
					at = next.jump.at.Ordinal
					continue
				}
				flight = next.batch[len(next.batch)-1].Ordinal
				if from := next.batch[0].Ordinal; from != at+1 {
					t.Fatalf("it is given %d after %d", from, at)
				}
			case 4: // and ends it
				if flight > 0 {
					r.ack(flight)
					at, given, flight = flight, given+flight-at, 0
				}
			default:
				last++
				r.append(delivery(last, rapid.IntRange(0, 5).Draw(t, "updates"), 100))
			}
			if bound := 2*r.limit + 2*keep + 2*int(most); r.bytes > bound+r.limit {
				t.Fatalf("%d bytes are held, keep %d, limit %d", r.bytes, keep, r.limit)
			}
			if b := r.app(); b.bytes < 0 || b.bytes > r.limit+int(most) {
				t.Fatalf("%+v", b)
			}
		}
	})
}

// TestHungApplication: an application that never returns from Deliver makes the replica hold a bounded amount of memory.
func TestHungApplication(t *testing.T) {
	t.Parallel()
	r := newRecords(1, 1, 1000, 1000)
	var next turn
	for o := uint64(1); o <= 2000; o++ {
		r.append(delivery(o, 1, 100))
		if o == 1 && !r.nextForApp(nil, &next) {
			t.Fatal("it is given nothing")
		}
		if r.bytes > 2*r.limit+r.keep+1000 {
			t.Fatalf("%d bytes are held at ordinal %d", r.bytes, o)
		}
	}
	r.ack(1)
	if b := r.app(); !b.behind || b.until != 1 || b.missed != 1999 || b.bytes != 0 {
		t.Errorf("%+v", b)
	}
	if r.resume() || r.nextForApp(nil, &next) {
		t.Error("it goes on although what follows is gone")
	}
}

// barred is an application of the engine's way that stands still while its gate is closed.
type barred struct {
	locked
	gate sync.Mutex
}

func (g *barred) Deliver(batch []app.Record) [][]byte {
	g.gate.Lock()
	defer g.gate.Unlock()
	return g.locked.Deliver(batch)
}

func (g *barred) Snapshot() (app.Snapshot, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.saved.Snapshot()
}

func (g *barred) Restore(from io.Reader) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.saved.Restore(from)
}

// TestSlowApplicationComesBack: an application of the engine's way that was given up as too slow takes over the state of a checkpoint and goes
// on, without an operator and without a restart: its replica answers its clients again.
func TestSlowApplicationComesBack(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, func(c *config.Cluster, _ *config.Node) {
		c.Limits.OrdinalWindow, c.Limits.History, c.Limits.CheckpointOrdinals = 16, 1024, 16
	})
	apps := make([]*barred, 4)
	for i := range apps {
		apps[i] = new(barred)
		c.open(i+1, apps[i], Options{Check: true})
	}
	slow := c.nodes[3]
	slow.records.mu.Lock()
	slow.records.keep, slow.records.limit = 2000, 16_000 // a test has not the time for as much as settings allow
	slow.records.mu.Unlock()
	apps[3].gate.Lock()
	await(t, func() string {
		c.runAll(5, 1, 2, 3)
		if s := slow.Status(); s.Application.MissedFrom == 0 || slow.records.Oldest() <= s.Application.MissedFrom {
			return fmt.Sprintf("what the application has not been given is still held: %+v", s.Application)
		}
		return ""
	})
	if _, err := c.submit(4, []byte("x")); !errors.Is(err, ErrApplication) {
		t.Errorf("%v, want ErrApplication", err)
	}
	apps[3].gate.Unlock()
	await(t, func() string {
		c.runAll(5, 1, 2, 3) // checkpoints go on
		if s := slow.Status(); s.State != StateRunning || s.Application.Ordinal < s.Ordinal {
			return fmt.Sprintf("%s: %+v of %d, %+v, %+v\n%s", s.State, s.Application, s.Ordinal, s.Checkpoints, s.Transfer, c.logs[3])
		}
		return ""
	})
	if s := slow.Status(); s.Application.MissedRecords == 0 || s.Checkpoints.Jumps != 0 || s.Checkpoints.Fetched == 0 {
		t.Errorf("it has not taken over a state: %+v, %+v", s.Application, s.Checkpoints)
	}
	slow.records.mu.Lock()
	slow.records.limit = 1 << 20 // it need not be given up once more
	slow.records.mu.Unlock()
	await(t, func() string {
		if s := slow.State(); s != StateRunning { // it may have been, just before
			c.runAll(5, 1, 2, 3)
			return s
		}
		return ""
	})
	c.runAll(5, 1, 2, 3, 4)
	c.settle(1, 1, 2, 3, 4)
	await(t, func() string {
		if got, want := apps[3].content(), apps[0].content(); got != want {
			return fmt.Sprintf("the application of r4 has %d bytes of %d", len(got), len(want))
		}
		return ""
	})
}

// TestSlowApplicationResumes: an application of any way goes on with what it has not been given if that is still held, and misses nothing.
func TestSlowApplicationResumes(t *testing.T) {
	t.Parallel()
	r := newRecords(1, 1, 1<<20, 1000)
	for o := uint64(1); o <= 20; o++ {
		r.append(delivery(o, 1, 100))
	}
	b := r.app()
	if !b.behind {
		t.Fatalf("%+v", b)
	}
	seen := uint64(0)
	var next turn
	for r.nextForApp(nil, &next) {
		seen = next.batch[len(next.batch)-1].Ordinal
		if r.ack(seen); seen == b.until && !r.resume() {
			t.Fatal("it does not go on")
		}
		if seen == 20 {
			break
		}
	}
	if b := r.app(); b.behind || b.missed != 0 || b.bytes != 0 || b.taken != 20 {
		t.Errorf("%+v", b)
	}
	r.append(&effect.Delivery{Ordinal: 21})
	if !r.nextForApp(nil, &next) || next.batch[0].Ordinal != 21 {
		t.Errorf("%+v", next)
	}
}
