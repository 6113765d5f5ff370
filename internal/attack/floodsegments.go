package attack

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// floodSegments asks without end, and answers what nobody asked.
func floodSegments() Behaviour {
	return Behaviour{
		Name: "flood-segments", Does: "floods OUTLINE-ASKs and SEGMENT-ASKs for all that there is, and OUTLINEs and SEGMENTs that nobody asked for",
		Noisy: true, Apart: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			executed := uint64(1)
			return &actor{host: h, Machine: inner,
				sees: func(_ *actor, in core.Input, _ []effect.Send) {
					if in.Message != nil {
						if m, ok := in.Message.Msg.(*wire.Status); ok {
							executed = max(1, m.Executed)
						}
					}
				},
				acts: func(_ *actor, _ clock.Instant, put func(effect.Send)) {
					for range 4 {
						from := h.Rand.Uint64N(executed)
						to := from + 1 + h.Rand.Uint64N(min(wire.Spacing, executed-from))
						for _, m := range []wire.Message{
							&wire.OutlineAsk{From: from, To: executed}, &wire.SegmentAsk{From: from, To: to, Skip: h.Rand.Uint32N(3)},
							h.junkOutline(from, to), h.junkSegment(to - 1),
						} {
							put(effect.Send{To: h.some(), Class: wire.Bounded, Msg: m})
						}
					}
				}}
		},
	}
}

// junkOutline is links that are none.
func (h *Host) junkOutline(from, to uint64) *wire.Outline {
	m := &wire.Outline{From: from, To: to, Links: make([]wire.Digest, wire.Links(from, to))}
	for k := range m.Links {
		m.Links[k] = h.digest()
	}
	return m
}

// junkSegment is a no-op in the place of the ordinal after from.
func (h *Host) junkSegment(from uint64) *wire.Segment {
	o := wire.SegmentOrdinal{Time: int64(h.Rand.Uint64()), Eligible: make(wire.Vector, h.Group.N())}
	return &wire.Segment{From: from, To: from + 1, Before: h.digest(), Ordinals: []wire.SegmentOrdinal{o}}
}
