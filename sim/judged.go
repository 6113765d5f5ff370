package sim

import (
	"math/rand/v2"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// drawJudgement decides whether leaders are judged in this world, and how; and where they are, it makes trouble for those that
// lead first. Everything that was drawn before stays as it is.
func drawJudgement(rng *rand.Rand, p *plan) {
	if p.judged = rng.IntN(8) > 0; !p.judged {
		return
	}
	drawBadLeaders(rng, p)
	wide := p.net.latencyMax > 5*time.Millisecond
	ping, window, stall := 20*time.Millisecond, span(rng, time.Second, 5*time.Second), choose(rng, 0, 200*time.Millisecond, 2*time.Second)
	if wide {
		ping = 100 * time.Millisecond
	}
	klat := choose(rng, 1000, 1500, 2500, 4000)
	for i := range p.replicas {
		s := &p.replicas[i].timing.Suspect
		s.KLat, s.Window, s.MaxStall = klat, window, stall
		s.Ping, s.Check = span(rng, ping, 4*ping), span(rng, time.Millisecond, ping/2)
		t := &p.replicas[i].timing
		t.Fetch = min(t.Fetch, span(rng, time.Millisecond, ping))
	}
	floor, delta := p.honest()
	for i := range p.replicas {
		p.replicas[i].timing.Suspect.Floor, p.replicas[i].timing.Suspect.Delta = floor, delta
	}
	if rng.IntN(2) == 0 {
		drawUnrest(rng, p)
	}
}

// drawBadLeaders lets replicas that are to crash, freeze or attack lead early.
func drawBadLeaders(rng *rand.Rand, p *plan) {
	for i := range p.replicas {
		r := &p.replicas[i]
		if len(r.attacks) > 0 && rng.IntN(2) == 0 {
			r.attacks = drawAttacks(rng, true)
		}
		if bad := len(r.attacks) > 0 || r.crash != clock.Never; bad && rng.IntN(2) == 0 {
			j := rng.IntN(min(3, len(p.replicas)))
			p.replicas[i], p.replicas[j] = p.replicas[j], p.replicas[i]
		}
	}
}

// drawUnrest cuts one leader after the other off, so that view changes follow each other and fall into each other, and lets
// replicas miss messages that just then are needed.
func drawUnrest(rng *rand.Rand, p *plan) {
	limit, at := p.limit(), clock.Instant(rng.Int64N(int64(p.stormEnd)/2))
	for view := range uint64(1 + rng.IntN(2*p.group.N())) {
		c := cut{from: at, until: at.Add(span(rng, limit/2, 2*limit)), side: group.SetOf(p.group.Leader(view + 1)),
			oneWay: rng.IntN(3) == 0}
		p.net.cuts = append(p.net.cuts, c)
		at = at.Add(span(rng, limit/4, limit+6*p.net.latencyMax))
		p.stormEnd = max(p.stormEnd, c.until)
	}
	if rng.IntN(3) == 0 {
		return
	}
	for range 1 + rng.IntN(4) {
		t := target{kind: choose(rng, wire.KindPrePrepare, wire.KindPrepare, wire.KindCommit, wire.KindCommit, wire.KindCertificate,
			wire.KindNewLeaderProof, wire.KindReport, wire.KindReady, wire.KindReplay, wire.KindReplayPrepare, wire.KindReplayCommit,
			wire.KindReplayCommit, wire.KindWindow, wire.KindWindow), to: group.Set(rng.Uint64()).Intersect(p.group.All()),
			chance: choose(rng, 0.5, 0.9, 1), until: p.stormEnd}
		if rng.IntN(2) == 0 {
			t.from = moment(rng, p.stormEnd)
			t.until = min(p.stormEnd, t.from.Add(span(rng, limit, 4*limit)))
		}
		p.net.targets = append(p.net.targets, t)
	}
}

// honest is what a correct leader needs in a world that is quiet: floor for a round trip of TIMELY messages, signing and
// verifying on the way, and delta for all else between two proposals. A leader whose window is full waits for an ordinal to be
// ordered and executed; what is missing for that is fetched from one holder, who may lie, then from others.
func (p *plan) honest() (floor, delta time.Duration) {
	var propose, crypto, fetch, check time.Duration
	for i := range p.replicas {
		r := &p.replicas[i]
		propose = max(propose, r.timing.Propose)
		crypto = max(crypto, r.signCost+r.verifyCost)
		fetch = max(fetch, r.timing.Fetch)
		check = max(check, r.timing.Suspect.Check)
	}
	floor = 2*p.net.timelyMax + 20*crypto
	delta = propose + check + 3*p.net.latencyMax + 30*crypto
	if p.leftovers() || p.limits.OrdinalWindow < 64 {
		delta += 2 * (3*(fetch+2*p.net.latencyMax) + 3*p.net.latencyMax)
	}
	return floor, delta
}

// limit is the longest turnaround that a leader can have without being voted out: nobody's round trips take longer than the
// floor.
func (p *plan) limit() time.Duration {
	if !p.judged {
		return 0
	}
	s := &p.replicas[0].timing.Suspect
	return s.Floor*time.Duration(s.KLat)/1000 + s.Delta + 2*s.Check
}

// viewChange is how long the change to a view with a correct leader takes at most once the world is quiet: votes, proof,
// reports and their echoes, lists, shares, proof, replay and its two votes, the window's proposals; and what was lost because a
// replica was not there yet is repeated.
func (p *plan) viewChange() time.Duration { return 12*p.net.latencyMax + 2*p.limit() + 3*p.round() }

// peaceful reports whether nothing happens in this world for which a leader could be replaced: nobody attacks or crashes, no
// message is lost or very late, and whoever freezes does not lead, never with more than f+k others, and for no longer than it
// may discount.
func (p *plan) peaceful() bool {
	if p.disks != nil {
		return false
	}
	if !p.judged || p.leftovers() || p.net.loss > 0 || p.net.hiccup > 0 || len(p.net.cuts) > 0 || len(p.net.targets) > 0 {
		return false
	}
	frozen := 0
	for i := range p.replicas {
		r := &p.replicas[i]
		if len(r.pauses) == 0 {
			continue
		}
		var total time.Duration
		for _, at := range r.pauses {
			total += at.until.Sub(at.from)
		}
		if frozen++; group.FromIndex(i) == p.group.Leader(1) || total > r.timing.Suspect.MaxStall {
			return false
		}
	}
	return frozen <= p.group.F()+p.group.K()
}

// sound reports whether this world must converge once it is quiet: it replaces leaders, or its only leader is correct and
// lives.
func (p *plan) sound() bool { return p.judged || p.leaderSound() }

// entered notes that a correct replica is in a view now, installed or not, and how many views the quiet world needed.
func (w *world) entered(n *node, view uint64, installed bool) {
	w.views.entered(n.id, view, installed)
	if !w.plan.judged || w.calm.stage == raging || w.now < w.plan.aftermath() {
		w.calm.firstView = max(w.calm.firstView, view)
		return
	}
	// Whoever is voted out after the storm was measured in the storm, once; from then on at most 2f+k are bad: f+k+1 correct
	// leaders are never suspected by a quorum (TDSC 2011, property 5.2; protocol-core.md 11.1, item 15).
	most := max(1, w.calm.firstView) + 1 + uint64(2*w.plan.group.F()+w.plan.group.K())
	if view > most && w.demands() {
		w.fail("%s enters view %d; when the storm was over it was %d, and at most %d are allowed", n.id, view,
			w.calm.firstView, most)
	}
	if w.calm.stage == probing && !installed {
		w.calm.until = max(w.calm.until, w.now.Add(w.plan.viewChange()+w.plan.delayBound()))
	}
}

// peace expects that a peaceful world never changed its view.
func (w *world) peace() {
	if !w.plan.peaceful() {
		return
	}
	for _, n := range w.nodes {
		if v := n.status().View; v > 1 {
			w.fail("%s is in view %d, although nothing was wrong with the leader of view 1", n.id, v)
		}
	}
}
