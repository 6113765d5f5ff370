package core

import (
	"slices"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
)

// advance does everything that has become possible: it accepts proposals, executes, and sends what is due. Execution may open
// windows, so what waits for those comes after it.
func (r *Replica) advance(now clock.Instant, out *effect.Output) {
	r.advanceOrder(now, out)
	r.proceed(now, out)
	if w := r.change.Window(); w != nil {
		r.install(now, w, out)
		r.proceed(now, out)
	}
	r.introduceTransfer(now)
	r.beat(now, out)
	r.preorder.Advance(now, out)
	r.judge(now, out)
	r.recall(now, out)
	if now >= r.repeatAt {
		r.repeatAt = r.jittered(now)
		before := now - clock.Instant(r.cfg.Timing.Retransmit/2)
		r.preorder.Repeat(now, r.cfg.Timing.Retransmit, out)
		r.order.Repeat(before, r.preorder.Rows(), out)
		r.repeatView(now, out)
		r.checkpoints.Repeat(out)
		r.sendStatus(now, out)
	}
	if now >= r.statusAt {
		r.sendStatus(now, out)
	}
	r.catchup.Proven(r.checkpoints.Proven())
	r.checkpoints.Advance(now, r.executed(), r.catchup.Lacks(), out)
	r.watchProgress(now, out)
	r.catchUp(now, out)
	if r.cfg.Check {
		r.check()
	}
}

// proceed executes what can be, and lets go on what waits for that.
func (r *Replica) proceed(now clock.Instant, out *effect.Output) {
	r.preorder.Expect(now, r.order.Accepted())
	if r.execute(now, out) {
		r.change.Executed(r.executed(), out)
		r.advanceOrder(now, out)
	}
}

// advanceOrder lets ordering go on, and the leader's time start and stop with it.
func (r *Replica) advanceOrder(now clock.Instant, out *effect.Output) {
	shown := r.order.Advance(now, r.preorder.Rows(), r.preorder.Version(), out)
	if shown != nil {
		rows := slices.Clone(r.preorder.Rows())
		for id := range r.blacklist.All() { // the leader may hold others of theirs, see suspect.Discount
			rows[id.Index()] = nil
		}
		r.suspect.Challenge(now, shown, rows)
	}
	r.suspect.Proposed(now, r.order.Accepted())
	r.reconcile(now, out)
}

func (r *Replica) executed() uint64 { return r.order.Executed() }

// check verifies invariants that cost too much for every step in production.
func (r *Replica) check() {
	for i := range r.cfg.Group.N() {
		r.preorder.Check(group.FromIndex(i))
	}
	r.order.Check()
	r.catchup.Check()
	if r.recon != nil {
		r.recon.Check()
	}
	r.checkpoints.Check()
}
