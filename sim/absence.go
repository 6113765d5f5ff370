package sim

import (
	"math/rand/v2"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// absence is a correct replica that is cut off while the others go on for long, and the storm ends with that.
type absence struct {
	who   group.ID // 0: nobody
	from  clock.Instant
	goal  int // ordinals that others had executed when it came back
	since clock.Instant
	took  time.Duration // until it had, too; 0: it has not
}

// helpers are the attacks on whoever catches up.
var helpers = []string{"wrong-outline", "wrong-segment", "silent-helper", "slow-helper", "flood-segments"}

// drawAbsence lets some worlds go on without one of their correct replicas for a long time after everything else. It has randomness of
// its own, so that all other worlds are as they would be without it.
func drawAbsence(rng *rand.Rand, p *plan) {
	if rng.IntN(8) > 0 {
		return
	}
	if p.quiet || p.group.F()+p.group.K() == 0 {
		return
	}
	p.depart(rng, span(rng, time.Second, 6*time.Second), 0)
	if rng.IntN(2) == 0 {
		names := []string{choose(rng, helpers...)}
		for i := range p.replicas {
			if r := &p.replicas[i]; len(r.attacks) > 0 {
				r.attacks = names
			}
		}
	}
}

// depart cuts a correct replica off from the end of the storm on, for so long; then the storm ends. who is the replica, 0 any.
func (p *plan) depart(rng *rand.Rand, long time.Duration, who group.ID) {
	for p.faulty() >= p.group.F()+p.group.K() { // the others have to be a quorum
		r := &p.replicas[rng.IntN(len(p.replicas))]
		r.attacks, r.crash = nil, clock.Never
	}
	for p.absence.who = who; p.absence.who == 0; {
		if id := group.FromIndex(rng.IntN(len(p.replicas))); p.correct(id) && p.replicas[id.Index()].crash == clock.Never {
			p.absence.who = id
		}
	}
	if p.group.N() > 9 {
		long /= 4
	}
	from := p.stormEnd
	p.absence.from, p.stormEnd = from, from.Add(long)
	p.net.cuts = append(p.net.cuts, cut{from: from, until: p.stormEnd, side: group.SetOf(p.absence.who), lost: true})
	if rng.IntN(4) > 0 {
		p.limits.History, p.limits.HistoryBytes = max(p.limits.History, 4000), 0
	}
	busy := client{id: clientID(700), next: uint64(calendar/1000) + 1}
	pause := span(rng, 5*time.Millisecond, 40*time.Millisecond)
	for at := from; at < p.stormEnd; at = at.Add(span(rng, 0, 2*pause)) {
		s := submission{at: at, to: group.FromIndex(rng.IntN(p.group.N()))}
		for range 1 + rng.IntN(3) {
			s.updates = append(s.updates, wire.Update{Client: busy.id, Seq: busy.next, Payload: payload(rng, p.limits.UpdateBytes)})
			busy.next++
		}
		p.work.submissions = append(p.work.submissions, s)
	}
}

// faulty is how many replicas attack or crash.
func (p *plan) faulty() (count int) {
	for i := range p.replicas {
		if len(p.replicas[i].attacks) > 0 || p.replicas[i].crash != clock.Never {
			count++
		}
	}
	return count
}

// back is how long a replica that was away may take to execute what the others had executed when it came back: messages that the storm
// delayed, until lag is noticed, outlines that have to be asked for again because others were behind as well, helpers of which f say
// nothing, and what is proven at the end.
func (p *plan) back() time.Duration {
	var fetch time.Duration
	for i := range p.replicas {
		fetch = max(fetch, p.replicas[i].timing.Fetch)
	}
	wait := max(100*time.Millisecond, 10*fetch)
	return p.net.hiccupMax + 2*p.round() + p.stretch(time.Duration(3+p.group.F())*wait) + 20*p.net.latencyMax
}

// returns notes that the storm is over: whoever was away has to come back.
func (w *world) returns() {
	if a := &w.plan.absence; a.who != 0 {
		a.goal, a.since = len(w.history.ordinals), w.now
	}
}

// returned checks that whoever was away is back in time.
func (w *world) returned() {
	a := &w.plan.absence
	if a.who == 0 || a.since == 0 || a.took > 0 || !w.nodes[a.who.Index()].live() || !w.demands() {
		return
	}
	took := w.now.Sub(a.since)
	if w.history.at[a.who.Index()] >= uint64(a.goal) {
		a.took = max(took, 1)
		w.note(w.now, "is back", a.who, 0, nil)
		return
	}
	if most := w.plan.back(); took > most && w.plan.disks == nil {
		w.fail("%s was away and has executed %d of %d ordinals %v after it came back", a.who, w.history.at[a.who.Index()], a.goal, most)
	}
}
