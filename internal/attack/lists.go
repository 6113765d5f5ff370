package attack

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// forgedChange forges what a view change is agreed on with: lists, shares and the tags of reliable broadcast.
func forgedChange() Behaviour {
	return Behaviour{
		Name: "forged-change", Does: "sends false VC-LISTs, VC-PARTIAL-SIGs, RB-ECHOs and RB-READYs, and as leader a forged REPLAY",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			switch m := s.Msg.(type) {
			case *wire.StateList:
				s.Msg = &wire.StateList{View: m.View, Members: h.falseList(m.Members)}
			case *wire.StateShare:
				lie := m.Resolution
				h.falsify(&lie)
				put(effect.Send{To: s.To, Class: s.Class, Msg: &wire.StateShare{Resolution: lie}}) // and the true one
			case *wire.Echo:
				put(effect.Send{To: half(s.To), Class: s.Class, Msg: &wire.Echo{Receipt: h.falseTag(m.Receipt)}})
				s.To = s.To.Minus(half(s.To)).With(h.Self)
			case *wire.Ready:
				put(effect.Send{To: half(s.To), Class: s.Class, Msg: &wire.Ready{Receipt: h.falseTag(m.Receipt)}})
				s.To = s.To.Minus(half(s.To)).With(h.Self)
			case *wire.Replay:
				lie := *m
				h.falsify(&lie.Proof.Resolution) // the shares are for something else
				put(effect.Send{To: h.Group.Others(h.Self), Class: s.Class, Msg: &lie})
			}
			put(s)
		}),
	}
}

// falseList is one that is too short, or names others than those whose states it has.
func (h *Host) falseList(members group.Set) group.Set {
	switch h.Rand.IntN(3) {
	case 0:
		return group.SetOf(h.Self)
	case 1:
		return h.Group.All()
	}
	for out := range members.All() {
		if in := h.Group.All().Minus(members); in != 0 && out != h.Self {
			return members.Without(out).Union(half(in))
		}
	}
	return members
}

// falsify changes what follows from a list.
func (h *Host) falsify(r *wire.Resolution) {
	switch h.Rand.IntN(4) {
	case 0:
		r.Window = h.digest()
	case 1:
		r.Members = h.falseList(r.Members)
	case 2:
		r.Base, r.Start = r.Base+1, r.Start+1
	default:
		r.Start++
		r.Window = wire.Bindings{h.digest()}.Digest(1, r.View, r.Base)
	}
}

// falseTag is a receipt for a report that does not exist, or of another origin.
func (h *Host) falseTag(r wire.Receipt) wire.Receipt {
	if h.Rand.IntN(2) == 0 {
		r.Report = h.digest()
	} else {
		r.Origin = group.FromIndex(h.Rand.IntN(h.Group.N()))
	}
	return r
}
