package attack

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// floodViews sends messages of monitoring, elections and view changes that nobody needs, of this view, the next and absurd
// ones.
func floodViews() Behaviour {
	return Behaviour{
		Name: "flood-views", Does: "floods messages of monitoring, elections and view changes", Noisy: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			view := uint64(1)
			return &actor{host: h, Machine: inner,
				sees: func(_ *actor, in core.Input, _ []effect.Send) {
					if in.Message != nil {
						if m, ok := in.Message.Msg.(*wire.Turnaround); ok {
							view = max(view, m.View)
						}
					}
				},
				acts: func(_ *actor, _ clock.Instant, put func(effect.Send)) {
					for range 4 {
						put(effect.Send{To: h.some(), Class: wire.Bounded, Msg: h.junkOfView(view)})
					}
				}}
		},
	}
}

// junkOfView is a well-formed message that means nothing.
func (h *Host) junkOfView(view uint64) wire.Message {
	switch h.Rand.IntN(4) {
	case 0:
		view++
	case 1:
		view = h.Rand.Uint64() | 1
	}
	start := h.Rand.Uint64N(100)
	r := wire.Resolution{View: view, Members: h.Group.All(), Base: start, Start: start + 1, Window: h.digest()}
	receipt := wire.Receipt{View: view, Origin: group.FromIndex(h.Rand.IntN(h.Group.N())), Report: h.digest()}
	vote := wire.ReplayVote{View: view, Replay: h.digest()}
	proof := wire.StateProof{Resolution: r, Shares: []*wire.Envelope{h.Sign(&wire.StateShare{Resolution: r})}}
	switch h.Rand.IntN(15) {
	case 0:
		return &wire.Ping{View: view, Seq: h.Rand.Uint64()}
	case 1:
		return &wire.Pong{View: view, Dest: receipt.Origin, Seq: h.Rand.Uint64N(64)}
	case 2:
		return &wire.RoundTrip{View: view, Dest: receipt.Origin, Nanos: h.Rand.Uint64()}
	case 3:
		return &wire.Bound{View: view, Nanos: h.Rand.Uint64()}
	case 4:
		return &wire.NewLeaderProof{View: view, Votes: []*wire.Envelope{h.Sign(&wire.NewLeader{View: view})}}
	case 5:
		return &wire.Report{View: view, Executed: h.Rand.Uint64N(1 << 62)}
	case 6:
		return &wire.Echo{Receipt: receipt}
	case 7:
		return &wire.Ready{Receipt: receipt}
	case 8:
		return &wire.StateList{View: view, Members: h.some().With(h.Self)}
	case 9:
		return &wire.StateShare{Resolution: r}
	case 10:
		return &proof
	case 11:
		return &wire.Replay{Proof: proof}
	case 12:
		return &wire.ReplayPrepare{ReplayVote: vote}
	case 13:
		return &wire.ReplayCommit{ReplayVote: vote}
	default:
		return &wire.Recall{Digests: []wire.Digest{h.digest(), h.digest()}}
	}
}

// FloodKinds are the kinds of messages that flood:KIND is for. Others have floods of their own.
func FloodKinds() (kinds []wire.Kind) {
	for kind := wire.KindPreorderRequest; kind <= wire.KindRecall; kind++ {
		kinds = append(kinds, kind)
	}
	return append(kinds, wire.KindCheckpoint, wire.KindCheckpointProof, wire.KindOutlineAsk, wire.KindOutline, wire.KindSegmentAsk,
		wire.KindSegment)
}
