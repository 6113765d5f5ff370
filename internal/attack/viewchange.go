package attack

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// silentChange takes no part in view changes, so that a leader that is one gives no REPLAY and a follower no state.
func silentChange() Behaviour {
	return Behaviour{
		Name: "silent-change", Does: "says nothing in view changes",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			if ofChange(s) {
				s.To = s.To.Intersect(group.SetOf(h.Self))
			}
			put(s)
		}),
	}
}

// ofChange reports whether a message is one of a view change.
func ofChange(s effect.Send) bool {
	if s.Msg == nil {
		return s.Signed.Kind >= wire.KindReport && s.Signed.Kind <= wire.KindReplayCommit
	}
	return s.Msg.Kind() >= wire.KindReport && s.Msg.Kind() <= wire.KindReplayCommit
}

// halfChange shows what it says in view changes to a part of the group only, each time another.
func halfChange() Behaviour {
	return Behaviour{
		Name: "half-change", Does: "says what it says in view changes to some replicas only",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			if ofChange(s) {
				s.To = s.To.Intersect(h.some().With(h.Self))
			}
			put(s)
		}),
	}
}

// replayToOne shows its REPLAY to one replica.
func replayToOne() Behaviour {
	return Behaviour{
		Name: "replay-to-one", Does: "as leader sends its REPLAY to one replica only", Leader: true,
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			_, replay := s.Msg.(*wire.Replay)
			if replay || s.Signed != nil && s.Signed.Sender == h.Self && s.Signed.Kind == wire.KindReplay {
				s.To = s.To.Intersect(h.anyone().With(h.Self))
			}
			put(s)
		}),
	}
}
