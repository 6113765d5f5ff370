package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/core/preorder"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// servePlan is what happens in the quiet phase of a world, while every update is held to the bound: load at all live replicas,
// and troubles that the bound has to survive. Times are thousandths of the phase.
type servePlan struct {
	rounds int // how long it lasts, in bounds under a correct leader
	load   []offering
	crash  []blow  // somebody stops for ever, if k still allows
	freeze []frost // the staller stands still
	// staller is the replica that may stand still; 0 if there is none. It counts as one of the f+k that do not answer.
	staller group.ID
	latent  bool // attackers behave until the quiet phase begins
	starve  bool // in the end the leader stops and all others get hardly any time of their processors
}

// offering is updates that a client submits at one replica.
type offering struct {
	at    int
	to    group.ID
	count int
}

// blow stops the leader, or whoever leads so many views later.
type blow struct {
	at    int
	ahead uint64
}

// frost is a standstill: as long as the staller may discount at most, and for some leaders.
type frost struct {
	at      int
	share   int  // of what may be discounted, or of four times a leader's limit, in thousandths
	leading bool // even if it leads; then it is replaced
}

// drawServing makes the quiet phase.
func drawServing(rng *rand.Rand, p *plan) {
	s := &p.serve
	s.rounds = choose(rng, 2, 4, 8)
	total := choose(rng, 10, 20, 40, 80)
	if p.group.N() > 9 {
		s.rounds, total = 2, 12
	}
	for range total {
		s.load = append(s.load, offering{rng.IntN(1000), group.FromIndex(rng.IntN(p.group.N())), 1 + rng.IntN(choose(rng, 1, 1, 3))})
	}
	if !p.judged || p.quiet {
		return
	}
	for range rng.IntN(4) {
		s.crash = append(s.crash, blow{rng.IntN(900), uint64(rng.IntN(3))})
	}
	if rng.IntN(2) == 0 {
		s.staller = group.FromIndex(rng.IntN(p.group.N()))
		for range 1 + rng.IntN(2) {
			s.freeze = append(s.freeze, frost{rng.IntN(900), 1 + rng.IntN(1000), rng.IntN(2) == 0})
		}
	}
	if s.latent = rng.IntN(2) == 0; s.latent {
		drawRow(rng, p)
	}
	if rng.IntN(4) == 0 {
		s.starve = true
		for i := range p.replicas {
			p.replicas[i].timing.Suspect.MaxStall = p.starvable()
		}
	}
}

// drawRow lets attackers lead one after the other, and often misuse that.
func drawRow(rng *rand.Rand, p *plan) {
	at := rng.IntN(p.group.N())
	for i := range p.replicas {
		if len(p.replicas[i].attacks) == 0 {
			continue
		}
		if rng.IntN(3) > 0 {
			p.replicas[i].attacks = drawAttacks(rng, true)
		}
		for len(p.replicas[at].attacks) > 0 && at != i {
			at = (at + 1) % p.group.N()
		}
		p.replicas[i], p.replicas[at] = p.replicas[at], p.replicas[i]
	}
}

// watch is an update that is held to the bound.
type watch struct {
	key       updateKey
	origin    group.ID
	submitted clock.Instant
	since     clock.Instant // from when it counts: submitted, and its origin has room for it; Never while that is not known
	remaining group.Set     // who has to execute it
}

// change is a change of views after the storm.
type change struct {
	view        uint64
	from, until clock.Instant // from the first correct replica that moves to the view until all have installed it, or a later one
}

// held is the state of the quiet phase: what is held to the bound.
type held struct {
	watched     map[updateKey]*watch
	waiting     []*watch // those not executed everywhere
	changes     []change
	from        clock.Instant // when the world had converged; 0 before
	until       clock.Instant // when the load ends
	convictions []conviction
	frozen      []pause // of the staller, in the quiet phase
	first       uint64  // the highest view when the storm was over
	view        uint64  // from which on changes count
	count       int     // updates that were held to the bound
	slowest     time.Duration
	allowed     time.Duration // what the slowest, by ratio, was allowed to take
	closest     [4]float64    // by kind, and of a change of views itself
	ratio       float64       // the highest of taken to allowed
	replaced    int           // view changes since from
}

