package sim

import (
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
)

// A starved replica runs for one part of its time and stands still for the others.
const (
	starvedParts = 20
	// starvedSpell is how often a starved replica runs in the time that a leader may take.
	starvedSpell = 4
)

// starvable is how much standstill replicas may discount in a world that ends with starvation: little of a window, so that it is
// known how long the rest of it takes.
func (p *plan) starvable() time.Duration {
	return min(p.limit()/2, p.replicas[0].timing.Suspect.Window/4)
}

// starve stops the leader and takes nearly all time from all others: whoever can starve replicas of their processors must not be
// able to silence them. It reports whether this world has that.
func (w *world) starve() bool {
	p := w.plan
	leader := w.nodes[w.leader().Index()]
	if !p.serve.starve || w.calm.starved || !w.bounded() || w.spare() < 1 || !w.sane(leader.id) || leader.id == p.serve.staller {
		return false
	}
	w.calm.starved, w.calm.held.from = true, 0 // no bound holds for anybody any more
	leader.crashed = w.now
	w.note(w.now, "crashes, and others starve", leader.id, 0, nil)
	t, s := w.terms(), &p.replicas[0].timing.Suspect
	spell := t.role / starvedSpell
	still := spell * (starvedParts - 1) / starvedParts
	var ping time.Duration
	for i := range p.replicas {
		ping = max(ping, p.stretch(p.replicas[i].timing.Suspect.Ping))
	}
	// Until the leader has been pinged, taken too long, been reported and been voted out; what is discounted comes on top.
	need := ping + t.role + t.notice + 8*(t.bounded+still) + s.MaxStall
	need += need * time.Duration(s.MaxStall) / time.Duration(s.Window-s.MaxStall)
	w.calm.starvedUntil = w.now.Add(need)
	for _, n := range w.nodes {
		if !n.live() {
			continue
		}
		from := w.now.Add(spell * time.Duration(n.id) / time.Duration(p.group.N()))
		for ; from < w.calm.starvedUntil; from = from.Add(spell) {
			n.plan.pauses = append(n.plan.pauses, pause{from, from.Add(still)})
		}
	}
	return true
}

// starving expects that starved replicas vote the leader out all the same. Then they recover, and all goes on.
func (w *world) starving() {
	if w.views.highest() == w.calm.starvedView {
		if w.now > w.calm.starvedUntil {
			w.fail("starved replicas have not replaced a dead leader after %v", w.now.Sub(w.calm.starvedFrom))
		}
		return
	}
	w.calm.starvedUntil = 0
	for _, n := range w.nodes {
		for i := range n.plan.pauses {
			n.plan.pauses[i].until = min(n.plan.pauses[i].until, w.now)
		}
	}
	for i := range w.nodes {
		w.submitWatched(w.nodes[i], 1)
	}
	w.calm.held.until = w.now
}

// ends begins what follows the load.
func (w *world) ends() {
	if !w.starve() {
		w.beginRest()
		return
	}
	w.calm.starvedView, w.calm.starvedFrom = w.views.highest(), w.now
	w.calm.until = clock.Never
}

// leader leads the highest view that a correct replica is in.
func (w *world) leader() group.ID { return w.plan.group.Leader(w.views.highest()) }
