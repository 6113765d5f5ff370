package attack

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// agree acknowledges every request and votes for every proposal that it hears of, however they contradict each other. It is
// the accomplice that an equivocator needs: only the intersection of quorums stops the two. Stack it with one, or let it be
// another replica.
func agree() Behaviour {
	return Behaviour{
		Name: "agree", Does: "acknowledges all conflicting PO-REQUESTs, and votes for all conflicting PRE-PREPAREs, REPLAYs and REPORTs",
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			var pending []effect.Send
			hear := func(env *wire.Envelope) {
				if env != nil && len(pending) < memory {
					pending = append(pending, h.endorse(env)...)
				}
			}
			return &actor{host: h, Machine: inner,
				sees: func(a *actor, in core.Input, sends []effect.Send) {
					if in.Message != nil {
						hear(in.Message)
					}
					for i := range sends {
						hear(sends[i].Signed)
					}
					if len(pending) > 0 {
						a.next = 0 // at once
					}
				},
				acts: func(_ *actor, _ clock.Instant, put func(effect.Send)) {
					for i := range pending {
						put(pending[i])
					}
					pending = pending[:0]
				}}
		},
	}
}

// endorse is everything that a replica can say in favour of a message.
func (h *Host) endorse(env *wire.Envelope) []effect.Send {
	membership := wire.HashIncarnations(env.Epoch, h.Incarnations)
	to := h.Group.Others(h.Self)
	switch m := env.Msg.(type) {
	case *wire.PreorderRequest:
		id := wire.PreorderID{Origin: env.Sender, Position: wire.Position{Incarnation: env.Incarnation, Seq: m.Seq}}
		ack := &wire.PreorderAck{Incarnations: membership, Parts: []wire.AckPart{{ID: id, Digest: env.Digest, Certified: h.Rand.IntN(2) == 0}}}
		return []effect.Send{{To: to, Class: wire.Bounded, Msg: ack}}
	case *wire.PrePrepare:
		vote := wire.Vote{View: m.View, Ordinal: m.Ordinal, Proposal: env.Digest, Incarnations: membership}
		return []effect.Send{
			{To: to, Class: wire.Bounded, Msg: &wire.Prepare{Vote: vote}}, {To: to, Class: wire.Bounded, Msg: &wire.Commit{Vote: vote}},
		}
	case *wire.Replay:
		vote := wire.ReplayVote{View: m.Proof.Resolution.View, Replay: m.Proof.Resolution.Digest()}
		return []effect.Send{
			{To: to, Class: wire.Bounded, Msg: &wire.ReplayPrepare{ReplayVote: vote}},
			{To: to, Class: wire.Bounded, Msg: &wire.ReplayCommit{ReplayVote: vote}},
		}
	case *wire.Report:
		receipt := wire.Receipt{View: m.View, Origin: env.Sender, Report: env.Digest}
		return []effect.Send{
			{To: to, Class: wire.Bounded, Msg: &wire.Echo{Receipt: receipt}},
			{To: to, Class: wire.Bounded, Msg: &wire.Ready{Receipt: receipt}},
		}
	}
	return nil
}
