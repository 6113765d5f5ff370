package sim

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// stateKept is how many of the newest checkpoints that it made a node keeps, besides the newest that is stable.
const stateKept = 4

// stored is a checkpoint that a node has: what the core, the stream and the application are after an ordinal.
type stored struct {
	ordinal uint64
	digest  wire.Digest
	state   []byte // effect.State
	app     []byte // snapshot of the application; nil: it makes none
}

// checkpoints is what a world knows of them.
type checkpoints struct {
	rng       *rand.Rand
	made      map[uint64]wire.Digest // by correct replicas
	stable    []uint64               // by replica: the newest that it said is stable
	transfers int                    // states given to replicas that lacked them
	lies      int                    // states of attackers that were not given, because their digests differ
}

// drawCheckpoints lets replicas make checkpoints in half of the worlds, and in most of those forget history soon, so that whoever
// was away for a while needs one. Attacks on checkpoints are drawn here too. It has randomness of its own.
func drawCheckpoints(rng *rand.Rand, p *plan) {
	if rng.IntN(2) == 0 {
		return
	}
	l := &p.limits
	l.CheckpointOrdinals = choose(rng, 1, 1, 1, 2, 2, 3, 5, 20, 50)
	l.CheckpointBytes = choose(rng, 0, 0, 200, 3000, 50_000)
	if rng.IntN(4) > 0 {
		l.History = choose(rng, 1, 1, 2, l.OrdinalWindow)
	}
	for i := range p.replicas {
		if r := &p.replicas[i]; len(r.attacks) > 0 && rng.IntN(2) == 0 {
			r.attacks = append(r.attacks, choose(rng, "wrong-checkpoints", "two-checkpoints", "no-checkpoints", "flood-checkpoints",
				"forged-proofs"))
		}
	}
	if rng.IntN(3) > 0 { // somebody is away for most of the storm, and what is sent to it meanwhile is lost
		p.net.hold = false
		away := cut{from: moment(rng, p.stormEnd/4), until: p.stormEnd, side: group.SetOf(group.FromIndex(rng.IntN(len(p.replicas))))}
		away.until = away.until.Add(-span(rng, 0, time.Duration(p.stormEnd)/4))
		p.net.cuts = append(p.net.cuts, away)
	}
}

// due takes hold of the state of which a checkpoint is due at a node, and makes the checkpoint a little later.
func (w *world) due(n *node, d *effect.Delivery) {
	c := stored{ordinal: d.Ordinal, state: d.State.Append(nil)}
	sum := sha256.New()
	sum.Write(c.state)
	if n.correct() {
		if s, ok := n.app.(app.Snapshotter); ok {
			c.app = w.snapshot(n, s)
			sum.Write(c.app)
		}
		chain := w.history.ordinals[d.Ordinal-1].chain
		sum.Write(chain[:])
		c.digest = wire.Digest(sum.Sum(nil))
	}
	n.making = append(n.making, c)
	at := w.now.Add(span(w.checkpoints.rng, 0, time.Millisecond))
	if w.storm {
		at = at.Add(span(w.checkpoints.rng, 0, choose(w.checkpoints.rng, 0, 20*time.Millisecond, 300*time.Millisecond)))
	}
	w.queue.push(event{at: at, kind: checkpointed, node: n.id, arg: int(d.Ordinal), life: len(n.ends)})
}

// snapshot is what an application writes.
func (w *world) snapshot(n *node, s app.Snapshotter) []byte {
	var b bytes.Buffer
	shot, err := s.Snapshot()
	if err == nil {
		_, err = shot.WriteTo(&b)
		shot.Release()
	}
	if err != nil {
		w.fail("the application of %s makes no snapshot: %v", n.id, err)
	}
	return b.Bytes()
}

// checkpointed ends the making of a checkpoint: it is kept from now on, and the core may vote for it.
func (w *world) checkpointed(n *node, e *event) {
	for k, c := range n.making {
		if c.ordinal != uint64(e.arg) || e.life != len(n.ends) {
			continue
		}
		n.making = append(n.making[:k:k], n.making[k+1:]...)
		switch known, ok := w.checkpoints.made[c.ordinal]; {
		case !n.correct():
			if c.digest = known; !ok { // it is the first: it votes for what it knows
				c.digest = sha256.Sum256(c.state)
			}
		case !ok:
			w.checkpoints.made[c.ordinal] = c.digest
		case known != c.digest:
			w.fail("%s makes another checkpoint of ordinal %d than another correct replica", n.id, c.ordinal)
			return
		}
		w.store(n, c)
		w.step(n, core.Input{Checkpointed: &core.Checkpointed{Ordinal: c.ordinal, Digest: c.digest}})
		return
	}
}

