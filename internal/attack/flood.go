package attack

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// flood sends valid messages that are meant to be remembered or answered: far ahead, never needed, and many.
func flood() Behaviour {
	return Behaviour{
		Name: "flood", Hides: true, Does: "sends far-ahead requests, acks and votes, many FETCHes and STATUSes", Noisy: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			return &actor{host: h, Machine: inner, acts: func(a *actor, _ clock.Instant, put func(effect.Send)) {
				for range 4 {
					put(effect.Send{To: h.some(), Class: wire.Bounded, Msg: h.junk()})
				}
			}}
		},
	}
}

// junk is a well-formed message that nobody needs.
func (h *Host) junk() wire.Message {
	ahead := uint64(1 + h.Rand.IntN(4*h.Limits.InFlight+8))
	if h.Rand.IntN(3) == 0 {
		ahead = h.Rand.Uint64() | 1
	}
	vote := wire.Vote{View: 1, Ordinal: ahead, Proposal: h.digest(), Incarnations: wire.HashIncarnations(1, h.Incarnations)}
	switch h.Rand.IntN(8) {
	case 0:
		u := wire.Update{Client: wire.ClientID(h.digest()), Seq: ahead, Payload: []byte("flood")}
		return &wire.PreorderRequest{Seq: ahead, Updates: []wire.Update{u}}
	case 1:
		ack := &wire.PreorderAck{Incarnations: vote.Incarnations}
		for i := range uint64(32) {
			ack.Parts = append(ack.Parts, wire.AckPart{ID: h.id(ahead + i), Digest: h.digest(), Certified: i%2 == 0})
		}
		return ack
	case 2:
		return &wire.Prepare{Vote: vote}
	case 3:
		return &wire.Commit{Vote: vote}
	case 4, 5:
		fetch := &wire.Fetch{}
		for i := range uint64(64) {
			fetch.Wants = append(fetch.Wants, wire.Want{ID: h.id(1 + i)})
		}
		return fetch
	default:
		status := &wire.Status{View: 1, Executed: h.Rand.Uint64N(4)}
		if h.Rand.IntN(3) == 0 {
			status.Executed, status.View = h.Rand.Uint64(), h.Rand.Uint64N(3)
		}
		for range h.Group.N() {
			at := h.id(h.Rand.Uint64N(2 * ahead)).Position
			if at.Seq == 0 {
				at = wire.Position{}
			}
			status.Preorders, status.Held = append(status.Preorders, at), append(status.Held, at)
		}
		return status
	}
}

// id is a request of a random origin.
func (h *Host) id(seq uint64) wire.PreorderID {
	origin := group.FromIndex(h.Rand.IntN(h.Group.N()))
	return wire.PreorderID{Origin: origin, Position: wire.Position{Incarnation: h.Incarnations[origin.Index()], Seq: seq}}
}
