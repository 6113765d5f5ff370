package suspect

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// jury is all replicas of a group that judge one leader: correct ones, silent ones and liars.
type jury struct {
	group   group.Group
	cfg     Config
	view    uint64
	leader  group.ID
	correct group.Set
	liars   group.Set
	trips   [][]time.Duration // what a correct replica measures to another
	states  []*State          // of correct replicas
	lie     func() uint64
}

// drawJury draws a group with f liars and k silent replicas, and the distances between all.
func drawJury(t *rapid.T) *jury {
	g := group.MustNew(rapid.IntRange(0, 3).Draw(t, "f"), rapid.IntRange(0, 2).Draw(t, "k"))
	j := &jury{group: g, correct: g.All(), states: make([]*State, g.N())}
	order := rapid.Permutation(ids(g)).Draw(t, "order")
	for i, id := range order {
		if i < g.F() {
			j.liars = j.liars.With(id)
		}
		if i < g.F()+g.K() {
			j.correct = j.correct.Without(id)
		}
	}
	j.cfg = Config{Group: g, KLat: rapid.IntRange(1000, 4000).Draw(t, "K_Lat"), Delta: draw(t, "Delta"), Floor: draw(t, "floor"),
		Ping: time.Second, Check: time.Millisecond, Window: time.Hour}
	for range g.N() {
		j.trips = append(j.trips, rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration { return draw(t, "trip") }), g.N(), g.N()).Draw(t, "trips"))
	}
	for a := range j.trips { // both ends measure the same
		for b := range a {
			j.trips[a][b] = j.trips[b][a]
		}
	}
	j.lie = func() uint64 {
		return rapid.OneOf(rapid.Uint64Max(uint64(200*time.Millisecond)), rapid.Uint64()).Draw(t, "lie")
	}
	return j
}

func draw(t *rapid.T, what string) time.Duration {
	return time.Duration(rapid.Int64Range(0, int64(50*time.Millisecond)).Draw(t, what))
}

func ids(g group.Group) (list []group.ID) {
	for id := range g.All().All() {
		list = append(list, id)
	}
	return list
}

func told(id group.ID, m wire.Message) *wire.Envelope {
	return &wire.Envelope{Header: wire.Header{Kind: m.Kind(), Sender: id}, Msg: m}
}

// judge lets everybody measure and report, the leader turning round after so long at each correct replica, and returns who of the
// correct ones suspects it.
func (j *jury) judge(leader group.ID, turnaround []time.Duration) (suspecting group.Set) {
	j.leader = leader
	for j.view = 1; j.group.Leader(j.view) != leader; j.view++ {
	}
	want := wire.Vector{{Incarnation: 1, Seq: 1}}
	for id := range j.correct.All() {
		cfg := j.cfg
		cfg.Self = id
		s := New(cfg)
		s.Start(0, j.view, true)
		j.states[id.Index()] = s
		if id != leader {
			s.Challenge(0, want, nil)
			s.Proposed(clock.Instant(turnaround[id.Index()]), want)
		}
	}
	for to := range j.correct.All() {
		for by := range j.correct.All() {
			m := &wire.RoundTrip{View: j.view, Dest: to, Nanos: uint64(j.trips[by.Index()][to.Index()])}
			j.states[to.Index()].OnRoundTrip(told(by, m))
		}
		for by := range j.liars.All() {
			j.states[to.Index()].OnRoundTrip(told(by, &wire.RoundTrip{View: j.view, Dest: to, Nanos: j.lie()}))
		}
	}
	for by := range j.correct.All() {
		var out effect.Output
		j.states[by.Index()].Advance(clock.Instant(2*time.Second), &out)
		for to := range j.correct.All() {
			for _, send := range out.Sends {
				switch m := send.Msg.(type) {
				case *wire.Bound:
					j.states[to.Index()].OnBound(told(by, m))
				case *wire.Turnaround:
					j.states[to.Index()].OnTurnaround(told(by, m))
				}
			}
		}
	}
	for to := range j.correct.All() {
		for by := range j.liars.All() {
			j.states[to.Index()].OnBound(told(by, &wire.Bound{View: j.view, Nanos: j.lie()}))
			j.states[to.Index()].OnTurnaround(told(by, &wire.Turnaround{View: j.view, Number: 1, Nanos: j.lie()}))
		}
		if j.states[to.Index()].Suspicious() {
			suspecting = suspecting.With(to)
		}
	}
	return suspecting
}

// allowed is what the bound on delay lets a leader take: K_Lat times the longest round trip between correct replicas, or the floor,
// and Delta.
func (j *jury) allowed() time.Duration {
	acceptable := j.cfg.Floor
	for a := range j.correct.All() {
		for b := range j.correct.All() {
			if a != b {
				acceptable = max(acceptable, j.trips[a.Index()][b.Index()])
			}
		}
	}
	return scale(acceptable, j.cfg.KLat) + j.cfg.Delta
}