// store keeps a checkpoint, and forgets old ones.
func (w *world) store(n *node, c stored) {
	kept := n.stored[:0]
	for _, old := range n.stored {
		if old.ordinal != c.ordinal {
			kept = append(kept, old)
		}
	}
	n.stored = append(kept, c)
	for len(n.stored) > stateKept+1 {
		oldest := 0
		for k := range n.stored {
			stable := w.checkpoints.stable[n.id.Index()]
			if o := n.stored[k].ordinal; o != stable && (n.stored[oldest].ordinal == stable || o < n.stored[oldest].ordinal) {
				oldest = k
			}
		}
		n.stored = append(n.stored[:oldest:oldest], n.stored[oldest+1:]...)
	}
}

// stabilised checks what a correct replica says of checkpoints: the stable one only rises, is what correct replicas made, and has a
// quorum of signatures; and no correct replica diverges.
func (w *world) stabilised(n *node) {
	if d := n.out.Diverged; d != nil {
		w.fail("%s finds that it has diverged at ordinal %d", n.id, d.Ordinal)
	}
	s := n.out.Stable
	if s == nil {
		return
	}
	last := &w.checkpoints.stable[n.id.Index()]
	if s.Ordinal <= *last {
		w.fail("%s says that checkpoint %d is stable, after %d", n.id, s.Ordinal, *last)
	}
	*last = s.Ordinal
	w.proven(n, s, w.plan.group.Quorum())
}

// proven checks that a checkpoint has so many distinct votes, and is the one that correct replicas made.
func (w *world) proven(n *node, s *effect.Stable, least int) {
	var signers group.Set
	for _, v := range s.Proof.Votes {
		m, ok := v.Msg.(*wire.Checkpoint)
		if !ok || m.Ordinal != s.Ordinal || m.Digest != s.Digest || w.keys.verifier.Verify(v) != nil {
			w.fail("%s believes a checkpoint of ordinal %d by a vote of %s that is none", n.id, s.Ordinal, v.Sender)
			return
		}
		signers = signers.With(v.Sender)
	}
	if signers.Len() < least {
		w.fail("%s believes a checkpoint of ordinal %d by the votes of %s", n.id, s.Ordinal, signers)
	}
	if made, ok := w.checkpoints.made[s.Ordinal]; !ok || made != s.Digest {
		w.fail("%s believes a checkpoint of ordinal %d that no correct replica made", n.id, s.Ordinal)
	}
}

// lacking begins the transfer of the state that a node lacks, from whoever has it.
func (w *world) lacking(n *node) {
	if n.out.Lacks == nil {
		return
	}
	if n.correct() {
		w.proven(n, n.out.Lacks, w.plan.group.OneCorrect())
	}
	n.lacks = n.out.Lacks
	if !n.fetching {
		w.fetch(n)
	}
}

func (w *world) fetch(n *node) {
	n.fetching = true
	at := w.now.Add(2 * w.plan.net.latencyMax).Add(span(w.checkpoints.rng, 0, choose(w.checkpoints.rng, time.Millisecond, 100*time.Millisecond)))
	w.queue.push(event{at: at, kind: fetched, node: n.id, life: len(n.ends)})
}

// fetched ends an attempt of a transfer, from one source: an attacker sends something else, whose digest is not that of the checkpoint,
// and nothing comes of it.
func (w *world) fetched(n *node, e *event) {
	if e.life != len(n.ends) || n.lacks == nil {
		return
	}
	n.fetching = false
	if n.lacks.Ordinal <= n.at {
		n.lacks = nil
		return
	}
	source := w.nodes[w.checkpoints.rng.IntN(len(w.nodes))]
	for _, c := range source.stored {
		if c.ordinal != n.lacks.Ordinal || c.digest != n.lacks.Digest || !source.live() {
			continue
		}
		state, err := effect.ParseState(c.state, w.plan.group.N())
		if err != nil {
			w.fail("the state of ordinal %d cannot be read: %v", c.ordinal, err)
			return
		}
		n.lacks = nil
		w.checkpoints.transfers++
		w.store(n, c)
		w.note(w.now, fmt.Sprintf("is given the state of ordinal %d", c.ordinal), n.id, source.id, nil)
		w.step(n, core.Input{Restored: state})
		w.step(n, core.Input{Checkpointed: &core.Checkpointed{Ordinal: c.ordinal, Digest: c.digest}})
		return
	}
	if !source.correct() {
		w.checkpoints.lies++
	}
	w.fetch(n)
}

