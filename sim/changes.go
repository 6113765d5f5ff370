package sim

import (
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// changes is the part of the ledger that is about view changes.
type changes struct {
	reports  map[reportKey][]*wire.Report // every report that somebody signed, one after the other
	reported map[wire.Digest]bool         // by digest: what is in reports
	replays  map[wire.Digest]*replayVariant
	choices  []*replayVariant // in the order in which they were first mentioned
}

// reportKey names who reports for which view.
type reportKey struct {
	view   uint64
	origin group.ID
}

// replayVariant is one of the resolutions that compete to begin a view.
type replayVariant struct {
	digest     wire.Digest
	view       uint64
	resolution *wire.Resolution // nil: nobody has signed it
	bindings   wire.Bindings    // recomputed from the reports
	computed   bool             // bindings are known
	preparers  group.Set        // whoever signed a REPLAY-PREPARE
	committers group.Set        // whoever signed a REPLAY-COMMIT
	holders    group.Set        // correct replicas that received a REPLAY with it
	flooded    []group.Set      // by replica: to whom it passed the REPLAY on
	prepares   []group.Set      // by hearer
	committed  []group.Set      // by hearer
}

func newChanges() changes {
	return changes{reports: map[reportKey][]*wire.Report{}, reported: map[wire.Digest]bool{}, replays: map[wire.Digest]*replayVariant{}}
}

func (l *ledger) replay(view uint64, d wire.Digest) *replayVariant {
	v := l.replays[d]
	if v == nil {
		n := l.group.N()
		v = &replayVariant{digest: d, view: view, flooded: make([]group.Set, n), prepares: make([]group.Set, n),
			committed: make([]group.Set, n)}
		l.replays[d] = v
		l.choices = append(l.choices, v)
	}
	return v
}

// resolved is replay with the resolution itself.
func (l *ledger) resolved(r *wire.Resolution) *replayVariant {
	v := l.replay(r.View, r.Digest())
	if v.resolution == nil {
		v.resolution = r
	}
	return v
}

// binds is what a variant binds an ordinal to; false if the ordinal is not in its window.
func (v *replayVariant) binds(ordinal uint64) (wire.Digest, bool) {
	if v.resolution == nil || !v.computed || ordinal <= v.resolution.Base || ordinal >= v.resolution.Start {
		return wire.Digest{}, false
	}
	return v.bindings[ordinal-v.resolution.Base-1], true
}

// saidView is said for the messages of a view change.
func (l *ledger) saidView(env *wire.Envelope) {
	switch m := env.Msg.(type) {
	case *wire.Report:
		if key := (reportKey{m.View, env.Sender}); !l.reported[env.Digest] { // it is repeated as it is
			l.reported[env.Digest] = true
			l.reports[key] = append(l.reports[key], m)
		}
	case *wire.StateShare:
		l.resolved(&m.Resolution)
	case *wire.ReplayPrepare:
		v := l.replay(m.View, m.Replay)
		v.preparers = v.preparers.With(env.Sender)
	case *wire.ReplayCommit:
		v := l.replay(m.View, m.Replay)
		v.committers = v.committers.With(env.Sender)
	}
}

// heardView is heard for the messages of a view change.
func (l *ledger) heardView(hearer group.ID, env *wire.Envelope) {
	i := hearer.Index()
	switch m := env.Msg.(type) {
	case *wire.Replay:
		if env.Sender == l.group.Leader(m.Proof.Resolution.View) {
			v := l.resolved(&m.Proof.Resolution)
			v.holders = v.holders.With(hearer)
		}
	case *wire.ReplayPrepare:
		v := l.replay(m.View, m.Replay)
		v.prepares[i] = v.prepares[i].With(env.Sender)
	case *wire.ReplayCommit:
		v := l.replay(m.View, m.Replay)
		v.committed[i] = v.committed[i].With(env.Sender)
	case *wire.Window:
		l.resolved(&m.Resolution)
		for _, c := range m.Commits {
			l.heard(hearer, c)
		}
	}
}

// compute recomputes the bindings of a resolution from the reports of its members, by the rules of docs/protocol.md and not
// by the code under test. A member that lies may have signed several reports; only one choice can give the digest. It is
// false if none does.
func (l *ledger) compute(v *replayVariant) bool {
	if v.computed || v.resolution == nil {
		return v.computed
	}
	r := v.resolution
	var members []group.ID
	for id := range r.Members.All() {
		members = append(members, id)
	}
	list := make([]*wire.Report, len(members))
	tries := 0
	var try func(k int) bool
	try = func(k int) bool {
		if k == len(members) {
			tries++
			base, start, bindings := outcome(list)
			v.bindings = bindings
			return base == r.Base && start == r.Start && bindings.Digest(epoch, r.View, base) == r.Window
		}
		for _, m := range l.reports[reportKey{r.View, members[k]}] {
			if list[k] = m; l.valid(m) && tries < 10_000 && try(k+1) {
				return true
			}
		}
		return false
	}
	v.computed = try(0)
	return v.computed
}

// valid reports whether a report proves what it says.
func (l *ledger) valid(m *wire.Report) bool {
	if m.Carried != nil && signers(m.Carried.Prepares).Len() < l.group.Quorum() {
		return false
	}
	for i := range m.Prepared {
		p := &m.Prepared[i]
		if signers(p.Prepares).Without(l.group.Leader(p.Vote.View)).Len() < l.group.Prepares() || p.Vote.Incarnations != l.membership {
			return false
		}
	}
	return true
}

func signers(list []*wire.Envelope) (set group.Set) {
	for _, e := range list {
		set = set.With(e.Sender)
	}
	return set
}

// outcome is what follows from the reports of a list (addendum A7): the carried result of the highest view stays as it is;
// beyond it, the prepare certificate of the highest view from that one on; else nothing.
func outcome(list []*wire.Report) (base, start uint64, bindings wire.Bindings) {
	var carried *wire.Carried
	for _, m := range list {
		base = max(base, m.Executed)
		if m.Carried != nil && (carried == nil || m.Carried.Resolution.View > carried.Resolution.View) {
			carried = m.Carried
		}
	}
	since, fixed := uint64(0), uint64(1)
	if carried != nil {
		since, fixed = carried.Resolution.View, carried.Resolution.Start
	}
	start = max(base+1, fixed)
	found := map[uint64]wire.Vote{}
	for _, m := range list {
		for i := range m.Prepared {
			if v := m.Prepared[i].Vote; v.View >= since && v.Ordinal >= fixed && v.Ordinal > base {
				if found[v.Ordinal].View < v.View {
					found[v.Ordinal] = v
				}
				start = max(start, v.Ordinal+1)
			}
		}
	}
	for o := base + 1; o < start; o++ {
		switch {
		case o >= fixed:
			bindings = append(bindings, found[o].Proposal)
		case o > carried.Resolution.Base:
			bindings = append(bindings, carried.Bindings[o-carried.Resolution.Base-1])
		default:
			return base, start, nil // more than f are faulty
		}
	}
	return base, start, bindings
}
