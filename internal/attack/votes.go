package attack

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// falseAcks acknowledges requests that it does not have, under digests of nothing, and claims certificates for them.
func falseAcks() Behaviour {
	return Behaviour{
		Name: "false-acks", Does: "acknowledges what does not exist, and two digests of what does",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			m, ok := s.Msg.(*wire.PreorderAck)
			put(s)
			if !ok {
				return
			}
			lie := &wire.PreorderAck{Incarnations: m.Incarnations}
			for _, part := range m.Parts {
				part.Digest, part.Certified = h.digest(), h.Rand.IntN(2) == 0
				if h.Rand.IntN(3) == 0 {
					part.ID.Origin = group.FromIndex(h.Rand.IntN(h.Group.N()))
					part.ID.Seq += uint64(h.Rand.IntN(4))
				}
				lie.Parts = append(lie.Parts, part)
			}
			put(effect.Send{To: h.some(), Class: s.Class, Msg: lie})
		}),
	}
}

// wrongVotes votes for proposals that do not exist, next to its true votes or before them.
func wrongVotes() Behaviour {
	return Behaviour{
		Name: "wrong-votes", Does: "sends PREPAREs and COMMITs for proposals and ordinals that do not exist",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			switch m := s.Msg.(type) {
			case *wire.Prepare:
				put(effect.Send{To: h.some(), Class: s.Class, Msg: &wire.Prepare{Vote: h.vote(m.Vote)}})
				put(effect.Send{To: h.some(), Class: s.Class, Msg: &wire.Commit{Vote: m.Vote}}) // before it may
			case *wire.Commit:
				put(effect.Send{To: h.some(), Class: s.Class, Msg: &wire.Commit{Vote: h.vote(m.Vote)}})
			}
			put(s)
		}),
	}
}

// vote is v with something wrong.
func (h *Host) vote(v wire.Vote) wire.Vote {
	switch h.Rand.IntN(4) {
	case 0:
		v.Ordinal += uint64(h.Rand.IntN(3))
	case 1:
		v.Incarnations = h.digest()
	case 2:
		v.View += uint64(h.Rand.IntN(2))
	}
	if h.Rand.IntN(2) == 0 {
		v.Proposal = h.digest()
	}
	return v
}
