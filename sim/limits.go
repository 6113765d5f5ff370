package sim

import (
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/group"
)

// limits checks what a replica says that it holds against what it may hold (protocol-core.md 11.1, item 7, and 11.3).
func (w *world) limits(n *node) {
	s, l := n.status(), &w.plan.limits
	for id := range s.Blacklist.All() {
		if w.plan.correct(id) {
			w.fail("%s has %s, which is correct, on its blacklist", n.id, id)
		}
	}
	if s.Sessions > l.Sessions || s.Bytes > l.PendingBytes {
		w.fail("%s holds %d sessions and %d pending bytes; its limits are %d and %d", n.id, s.Sessions, s.Bytes, l.Sessions,
			l.PendingBytes)
	}
	if s.Proposed > s.Executed && s.Proposed-s.Executed > uint64(core.ViewWindow(*l)) {
		w.fail("%s holds %d proposals with a window of %d", n.id, s.Proposed-s.Executed, l.OrdinalWindow)
	}
	for i, lane := range s.Lanes {
		if lane.Executed > lane.Preordered || lane.Preordered > lane.Held || lane.Held-lane.Executed > uint64(core.LaneWindow(*l)) {
			w.fail("%s's lane of %s: held %d, preordered %d, executed %d with a window of %d", n.id, group.FromIndex(i),
				lane.Held, lane.Preordered, lane.Executed, l.InFlight)
		}
		if most := ringLimit((core.Kept(*l) + 2) * core.LaneWindow(*l)); lane.Slots > most {
			w.fail("%s's lane of %s takes %d slots, the limits allow %d", n.id, group.FromIndex(i), lane.Slots, most)
		}
	}
	if most := ringLimit(core.Kept(*l) + 1 + core.ViewWindow(*l)); s.OrdinalSlots > most {
		w.fail("%s takes %d slots for ordinals, the limits allow %d", n.id, s.OrdinalSlots, most)
	}
	if s.Executed > s.Collected+uint64(core.Kept(*l))+1 {
		w.fail("%s holds ordinals %d to %d with a history of %d", n.id, s.Collected+1, s.Executed, core.Kept(*l))
	}
}
