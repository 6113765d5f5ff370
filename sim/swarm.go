package sim

import (
	"math/rand/v2"
	"time"

	"github.com/primebft/prime/internal/attack"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/group"
)

// plan is everything that a seed fixes before the world starts. Like a swarm, every seed also draws how likely each kind of
// trouble is, so that some worlds are quiet, some have one kind of trouble only, and some have all.
type plan struct {
	group    group.Group
	limits   core.Limits
	replicas []replicaPlan // by group.ID.Index
	net      netPlan
	stormEnd clock.Instant
	work     workPlan
	serve    servePlan
	absence  absence
	// What the harness itself does in this world, to test more than the protocol core.
	roundTrip bool       // every message is decoded from the bytes that would travel
	immutable bool       // every message is encoded again when it arrives: nobody may have changed it
	auth      bool       // clients sign their updates
	check     bool       // core.Config.Check
	disks     []diskPlan // by group.ID.Index; nil: replicas are ephemeral
	threshold bool       // a threshold signature challenges a new leader; otherwise a list of signatures
	quiet     bool       // nothing happens for which a leader may be replaced, see drawQuiet
	judged    bool       // leaders are judged and replaced; otherwise view 1 is the only one
}

// replicaPlan is what one replica is like.
type replicaPlan struct {
	attacks    []string // names of the behaviours that it stacks; none: it is correct
	timing     core.Timing
	skew       time.Duration // of its calendar clock
	start      clock.Instant // its own clock's value when the world starts: instants of two replicas have nothing in common
	drift      int64         // by how much its own clock runs fast, in millionths; negative if it runs slow
	signCost   time.Duration // one signature; they are made one after the other
	verifyCost time.Duration
	crash      clock.Instant // Never: it does not
	pauses     []pause
	naps       []time.Duration // pauses that begin when it has just pinged the others
}

// pause is a time in which a replica stands still, like a machine that freezes: nothing is lost, everything is late.
type pause struct{ from, until clock.Instant }

// choose draws one of the options; all are equally likely.
func choose[T any](rng *rand.Rand, options ...T) T { return options[rng.IntN(len(options))] }

// span draws a duration between least and most.
func span(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N(int64(most-least)+1))
}

// moment draws an instant of the storm.
func moment(rng *rand.Rand, end clock.Instant) clock.Instant {
	return clock.Instant(rng.Int64N(int64(end) + 1))
}

// draw makes the plan of a seed.
func draw(seed uint64) *plan {
	rng := rand.New(rand.NewPCG(seed, 1))
	fk := choose(rng, [2]int{1, 0}, [2]int{1, 0}, [2]int{1, 0}, [2]int{1, 1}, [2]int{1, 1}, [2]int{0, 1}, [2]int{0, 1},
		[2]int{0, 0}, [2]int{2, 0}, [2]int{1, 2}, [2]int{0, 2}, [2]int{2, 1})
	if rng.IntN(60) == 0 {
		fk = choose(rng, [2]int{3, 1}, [2]int{4, 0}, [2]int{0, 5})
	}
	p := &plan{group: group.MustNew(fk[0], fk[1])}
	wide := rng.IntN(4) == 0
	p.stormEnd = clock.Instant(span(rng, 100*time.Millisecond, 3*time.Second))
	if p.group.N() > 9 {
		p.stormEnd /= 4 // a large group has trouble enough in a short storm
	}
	p.net = drawNetwork(rng, wide)
	p.limits = drawLimits(rng)
	n := p.group.N()
	p.replicas = make([]replicaPlan, n)
	for i := range p.replicas {
		p.replicas[i] = drawReplica(rng, wide)
	}
	drawAttackers(rng, p)
	drawCrashes(rng, p)
	drawStorm(rng, p)
	p.work = drawWork(rng, p)
	p.roundTrip = rng.IntN(4) == 0
	p.immutable = rng.IntN(4) == 0
	p.auth = rng.IntN(4) == 0
	p.check = rng.IntN(2) == 0
	later := rand.New(rand.NewPCG(seed, 3)) // what came later has its own numbers, so that old worlds stay as they were
	drawAbsent(later, p)
	drawDrift(later, p)
	drawJudgement(rng, p)
	drawThreshold(seed, p)
	drawQuiet(later, p)
	drawServing(later, p)
	drawRepair(rand.New(rand.NewPCG(seed, 4)), p)
	drawCheckpoints(rand.New(rand.NewPCG(seed, 7)), p)
	drawAbsence(rand.New(rand.NewPCG(seed, 5)), p)
	if p.judged {
		p.setLimits()
	}
	return p
}

