package preorder

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// Jump says that every lane has been executed up to the vector, elsewhere: what it covers is neither here nor needed any more. What
// is here beyond it stays, and no mark goes back: this replica acknowledged, summarised and introduced what it did, and its next
// request has a new number.
func (s *State) Jump(vector wire.Vector, out *effect.Output) {
	for i := range vector {
		l, to := &s.lanes[i], vector[i].Seq
		if to <= l.executed {
			continue
		}
		l.slots.Advance(to)
		l.executed = to
		l.preordered, l.held, l.acked, l.top = max(l.preordered, to), max(l.held, to), max(l.acked, to), max(l.top, to)
		s.rise(i, out)
	}
	self := s.cfg.Self.Index()
	s.sent = max(s.sent, s.lanes[self].executed)
}
