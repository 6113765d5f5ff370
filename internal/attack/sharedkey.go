package attack

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
)

// sharedKey is what an accomplice can do that has an ally's key: it says yes to everything in the names of both, and so does the ally.
func sharedKey() Behaviour {
	return Behaviour{
		Name: "shared-key", Does: "shares its key with its allies, and says yes to everything in all their names",
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			var pending []effect.Send
			return &actor{host: h, Machine: inner,
				sees: func(a *actor, in core.Input, _ []effect.Send) {
					if in.Message == nil || in.Message.Sender == h.Self || len(pending) >= memory {
						return
					}
					for _, s := range h.endorse(in.Message) {
						pending = append(pending, s)
						for ally := range h.Allies.Without(h.Self).All() {
							if h.SignAs != nil {
								pending = append(pending, effect.Send{To: s.To, Class: s.Class, Signed: h.SignAs(ally, s.Msg)})
							}
						}
					}
					a.next = 0
				},
				acts: func(_ *actor, _ clock.Instant, put func(effect.Send)) {
					for _, s := range pending {
						put(s)
					}
					pending = pending[:0]
				}}
		},
	}
}