// TestProperty51WhateverLiarsReport: a leader that turns round too slowly for every correct replica is suspected by all of them, which are a
// quorum, whatever f liars report and k silent ones do not. So one that keeps its place is fast enough for one of them.
func TestProperty51WhateverLiarsReport(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		j := drawJury(t)
		leader := rapid.SampledFrom(ids(j.group)).Draw(t, "leader")
		turnaround := make([]time.Duration, j.group.N())
		for i := range turnaround {
			turnaround[i] = j.allowed() + 1 + draw(t, "beyond")
		}
		judges := j.correct.Without(leader)
		if suspecting := j.judge(leader, turnaround); judges.Minus(suspecting) != 0 && judges.Len() >= j.group.Quorum() {
			t.Fatalf("%s: %s of %s suspect a leader that takes more than %v", j.group, suspecting, judges, j.allowed())
		}
	})
}

// TestProperty52WhateverLiarsReport: at least f+k+1 correct replicas are never suspected when they lead and turn round within K_Lat times
// their round trip and Delta, whatever liars report.
func TestProperty52WhateverLiarsReport(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		j := drawJury(t)
		stay := 0
		for leader := range j.correct.All() {
			turnaround := make([]time.Duration, j.group.N())
			for by := range j.correct.All() {
				turnaround[by.Index()] = scale(j.trips[by.Index()][leader.Index()], j.cfg.KLat) + j.cfg.Delta
			}
			if j.judge(leader, turnaround) == 0 {
				stay++
			}
		}
		if stay < j.group.Rank() {
			t.Fatalf("%s: only %d of %s would stay as leaders, at least %d have to", j.group, stay, j.correct, j.group.Rank())
		}
	})
}

// TestOldTurnaroundsUndoNothing: whoever repeats an old message of a replica can neither hide nor revive what it said.
func TestOldTurnaroundsUndoNothing(t *testing.T) {
	t.Parallel()
	g := group.MustNew(0, 0)
	s := New(Config{Self: 1, Group: g, KLat: 1000, Floor: 1, Ping: 1, Check: 1, Window: 1})
	s.Start(0, 1, true)
	newer, older := &wire.Turnaround{View: 1, Number: 8, Nanos: 5}, &wire.Turnaround{View: 1, Number: 7, Nanos: 500}
	s.OnTurnaround(told(1, newer))
	s.OnTurnaround(told(1, older))
	if leader, _, _ := s.Turnaround(); leader != 5 {
		t.Fatalf("turnaround %v after an old message, want 5ns", leader)
	}
}

// TestPingsAreAnsweredWithinLimits: a flood of pings costs a few signatures in an interval.
func TestPingsAreAnsweredWithinLimits(t *testing.T) {
	t.Parallel()
	s := New(Config{Self: 1, Group: group.MustNew(1, 0), Ping: time.Second, Check: 1, Window: 1})
	s.Start(0, 1, true)
	answers := func(now clock.Instant, by group.ID, pings int) int {
		var out effect.Output
		for range pings {
			s.OnPing(now, told(by, &wire.Ping{View: 1, Seq: 1}), &out)
		}
		return len(out.Sends)
	}
	if n := answers(1, 2, 1000); n != mostPongs {
		t.Errorf("%d pings answered, want %d", n, mostPongs)
	}
	if n := answers(2, 3, 1); n != 1 {
		t.Errorf("another replica's ping is answered %d times", n)
	}
	if n := answers(clock.Instant(time.Second)+2, 2, 1); n != 1 {
		t.Errorf("a ping of the next interval is answered %d times", n)
	}
}

// TestStandstillIsDiscountedWithinLimits: however often a replica says that it stood still, a silent leader's age grows by all but
// MaxStall in a window.
func TestStandstillIsDiscountedWithinLimits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		most := draw(t, "MaxStall")
		s := New(Config{Self: 2, Group: group.MustNew(1, 0), Ping: time.Hour, Check: 1, Window: time.Hour, MaxStall: most})
		s.Start(0, 1, true)
		s.Challenge(0, wire.Vector{{Incarnation: 1, Seq: 1}}, nil)
		var stood time.Duration
		for _, still := range rapid.SliceOf(rapid.Custom(func(t *rapid.T) time.Duration { return draw(t, "still") })).Draw(t, "standstills") {
			stood += still
			s.Stalled(still)
		}
		now := clock.Instant(stood + time.Second)
		var out effect.Output
		s.Advance(now, &out)
		if want := time.Duration(now) - min(most, stood); s.longest != want {
			t.Fatalf("after %v of standstills a challenge is %v old, want %v", stood, s.longest, want)
		}
	})
}
