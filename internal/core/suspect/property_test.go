package suspect

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// cluster is monitoring at all replicas of a group in one view, in a network that satisfies Stability-S1: every TIMELY message
// from i to j takes between least[i][j] and KLat times that. f replicas lie, k are down.
type cluster struct {
	group  group.Group
	rng    *rand.Rand
	cfg    Config
	leader group.ID
	least  [][]time.Duration
	states []*State // nil: a liar, or down
	liars  group.Set
	now    clock.Instant
	queue  []delivery
	last   wire.Vector // what the leader has been asked for last
	// turn is how long the leader waits before it proposes what it was asked for, so that from all of a proposal's way replica
	// to needs so long.
	turn func(to group.ID) time.Duration
}

type delivery struct {
	due clock.Instant
	to  group.ID
	do  func(s *State, out *effect.Output)
}

// newCluster draws a network, liars and absent replicas.
func newCluster(rng *rand.Rand, f, k int, leader group.ID, faulty bool) *cluster {
	g := group.MustNew(f, k)
	n := g.N()
	c := &cluster{group: g, rng: rng, leader: leader, states: make([]*State, n), least: make([][]time.Duration, n)}
	c.cfg = Config{Group: g, KLat: 1000 + rng.IntN(3)*750, Delta: 30 * time.Millisecond, Floor: 2 * time.Millisecond,
		Ping: 100 * time.Millisecond, Check: 5 * time.Millisecond, Window: time.Hour}
	for i := range c.least {
		c.least[i] = make([]time.Duration, n)
		for j := range c.least[i] {
			c.least[i][j] = time.Millisecond + time.Duration(rng.Int64N(int64(40*time.Millisecond)))
		}
	}
	order := rng.Perm(n)
	var down group.Set
	for _, i := range order {
		id := group.FromIndex(i)
		switch {
		case id == leader && faulty || id != leader && c.liars.Len() < f && !(faulty && c.liars.Len() == f-1 && !c.liars.Has(leader)):
			c.liars = c.liars.With(id)
		case id != leader && down.Len() < k:
			down = down.With(id)
		}
	}
	view := uint64(1)
	for g.Leader(view) != leader {
		view++
	}
	for i := range c.states {
		if id := group.FromIndex(i); !c.liars.Has(id) && !down.Has(id) {
			cfg := c.cfg
			cfg.Self = id
			c.states[i] = New(cfg)
			c.states[i].Start(0, view, true)
		}
	}
	return c
}

// takes is how long a message needs.
func (c *cluster) takes(from, to group.ID, class wire.Class) time.Duration {
	least := c.least[from.Index()][to.Index()]
	most := time.Duration(int64(least) * int64(c.cfg.KLat) / 1000)
	if class != wire.Timely {
		most *= 3
	}
	return least + time.Duration(c.rng.Int64N(int64(most-least)+1))
}

func (c *cluster) post(after time.Duration, to group.ID, do func(*State, *effect.Output)) {
	c.queue = append(c.queue, delivery{c.now.Add(after), to, do})
}

// carry puts what a replica says on its way.
func (c *cluster) carry(from group.ID, out *effect.Output) {
	for _, s := range out.Sends {
		for to := range s.To.All() {
			delay := time.Duration(0)
			if to != from {
				delay = c.takes(from, to, s.Class)
			}
			env := &wire.Envelope{Header: wire.Header{Sender: from, Kind: s.Msg.Kind()}, Msg: s.Msg}
			if c.liars.Has(to) {
				c.lie(to, env)
				continue
			}
			c.post(delay, to, func(st *State, out *effect.Output) { c.hear(st, env, out) })
		}
	}
}

func (c *cluster) hear(s *State, env *wire.Envelope, out *effect.Output) {
	switch env.Msg.(type) {
	case *wire.Ping:
		s.OnPing(c.now, env, out)
	case *wire.Pong:
		s.OnPong(c.now, env, out)
	case *wire.RoundTrip:
		s.OnRoundTrip(env)
	case *wire.Bound:
		s.OnBound(env)
	case *wire.Turnaround:
		s.OnTurnaround(env)
	}
}

// lie is what a liar answers: pongs as it likes, measures of nothing or of ages, to some or to all.
func (c *cluster) lie(id group.ID, env *wire.Envelope) {
	lies := []uint64{0, 1, uint64(time.Millisecond), uint64(time.Hour), math.MaxInt64, math.MaxUint64}
	lie := lies[c.rng.IntN(len(lies))]
	view := c.view()
	var all []wire.Message
	switch m := env.Msg.(type) {
	case *wire.Ping:
		all = append(all, &wire.Pong{View: view, Dest: env.Sender, Seq: m.Seq}, &wire.Pong{View: view, Dest: env.Sender, Seq: m.Seq + 1},
			&wire.RoundTrip{View: view, Dest: env.Sender, Nanos: lie})
	default:
		all = append(all, &wire.Bound{View: view, Nanos: lie}, &wire.Turnaround{View: view, Number: c.rng.Uint64(), Nanos: lie})
	}
	for _, m := range all {
		forged := &wire.Envelope{Header: wire.Header{Sender: id, Kind: m.Kind()}, Msg: m}
		c.post(c.takes(id, env.Sender, wire.Timely), env.Sender, func(st *State, out *effect.Output) { c.hear(st, forged, out) })
	}
}

