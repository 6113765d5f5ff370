package sim

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/primebft/prime/internal/clock"
)

// TestClocksDrift: a clock that drifts and the instants at which it shows something are inverse to each other.
func TestClocksDrift(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := replicaPlan{start: clock.Instant(rapid.Int64Range(0, 1<<52).Draw(t, "start")), drift: rapid.Int64Range(-10_000, 10_000).Draw(t, "drift")}
		now := clock.Instant(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "now"))
		due := r.local(now)
		if at := r.world(due); at > now || r.local(at) < due || at > 0 && r.local(at-1) >= due {
			t.Fatalf("the clock shows %d at %d and, so it says, first at %d", due, now, at)
		}
		if off := due.Sub(r.start) - time.Duration(now); off.Abs() > time.Duration(now)/90 {
			t.Fatalf("the clock is off by %v after %v", off, time.Duration(now))
		}
	})
}

// TestBoundIsThePapers: with nothing of our own in between, the bound is 6 L_bounded, the leader's turn and the aggregation.
func TestBoundIsThePapers(t *testing.T) {
	t.Parallel()
	p := quietPlan(1, 0)
	for i := range p.replicas {
		r := &p.replicas[i]
		r.signCost, r.verifyCost, r.timing.Request, r.timing.Ack = 0, 0, 0, 0
		r.timing.Suspect.Floor, r.timing.Suspect.Check, r.timing.Suspect.Delta = 0, 0, 3*time.Millisecond
		r.timing.Matrix = time.Millisecond
	}
	terms := p.terms(0, 0)
	const klat = 2500 // thousandths
	want := 6*p.net.latencyMax + klat*2*p.net.timelyMax/1000 + 3*time.Millisecond + 2*time.Millisecond
	if got := terms.bound(); got < want || got > want+20*copies {
		t.Fatalf("the bound is %v, the paper's %v", got, want)
	}
}

// TestFrozenLeaderIsReplaced: a leader that stands still for longer than it may take loses its place, in time for the updates that wait
// for it; one that does for less keeps it. The others do not discount its standstill, and it cannot ask them to.
func TestFrozenLeaderIsReplaced(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		share   int // of four limits, in thousandths
		changes int
	}{{1000, 1}, {20, 0}} {
		p := quietPlan(1, 1)
		p.serve.staller, p.serve.rounds = p.group.Leader(1), 8
		p.serve.freeze = []frost{{at: 100, share: c.share, leading: true}}
		r := run(&Options{Seed: 1}, p, newReplica)
		if r.Violation != nil || r.Changes != c.changes || r.Stalled != 1 || r.Held < 12 {
			t.Errorf("a leader that stands still for %d thousandths of four limits: %d changes of views, %+v", c.share, r.Changes, r.Violation)
		}
	}
}

// TestClaimedStallsGainNothing: a leader that stands still again and again, and says so, is held to the same bound as any.
func TestClaimedStallsGainNothing(t *testing.T) {
	t.Parallel()
	p := quietPlan(1, 1)
	p.serve.latent, p.serve.rounds = true, 8
	p.replicas[0].attacks = []string{"stalls"}
	r := run(&Options{Seed: 1}, p, newReplica)
	if r.Violation != nil || r.Held < 12 || r.Closest[suffered]+r.Closest[acrossViews] == 0 {
		t.Errorf("%d updates held to the bound, the closest %v: %+v", r.Held, r.Closest, r.Violation)
	}
}

// TestStarvedReplicasAreNotSilent: replicas that get a twentieth of their processors' time replace a dead leader nearly as if they had it all.
func TestStarvedReplicasAreNotSilent(t *testing.T) {
	t.Parallel()
	p := quietPlan(1, 1)
	p.serve.starve = true
	for i := range p.replicas {
		p.replicas[i].timing.Suspect.MaxStall = p.starvable()
	}
	if r := run(&Options{Seed: 1}, p, newReplica); r.Violation != nil || !r.Starved {
		t.Errorf("starved %v: %+v", r.Starved, r.Violation)
	}
}

// TestBoundIsHeld: the phase in which updates are held to the bound is not empty, whatever kind of leader there is.
func TestBoundIsHeld(t *testing.T) {
	notUnderRace(t)
	t.Parallel()
	var closest [4]float64
	held, worlds, nested, peaceful := 0, 0, 0, 0
	for seed := uint64(1); seed <= 40; seed++ {
		r := Run(Options{Seed: seed})
		if held += r.Held; r.Held > 0 {
			worlds++
		}
		for i := range closest {
			closest[i] = max(closest[i], r.Closest[i])
		}
		if r.Nested {
			nested++
		}
		if r.Peaceful {
			peaceful++
		}
	}
	if worlds < 20 || held < 500 || nested == 0 || peaceful == 0 {
		t.Errorf("%d updates of %d worlds are held to the bound; %d worlds with nested changes of views, %d peaceful", held, worlds, nested, peaceful)
	}
	for kind, ratio := range closest {
		if ratio < 0.1 {
			t.Errorf("kind %d: the closest update takes %.3f of what it may", kind, ratio)
		}
	}
}
