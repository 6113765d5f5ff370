package preorder

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

func (s *State) toSummarize() bool {
	for i := range s.lanes {
		if s.lanes[i].preordered > s.summarized[i].Seq {
			return true
		}
	}
	return false
}

// sendSummary tells all up to where this replica has preordered. Its own copy comes back and becomes its row.
func (s *State) sendSummary(now clock.Instant, out *effect.Output) {
	vector, _ := s.Vectors()
	s.summarized = vector
	s.number++
	s.lastTime = max(s.lastTime, s.cfg.Wall+int64(now))
	s.summary.Done(now)
	m := &wire.Summary{Number: s.number, Time: s.lastTime, Vector: vector}
	out.Sends = append(out.Sends, effect.Send{To: s.cfg.Group.All(), Class: wire.Bounded, Msg: m})
}

// OnSummary handles a PO-SUMMARY, whether it came alone or as a row of a matrix: it becomes the row of its sender if it is
// newer. Two that a correct replica would not both sign are evidence.
func (s *State) OnSummary(env *wire.Envelope, out *effect.Output) {
	i := env.Sender.Index()
	old := s.rows[i]
	if old != nil && old.Digest == env.Digest {
		return
	}
	m := env.Msg.(*wire.Summary)
	for c, p := range m.Vector {
		if p.Seq != 0 && p.Incarnation != s.cfg.Incarnations[c] {
			drop(out, env.Sender, "summary of another incarnation")
			return
		}
	}
	if old != nil {
		om := old.Msg.(*wire.Summary)
		if Inconsistent(m, om) {
			out.Evidence = append(out.Evidence, wire.Evidence{First: old, Second: env})
			return
		}
		if m.Number < om.Number {
			return
		}
	}
	s.rows[i] = env
	s.version++
}

// Inconsistent reports whether no correct replica would sign both of two different summaries of one incarnation: numbers are
// used once, and vectors rise with them.
func Inconsistent(a, b *wire.Summary) bool {
	switch {
	case a.Number < b.Number:
		return !b.Vector.Covers(a.Vector)
	case a.Number > b.Number:
		return !a.Vector.Covers(b.Vector)
	default:
		return true
	}
}
