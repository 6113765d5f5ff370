package attack

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// ownVote is the CHECKPOINT that a send signs, or repeats; nil if it is something else.
func (h *Host) ownVote(s effect.Send) *wire.Checkpoint {
	if s.Signed != nil {
		if m, ok := s.Signed.Msg.(*wire.Checkpoint); ok && s.Signed.Sender == h.Self {
			return m
		}
		return nil
	}
	m, _ := s.Msg.(*wire.Checkpoint)
	return m
}

// wrongCheckpoints votes for another state than it has, the same to all.
func wrongCheckpoints() Behaviour {
	return Behaviour{
		Name: "wrong-checkpoints", Does: "votes for checkpoints with wrong digests", Apart: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			return &editor{host: h, Machine: inner, rewrite: func(h *Host, s effect.Send, put func(effect.Send)) {
				if m := h.ownVote(s); m != nil && s.Msg != nil {
					lie := *m
					lie.Digest[0] ^= 1
					s.Msg = &lie
				}
				put(s)
			}}
		},
	}
}

// twoCheckpoints votes for two states of one ordinal, to each half of the others for one.
func twoCheckpoints() Behaviour {
	return Behaviour{
		Name: "two-checkpoints", Does: "votes for two digests of one checkpoint, to some for this and to others for that", Apart: true,
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			m := h.ownVote(s)
			if m == nil {
				put(s)
				return
			}
			lie, first := *m, half(s.To.Without(h.Self))
			lie.Digest[31] ^= 1
			put(effect.Send{To: s.To.Minus(first), Class: s.Class, Msg: s.Msg, Signed: s.Signed})
			put(effect.Send{To: first, Class: s.Class, Msg: &lie})
		}),
	}
}

// noCheckpoints orders with the others and votes for no checkpoint, so that fewer than a quorum may be left.
func noCheckpoints() Behaviour {
	return Behaviour{
		Name: "no-checkpoints", Does: "votes for no checkpoints", Apart: true,
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			if h.ownVote(s) == nil {
				put(s)
			}
		}),
	}
}

// floodCheckpoints votes for very many ordinals, near and far.
func floodCheckpoints() Behaviour {
	return Behaviour{
		Name: "flood-checkpoints", Does: "votes for checkpoints of any ordinals, without end", Noisy: true, Apart: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			return &actor{host: h, Machine: inner, acts: func(_ *actor, _ clock.Instant, put func(effect.Send)) {
				for range 16 {
					m := &wire.Checkpoint{Ordinal: 1 + h.Rand.Uint64N(1<<(1+h.Rand.UintN(63))), Digest: h.digest()}
					put(effect.Send{To: h.some(), Class: wire.Bounded, Msg: m})
				}
			}}
		},
	}
}