func (c *cluster) view() uint64 {
	for _, s := range c.states {
		if s != nil {
			return s.view
		}
	}
	return 1
}

// ask lets a replica show the leader something new, which proposes it when it likes.
func (c *cluster) ask(id group.ID) {
	s := c.states[id.Index()]
	if s == nil || id == c.leader {
		return
	}
	want := make(wire.Vector, c.group.N())
	copy(want, c.last)
	want[id.Index()] = wire.Position{Incarnation: 1, Seq: want[id.Index()].Seq + 1}
	c.last = want
	s.Challenge(c.now, want, nil)
	there := c.takes(id, c.leader, wire.Timely)
	for to := range c.group.All().All() {
		c.post(there+c.turn(to), to, func(st *State, _ *effect.Output) { st.Proposed(c.now, want) })
	}
}

// run lets time pass.
func (c *cluster) run(until clock.Instant) {
	asked := clock.Instant(0)
	for {
		next := clock.Never
		for _, d := range c.queue {
			next = min(next, d.due)
		}
		for _, s := range c.states {
			if s != nil {
				next = min(next, s.Deadline())
			}
		}
		if c.now = max(c.now, next); c.now > until {
			return
		}
		if c.now >= asked {
			asked = c.now.Add(time.Duration(c.rng.Int64N(int64(200 * time.Millisecond))))
			c.ask(group.FromIndex(c.rng.IntN(c.group.N())))
		}
		slices.SortStableFunc(c.queue, func(a, b delivery) int { return cmp.Compare(a.due, b.due) })
		for len(c.queue) > 0 && c.queue[0].due <= c.now {
			d := c.queue[0]
			c.queue = c.queue[1:]
			if s := c.states[d.to.Index()]; s != nil {
				var out effect.Output
				d.do(s, &out)
				c.carry(d.to, &out)
			}
		}
		for i, s := range c.states {
			if s != nil && s.Deadline() <= c.now {
				var out effect.Output
				s.Advance(c.now, &out)
				c.carry(group.FromIndex(i), &out)
			}
		}
	}
}

// suspecting is how many correct replicas suspect the leader; worst is the longest turnaround that the luckiest of them saw.
func (c *cluster) suspecting() (suspect int, lucky time.Duration) {
	lucky = unknown
	for i, s := range c.states {
		if s == nil {
			continue
		}
		if group.FromIndex(i) != c.leader {
			lucky = min(lucky, s.longest)
		}
		if s.Suspicious() {
			suspect++
		}
	}
	return suspect, lucky
}

// Property 5.1: a leader that keeps its role, because fewer than Q correct replicas suspect it, gives at least one correct replica
// a turnaround of at most B = 2 KLat Ltimely + Delta, whatever liars report and whoever is down (f+k+1 as rank).
func TestProperty51(t *testing.T) {
	t.Parallel()
	kept, lost := 0, 0
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 51))
		size := [][2]int{{1, 0}, {1, 1}, {2, 0}, {1, 2}}[rng.IntN(4)]
		leader := group.FromIndex(rng.IntN(group.MustNew(size[0], size[1]).N()))
		c := newCluster(rng, size[0], size[1], leader, true)
		most := []time.Duration{0, 50 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond, time.Hour}[rng.IntN(5)]
		c.turn = func(to group.ID) time.Duration { return most + c.takes(leader, to, wire.Timely) }
		c.run(clock.Instant(3 * time.Second))
		longest := time.Duration(0) // Ltimely
		for i, s := range c.states {
			for j, other := range c.states {
				if s != nil && other != nil && i != j {
					longest = max(longest, c.least[i][j]*time.Duration(c.cfg.KLat)/1000)
				}
			}
		}
		bound := 2*longest*time.Duration(c.cfg.KLat)/1000 + c.cfg.Delta
		suspect, lucky := c.suspecting()
		if suspect >= c.group.Quorum() {
			lost++
			continue
		}
		kept++
		if lucky > bound {
			t.Errorf("seed %d, %s, leader %s that waits %v: %d suspect it, and the shortest turnaround is %v > %v", seed, c.group,
				leader, most, suspect, lucky, bound)
		}
	}
	if kept < 10 || lost < 10 {
		t.Errorf("%d leaders kept their role and %d lost it: the test is too one-sided", kept, lost)
	}
}

// Property 5.2: at least f+k+1 correct replicas are suspected by no correct one if they lead, whatever liars report and whoever is
// down.
func TestProperty52(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 52))
		size := [][2]int{{1, 0}, {0, 1}, {1, 1}, {2, 0}}[rng.IntN(4)]
		n, safe := group.MustNew(size[0], size[1]).N(), 0
		for i := range n {
			draw := rand.New(rand.NewPCG(seed, 520)) // the same network and the same liars, as far as the leader is not one
			leader := group.FromIndex(i)
			c := newCluster(draw, size[0], size[1], leader, false)
			c.turn = func(to group.ID) time.Duration {
				period := time.Duration(c.rng.Int64N(int64(c.cfg.Delta))) // a correct leader proposes at least every Delta
				return period + c.takes(leader, to, wire.Timely)
			}
			c.run(clock.Instant(2 * time.Second))
			if suspect, _ := c.suspecting(); suspect == 0 {
				safe++
			}
		}
		if g := group.MustNew(size[0], size[1]); safe < g.Rank() {
			t.Errorf("seed %d, %s: only %d correct replicas can lead, want %d", seed, g, safe, g.Rank())
		}
	}
}