// submitWatched submits updates that are held to the bound, if the replica lives. Those of attackers are not: what they hide from
// others is in the same ordinals.
func (w *world) submitWatched(n *node, count int) {
	if n.crashed != clock.Never {
		return
	}
	s := &w.calm.held
	updates := make([]wire.Update, count)
	for i := range updates {
		w.calm.nextSeq = max(w.calm.nextSeq+1, w.freshSeq())
		updates[i] = wire.Update{Client: clientID(probeClient), Seq: w.calm.nextSeq, Payload: []byte("probe")}
	}
	w.signUpdates(updates)
	if !n.correct() {
		w.submit(n, updates)
		return
	}
	var live group.Set
	for _, other := range w.nodes {
		if other.live() {
			live = live.With(other.id)
		}
	}
	for i := range updates {
		k := updateKey{updates[i].Client, updates[i].Seq}
		s.watched[k] = &watch{key: k, origin: n.id, submitted: w.now, since: clock.Never, remaining: live}
		s.waiting = append(s.waiting, s.watched[k])
	}
	w.calm.until = w.now.Add(convergeRounds * w.plan.round())
	w.submit(n, updates)
}

// introducing notes that a correct replica introduces a request: its updates count from when there was room for it.
func (w *world) introducing(n *node, m *wire.PreorderRequest) {
	s := &w.calm.held
	if len(s.waiting) == 0 {
		return
	}
	for i := range m.Updates {
		h := s.watched[updateKey{m.Updates[i].Client, m.Updates[i].Seq}]
		if h == nil || h.origin != n.id || h.since != clock.Never {
			continue
		}
		h.since = max(h.submitted, min(w.now, n.room(m.Seq, w.plan.eager()))) // a full request waits for no other
		t := w.terms()
		if late := w.now.Sub(h.since); w.bounded() && late > t.request && !w.unsteady(n.id, h.since, w.now) {
			w.fail("%s introduces an update %v after it may; %v are allowed", n.id, late, t.request)
		}
	}
}

// room is when a replica may introduce a request of its own: its window is full before; Never if it still is.
func (n *node) room(seq uint64, window int) clock.Instant {
	if seq <= uint64(window) {
		return 0
	}
	if before := seq - uint64(window); before <= n.own {
		return n.ownAt[before]
	}
	return clock.Never
}

// eager is how many own requests may be on their way before the next may wait for one of them.
func (p *plan) eager() int { return min(preorder.Eager, p.limits.InFlight) }

// ownExecuted notes how many of its own requests a replica has executed.
func (w *world) ownExecuted(n *node, own uint64) {
	for ; n.own < own; n.own++ {
		if w.calm.stage != raging {
			n.ownAt[n.own+1] = w.now
		}
	}
}

// executing notes that a correct replica executes an ordinal, and holds its updates to the bound.
func (w *world) executing(n *node, d *effect.Delivery) {
	s := &w.calm.held
	if len(s.waiting) == 0 {
		return
	}
	note := func(k updateKey) {
		if h := s.watched[k]; h != nil && h.remaining.Has(n.id) {
			w.hold(h, n.id)
			h.remaining = h.remaining.Without(n.id)
		}
	}
	for i := range d.Updates {
		note(updateKey{d.Updates[i].Client, d.Updates[i].Seq})
	}
	for i := range d.Dropped {
		note(updateKey{d.Dropped[i].Client, d.Dropped[i].Seq})
	}
}

// hold compares how long an update took until now, at one replica, with what it may take.
func (w *world) hold(h *watch, at group.ID) {
	if !w.bounded() || h.since == clock.Never || w.unsteady(h.origin, h.since, w.now) || w.unsteady(at, h.since, w.now) {
		return
	}
	s := &w.calm.held
	took := w.now.Sub(h.since)
	allowed, kind := w.allowed(h.since)
	if ratio := float64(took) / float64(allowed); ratio > s.ratio {
		s.ratio, s.slowest, s.allowed = ratio, took, allowed
	}
	s.closest[kind] = max(s.closest[kind], float64(took)/float64(allowed))
	if took > allowed {
		w.fail("an update of %s takes %v to its execution at %s, and may take %v: %s", h.origin, took, at, allowed, w.explain(h.since))
	}
}

