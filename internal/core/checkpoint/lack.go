package checkpoint

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
)

// lack is what is known of whether others still hold what this replica needs next.
type lack struct {
	executed uint64        // what this replica had executed; when it executes more, the rest begins anew
	told     group.Set     // who told that it does not
	since    clock.Instant // when the first did
	at       clock.Instant // when the owner is to be told, if nothing changes; Never if it is not
	ordinal  uint64        // of the checkpoint that the owner was told of
}

// patience is for how many intervals something is hoped for from peers that do not tell, and for how many from the owner, before
// it is told again.
const patience = 8

// Told says that a peer no longer holds the ordinal after executed, which is what this replica has executed. It reports whether
// that is news.
func (s *State) Told(now clock.Instant, by group.ID, executed uint64) bool {
	l := &s.lack
	if executed != l.executed || l.told == 0 {
		*l = lack{executed: executed, since: now, at: clock.Never}
	}
	if l.told.Has(by) || by == s.cfg.Self {
		return false
	}
	l.told = l.told.With(by)
	if l.ordinal != 0 {
		return true // the owner knows
	}
	if wait := now.Add(s.cfg.Interval / 2); l.told.Len() >= s.cfg.Group.OneCorrect() {
		l.at = min(l.at, wait)
	} else {
		l.at = min(l.at, l.since.Add(patience*s.cfg.Interval))
	}
	return true
}

// Holds says that a peer claims to hold it.
func (s *State) Holds(by group.ID) { s.lack.told = s.lack.told.Without(by) }

// Deadline is when Advance has something to do although nothing arrived.
func (s *State) Deadline() clock.Instant { return s.lack.at }

// Advance tells the owner that this replica lacks what only a checkpoint has: again for every newer one, and when nothing came of it
// for long.
func (s *State) Advance(now clock.Instant, executed uint64, out *effect.Output) {
	l := &s.lack
	if executed != l.executed || s.stable.Ordinal <= executed || l.told == 0 {
		if l.at != clock.Never {
			*l = lack{executed: executed, at: clock.Never}
		}
		return
	}
	if newer := l.ordinal != 0 && s.stable.Ordinal > l.ordinal; now < l.at && !newer {
		return
	}
	l.at, l.ordinal = now.Add(patience*s.cfg.Interval), s.stable.Ordinal
	stable := s.stable
	out.Lacks = &stable
	out.Emit(trace.Event{Kind: trace.Lacking, Ordinal: s.stable.Ordinal})
}
