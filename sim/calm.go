package sim

import (
	"fmt"
	"time"

	"github.com/primebft/prime/internal/attack"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
)

// stage is how far a world is after its storm.
type stage uint8

const (
	raging     stage = iota // the storm is on
	converging              // everything accepted has to be executed everywhere
	probing                 // one update at a time has to be executed within the bound
	serving                 // every update has to be, under load
	resting                 // with nothing to order, nothing may be ordered
	winding                 // nothing is demanded any more, but safety
)

// calm is what is demanded of a world whose storm is over (protocol-core.md 11.2).
type calm struct {
	stage   stage
	until   clock.Instant // when the stage has to be over
	probes  []group.ID    // who still has to introduce a probe
	nextSeq uint64        // of the client whose updates are held to the bound
	working time.Duration // the longest that a job of a correct replica took
	signing time.Duration // the longest that a message of a correct replica waited to be signed
	held    held

	starved      bool // replicas were starved of their processors
	starvedFrom  clock.Instant
	starvedUntil clock.Instant // when they have to have replaced the leader at the latest; 0: they have
	starvedView  uint64
	done         uint64        // how far everybody was when it last rose
	ordinals     int           // when rest began
	end          clock.Instant // when a world with attackers has to be at rest at last
	since        clock.Instant // when rest began
	sends        []int         // by replica: sends since then
	sessions     [32]byte      // of the first replica that apart looked at
}

// Intervals of inspection, and how long the stages may take, in repetitions of the slowest replica.
const (
	stormInspection = 50 * time.Millisecond
	calmInspection  = 5 * time.Millisecond
	convergeRounds  = 40 // without progress of any kind
	restLimit       = 100
	restRounds      = 6
	windRounds      = 6
	mostAtRest      = 4    // messages of a replica at rest in one interval of retransmission
	probeClient     = 1000 // number of the client whose updates measure the delay bound
)

// round is how long it takes at most until what was lost is repeated: the retransmission of the slowest replica, jitter
// included, and the way there and back.
func (p *plan) round() time.Duration {
	var slowest time.Duration
	for i := range p.replicas {
		slowest = max(slowest, p.replicas[i].timing.Retransmit)
	}
	return slowest*3/2 + 2*p.net.latencyMax
}

// aftermath is when the last message that the storm delayed has arrived, and with it what had to stay behind it.
func (p *plan) aftermath() clock.Instant { return p.stormEnd.Add(p.net.hiccupMax + p.net.latencyMax) }

// demands reports whether the world has to converge: its leader is correct and lives, or can be replaced, and no correct replica needs what the
// others have forgotten.
func (w *world) demands() bool {
	if !w.plan.sound() {
		return false
	}
	for _, n := range w.nodes {
		if n.live() && w.lost(n) {
			return false
		}
	}
	return true
}

// lost reports whether live correct replicas executed the next ordinal of n, and none of them can prove it any more and too few are left
// to vouch for it: then n needs the state of a checkpoint.
func (w *world) lost(n *node) (lost bool) {
	if w.plan.limits.CheckpointOrdinals > 0 {
		return false // it is given a state
	}
	next, tellers := n.at+1, 0
	for _, other := range w.nodes {
		if !other.live() || other.at < next {
			continue
		}
		lost = true
		if other.status().Collected >= next {
			continue
		}
		if p, ok := other.machine.(interface{ Proves(uint64) bool }); !ok || p.Proves(next) {
			return false
		}
		if tellers++; tellers == w.plan.group.OneCorrect() {
			return false
		}
	}
	return lost
}

// calmDown begins the second phase of the world.
func (w *world) calmDown() {
	w.calm.stage = converging
	w.calm.held.watched = map[updateKey]*watch{}
	if !w.demands() {
		w.calm.stage, w.calm.until = winding, w.now.Add(windRounds*w.plan.round())
	}
}

