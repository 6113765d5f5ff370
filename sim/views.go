package sim

import (
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// views checks what correct replicas do in elections and view changes (protocol-core.md 11.1, items 3, 4, 8, 9, with the
// corrections of the addendum, B).
type views struct {
	*ledger
	fail func(format string, args ...any)
	by   []viewState // by replica
	line func(ordinal uint64) (wire.Vector, bool)
}

// viewState is what is known of a correct replica.
type viewState struct {
	view       uint64 // that it is in
	installed  uint64 // the highest that it installed
	prepared   uint64 // view of its last REPLAY-PREPARE
	committed  uint64 // and REPLAY-COMMIT
	reported   uint64 // and REPORT
	delivered  uint64 // last ordinal that it executed
	commits    []wire.Vote
	mayReplace map[uint64]int // where an ordinal is in commits
}

func newViews(l *ledger, fail func(string, ...any)) *views {
	v := &views{ledger: l, fail: fail, by: make([]viewState, l.group.N())}
	for i := range v.by {
		v.by[i] = viewState{view: 1, installed: 1, mayReplace: map[uint64]int{}}
	}
	return v
}

// entered notes that a replica moves to a view, or installs it.
func (c *views) entered(who group.ID, view uint64, installed bool) {
	at := &c.by[who.Index()]
	if view < at.view || view == at.view && (!installed || at.installed == view) {
		c.fail("%s moves from view %d to view %d", who, at.view, view)
	}
	at.view = view
	if installed {
		at.installed = view
	}
}

// installed checks that a replica that begins normal ordering has the certificate for that.
func (c *views) installed(who group.ID, view, start uint64) {
	v := c.window(who, view)
	switch {
	case v == nil:
		c.fail("%s installs view %d without a quorum of REPLAY-COMMITs", who, view)
	case !c.compute(v):
		c.fail("view %d begins with something that does not follow from any reports of %s", view, v.resolution.Members)
	case v.resolution.Start != start:
		c.fail("%s begins view %d at ordinal %d instead of %d", who, view, start, v.resolution.Start)
	}
}

// window is the resolution of a view that who holds a certificate of; nil if there is none.
func (c *views) window(who group.ID, view uint64) *replayVariant {
	for _, v := range c.choices {
		if v.view == view && v.resolution != nil && v.committed[who.Index()].Len() >= c.group.Quorum() {
			return v
		}
	}
	return nil
}

// begins checks that who may order normally in a view, at an ordinal.
func (c *views) begins(who group.ID, view, ordinal uint64, what string) {
	at := &c.by[who.Index()]
	if view != at.view || at.installed != view {
		c.fail("%s %s in view %d; it is in view %d and has installed %d", who, what, view, at.view, at.installed)
		return
	}
	if v := c.window(who, view); view > 1 && (v == nil || ordinal < v.resolution.Start) {
		c.fail("%s %s ordinal %d in view %d, which begins later", who, what, ordinal, view)
	}
}

// base is what the ordinal before a view's first normal one makes eligible; false if this cannot be known yet.
func (c *views) base(who group.ID, view uint64) (wire.Vector, bool) {
	v := c.window(who, view)
	if v == nil || !c.compute(v) {
		return nil, false
	}
	if at, ok := c.line(v.resolution.Start - 1); ok {
		return at, true
	}
	from := v.resolution.Start - 1
	for {
		if at, ok := c.line(from); ok {
			return c.through(at, v, from+1)
		}
		if from <= v.resolution.Base {
			return nil, false
		}
		from--
	}
}

// through is what a window makes eligible from an ordinal on, with what was eligible before.
func (c *views) through(at wire.Vector, v *replayVariant, from uint64) (wire.Vector, bool) {
	at = append(wire.Vector(nil), at...)
	for o := from; o < v.resolution.Start; o++ {
		digest, _ := v.binds(o)
		if digest == (wire.Digest{}) {
			continue
		}
		p := c.byDigest[digest]
		if p == nil {
			return nil, false
		}
		for i, to := range c.ofRows(p.msg) {
			if at[i].Less(to) {
				at[i] = to
			}
		}
	}
	return at, true
}

// committing remembers a COMMIT of a correct replica.
func (c *views) committing(who group.ID, vote wire.Vote) {
	at := &c.by[who.Index()]
	if k, ok := at.mayReplace[vote.Ordinal]; ok {
		at.commits[k] = vote
		return
	}
	at.mayReplace[vote.Ordinal] = len(at.commits)
	at.commits = append(at.commits, vote)
}

// report checks that a report covers everything that its sender committed to: it is executed, or certified in the report, or a
// later view took its place.
func (c *views) report(env *wire.Envelope, m *wire.Report) {
	by, at := env.Sender, &c.by[env.Sender.Index()]
	if m.View != at.view || m.View <= at.reported {
		c.fail("%s reports for view %d; it is in view %d and has reported for %d", by, m.View, at.view, at.reported)
	}
	at.reported = m.View
	if m.Executed > at.delivered {
		c.fail("%s reports %d ordinals executed, it has executed %d", by, m.Executed, at.delivered)
	}
	carried := uint64(0)
	if m.Carried != nil {
		carried = m.Carried.Resolution.View
	}
	if carried < at.committed {
		c.fail("%s reports for view %d and leaves out that it committed to the replay of view %d", by, m.View, at.committed)
	}
	if !c.valid(m) {
		c.fail("%s signs a report for view %d that proves less than it says", by, m.View)
	}
	has := map[uint64]wire.Vote{}
	for i := range m.Prepared {
		has[m.Prepared[i].Vote.Ordinal] = m.Prepared[i].Vote
	}
	kept := at.commits[:0]
	clear(at.mayReplace)
	for _, vote := range at.commits {
		if vote.Ordinal <= m.Executed {
			continue
		}
		at.mayReplace[vote.Ordinal] = len(kept)
		kept = append(kept, vote)
		v := has[vote.Ordinal]
		if v.View == vote.View && v.Proposal == vote.Proposal || v.View > vote.View || carried > vote.View || at.installed > vote.View {
			continue
		}
		c.fail("%s reports for view %d and leaves out that it committed ordinal %d in view %d", by, m.View, vote.Ordinal, vote.View)
	}
	at.commits = kept
}

// signed checks a message of a view change that a correct replica signs.
func (c *views) signed(env *wire.Envelope) {
	by, at := env.Sender, &c.by[env.Sender.Index()]
	current := func(view uint64) {
		if view != at.view {
			c.fail("%s signs a %s for view %d; it is in view %d", by, env.Kind, view, at.view)
		}
	}
	switch m := env.Msg.(type) {
	case *wire.NewLeader:
		if m.View != at.view+1 {
			c.fail("%s votes for view %d in view %d", by, m.View, at.view)
		}
	case *wire.Report:
		if m.View != at.reported { // it may be repeated as it is
			c.report(env, m)
		} else if len(c.reports[reportKey{m.View, by}]) > 1 && !c.repeats(env, m) {
			c.fail("%s signs two reports for view %d", by, m.View)
		}
	case *wire.StateList:
		if m.Members.Len() < c.group.Quorum() {
			c.fail("%s lists %s, which is no quorum", by, m.Members)
		}
	case *wire.StateShare:
		current(m.Resolution.View)
		if v := c.resolved(&m.Resolution); m.Resolution.Members.Len() < c.group.Quorum() || !c.compute(v) {
			c.fail("%s signs what does not follow from any reports of %s", by, m.Resolution.Members)
		}
	case *wire.ReplayPrepare:
		current(m.View)
		c.answer(by, &at.prepared, m.ReplayVote)
	case *wire.ReplayCommit:
		current(m.View)
		c.answer(by, &at.committed, m.ReplayVote)
		if have := c.replay(m.View, m.Replay).prepares[by.Index()]; have.Len() < c.group.Quorum() {
			c.fail("%s commits to a replay with %d REPLAY-PREPAREs (%s)", by, have.Len(), have)
		}
	}
}

// repeats reports whether a report says the same as the first of its sender for that view.
func (c *views) repeats(env *wire.Envelope, m *wire.Report) bool {
	first := c.reports[reportKey{m.View, env.Sender}][0]
	return wire.NewEnvelope(env.Header, first).Digest == env.Digest
}

// answer checks a vote for a replay: it is the only one of its kind in the view, what it is for is known to be right, and the
// REPLAY has been passed on to everybody.
func (c *views) answer(by group.ID, last *uint64, vote wire.ReplayVote) {
	if vote.View <= *last {
		c.fail("%s answers two replays for view %d, or goes back from view %d", by, vote.View, *last)
	}
	*last = vote.View
	v := c.replay(vote.View, vote.Replay)
	if v.resolution == nil || !v.holders.Has(by) || !c.compute(v) {
		c.fail("%s answers a REPLAY for view %d that it does not have", by, vote.View)
		return
	}
	leader := c.group.Leader(vote.View)
	if missing := c.group.Others(by).Without(leader).Minus(v.flooded[by.Index()]); by != leader && missing != 0 {
		c.fail("%s answers the REPLAY of view %d without having passed it on to %s", by, vote.View, missing)
	}
	if v.resolution.Base > c.by[by.Index()].delivered {
		c.fail("%s answers a REPLAY from ordinal %d on, and has executed %d", by, v.resolution.Base, c.by[by.Index()].delivered)
	}
}

// apart says why a replica is not done with changing views, empty if it is.
func (c *views) apart(who group.ID) string {
	if at := &c.by[who.Index()]; at.view != at.installed {
		return who.String() + " has not installed its view"
	}
	return ""
}

// highest is the highest view that a correct replica was in.
func (c *views) highest() (view uint64) {
	for i := range c.by {
		view = max(view, c.by[i].view)
	}
	return view
}

// anybody reports whether a correct replica has installed a view, or a later one.
func (c *views) anybody(view uint64) bool {
	for i := range c.by {
		if c.by[i].installed >= view {
			return true
		}
	}
	return false
}

// bound is how many ordinals view changes bound.
func (c *views) bound() (count int) {
	for _, v := range c.choices {
		if v.committers.Len() >= c.group.Quorum() && c.compute(v) {
			count += len(v.bindings)
		}
	}
	return count
}

// rebound reports whether a view change bound an ordinal: then it may follow a no-op, whatever its proposal says of the ordinal
// before it (addendum A13).
func (c *views) rebound(ordinal uint64) bool {
	for _, v := range c.choices {
		if v.committers.Len() >= c.group.Quorum() && c.compute(v) {
			if _, bound := v.binds(ordinal); bound {
				return true
			}
		}
	}
	return false
}

// decision is what some certificate binds an ordinal to.
type decision struct {
	view, ordinal uint64
	digest        wire.Digest
}

// decisions are those of everything that anybody signed: commit certificates, and replay-commit certificates.
func (c *views) decisions() (all []decision) {
	for _, key := range c.proposalKeys {
		for _, v := range c.proposals[key].variants {
			if v.committers.Len() >= c.group.Quorum() {
				all = append(all, decision{key.view, key.ordinal, v.digest})
			}
		}
	}
	for _, v := range c.choices {
		if v.committers.Len() < c.group.Quorum() || !c.compute(v) {
			continue
		}
		for k, digest := range v.bindings {
			all = append(all, decision{v.view, v.resolution.Base + 1 + uint64(k), digest})
		}
	}
	return all
}

// forever checks that what was decided in a view stays so in all later ones. It looks at everything that anybody signed, so
// it finds contradictions that no replica has seen yet.
func (c *views) forever() {
	first, all := map[uint64]decision{}, c.decisions()
	for _, d := range all {
		if f, ok := first[d.ordinal]; ok && f.digest != d.digest {
			c.fail("ordinal %d is bound to %s in view %d and to %s in view %d", d.ordinal, f.digest, f.view, d.digest, d.view)
		} else if !ok || d.view < f.view {
			first[d.ordinal] = d
		}
	}
	for _, key := range c.proposalKeys {
		f, ok := first[key.ordinal]
		for _, v := range c.proposals[key].variants {
			certified := v.msg != nil && v.preparers.Without(c.group.Leader(key.view)).Len() >= c.group.Prepares()
			if ok && certified && key.view > f.view && v.digest != f.digest {
				c.fail("ordinal %d is bound to %s in view %d, and %s is prepared in view %d", key.ordinal, f.digest, f.view, v.digest, key.view)
			}
		}
	}
	certified := map[uint64]bool{}
	for _, v := range c.choices {
		if v.preparers.Len() < c.group.Quorum() || !c.compute(v) {
			continue
		}
		if certified[v.view] {
			c.fail("view %d has two replay certificates", v.view)
		}
		certified[v.view] = true
		for _, d := range all {
			if d.view >= v.view || v.resolution.Base >= d.ordinal {
				continue
			}
			if digest, ok := v.binds(d.ordinal); !ok || digest != d.digest {
				c.fail("ordinal %d is bound to %s in view %d, and not by the replay of view %d", d.ordinal, d.digest, d.view, v.view)
			}
		}
	}
}
