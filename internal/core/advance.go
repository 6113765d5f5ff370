package core

import (
	"slices"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
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
		r.sendStatus(out)
	}
	r.checkpoints.Advance(now, r.executed(), out)
	r.watchProgress(now, out)
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

// watchProgress asks for help early when others are known to be ahead and nothing has been executed for a while; at once when
// the state of another replica in a view change is not complete for that.
func (r *Replica) watchProgress(now clock.Instant, out *effect.Output) {
	if incomplete := r.change.Incomplete(); incomplete != r.incomplete {
		more := incomplete > r.incomplete
		if r.incomplete = incomplete; more {
			r.behindAt, r.behind = now.Add(2*r.cfg.Timing.Fetch), r.executed()
			r.sendStatus(out)
			return
		}
	}
	switch executed := r.executed(); {
	case max(r.order.Known(), r.change.Ahead()) <= executed:
		r.behindAt = clock.Never
	case r.behindAt == clock.Never || r.behind != executed:
		r.behindAt, r.behind = now.Add(2*r.cfg.Timing.Fetch), executed
	case now >= r.behindAt:
		r.behindAt = now.Add(2 * r.cfg.Timing.Fetch)
		r.sendStatus(out)
	}
}

// sendStatus tells the others where this replica is, so that they can help it on.
func (r *Replica) sendStatus(out *effect.Output) {
	m := &wire.Status{View: r.order.View(), Installed: r.order.View(), Executed: r.executed()}
	if !r.order.Installed() {
		m.Installed--
	}
	m.Preorders, m.Held = r.preorder.Vectors()
	out.Sends = append(out.Sends, effect.Send{To: r.cfg.Group.Others(r.cfg.Self), Class: wire.Bounded, Msg: m})
}

// onStatus helps a peer that is behind. A peer's statuses are answered once a Fetch interval at most, and one more for each change
// of views; about f+k+1 of its peers answer each one, in turn, so that it is not helped n times over. In a view change all do, for
// the others may wait for it.
func (r *Replica) onStatus(now clock.Instant, env *wire.Envelope, m *wire.Status, out *effect.Output) {
	i := env.Sender.Index()
	changing := m.Installed < m.View && m.View == r.order.View() && m.View > r.helped[i]
	if env.Sender == r.cfg.Self || now < r.helpAt[i] && !changing {
		return
	}
	r.helpAt[i] = now.Add(r.cfg.Timing.Fetch)
	r.rounds[i]++
	if changing {
		r.helped[i] = m.View
	} else if turns := r.cfg.Group.N() / r.cfg.Group.Rank(); (r.cfg.Self.Index()+r.rounds[i])%turns != 0 {
		return
	}
	r.helpView(env.Sender, m, out)
	if m.Executed < r.order.Collected() && m.Executed < r.checkpoints.Stable().Ordinal {
		r.checkpoints.Help(now, env.Sender, out) // the rest of what it lacks is no longer here
	}
	r.preorder.Help(env.Sender, m.Preorders, out)
	if m.Executed < r.executed() || m.Executed < r.order.Known() {
		r.order.Help(env.Sender, m.Executed, out)
	}
}

func (r *Replica) executed() uint64 { return r.order.Executed() }

// check verifies invariants that cost too much for every step in production.
func (r *Replica) check() {
	for i := range r.cfg.Group.N() {
		r.preorder.Check(group.FromIndex(i))
	}
	r.order.Check()
	if r.recon != nil {
		r.recon.Check()
	}
	r.checkpoints.Check()
}
