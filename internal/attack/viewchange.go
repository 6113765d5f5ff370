package attack

import (
	"github.com/primebft/prime/internal/core"
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

// twoReplays is a leader that collects shares for all lists and sends the replicas one REPLAY or the other.
func twoReplays() Behaviour {
	return Behaviour{
		Name: "two-replays", Does: "as leader sends different REPLAYs to the two halves of the group", Leader: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			seen := map[wire.Digest][]*wire.Envelope{}
			view, sent := uint64(0), 0
			return &watcher{Machine: inner, hears: func(env *wire.Envelope, put func(effect.Send)) {
				m, ok := env.Msg.(*wire.StateShare)
				if !ok || h.Group.Leader(m.Resolution.View) != h.Self || m.Resolution.View < view {
					return
				}
				if m.Resolution.View > view {
					view, sent = m.Resolution.View, 0
					clear(seen)
				}
				d := m.Resolution.Digest()
				if seen[d] = insert(seen[d], env); len(seen[d]) != h.Group.Quorum() || sent > 1 {
					return
				}
				sent++
				to := half(h.Group.Others(h.Self))
				if sent == 2 {
					to = h.Group.Others(h.Self).Minus(to)
				}
				put(effect.Send{To: to, Class: wire.Timely, Msg: &wire.Replay{Proof: wire.StateProof{Resolution: m.Resolution, Shares: seen[d]}}})
			}}
		},
	}
}

// insert adds env to a list of distinct senders in ascending order.
func insert(list []*wire.Envelope, env *wire.Envelope) []*wire.Envelope {
	at := 0
	for at < len(list) && list[at].Sender < env.Sender {
		at++
	}
	if at < len(list) && list[at].Sender == env.Sender {
		return list
	}
	return append(append(append([]*wire.Envelope(nil), list[:at]...), env), list[at:]...)
}