// inspect looks at the whole world, now and then.
func (w *world) inspect() {
	interval := stormInspection
	if w.calm.stage != raging {
		interval = calmInspection
	}
	w.queue.push(event{at: w.now.Add(interval), kind: inspect})
	for _, n := range w.nodes {
		if n.live() {
			w.limits(n)
		}
	}
	if w.calm.stage != raging && w.calm.stage != winding && !w.demands() {
		w.calm.stage, w.calm.until = winding, w.now.Add(windRounds*w.plan.round())
		w.calm.held.waiting = nil
	}
	if w.calm.stage == converging {
		w.progress()
	}
	w.returned()
	late := w.now >= w.calm.until
	switch w.calm.stage {
	case converging:
		if why := w.apart(); why == "" && w.now >= w.plan.aftermath() {
			w.converged()
		} else if late {
			w.fail("no progress for %v, and no convergence: %s", convergeRounds*w.plan.round(), why)
		}
	case probing, serving:
		w.overdue()
		w.lingering()
		switch {
		case late:
			w.fail("%d updates are not executed everywhere %v after the last", len(w.calm.held.waiting), convergeRounds*w.plan.round())
		case len(w.calm.held.waiting) > 0:
		case w.calm.stage == probing:
			w.nextProbe()
		case w.calm.starvedUntil != 0:
			w.starving()
		case w.now >= w.calm.held.until:
			w.ends()
		}
	case resting:
		w.rest(late)
	case winding:
		w.over = late
	}
}

// progress extends the time to converge whenever a live correct replica got on. How long a replica that was cut off may take
// to catch up depends on how small the windows are; but it may never stand still.
func (w *world) progress() {
	done := uint64(len(w.history.settled))
	for _, n := range w.nodes {
		if !n.live() {
			continue
		}
		done += n.at + n.status().View
		for i, lane := range n.status().Lanes {
			if w.nodes[i].live() {
				done += lane.Held + lane.Preordered
			}
		}
	}
	if done > w.calm.done || w.now < w.plan.aftermath() {
		w.calm.done, w.calm.until = done, max(w.now, w.plan.aftermath()).Add(convergeRounds*w.plan.round())
	}
}

// rest expects that with nothing to order no ordinal is created. Requests of attackers and of crashed replicas may be left,
// but not for ever. A world in which checkpoints are due by time never rests.
func (w *world) rest(late bool) {
	w.over = late
	if w.plan.limits.CheckpointTime > 0 {
		return
	}
	if len(w.history.ordinals) == w.calm.ordinals {
		w.silence()
		return
	}
	w.over = false
	if w.now >= w.calm.end || !w.leftovers() && !w.onlyMarks() {
		w.fail("ordinal %d orders something although there is nothing to order", len(w.history.ordinals))
	}
	w.calm.ordinals, w.calm.until = len(w.history.ordinals), w.now.Add(restRounds*w.plan.round())
}

// onlyMarks reports whether the ordinals since rest began can be those of transfer points that applications asked for before: a replica
// that was given a state asks again, when it may.
func (w *world) onlyMarks() bool {
	for _, o := range w.history.ordinals[w.calm.ordinals:] {
		for i := range o.delivery.Updates {
			if !o.delivery.Updates[i].TransferPoint() {
				return false
			}
		}
		if len(o.delivery.Dropped) > 0 {
			return false
		}
	}
	return w.history.asked != 0
}

// silence expects that replicas at rest send no more than what they repeat: how much that is must not depend on history.
func (w *world) silence() {
	if !w.over || w.leftovers() {
		return
	}
	for _, n := range w.nodes {
		intervals := int(w.now.Sub(w.calm.since)/n.plan.timing.Retransmit) + 2
		most := mostAtRest * intervals
		for _, other := range w.nodes { // a PING, a PONG and a measurement for each peer, and what they amount to
			if ping := other.plan.timing.Suspect.Ping; ping > 0 {
				most += 4 * (int(w.now.Sub(w.calm.since)/ping) + 2)
			}
		}
		if sent := w.calm.sends[n.id.Index()]; sent > most {
			w.fail("%s sends %d messages in %d intervals of retransmission, although nothing happens", n.id, sent, intervals)
		}
	}
}