// allowed is how long an update may take that counts since then and is executed now: the bound, and for each change of views on
// its way the bound on that.
func (w *world) allowed(since clock.Instant) (time.Duration, kind) {
	t, n := w.terms(), w.overlapping(since)
	convictions := 0
	for _, at := range w.calm.held.convictions {
		if at.until >= since {
			convictions++
		}
	}
	again := time.Duration(convictions) * t.again()
	switch {
	case n > 0:
		return t.bound() + again + time.Duration(n)*t.change(), acrossViews
	case w.fair(since):
		return t.fair(), fairly
	}
	return t.bound() + again, suffered
}

// convicted notes that a correct replica takes another for proven faulty: it shows the leader again, without its rows, what it had
// shown with them.
func (w *world) convicted(culprit group.ID) {
	for i := range w.calm.held.convictions {
		if c := &w.calm.held.convictions[i]; c.of == culprit {
			c.until = w.now
			return
		}
	}
	w.calm.held.convictions = append(w.calm.held.convictions, conviction{culprit, w.now})
}

// conviction is a replica that is proven faulty, and when the last correct one learnt it.
type conviction struct {
	of    group.ID
	until clock.Instant
}

// fair reports whether the leader has been correct and running since then.
func (w *world) fair(since clock.Instant) bool {
	leader := w.leader()
	return w.sane(leader) && !w.unsteady(leader, since, w.now)
}

// kind is under which circumstances an update is executed: the place of its ratio in Report.Closest.
type kind uint8

const (
	fairly      kind = iota // under a correct leader
	suffered                // under another that keeps its place
	acrossViews             // while views change
)

// overlapping is how many changes of views there were between since and now.
func (w *world) overlapping(since clock.Instant) (n int) {
	for i := range w.calm.held.changes {
		if w.calm.held.changes[i].until >= since {
			n++
		}
	}
	return n
}

// explain says what an update was allowed to take.
func (w *world) explain(since clock.Instant) string {
	return fmt.Sprintf("the leader is correct: %v, changes of views: %d; %s", w.fair(since),
		w.overlapping(since), w.terms())
}

// bounded reports whether updates are held to the bound in this world.
func (w *world) bounded() bool { return !w.plan.hides() && w.plan.sound() && w.calm.held.from != 0 }

// unsteady reports whether a replica stood still in a time, or had not yet caught up with what it missed.
func (w *world) unsteady(id group.ID, from, until clock.Instant) bool {
	if id != w.plan.serve.staller {
		return false
	}
	for _, f := range w.calm.held.frozen {
		if f.from <= until && from <= f.until.Add(w.plan.round()) {
			return true
		}
	}
	return false
}

// overdue finds updates that take too long and have not been executed yet, and drops those that nobody waits for any more.
func (w *world) overdue() {
	s := &w.calm.held
	kept := s.waiting[:0]
	for _, h := range s.waiting {
		n := w.nodes[h.origin.Index()]
		for id := range h.remaining.All() {
			if !w.nodes[id.Index()].live() {
				h.remaining = h.remaining.Without(id)
			}
		}
		if !n.live() || h.remaining == 0 || !n.accepted[h.key] && !w.history.settled[h.key] && n.status().Lanes != nil {
			if n.live() && h.remaining == 0 && w.bounded() && h.since != clock.Never {
				s.count++
			}
			continue
		}
		kept = append(kept, h)
		for id := range h.remaining.All() {
			w.hold(h, id)
		}
		if room := n.room(w.history.introduced[n.id.Index()]+1, w.plan.eager()); h.since == clock.Never && w.bounded() &&
			room != clock.Never && !w.unsteady(n.id, h.submitted, w.now) {
			if late, t := w.now.Sub(max(room, h.submitted)), w.terms(); late > t.request {
				w.fail("%s has not introduced an update %v after it may", n.id, late)
			}
		}
	}
	clear(s.waiting[len(kept):])
	s.waiting = kept
}

