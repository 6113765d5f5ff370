package attack

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// forgedProofs sends proofs of checkpoints: of its own vote alone, of one vote that counts several times, of votes for something else,
// and genuine ones that are old.
func forgedProofs() Behaviour {
	return Behaviour{
		Name: "forged-proofs", Does: "sends CHECKPOINT-PROOFs with too few, repeated or wrong signers, and old ones", Noisy: true, Apart: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			return &actor{host: h, Machine: inner,
				sees: func(a *actor, in core.Input, _ []effect.Send) {
					if e := in.Message; e != nil && (e.Kind == wire.KindCheckpoint || e.Kind == wire.KindCheckpointProof) {
						a.remember(e)
					}
				},
				acts: func(a *actor, _ clock.Instant, put func(effect.Send)) {
					put(effect.Send{To: h.some(), Class: wire.Bounded, Msg: h.forgedProof(a.seen)})
				}}
		},
	}
}

// forgedProof is a proof with something wrong, made from what was seen.
func (h *Host) forgedProof(seen []*wire.Envelope) *wire.CheckpointProof {
	lie := wire.Checkpoint{Ordinal: 1 + h.Rand.Uint64N(200), Digest: h.digest()}
	if len(seen) > 0 {
		switch m := seen[h.Rand.IntN(len(seen))].Msg.(type) {
		case *wire.CheckpointProof:
			if h.Rand.IntN(2) == 0 {
				return m // genuine, and perhaps old
			}
			changed := *m
			changed.Digest[5] ^= 1
			return &changed
		case *wire.Checkpoint:
			lie = *m
		}
	}
	own := h.Sign(&lie)
	p := &wire.CheckpointProof{Checkpoint: lie, Votes: []*wire.Envelope{own}}
	if h.Rand.IntN(2) == 0 {
		p.Votes = append(p.Votes, own, own)
		return p
	}
	for _, e := range seen { // whatever others signed for this ordinal, so much as they are
		m, ok := e.Msg.(*wire.Checkpoint)
		if last := p.Votes[len(p.Votes)-1]; ok && m.Ordinal == lie.Ordinal && e.Sender > last.Sender {
			p.Votes = append(p.Votes, e)
		}
	}
	return p
}
