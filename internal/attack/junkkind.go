package attack

import "github.com/primebft/prime/internal/wire"

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
