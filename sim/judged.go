package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
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
	p.setLimits()
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

// honest is what a correct leader needs in a world that is quiet, by the clock of whoever measures it: floor for a round trip of
// TIMELY messages, signing and verifying on the way, and delta for all else: the pace of its proposals, once that it installs
// its view later than others, and as much of a standstill of the other's as that cannot know of. Where origins hide requests, the oldest ordinal may wait for them to be fetched, from holders who
// may lie.
func (p *plan) honest() (floor, delta time.Duration) {
	var crypto, fetch, ack, check, parts time.Duration
	for i := range p.replicas {
		r := &p.replicas[i]
		crypto = max(crypto, r.signCost+r.verifyCost)
		fetch, ack = max(fetch, r.timing.Fetch), max(ack, r.timing.Ack)
		check = max(check, r.timing.Suspect.Check)
		parts = max(parts, r.timing.Recon+10*crypto)
	}
	bounded, timely := p.net.latencyMax+10*crypto, p.net.timelyMax+10*crypto
	delta = p.pace(2*bounded+max(timely, ack, timely+parts-bounded)) + 3*bounded + check
	if p.hides() {
		delta += 2 * (3*(fetch+2*bounded) + 3*bounded)
	}
	return p.swell(2 * timely), p.swell(delta)
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
	for i := range p.replicas {
		r := &p.replicas[i]
		if len(r.pauses) == 0 {
			continue
		}
		var total time.Duration
		for _, at := range r.pauses {
			total += at.until.Sub(at.from)
			if p.frozen(at) > p.group.F()+p.group.K() {
				return false
			}
		}
		if group.FromIndex(i) == p.group.Leader(1) || total > r.timing.Suspect.MaxStall {
			return false
		}
	}
	return true
}

// frozen is how many replicas stand still some time in s.
func (p *plan) frozen(s pause) (count int) {
	for i := range p.replicas {
		for _, at := range p.replicas[i].pauses {
			if at.from < s.until && s.from < at.until {
				count++
				break
			}
		}
	}
	return count
}

// drawQuiet makes some worlds peaceful: nothing happens but that one replica after the other stands still, all but the leader, again
// and again, each time for longer than the leader may take. They have to discount that, or they would vote it out together.
func drawQuiet(rng *rand.Rand, p *plan) {
	if !p.judged || rng.IntN(16) > 0 {
		return
	}
	p.net.loss, p.net.hiccup, p.net.cuts, p.net.targets = 0, 0, nil, nil
	for i := range p.replicas {
		r := &p.replicas[i]
		r.attacks, r.crash, r.pauses = nil, clock.Never, nil
	}
	p.setLimits()
	p.quiet = true
	limit := p.limit()
	naps := 1 + rng.IntN(4)
	for i := range p.replicas {
		r := &p.replicas[i]
		r.timing.Suspect.MaxStall = 8 * limit
		for range naps {
			if group.FromIndex(i) != p.group.Leader(1) {
				r.naps = append(r.naps, span(rng, limit, 2*limit))
			}
		}
	}
	p.stormEnd = max(p.stormEnd, clock.Instant(int64(naps)*int64(p.group.N())*int64(2*limit)))
}

// nap lets a replica stand still that has just sent a ping, if no other does: it hears the leader's answer late.
func (w *world) nap(n *node) {
	r := n.plan
	if len(r.naps) == 0 || w.calm.stage != raging || w.now < w.awake {
		return
	}
	until := w.now.Add(r.naps[0])
	if !slices.ContainsFunc(n.out.Sends, func(s effect.Send) bool { return s.Msg != nil && s.Msg.Kind() == wire.KindPing }) ||
		until > w.plan.stormEnd {
		return
	}
	r.naps = r.naps[1:]
	r.pauses = append(r.pauses, pause{w.now + 1, until})
	w.awake = until
}

// setLimits gives leaders the time that a correct one needs.
func (p *plan) setLimits() {
	floor, delta := p.honest()
	for i := range p.replicas {
		p.replicas[i].timing.Suspect.Floor, p.replicas[i].timing.Suspect.Delta = floor, delta
	}
}

// sound reports whether this world must converge once it is quiet: it replaces leaders, or its only leader is correct and
// lives.
func (p *plan) sound() bool { return p.judged || p.leaderSound() }

// entered notes that a correct replica is in a view now, installed or not, and how many views the quiet world needed.
func (w *world) entered(n *node, view uint64, installed bool) {
	before := w.views.highest()
	w.views.entered(n.id, view, installed)
	if view > before {
		w.begin(view, before)
	}
	w.settle()
}

// begin notes that the first correct replica moves to a view, and counts. At most 2f+k leaders are bad: f+k+1 correct ones are
// never suspected by a quorum (TDSC 2011, property 5.2). In a simulated world no correct leader is, for all replicas are alike.
func (w *world) begin(view, before uint64) {
	h := &w.calm.held
	w.nested = w.nested || before > 1 && !w.views.anybody(before)
	if w.calm.stage == raging || w.now < w.plan.aftermath() {
		h.first = view
		return
	}
	h.changes = append(h.changes, change{view: view, from: w.now, until: clock.Never})
	if w.calm.until != 0 && (w.calm.stage == probing || w.calm.stage == serving) {
		w.calm.until = max(w.calm.until, w.now.Add(convergeRounds*w.plan.round()))
	}
	most := uint64(2*w.plan.group.F() + w.plan.group.K())
	// Whoever led when the storm ended was measured in it.
	stormy := max(1, h.first)
	if view > stormy+1+most && w.demands() && !w.calm.starved {
		w.fail("view %d begins; when the storm was over it was %d, and at most %d changes are allowed", view, stormy, most+1)
	}
	if h.from == 0 {
		return
	}
	h.replaced++
	victim := w.plan.group.Leader(before)
	blameless := w.sane(victim) && !w.unsteady(victim, 0, w.now) && w.bounded()
	if blameless && before > stormy {
		w.fail("%s is voted out in view %d, although it is correct", victim, before)
	}
	if before == stormy && w.sane(victim) {
		h.view = view // what counts begins now
	}
	if view-h.view > most && w.bounded() {
		w.fail("view %d begins; it was %d when the world had settled, and at most %d changes are allowed", view, h.view, most)
	}
}

// peace expects that a peaceful world never changed its view.
func (w *world) peace() {
	if !w.peaceful() {
		return
	}
	for _, n := range w.nodes {
		if v := n.status().View; v > 1 {
			w.fail("%s is in view %d, although nothing was wrong with the leader of view 1", n.id, v)
		}
	}
}

// peaceful reports whether the plan of this world was peaceful, and its quiet phase too.
func (w *world) peaceful() bool { return !w.leftovers() && w.plan.peaceful() }