func drawNetwork(rng *rand.Rand, wide bool) netPlan {
	var p netPlan
	p.latencyMin = span(rng, 50*time.Microsecond, time.Millisecond)
	p.latencyMax = p.latencyMin + span(rng, 0, 4*time.Millisecond)
	if wide {
		p.latencyMin = span(rng, time.Millisecond, 30*time.Millisecond)
		p.latencyMax = p.latencyMin + span(rng, 0, 50*time.Millisecond)
	}
	p.timelyMax = p.latencyMin + (p.latencyMax-p.latencyMin)/time.Duration(choose(rng, 1, 2, 4))
	p.hiccupMax = p.latencyMax + span(rng, 0, 500*time.Millisecond)
	p.fifo = rng.IntN(2) == 0
	p.hold = rng.IntN(2) == 0
	if rng.IntN(2) == 0 {
		p.loss = choose(rng, 0.001, 0.01, 0.05, 0.2, 0.4)
	}
	if rng.IntN(3) == 0 {
		p.duplicate = choose(rng, 0.01, 0.1, 0.5)
	}
	if rng.IntN(3) == 0 {
		p.hiccup = choose(rng, 0.001, 0.02, 0.2)
	}
	return p
}

func drawLimits(rng *rand.Rand) core.Limits {
	l := core.Limits{
		UpdateBytes:    choose(rng, 64, 300, 1024),
		RequestUpdates: choose(rng, 1, 3, 16, 64),
		InFlight:       choose(rng, 1, 2, 5, 20, 20, 64),
		PendingBytes:   choose(rng, 4<<10, 64<<10, 1<<20),
		Sessions:       choose(rng, 64, 64, 256, 1000),
		SessionWindow:  choose(rng, 64, 128, 1024, 1024),
		OrdinalWindow:  choose(rng, 1, 2, 4, 16, 64),
		History:        choose(rng, 2000, 2000, 2000, 1000, 500, 100, 20, 4),
	}
	l.RequestBytes = l.UpdateBytes * choose(rng, 1, 2, 16)
	if rng.IntN(6) == 0 {
		l.Sessions = choose(rng, 1, 2, 3, 5) // force evictions
	}
	if rng.IntN(8) == 0 {
		l.HistoryBytes = choose(rng, 1, 10_000, 100_000)
	}
	return l
}

func drawReplica(rng *rand.Rand, wide bool) replicaPlan {
	most := choose(rng, time.Duration(0), time.Millisecond, 5*time.Millisecond, 20*time.Millisecond)
	retransmit := span(rng, 40*time.Millisecond, 200*time.Millisecond)
	if wide {
		retransmit = span(rng, 200*time.Millisecond, 500*time.Millisecond)
	}
	return replicaPlan{
		timing: core.Timing{
			Request: span(rng, 0, most), Ack: span(rng, 0, most), Summary: span(rng, 0, most), Matrix: span(rng, 0, most),
			Propose: span(rng, 0, most), Retransmit: retransmit, Fetch: span(rng, time.Millisecond, retransmit),
		},
		skew:       span(rng, 0, choose(rng, time.Microsecond, time.Millisecond, 10*time.Second)),
		start:      clock.Instant(span(rng, 0, choose(rng, time.Nanosecond, time.Second, 1000*time.Hour))),
		signCost:   span(rng, 0, choose(rng, time.Microsecond, 20*time.Microsecond, 100*time.Microsecond)),
		verifyCost: span(rng, 0, 50*time.Microsecond),
		crash:      clock.Never,
	}
}

