package core

import (
	"slices"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// MaxEarly is how many messages of later views are kept of each sender until those are preinstalled here; MaxRecalls how many
// messages are asked for at a time.
const (
	MaxEarly   = 256
	MaxRecalls = 16
)

// maxAhead is how many views ahead they may be.
const maxAhead = 4

// maxEarlyBytes is how many bytes they may have, of each sender, besides the last: a REPORT can be large.
const maxEarlyBytes = 4 << 20

// recallBytes is how much one peer's recalls are answered with in a Fetch interval.
const recallBytes = 1 << 20

// judge measures the leader and votes against one that is too slow, or proven faulty.
func (r *Replica) judge(now clock.Instant, out *effect.Output) {
	if !r.monitors() {
		return
	}
	r.suspect.Advance(now, out)
	if r.election.Voted() || r.order.Leader() == r.cfg.Self && !r.blacklist.Has(r.cfg.Self) {
		return
	}
	if r.suspect.Suspicious() || r.blacklist.Has(r.order.Leader()) {
		r.election.Vote(out)
		out.Emit(trace.Event{Kind: trace.Suspected, View: r.order.View(), Peer: r.order.Leader()})
	}
}

// elect moves to the view that a proof is of, if there is one.
func (r *Replica) elect(now clock.Instant, proof *wire.NewLeaderProof, out *effect.Output) {
	if proof != nil {
		r.preinstall(now, proof.View, proof, out)
	}
}

// preinstall begins the change to a view: nothing is signed for older ones any more, and our state is reported (A.3). Only
// then are the messages of the view that came early looked at.
func (r *Replica) preinstall(now clock.Instant, view uint64, proof *wire.NewLeaderProof, out *effect.Output) {
	r.order.Preinstall(view)
	r.election.Preinstall(view, proof, out)
	r.suspect.Start(now, view, false)
	r.change.Start(view, r.executed())
	report := &wire.Report{View: view, Executed: r.executed(), Carried: r.change.Carried()}
	after := uint64(0)
	if report.Carried != nil {
		after = report.Carried.Resolution.View
	}
	report.Prepared = r.order.Prepared(after)
	r.reports.Start(report, out)
	out.Emit(trace.Event{Kind: trace.Preinstalled, View: view})
	r.takeEarly(now, view, out)
}

// install ends the change to a view, with the certificate of how it begins.
func (r *Replica) install(now clock.Instant, w *wire.Window, out *effect.Output) {
	view := w.Resolution.View
	if view != r.order.View() {
		r.election.Preinstall(view, nil, out)
		r.suspect.Start(now, view, true)
		r.change.Start(view, r.executed())
	}
	r.order.Install(now, w, out)
	r.change.Installed()
	r.suspect.Normal()
	out.Emit(trace.Event{Kind: trace.Installed, View: view, Ordinal: w.Resolution.Start})
	r.takeEarly(now, view, out)
	r.advanceOrder(now, out)
}

// onWindow handles a replay-commit certificate: it installs a view that we are not in yet, and orders what it binds in any
// case (addendum A10).
func (r *Replica) onWindow(now clock.Instant, env *wire.Envelope, m *wire.Window, out *effect.Output) {
	quorum := r.cfg.Group.Quorum()
	if len(m.Commits) < quorum || m.Resolution.Members.Len() < quorum {
		out.Emit(trace.Event{Kind: trace.Dropped, Peer: env.Sender, View: m.Resolution.View, Reason: "window without a quorum"})
		return
	}
	if view := r.order.View(); m.Resolution.View > view || (m.Resolution.View == view && !r.order.Installed()) {
		r.install(now, m, out)
		return
	}
	r.order.Bind(now, m)
}

// delivered hands a report on that reliable broadcast has delivered.
func (r *Replica) delivered(report *wire.Envelope, out *effect.Output) {
	if report != nil {
		r.change.OnDelivered(report, out)
	}
}

// keepEarly keeps a message of a later view until that is preinstalled, within bounds. A view further on counts too: others may
// have gone through the next one while its proof is still on its way here. PINGs have a place of their own: a durable replica does not
// remember them (record.Inert), so they must not decide which other messages are kept.
func (r *Replica) keepEarly(env *wire.Envelope) bool {
	if view := viewOf(env.Msg); view <= r.order.View() || view > r.order.View()+maxAhead {
		return false
	}
	i := env.Sender.Index()
	if env.Kind == wire.KindPing {
		r.earlyPings[i] = env
		return true
	}
	if len(r.early[i]) < MaxEarly && r.earlyBytes[i] < maxEarlyBytes {
		r.early[i] = append(r.early[i], env)
		r.earlyBytes[i] += len(env.Raw)
	}
	return true
}

// takeEarly looks at the messages that came early. Those of a view that was left out are dropped, those of a later one stay.
func (r *Replica) takeEarly(now clock.Instant, view uint64, out *effect.Output) {
	early := r.early
	defer func() { out.Known = false }() // whatever brought us here was new
	r.early, r.earlyBytes = make([][]*wire.Envelope, r.cfg.Group.N()), make([]int, r.cfg.Group.N())
	for i, env := range r.earlyPings {
		if env != nil && viewOf(env.Msg) <= view {
			r.earlyPings[i] = nil
			r.receive(now, env, out)
		}
	}
	for _, list := range early {
		for _, env := range list {
			switch of := viewOf(env.Msg); {
			case of == view:
				r.receive(now, env, out)
			case of > view:
				r.keepEarly(env)
			}
		}
	}
}

// viewOf is the view whose preinstallation a message has to wait for, 0 if it is of use in any.
func viewOf(m wire.Message) uint64 {
	switch m := m.(type) {
	case *wire.SummaryMatrix:
		return m.View
	case *wire.PrePrepare:
		return m.View
	case *wire.Prepare:
		return m.View
	case *wire.Commit:
		return m.View
	case *wire.Report:
		return m.View
	case *wire.Echo:
		return m.View
	case *wire.Ready:
		return m.View
	case *wire.StateList:
		return m.View
	case *wire.StateShare:
		return m.Resolution.View
	case *wire.StateProof:
		return m.Resolution.View
	case *wire.Replay:
		return m.Proof.Resolution.View
	case *wire.ReplayPrepare:
		return m.View
	case *wire.ReplayCommit:
		return m.View
	case *wire.Ping:
		return m.View
	case *wire.Bound:
		return m.View
	case *wire.Turnaround:
		return m.View
	}
	return 0
}

// recall asks for reports and proposals that a view change needs and that are not here: each at once, and then all once a Fetch
// interval.
func (r *Replica) recall(now clock.Instant, out *effect.Output) {
	if w := r.change.Chosen(); w != nil {
		r.order.Await(now, w)
	}
	missing := r.order.Missing()
	if r.change.Active() {
		missing = append(missing, r.reports.Missing()...)
	}
	switch {
	case len(missing) == 0:
		r.recallAt, r.recalled = clock.Never, nil
		return
	case r.recallAt == clock.Never || now >= r.recallAt:
		r.recallAt, r.recalled = now.Add(r.cfg.Timing.Fetch), nil
	default: // what is no longer missing need not be remembered
		r.recalled = slices.DeleteFunc(r.recalled, func(d wire.Digest) bool { return !slices.Contains(missing, d) })
		missing = slices.DeleteFunc(missing, func(d wire.Digest) bool { return slices.Contains(r.recalled, d) })
	}
	if missing = missing[:min(len(missing), MaxRecalls)]; len(missing) > 0 {
		r.recalled = append(r.recalled, missing...)
		m := &wire.Recall{Digests: missing}
		out.Sends = append(out.Sends, effect.Send{To: r.cfg.Group.Others(r.cfg.Self), Class: wire.Bounded, Msg: m})
	}
}

// onRecall answers with what is here, so many bytes to each peer in a Fetch interval, and one message more.
func (r *Replica) onRecall(now clock.Instant, env *wire.Envelope, m *wire.Recall, out *effect.Output) {
	i := env.Sender.Index()
	if now >= r.recallRefill[i] {
		r.recallCredit[i], r.recallRefill[i] = recallBytes, now.Add(r.cfg.Timing.Fetch)
	}
	for _, digest := range m.Digests[:min(len(m.Digests), MaxRecalls)] {
		if r.recallCredit[i] <= 0 {
			out.Emit(trace.Event{Kind: trace.Dropped, Peer: env.Sender, Reason: "recalls faster than is answered"})
			return
		}
		held := r.order.Holds(digest)
		if held == nil {
			held = r.reports.Holds(digest)
		}
		if held != nil && env.Sender != r.cfg.Self {
			r.recallCredit[i] -= len(held.Raw)
			out.Sends = append(out.Sends, effect.Send{To: group.SetOf(env.Sender), Class: wire.Bounded, Signed: held})
		}
	}
}

// repeatView sends again what election and view change wait for.
func (r *Replica) repeatView(now clock.Instant, out *effect.Output) {
	r.election.Repeat(r.order.Installed(), out)
	if r.change.Active() {
		r.reports.Repeat(now, out)
		r.change.Repeat(out)
	}
}

// helpView helps a replica into the current view.
func (r *Replica) helpView(from group.ID, m *wire.Status, out *effect.Output) {
	view := r.order.View()
	if m.View < view {
		r.election.Help(from, out)
	}
	if m.Installed < view && r.order.Installed() {
		r.order.HelpView(from, out)
	}
}
