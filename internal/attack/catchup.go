package attack

import (
	"slices"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// wrongOutline tells whoever catches up links that are none; allies tell the same.
func wrongOutline() Behaviour {
	return Behaviour{
		Name: "wrong-outline", Does: "answers OUTLINE-ASKs with wrong links, the same as its allies, and claims to be far ahead", Apart: true,
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			switch m := s.Msg.(type) {
			case *wire.Outline:
				lie := *m
				lie.Links = slices.Clone(m.Links)
				lie.Links[len(lie.Links)/2][0] ^= 1
				s.Msg = &lie
			case *wire.Status:
				lie := *m
				lie.Executed, lie.Oldest = m.Executed+1000, 1
				s.Msg = &lie
			}
			put(s)
		}),
	}
}

// wrongSegment tells the right links, and something else of what lies between them.
func wrongSegment() Behaviour {
	return Behaviour{
		Name: "wrong-segment", Does: "answers SEGMENT-ASKs with other times, vectors, links, requests and contents than were executed", Apart: true,
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			if m, ok := s.Msg.(*wire.Segment); ok {
				s.Msg = falseSegment(h, m)
			}
			put(s)
		}),
	}
}

// falseSegment is m with something changed.
func falseSegment(h *Host, m *wire.Segment) *wire.Segment {
	lie := *m
	lie.Ordinals = slices.Clone(m.Ordinals)
	o := &lie.Ordinals[h.Rand.IntN(len(lie.Ordinals))]
	o.Requests = slices.Clone(o.Requests)
	switch h.Rand.IntN(5) {
	case 0:
		lie.Before = h.digest()
		return &lie
	case 1:
		o.Eligible = slices.Clone(o.Eligible)
		o.Eligible[h.Rand.IntN(len(o.Eligible))].Seq++
		return &lie
	case 2: // in another order
		if len(o.Requests) > 1 && o.Requests[0] != o.Requests[1] {
			o.Requests[0], o.Requests[1] = o.Requests[1], o.Requests[0]
			return &lie
		}
	case 3: // with another request
		for k := range o.Requests {
			if e := o.Requests[k].Request; e != nil {
				request := *e.Msg.(*wire.PreorderRequest)
				if len(request.Updates) == 0 {
					continue
				}
				request.Updates = []wire.Update{{Client: wire.ClientID{1}, Seq: 1, Sig: request.Updates[0].Sig}}
				other := wire.NewEnvelope(e.Header, &request)
				o.Requests[k] = wire.SegmentRequest{Digest: other.Digest, Request: wire.WithoutProof(other)}
				return &lie
			}
		}
	}
	o.Time++
	return &lie
}