// jump checks a jump, and moves what the checkers and the application know of the node.
func (w *world) jump(n *node, d *effect.Delivery) {
	if d.Ordinal <= n.at || d.Jump.Ordinal != d.Ordinal || len(d.Updates) > 0 {
		w.fail("%s goes on after ordinal %d, it has executed %d", n.id, d.Ordinal, n.at)
		return
	}
	n.at = d.Ordinal
	if n.app != nil {
		n.app = w.restoredApp(n, d.Ordinal)
	}
	if d.Ordinal <= w.history.at[n.id.Index()] {
		return // in an earlier life
	}
	w.note(w.now, fmt.Sprintf("goes on after ordinal %d", d.Ordinal), n.id, 0, nil)
	if line := w.history.jump(n.id, d); line != nil {
		w.ownExecuted(n, line[n.id.Index()].Seq)
		w.passed(n, d.Ordinal)
	}
}

// restoredApp is a new application with the snapshot of a checkpoint; nil if there is none.
func (w *world) restoredApp(n *node, ordinal uint64) app.Application {
	for _, c := range n.stored {
		s, ok := w.options.App(int(n.id)).(app.Snapshotter)
		if c.ordinal != ordinal || !ok {
			continue
		}
		if err := s.Restore(bytes.NewReader(c.app)); err != nil {
			w.fail("the application of %s does not take a snapshot: %v", n.id, err)
		}
		return s
	}
	return nil
}

// passed takes a replica out of those that have to execute what it was given the result of.
func (w *world) passed(n *node, ordinal uint64) {
	for _, h := range w.calm.held.waiting {
		if at := w.history.done[h.key]; w.history.settled[h.key] && at <= ordinal {
			h.remaining = h.remaining.Without(n.id)
		}
	}
}

// jump checks the state that a replica goes on with: it is what executing everything has left behind. It returns what was eligible.
func (h *history) jump(who group.ID, d *effect.Delivery) wire.Vector {
	if d.Ordinal > uint64(len(h.ordinals)) {
		h.fail("%s goes on after ordinal %d, which nobody has executed", who, d.Ordinal)
		return nil
	}
	h.state(who, d.Jump)
	line := h.ordinals[d.Ordinal-1].line
	h.at[who.Index()], h.views.by[who.Index()].delivered = d.Ordinal, d.Ordinal
	h.skipped[who.Index()], h.landed[who.Index()] = line, d.Ordinal
	return line
}

// state checks a state of the core against the history, and against what other correct replicas have after that ordinal.
func (h *history) state(who group.ID, s *effect.State) {
	o := &h.ordinals[s.Ordinal-1]
	if !o.line.Covers(s.Vector) || !s.Vector.Covers(o.line) || s.Time != o.delivery.Time {
		h.fail("the state of %s after ordinal %d is not that of the history", who, s.Ordinal)
		return
	}
	b := s.Append(nil)
	if o.state == nil {
		o.state = b
	} else if !bytes.Equal(o.state, b) {
		h.fail("%s has another state after ordinal %d than another correct replica", who, s.Ordinal)
	}
}

// vote checks that a correct replica votes for one checkpoint of an ordinal.
func (p *promises) vote(env *wire.Envelope, m *wire.Checkpoint) {
	key := checkpointKey{env.Sender, m.Ordinal}
	if before, ok := p.checkpoints[key]; ok && before != m.Digest {
		p.fail("%s votes for two checkpoints of ordinal %d", env.Sender, m.Ordinal)
	}
	p.checkpoints[key] = m.Digest
}

// checkpointKey is a vote of a replica.
type checkpointKey struct {
	by      group.ID
	ordinal uint64
}

// newCheckpoints is for a world of n replicas.
func newCheckpoints(seed uint64, n int) checkpoints {
	return checkpoints{rng: rand.New(rand.NewPCG(seed, 6)), made: map[uint64]wire.Digest{}, stable: make([]uint64, n)}
}

// forgotten is what a node that falls forgets of checkpoints: those that it was making, and whose transfer was under way.
func (n *node) forgotten() {
	n.making, n.lacks, n.fetching = nil, nil, false
}
