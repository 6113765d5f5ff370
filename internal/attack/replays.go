package attack

import (
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// twoReplays is a leader that collects shares for all lists and sends the replicas one REPLAY or the other, or none if it finds
// one only.
func twoReplays() Behaviour {
	return Behaviour{
		Name: "two-replays", Does: "as leader sends different REPLAYs to the two halves of the group", Leader: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			seen := map[wire.Digest][]*wire.Envelope{}
			view, sent := uint64(0), 0
			var first *wire.Replay
			quiet := &editor{host: h, Machine: inner, rewrite: func(h *Host, s effect.Send, put func(effect.Send)) {
				_, replay := s.Msg.(*wire.Replay)
				if replay || s.Signed != nil && s.Signed.Sender == h.Self && s.Signed.Kind == wire.KindReplay {
					s.To = s.To.Intersect(group.SetOf(h.Self)) // the true one
				}
				put(s)
			}}
			return &watcher{Machine: quiet, hears: func(env *wire.Envelope, put func(effect.Send)) {
				m, ok := env.Msg.(*wire.StateShare)
				if !ok || h.Group.Leader(m.Resolution.View) != h.Self || m.Resolution.View < view {
					return
				}
				if m.Resolution.View > view {
					view, sent = m.Resolution.View, 0
					clear(seen)
				}
				d := m.Resolution.Digest()
				had := len(seen[d])
				if seen[d] = insert(seen[d], env); had != h.Group.Quorum()-1 || len(seen[d]) == had || sent > 1 {
					return
				}
				if sent++; sent == 1 {
					first = &wire.Replay{Proof: wire.StateProof{Resolution: m.Resolution, Shares: seen[d]}}
					return
				}
				to := half(h.Group.Others(h.Self))
				put(effect.Send{To: to, Class: wire.Timely, Msg: first})
				second := &wire.Replay{Proof: wire.StateProof{Resolution: m.Resolution, Shares: seen[d]}}
				put(effect.Send{To: h.Group.Others(h.Self).Minus(to), Class: wire.Timely, Msg: second})
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