// apart says what still keeps the replicas apart; nothing if they have converged.
func (w *world) apart() string {
	w.calm.sessions = [32]byte{}
	for _, n := range w.nodes {
		if !n.live() {
			continue
		}
		if at := n.at; at != uint64(len(w.history.ordinals)) {
			return fmt.Sprintf("%s has executed %d of %d ordinals", n.id, at, len(w.history.ordinals))
		}
		if why := w.views.apart(n.id); why != "" {
			return why
		}
		if missing := w.unsettled(n); missing > 0 {
			return fmt.Sprintf("%d updates that %s took are not ordered", missing, n.id)
		}
		if why := w.behind(n); why != "" {
			return why
		}
	}
	return ""
}

// behind says what a node has not finished: proposals under way, requests of live correct origins, replicated state that
// differs.
func (w *world) behind(n *node) string {
	s := n.status()
	if s.Proposed > s.Executed {
		return fmt.Sprintf("%s has a proposal for ordinal %d and executed %d", n.id, s.Proposed, s.Executed)
	}
	for i, lane := range s.Lanes {
		if origin := w.nodes[i]; origin.live() && lane.Executed != w.history.introduced[i] {
			return fmt.Sprintf("%s has executed %d of %d requests of %s", n.id, lane.Executed, w.history.introduced[i], origin.id)
		}
	}
	if has := len(w.history.table.byUse); s.Lanes != nil && s.Sessions != has {
		return fmt.Sprintf("%s remembers %d sessions instead of %d", n.id, s.Sessions, has)
	}
	if r, ok := n.machine.(interface{ SessionDigest() [32]byte }); ok {
		if digest := r.SessionDigest(); w.calm.sessions == ([32]byte{}) {
			w.calm.sessions = digest
		} else if digest != w.calm.sessions {
			return fmt.Sprintf("%s remembers other things of its sessions than another replica", n.id)
		}
	}
	return ""
}

// unsettled is how many updates a node accepted that have not been ordered.
func (w *world) unsettled(n *node) (count int) {
	for key := range n.accepted { // the order does not matter
		if w.history.settled[key] {
			delete(n.accepted, key)
		} else {
			count++
		}
	}
	return count
}

// converged begins the probes: one update at every live correct replica, one after the other.
func (w *world) converged() {
	w.note(w.now, "world has converged", 0, 0, nil)
	for _, n := range w.nodes {
		if n.live() {
			w.calm.probes = append(w.calm.probes, n.id)
		}
	}
	w.calm.stage, w.calm.held.from = probing, w.now
	w.calm.held.view = w.views.highest()
	w.nextProbe()
}

// nextProbe submits the next probe, or begins the load.
func (w *world) nextProbe() {
	if len(w.calm.probes) == 0 {
		w.serve()
		return
	}
	n := w.nodes[w.calm.probes[0].Index()]
	w.calm.probes = w.calm.probes[1:]
	w.submitWatched(n, 1)
	if n.live() && n.status().Lanes != nil && len(n.accepted) == 0 {
		w.fail("%s refuses an update although nothing is pending", n.id)
	}
}

// beginRest begins the rest.
func (w *world) beginRest() {
	w.calm.stage, w.calm.until, w.calm.ordinals = resting, w.now.Add(restRounds*w.plan.round()), len(w.history.ordinals)
	w.calm.end, w.calm.since = w.now.Add(restLimit*w.plan.round()), w.now
	w.calm.sends = make([]int, len(w.nodes))
	if w.noisy() {
		w.calm.stage = winding
	}
}

// freshSeq is a number that no client has used and no session has forgotten.
func (w *world) freshSeq() uint64 {
	seq := max(uint64(latest(w.plan, w.now)/1000), w.history.table.floor) + 1
	for _, c := range w.history.table.byUse {
		seq = max(seq, c.high+1)
	}
	return seq
}

// noisy reports whether an attacker of this world may go on introducing requests for ever.
func (w *world) noisy() bool {
	for i := range w.plan.replicas {
		for _, name := range w.plan.replicas[i].attacks {
			if b, ok := attack.Named(name); ok && b.Noisy {
				return true
			}
		}
	}
	return false
}

// leftovers reports whether there are replicas whose requests need not all be ordered at once.
func (w *world) leftovers() bool {
	for _, n := range w.nodes {
		if n.crashed != clock.Never {
			return true
		}
	}
	return w.plan.leftovers()
}