// serve begins the load, and its troubles.
func (w *world) serve() {
	s, p := &w.calm.held, &w.plan.serve
	t := w.terms()
	span := time.Duration(p.rounds) * t.fair()
	at := func(thousandths int) clock.Instant { return w.now.Add(span * time.Duration(thousandths) / 1000) }
	s.until = w.now.Add(span)
	for i := range p.load {
		w.queue.push(event{at: at(p.load[i].at), kind: probe, arg: i})
	}
	for _, c := range p.crash {
		w.queue.push(event{at: at(c.at), kind: strike, arg: int(c.ahead)})
	}
	for i := range p.freeze {
		w.queue.push(event{at: at(p.freeze[i].at), kind: freeze, arg: i})
	}
	w.calm.stage = serving
}

// offer submits the load of one moment.
func (w *world) offer(i int) {
	o := &w.plan.serve.load[i]
	w.submitWatched(w.nodes[o.to.Index()], o.count)
}

// spare is how many more replicas may stop: those that do not answer and those that attack are f+k at most.
func (w *world) spare() int {
	gone := 0
	for _, n := range w.nodes {
		if !n.live() || n.id == w.plan.serve.staller {
			gone++
		}
	}
	return w.plan.group.F() + w.plan.group.K() - gone
}

// strike stops the leader for ever, or one that leads so many views later, if that leaves enough replicas.
func (w *world) strike(ahead uint64) {
	n := w.nodes[w.plan.group.Leader(w.views.highest()+ahead).Index()]
	if w.calm.stage != serving || !w.plan.judged || w.spare() < 1 || !w.sane(n.id) || n.id == w.plan.serve.staller {
		return
	}
	n.crashed = w.now
	w.note(w.now, "crashes", n.id, 0, nil)
	w.settle()
}

// freeze lets the staller stand still.
func (w *world) freeze(f *frost) {
	p := w.plan
	if p.serve.staller == 0 || !p.judged {
		return
	}
	n := w.nodes[p.serve.staller.Index()]
	leads := w.leader() == n.id
	if w.calm.stage != serving || w.spare() < 0 || !w.sane(n.id) || leads && !f.leading {
		return
	}
	t := w.terms()
	most := min(p.replicas[0].timing.Suspect.MaxStall, 10*t.fair())
	if leads {
		most = 4 * (t.role + t.notice)
	}
	s := pause{w.now, w.now.Add(most * time.Duration(f.share) / 1000)}
	n.plan.pauses = append(n.plan.pauses, s)
	w.calm.held.frozen = append(w.calm.held.frozen, s)
	w.note(w.now, "stands still", n.id, 0, nil)
}

// settle ends the changes of views that are over.
func (w *world) settle() {
	for i := range w.calm.held.changes {
		c := &w.calm.held.changes[i]
		if c.until != clock.Never {
			continue
		}
		c.until = w.now
		for _, n := range w.nodes {
			if n.live() && w.views.by[n.id.Index()].installed < c.view && !w.unsteady(n.id, c.from, w.now) {
				c.until = clock.Never
			}
		}
		if c.until != clock.Never && w.bounded() && c.from >= w.calm.held.from {
			w.changed(c)
		}
	}
}

// changed compares how long the newest change of views has taken with what it may take; one that is given up is followed by the next.
func (w *world) changed(c *change) {
	changes := w.calm.held.changes
	if c.view != changes[len(changes)-1].view {
		return
	}
	t, took := w.terms(), w.now.Sub(c.from)
	for _, f := range w.calm.held.frozen {
		if f.until >= c.from {
			return // who stands still may be waited for, see unsteady
		}
	}
	w.calm.held.closest[3] = max(w.calm.held.closest[3], float64(took)/float64(t.install()))
	if took > t.install() {
		w.fail("the change to view %d takes %v, and may take %v: %s", c.view, took, t.install(), t)
	}
}

// lingering finds a change of views that takes too long.
func (w *world) lingering() {
	if changes := w.calm.held.changes; len(changes) > 0 && w.bounded() && changes[len(changes)-1].until == clock.Never {
		w.changed(&changes[len(changes)-1])
	}
}
