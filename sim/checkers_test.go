package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/attack"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// quietPlan is a world of the given size without trouble: 30 updates, LAN latencies.
func quietPlan(f, k int) *plan {
	p := draw(1)
	p.group, p.absence = group.MustNew(f, k), absence{}
	p.net = netPlan{latencyMin: time.Millisecond, latencyMax: 2 * time.Millisecond, timelyMax: 2 * time.Millisecond,
		hiccupMax: 2 * time.Millisecond}
	p.stormEnd = clock.Instant(500 * time.Millisecond)
	p.limits = core.Limits{UpdateBytes: 300, RequestBytes: 3000, RequestUpdates: 16, InFlight: 20, PendingBytes: 1 << 20,
		Sessions: 100, SessionWindow: 1024, OrdinalWindow: 16, History: 1000}
	rng := rand.New(rand.NewPCG(7, 7))
	p.replicas = make([]replicaPlan, p.group.N())
	for i := range p.replicas {
		p.replicas[i] = drawReplica(rng, false)
		p.replicas[i].timing = core.Timing{Ack: time.Millisecond, Summary: time.Millisecond, Propose: time.Millisecond,
			Retransmit: 50 * time.Millisecond, Fetch: 10 * time.Millisecond, Suspect: core.Suspect{KLat: 2500,
				Ping: 20 * time.Millisecond, Check: 5 * time.Millisecond, Window: time.Second, MaxStall: time.Second}}
	}
	p.judged = true
	floor, delta := p.honest()
	for i := range p.replicas {
		p.replicas[i].timing.Suspect.Floor, p.replicas[i].timing.Suspect.Delta = floor, delta
	}
	p.work = workPlan{}
	c := client{id: clientID(1), next: uint64(calendar / 1000)}
	for range 30 {
		s := submission{at: moment(rng, p.stormEnd), to: group.FromIndex(rng.IntN(p.group.N()))}
		s.updates = append(s.updates, c.update(rng, 40))
		p.work.submissions = append(p.work.submissions, s)
	}
	p.serve = servePlan{rounds: 4}
	for i := range 12 {
		p.serve.load = append(p.serve.load, offering{80 * i, group.FromIndex(i % p.group.N()), 1 + i%2})
	}
	p.roundTrip, p.immutable, p.auth, p.check = false, true, false, true
	return p
}

// TestAttacksAreHarmless runs each behaviour in a world of its own, at the leader if it is one of leaders, and expects that it
// does something and that nothing breaks.
func TestAttacksAreHarmless(t *testing.T) {
	t.Parallel()
	innocent := run(&Options{Seed: 1}, quietPlan(1, 0), newReplica)
	if innocent.Violation != nil || !innocent.Converged || innocent.Updates < 30 {
		t.Fatalf("the world without an attacker: %+v", innocent)
	}
	for _, b := range attack.Behaviours() {
		p := quietPlan(1, 0)
		at := 2
		if b.Leader {
			at = 0
		}
		p.replicas[at].attacks = []string{b.Name}
		r := run(&Options{Seed: 1}, p, newReplica)
		if r.Violation != nil {
			t.Errorf("%s: %s", b.Name, r.Violation.What)
		}
		if r.Hash == innocent.Hash {
			t.Errorf("%s does nothing", b.Name)
		}
		if !r.Converged {
			t.Errorf("%s: the world did not have to converge", b.Name)
		}
	}
}

