package attack

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// floodKind floods one kind of message, whichever it draws.
func floodKind() Behaviour {
	return Behaviour{
		Name: "flood-kind", Hides: true, Does: "floods one kind of message; flood:KIND floods that one, as in flood:RTT-PING", Noisy: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			kinds := FloodKinds()
			return h.flooder(inner, kinds[h.Rand.IntN(len(kinds))])
		},
	}
}

// floodOf is the flood of the kind of that name.
func floodOf(name string) (Behaviour, bool) {
	for _, kind := range FloodKinds() {
		if kind.String() == name {
			return Behaviour{
				Name: "flood:" + name, Hides: kind == wire.KindPreorderRequest, Does: "floods well-formed " + name + "s that nobody needs", Noisy: true,
				Wrap: func(h *Host, inner core.Machine) core.Machine { return h.flooder(inner, kind) },
			}, true
		}
	}
	return Behaviour{}, false
}

// flooder sends eight messages of a kind at once, again and again, of the view that others are in.
func (h *Host) flooder(inner core.Machine, kind wire.Kind) core.Machine {
	view := uint64(1)
	return &actor{host: h, Machine: inner,
		sees: func(_ *actor, in core.Input, _ []effect.Send) {
			if in.Message != nil {
				if m, ok := in.Message.Msg.(*wire.Turnaround); ok && in.Message.Sender == h.Self {
					view = max(view, m.View)
				}
			}
		},
		acts: func(_ *actor, _ clock.Instant, put func(effect.Send)) {
			for range 8 {
				put(effect.Send{To: h.some(), Class: wire.Bounded, Msg: h.junkOf(kind, view)})
			}
		}}
}

// junkOf is a well-formed message of a kind that nobody needs.
func (h *Host) junkOf(kind wire.Kind, view uint64) wire.Message {
	n := h.Group.N()
	summary := falseSummary(h, &wire.Summary{Number: h.Rand.Uint64() | 1, Vector: make(wire.Vector, n)})
	proposal := &wire.PrePrepare{View: view, Ordinal: h.Rand.Uint64N(16) + 1, Incarnations: wire.HashIncarnations(1, h.Incarnations),
		Base: make(wire.Vector, n), Rows: make(wire.Rows, n)}
	proposal.Rows[h.Self.Index()] = h.Sign(summary)
	switch kind {
	case wire.KindSummary:
		return summary
	case wire.KindSummaryMatrix:
		return &wire.SummaryMatrix{View: view, Rows: proposal.Rows}
	case wire.KindPrePrepare:
		return proposal
	case wire.KindCertificate:
		signed := h.Sign(proposal)
		vote := wire.Vote{View: view, Ordinal: proposal.Ordinal, Proposal: signed.Digest, Incarnations: proposal.Incarnations}
		return &wire.Certificate{PrePrepare: signed, Commits: []*wire.Envelope{h.Sign(&wire.Commit{Vote: vote})}}
	case wire.KindEvidence: // of nothing: a correct replica may sign both
		ping := &wire.Summary{Number: 1, Vector: make(wire.Vector, n)}
		return &wire.Evidence{First: h.Sign(ping), Second: h.Sign(&wire.Summary{Number: 2 + h.Rand.Uint64N(9), Vector: make(wire.Vector, n)})}
	case wire.KindCheckpoint:
		return &wire.Checkpoint{Ordinal: 1 + h.Rand.Uint64N(64), Digest: h.digest()}
	case wire.KindCheckpointProof:
		m := wire.Checkpoint{Ordinal: 1 + h.Rand.Uint64N(64), Digest: h.digest()}
		return &wire.CheckpointProof{Checkpoint: m, Votes: []*wire.Envelope{h.Sign(&m)}}
	case wire.KindTurnaround:
		return &wire.Turnaround{View: view, Number: h.Rand.Uint64(), Nanos: h.Rand.Uint64()}
	case wire.KindNewLeader:
		return &wire.NewLeader{View: view + 1 + h.Rand.Uint64N(2)}
	case wire.KindOutlineAsk:
		return &wire.OutlineAsk{From: h.Rand.Uint64N(16), To: 16 + h.Rand.Uint64N(16)}
	case wire.KindOutline:
		return h.junkOutline(h.Rand.Uint64N(16), 16+h.Rand.Uint64N(16))
	case wire.KindSegmentAsk:
		return &wire.SegmentAsk{From: h.Rand.Uint64N(16), To: 16, Skip: h.Rand.Uint32N(16)}
	case wire.KindSegment:
		return h.junkSegment(h.Rand.Uint64N(16))
	case wire.KindWindow:
		r := wire.Resolution{View: view + h.Rand.Uint64N(2), Members: h.Group.All(), Start: 1}
		r.Window = wire.Bindings{}.Digest(1, r.View, 0)
		vote := wire.ReplayVote{View: r.View, Replay: r.Digest()}
		return &wire.Window{Resolution: r, Commits: []*wire.Envelope{h.Sign(&wire.ReplayCommit{ReplayVote: vote})}}
	}
	for {
		for _, m := range []wire.Message{h.junk(), h.junkOfView(view)} {
			if m.Kind() == kind {
				return m
			}
		}
	}
}