// drawAttackers makes up to f replicas Byzantine.
func drawAttackers(rng *rand.Rand, p *plan) {
	if p.group.F() == 0 || rng.IntN(10) < 3 {
		return
	}
	var chosen group.Set
	if rng.IntN(3) == 0 {
		chosen = chosen.With(p.group.Leader(1))
	}
	for want := 1 + rng.IntN(p.group.F()); chosen.Len() < want; {
		chosen = chosen.With(group.FromIndex(rng.IntN(p.group.N())))
	}
	for id := range chosen.All() {
		r := &p.replicas[id.Index()]
		r.attacks = drawAttacks(rng, id == p.group.Leader(1))
	}
}

// drawCrashes stops up to k replicas for ever, some before the world starts.
func drawCrashes(rng *rand.Rand, p *plan) {
	if p.group.K() == 0 || rng.IntN(4) == 0 {
		return
	}
	for range 1 + rng.IntN(p.group.K()) {
		r := &p.replicas[rng.IntN(len(p.replicas))]
		if len(r.attacks) > 0 || r.crash != clock.Never {
			continue
		}
		if r.crash = 0; rng.IntN(3) > 0 {
			r.crash = moment(rng, p.stormEnd)
		}
	}
}

// drawAbsent lets k replicas be down from the start where nobody would crash.
func drawAbsent(rng *rand.Rand, p *plan) {
	if p.group.K() == 0 || rng.IntN(3) > 0 {
		return
	}
	for i := range p.replicas {
		if p.replicas[i].crash != clock.Never {
			return
		}
	}
	for gone := 0; gone < p.group.K(); {
		if r := &p.replicas[rng.IntN(len(p.replicas))]; len(r.attacks) == 0 && r.crash == clock.Never {
			r.crash = 0
			gone++
		}
	}
}

// drawStorm cuts the network and freezes replicas, now and then.
func drawStorm(rng *rand.Rand, p *plan) {
	if rng.IntN(2) == 0 {
		for range 1 + rng.IntN(3) {
			c := cut{from: moment(rng, p.stormEnd), side: group.Set(rng.Uint64()).Intersect(p.group.All()),
				oneWay: rng.IntN(3) == 0}
			if rng.IntN(3) == 0 {
				c.side = group.SetOf(group.FromIndex(rng.IntN(p.group.N())))
			}
			c.until = min(p.stormEnd, c.from.Add(span(rng, 10*time.Millisecond, time.Second)))
			p.net.cuts = append(p.net.cuts, c)
		}
	}
	if rng.IntN(3) == 0 {
		for range 1 + rng.IntN(3) {
			r := &p.replicas[rng.IntN(len(p.replicas))]
			from := moment(rng, p.stormEnd)
			r.pauses = append(r.pauses, pause{from, min(p.stormEnd, from.Add(span(rng, time.Millisecond, time.Second)))})
		}
	}
}

// leaderSound reports whether this world must converge once it is quiet: view 1 is the only view, so its leader has to be
// correct and alive.
func (p *plan) leaderSound() bool {
	leader := &p.replicas[p.group.Leader(1).Index()]
	return len(leader.attacks) == 0 && leader.crash == clock.Never
}

// leftovers reports whether there are replicas whose requests need not all be ordered at once: they have crashed, or attack.
func (p *plan) leftovers() bool {
	for i := range p.replicas {
		if len(p.replicas[i].attacks) > 0 || p.replicas[i].crash != clock.Never {
			return true
		}
	}
	return false
}

// correct reports whether a replica follows the protocol as long as it lives.
func (p *plan) correct(id group.ID) bool { return len(p.replicas[id.Index()].attacks) == 0 }

// drawAttacks names the behaviours of one Byzantine replica: usually one, sometimes two stacked.
func drawAttacks(rng *rand.Rand, leads bool) []string {
	var fit []attack.Behaviour
	only := leads && rng.IntN(2) == 0 // misuse of the lead, rather than anything
	for _, b := range attack.Behaviours() {
		if !b.Apart && (b.Leader == leads || !only && !b.Leader) {
			fit = append(fit, b)
		}
	}
	names := []string{choose(rng, fit...).Name}
	if rng.IntN(5) == 0 && names[0] != "agree" {
		return append(names, "agree") // an accomplice of itself
	}
	if rng.IntN(4) == 0 {
		if second := choose(rng, fit...).Name; second != names[0] {
			names = append(names, second)
		}
	}
	return names
}