// TestCheckersCatchAttackers lets a replica that is counted as correct misbehave, and expects that the checkers notice: at
// least each of these behaviours breaks a promise of a correct replica in a way that others can see.
func TestCheckersCatchAttackers(t *testing.T) {
	t.Parallel()
	for name, leads := range map[string]bool{
		"equivocate": false, "equivocate-to-two": false, "mute": true, "liar": false, "false-acks": false, "wrong-votes": false,
		"flood": false, "forge-rows": true, "two-proposals": true, "absurd-time": false,
	} {
		b, ok := attack.Named(name)
		if !ok {
			t.Fatalf("there is no behaviour %q", name)
		}
		at := group.ID(2)
		if leads {
			at = 1
		}
		p := quietPlan(1, 0)
		machine := func(cfg core.Config) (core.Machine, error) {
			inner, err := core.New(cfg)
			if err != nil || cfg.Self != at {
				return inner, err
			}
			host := &attack.Host{Self: at, Group: cfg.Group, Incarnations: cfg.Incarnations, Limits: cfg.Limits,
				Pause: 10 * time.Millisecond, Rand: rand.New(rand.NewPCG(1, 1)), Sign: func(m wire.Message) *wire.Envelope {
					env := wire.NewEnvelope(wire.Header{Sender: at, Epoch: epoch, Incarnation: cfg.Incarnations[at.Index()]}, m)
					env.Finish(wire.Proof{Count: 1})
					return env
				}}
			return b.Wrap(host, inner), nil
		}
		if r := run(&Options{Seed: 1}, p, machine); r.Violation == nil {
			t.Errorf("%s of a replica that counts as correct goes unnoticed", name)
		} else {
			t.Logf("%s: %s", name, r.Violation.What)
		}
	}
}

// TestQueueOrder compares the event queue with sorting.
func TestQueueOrder(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	var q eventQueue
	var want []event
	for i := range 2000 {
		e := event{at: clock.Instant(rng.IntN(50)), arg: i}
		q.push(e)
		e.order = uint64(i + 1)
		want = append(want, e)
	}
	slices.SortFunc(want, func(a, b event) int {
		if a.before(&b) {
			return -1
		}
		return 1
	})
	for i := range want {
		if got, ok := q.pop(); !ok || got.arg != want[i].arg {
			t.Fatalf("event %d is %d, want %d", i, got.arg, want[i].arg)
		}
	}
	if _, ok := q.pop(); ok {
		t.Fatal("the queue is not empty")
	}
}

// TestNetworkKeepsOrder: with connections, messages of one link and class arrive in the order in which they were sent, and a
// cut that holds messages back delivers them after it.
func TestNetworkKeepsOrder(t *testing.T) {
	t.Parallel()
	plan := netPlan{latencyMin: 1, latencyMax: 1000, timelyMax: 500, hiccup: 0.2, hiccupMax: 10_000, fifo: true, hold: true,
		cuts: []cut{{from: 3000, until: 5000, side: group.SetOf(1)}, {from: 7000, until: 9000, side: group.SetOf(2), oneWay: true}}}
	w := newNetwork(&plan, 4, rand.New(rand.NewPCG(3, 4)))
	last := clock.Instant(0)
	for at := clock.Instant(0); at < 10_000; at += 10 {
		got := w.arrivals(nil, at, 1, 2, wire.Bounded, true)
		if len(got) != 1 || got[0] <= last || got[0] <= at {
			t.Fatalf("sent at %d: arrives at %v, the one before at %d", at, got, last)
		}
		if inCut := at >= 3000 && at < 5000 || at >= 7000 && at < 9000; inCut && got[0] < 5000 {
			t.Fatalf("sent at %d into a cut, arrives at %d", at, got[0])
		}
		last = got[0]
	}
	if until, cut, _ := w.blocked(7500, 2, 1); cut {
		t.Fatalf("the one-way cut also blocks the way out until %d", until)
	}
}

// TestContradictingCertificates: two certificates for one number are found, although nobody holds both.
func TestContradictingCertificates(t *testing.T) {
	t.Parallel()
	g := group.MustNew(1, 0)
	incarnations := []uint32{1, 1, 1, 1}
	l := newLedger(g, epoch, incarnations)
	found := ""
	p := newPromises(l, func(format string, _ ...any) { found = format })
	for i, d := range []wire.Digest{{1}, {2}} {
		for id := range g.All().All() {
			if int(id) == 4-i {
				continue // two different quorums
			}
			env := wire.NewEnvelope(wire.Header{Sender: id, Epoch: epoch, Incarnation: 1}, &wire.PreorderAck{
				Incarnations: l.membership,
				Parts:        []wire.AckPart{{ID: wire.PreorderID{Origin: 2, Position: wire.Position{Incarnation: 1, Seq: 5}}, Digest: d}},
			})
			l.said(env)
		}
		if p.unique(); (found != "") != (i == 1) {
			t.Fatalf("after %d certificates: %q", i+1, found)
		}
	}
}
