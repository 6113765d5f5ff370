package attack

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// twoReports reports other things to one half of the group than to the other.
func twoReports() Behaviour {
	return Behaviour{
		Name: "two-reports", Does: "sends two REPORTs for one view, each to one half of the group",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			m, ok := s.Msg.(*wire.Report)
			if !ok {
				put(s)
				return
			}
			deceived := half(h.Group.All()).Without(h.Self)
			put(effect.Send{To: s.To.Intersect(deceived), Class: s.Class, Msg: falseReport(h, m)})
			s.To = s.To.Minus(deceived)
			put(s)
		}),
	}
}

// lyingReports reports falsely to everybody.
func lyingReports() Behaviour {
	return Behaviour{
		Name: "lying-reports", Does: "leaves out what it prepared and committed to, or claims to have executed more",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			if m, ok := s.Msg.(*wire.Report); ok {
				s.Msg = falseReport(h, m)
			}
			put(s)
		}),
	}
}

// forgedReports claims prepare certificates that only it signed.
func forgedReports() Behaviour {
	return Behaviour{
		Name: "forged-reports", Does: "reports prepare certificates of its own making",
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			if m, ok := s.Msg.(*wire.Report); ok {
				lie := &wire.Report{View: m.View, Executed: m.Executed, Carried: m.Carried}
				lie.Prepared = []wire.Prepared{h.certificate(m.View-1, m.Executed+1)}
				s.Msg = lie
			}
			put(s)
		}),
	}
}

// falseReport is m with something wrong that has to be found out, or can do no harm.
func falseReport(h *Host, m *wire.Report) *wire.Report {
	lie := *m
	lie.Prepared = append([]wire.Prepared(nil), m.Prepared...)
	switch h.Rand.IntN(7) {
	case 0: // nothing was prepared
		lie.Prepared = nil
	case 1: // something was left out
		if n := len(lie.Prepared); n > 0 {
			i := h.Rand.IntN(n)
			lie.Prepared = append(lie.Prepared[:i], lie.Prepared[i+1:]...)
		}
	case 2: // executed a little more
		lie.Executed += 1 + h.Rand.Uint64N(3)
		for len(lie.Prepared) > 0 && lie.Prepared[0].Vote.Ordinal <= lie.Executed {
			lie.Prepared = lie.Prepared[1:]
		}
	case 3: // or absurdly much
		lie.Executed, lie.Prepared = 1<<62, nil
	case 4: // nothing was ever executed or committed to
		lie.Executed, lie.Carried = 0, nil
	case 5: // a genuine certificate with fewer signers
		if n := len(lie.Prepared); n > 0 && len(lie.Prepared[n-1].Prepares) > 1 {
			lie.Prepared[n-1].Prepares = lie.Prepared[n-1].Prepares[1:]
		}
	case 6: // a genuine replay certificate with other bindings, which the digest gives away
		if c := m.Carried; c != nil && len(c.Bindings) > 0 {
			other := *c
			other.Bindings = append(wire.Bindings(nil), c.Bindings...)
			other.Bindings[h.Rand.IntN(len(other.Bindings))] = h.digest()
			lie.Carried = &other
		} else {
			lie.Carried = nil
		}
	}
	return &lie
}

// certificate is a prepare certificate of nothing.
func (h *Host) certificate(view, ordinal uint64) wire.Prepared {
	vote := wire.Vote{View: view, Ordinal: ordinal, Proposal: h.digest(), Incarnations: wire.HashIncarnations(1, h.Incarnations)}
	return wire.Prepared{Vote: vote, Prepares: []*wire.Envelope{h.Sign(&wire.Prepare{Vote: vote})}}
}
