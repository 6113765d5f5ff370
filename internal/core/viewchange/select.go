package viewchange

import (
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// valid decides whether a report can count, from its bytes and the sizes of the group alone, so that all correct replicas
// decide alike (addendum A6). Signatures, digests and ranges have been checked before.
func (s *State) valid(m *wire.Report) bool {
	if c := m.Carried; c != nil && len(c.Prepares) < s.cfg.Group.Quorum() {
		return false
	}
	for k := range m.Prepared {
		p := &m.Prepared[k]
		if len(p.Prepares) < s.cfg.Group.Prepares() || p.Vote.Incarnations != s.cfg.Membership {
			return false
		}
		for _, e := range p.Prepares {
			if e.Sender == s.cfg.Group.Leader(p.Vote.View) {
				return false
			}
		}
	}
	return true
}

// selection computes what follows from the states of a list (addendum A7). What a replay certificate of the highest view among
// them bound stays bound, no-ops included; beyond its window, the prepare certificate of the highest view; else a no-op.
func (s *State) selection(list group.Set) (resolved, bool) {
	base, carried := uint64(0), (*wire.Carried)(nil)
	for id := range list.All() {
		m := s.reports[id.Index()]
		base = max(base, m.Executed)
		if m.Carried != nil && (carried == nil || m.Carried.Resolution.View > carried.Resolution.View) {
			carried = m.Carried
		}
	}
	after, bound := uint64(0), uint64(1) // view of the carried result, and where its window ends
	if carried != nil {
		after, bound = carried.Resolution.View, carried.Resolution.Start
		if base < carried.Resolution.Base {
			return resolved{}, false // f+1 members' correct executions contradict it: more than f are faulty
		}
	}
	best := map[uint64]*wire.Vote{}
	start := max(base+1, bound)
	for id := range list.All() {
		m := s.reports[id.Index()]
		for k := range m.Prepared {
			v := &m.Prepared[k].Vote
			if v.Ordinal <= base || v.Ordinal < bound || v.View < after {
				continue
			}
			if best[v.Ordinal] == nil || best[v.Ordinal].View < v.View {
				best[v.Ordinal] = v
			}
			start = max(start, v.Ordinal+1)
		}
	}
	if start-base-1 > s.cfg.Window {
		return resolved{}, false
	}
	r := resolved{bindings: make(wire.Bindings, start-base-1)}
	for k := range r.bindings {
		switch ordinal := base + 1 + uint64(k); {
		case ordinal < bound:
			r.bindings[k] = carried.Bindings[ordinal-carried.Resolution.Base-1]
		case best[ordinal] != nil:
			r.bindings[k] = best[ordinal].Proposal
		}
	}
	r.resolution = wire.Resolution{View: s.view, Members: list, Base: base, Start: start,
		Window: r.bindings.Digest(s.cfg.Epoch, s.view, base)}
	r.digest = r.resolution.Digest()
	return r, true
}
