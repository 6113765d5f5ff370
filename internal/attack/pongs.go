package attack

import (
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// earlyPongs answers pings before they are sent, and again when they have come, to look faster than it is: the numbers of pings can be
// guessed.
func earlyPongs() Behaviour {
	return Behaviour{
		Name: "early-pongs", Does: "answers RTT-PINGs before they are sent, and those of others too",
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			return &watcher{Machine: inner, hears: func(env *wire.Envelope, put func(effect.Send)) {
				m, ok := env.Msg.(*wire.Ping)
				if !ok || env.Sender == h.Self {
					return
				}
				for ahead := uint64(1); ahead <= 3; ahead++ {
					pong := &wire.Pong{View: m.View, Dest: env.Sender, Seq: m.Seq + ahead}
					put(effect.Send{To: group.SetOf(env.Sender), Class: wire.Timely, Msg: pong})
				}
				other := &wire.Pong{View: m.View, Dest: env.Sender, Seq: m.Seq}
				put(effect.Send{To: h.anyone(), Class: wire.Timely, Msg: other})
			}}
		},
	}
}
