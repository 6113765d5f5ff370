package sim

import (
	"math/rand/v2"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// netPlan is what the virtual network does. Loss, duplication, hiccups and cuts end with the storm; latencies and
// reordering stay.
type netPlan struct {
	latencyMin, latencyMax time.Duration // of every message, uniform
	timelyMax              time.Duration // of TIMELY messages, at most latencyMax
	loss, duplicate        float64       // probability per message
	hiccup                 float64       // probability that a message takes up to hiccupMax instead
	hiccupMax              time.Duration
	fifo                   bool // keep the order per link and class, as a connection does
	hold                   bool // messages across a cut wait for its end, as in a queue; otherwise they are lost
	cuts                   []cut
	targets                []target
}

// target is a kind of message that some replicas do not get for a while, in most cases.
type target struct {
	kind        wire.Kind
	to          group.Set
	chance      float64
	from, until clock.Instant
}

// cut separates side from everybody else for a while. A one-way cut lets messages out of side, but not into it.
type cut struct {
	from, until clock.Instant
	side        group.Set
	oneWay      bool
	lost        bool // messages across it are lost, whatever netPlan.hold says
}

// network decides when, how often and whether a message arrives.
type network struct {
	plan *netPlan
	rng  *rand.Rand
	last [][]clock.Instant // latest arrival per link and class, if the order is kept
	n    int
}

func newNetwork(plan *netPlan, n int, rng *rand.Rand) *network {
	last := make([][]clock.Instant, wire.Classes+1)
	for class := range last {
		last[class] = make([]clock.Instant, n*n)
	}
	return &network{plan: plan, rng: rng, last: last, n: n}
}

// arrivals appends the instants at which a message that departs now reaches to: none if it is lost, two if it is doubled.
func (w *network) arrivals(out []clock.Instant, departs clock.Instant, from, to group.ID, class wire.Class,
	storm bool) []clock.Instant {
	p := w.plan
	if storm && w.rng.Float64() < p.loss {
		return out
	}
	copies := 1
	if storm && w.rng.Float64() < p.duplicate {
		copies = 2
	}
	for range copies {
		at := departs
		if storm {
			until, blocked, lost := w.blocked(departs, from, to)
			if blocked && (lost || !p.hold) {
				continue
			}
			at = max(at, until)
		}
		at = at.Add(w.latency(class, storm))
		if p.fifo {
			last := &w.last[class][from.Index()*w.n+to.Index()]
			at = max(at, *last+1)
			*last = at
		}
		out = append(out, at)
	}
	return out
}

// missed reports whether a message is one of a target.
func (w *network) missed(now clock.Instant, kind wire.Kind, to group.ID) bool {
	for i := range w.plan.targets {
		t := &w.plan.targets[i]
		if t.kind == kind && t.to.Has(to) && t.from <= now && now < t.until && w.rng.Float64() < t.chance {
			return true
		}
	}
	return false
}

func (w *network) latency(class wire.Class, storm bool) time.Duration {
	p := w.plan
	most := p.latencyMax
	if class == wire.Timely {
		most = p.timelyMax
	}
	if storm && w.rng.Float64() < p.hiccup {
		most = p.hiccupMax
	}
	return p.latencyMin + time.Duration(w.rng.Int64N(int64(most-p.latencyMin)+1))
}

// blocked reports whether a cut is between from and to, until when, and whether it loses what it blocks.
func (w *network) blocked(now clock.Instant, from, to group.ID) (until clock.Instant, is, lost bool) {
	for i := range w.plan.cuts {
		c := &w.plan.cuts[i]
		if now < c.from || now >= c.until || c.side.Has(from) == c.side.Has(to) {
			continue
		}
		if c.oneWay && c.side.Has(from) {
			continue
		}
		until, is, lost = max(until, c.until), true, lost || c.lost
	}
	return until, is, lost
}
