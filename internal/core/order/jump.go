package order

import (
	"slices"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/invariant"
	"github.com/primebft/prime/internal/wire"
)

// Jump goes on after an ordinal that has not been executed here, whose execution left eligible behind, with everything that there
// is beyond it: proposals, votes of our own and of others, prepare certificates, what is ordered or bound (protocol-recovery.md
// 9.2, 3). Ordinals up to it are decided, so nothing of them is needed any more; they are not held here, and nobody can be
// given them. The view stays what it is. What was accepted beyond the ordinal is accepted again, on what that left behind.
func (s *State) Jump(now clock.Instant, ordinal uint64, eligible wire.Vector) {
	invariant.Assert(ordinal > s.executed, "jump to %d, executed to %d", ordinal, s.executed)
	s.slots.Advance(ordinal - 1)
	*s.slots.Make(ordinal) = slot{seen: max(now, 1), ordered: true, eligible: eligible}
	s.executed, s.landed, s.accepted = ordinal, ordinal, ordinal
	s.planned = ordinal
	s.chain = eligible
	s.shown = raise(s.shown, eligible)
	s.known, s.high = max(s.known, ordinal), max(s.high, ordinal)
	s.next = max(s.next, ordinal+1)
	s.windows = slices.DeleteFunc(s.windows, func(w *wire.Window) bool {
		return w.Resolution.Start <= ordinal+1 && w.Resolution.View < s.view
	})
}
