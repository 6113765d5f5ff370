package attack

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// equivocate introduces different requests under one number, one half of the group sees one and the other half the other.
func equivocate() Behaviour {
	return Behaviour{
		Name: "equivocate", Hides: true, Does: "sends two PO-REQUESTs under one number, each to one half of the group",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) { splitRequest(h, s, put, false) }),
	}
}

// equivocateToTwo does the same, but only two replicas see the second request: it cannot be preordered, and they need healing.
func equivocateToTwo() Behaviour {
	return Behaviour{
		Name: "equivocate-to-two", Hides: true, Does: "sends another PO-REQUEST under the same number to two replicas",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) { splitRequest(h, s, put, true) }),
	}
}

func splitRequest(h *Host, s effect.Send, put func(effect.Send), two bool) {
	m, ok := s.Msg.(*wire.PreorderRequest)
	if !ok {
		put(s)
		return
	}
	deceived := h.Group.All().Minus(half(h.Group.All())).Without(h.Self)
	if two {
		deceived = h.anyone().Union(h.anyone())
	}
	put(effect.Send{To: s.To.Intersect(deceived), Class: s.Class, Signed: h.Sign(otherRequest(m))})
	s.To = s.To.Minus(deceived)
	put(s)
}

// otherRequest differs from m and is as valid: where clients sign their updates, it can only order them otherwise.
func otherRequest(m *wire.PreorderRequest) *wire.PreorderRequest {
	other := &wire.PreorderRequest{Seq: m.Seq, Updates: append([]wire.Update(nil), m.Updates...)}
	last := len(other.Updates) - 1
	if last < 0 {
		other.Updates = []wire.Update{{}} // a transfer point: nobody has to sign it
		return other
	}
	if u := &other.Updates[last]; u.Sig == (wire.Signature{}) {
		u.Payload = append([]byte(nil), u.Payload...)
		if len(u.Payload) == 0 {
			u.Seq++
		} else {
			u.Payload[0] ^= 1
		}
	} else if last > 0 {
		other.Updates[0], other.Updates[last] = other.Updates[last], other.Updates[0]
	} else {
		other.Updates = append(other.Updates, other.Updates[0])
	}
	return other
}
