package preorder

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// mayAck is the next number of a lane to acknowledge, 0 if there is none. Acks are contiguous.
func (s *State) mayAck(i int) uint64 {
	l := &s.lanes[i]
	if l.acked >= l.held {
		return 0
	}
	if s.blacklist.Has(group.FromIndex(i)) && !l.slots.At(l.acked+1).bound {
		return 0
	}
	return l.acked + 1
}

func (s *State) toAck() bool {
	for i := range s.lanes {
		if s.mayAck(i) != 0 {
			return true
		}
	}
	return false
}

// sendAcks acknowledges everything that may be, in as few messages as hold it.
func (s *State) sendAcks(now clock.Instant, out *effect.Output) {
	var parts []wire.AckPart
	for i := range s.lanes {
		for seq := s.mayAck(i); seq != 0; seq = s.mayAck(i) {
			parts = append(parts, s.part(i, seq))
			s.lanes[i].acked = seq
		}
	}
	s.ack.Done(now)
	s.emitAcks(s.cfg.Group.All(), parts, out)
}

// part acknowledges the request held in a slot: the bound one if a digest is bound.
func (s *State) part(i int, seq uint64) wire.AckPart {
	at := s.lanes[i].slots.At(seq)
	return wire.AckPart{ID: s.id(i, seq), Digest: at.request.Digest, Certified: at.bound && at.request.Digest == at.digest}
}

func (s *State) emitAcks(to group.Set, parts []wire.AckPart, out *effect.Output) {
	for len(parts) > 0 {
		some := parts[:min(len(parts), MaxAckParts)]
		parts = parts[len(some):]
		m := &wire.PreorderAck{Incarnations: s.cfg.Membership, Parts: some}
		out.Sends = append(out.Sends, effect.Send{To: to, Class: wire.Bounded, Msg: m})
	}
}

// OnAck handles a PO-ACK.
func (s *State) OnAck(now clock.Instant, env *wire.Envelope, out *effect.Output) {
	m := env.Msg.(*wire.PreorderAck)
	if m.Incarnations != s.cfg.Membership {
		drop(out, env.Sender, "ack under other incarnations")
		return
	}
	for k := range m.Parts {
		p := &m.Parts[k]
		i := p.ID.Origin.Index()
		l := &s.lanes[i]
		switch {
		case p.ID.Incarnation != s.cfg.Incarnations[i]:
			drop(out, env.Sender, "ack of another incarnation")
		case p.ID.Seq <= l.slots.Base():
			// Collected: an ack that comes late means nothing.
		case p.ID.Seq > s.horizon(l):
			drop(out, env.Sender, "ack beyond the window")
		default:
			s.tally(now, i, p, env.Sender, out)
		}
	}
}

// tally counts one acknowledgement and binds the slot if that completes a certificate.
func (s *State) tally(now clock.Instant, i int, p *wire.AckPart, from group.ID, out *effect.Output) {
	at := s.touch(&s.lanes[i], p.ID.Seq, now)
	t := at.tallyOf(p, from)
	if t == nil {
		drop(out, from, "acknowledges too many digests")
		return
	}
	if group.FromIndex(i) == s.cfg.Self && !t.ackers.Has(from) {
		s.peers[from.Index()].acked = max(now, 1)
	}
	t.ackers = t.ackers.With(from)
	if p.Certified {
		t.certified = t.certified.With(from)
	}
	if !at.bound && (t.ackers.Len() >= s.cfg.Group.Quorum() || t.certified.Len() >= s.cfg.Group.OneCorrect()) {
		at.bound, at.digest = true, t.digest
		s.rise(i, out)
	}
	if _, missing := s.missing(&s.lanes[i], p.ID.Seq, at); missing {
		s.fetchAt = min(s.fetchAt, now.Add(s.cfg.Fetch))
	}
}

// tallyOf is the tally in which an acknowledgement counts, nil if it counts in none: a correct replica acknowledges one
// digest, or a second one for which it holds a certificate.
func (at *slot) tallyOf(p *wire.AckPart, from group.ID) *tally {
	var found *tally
	for k := range at.tallies {
		if at.tallies[k].digest == p.Digest {
			found = &at.tallies[k]
			break
		}
	}
	if found != nil && found.ackers.Has(from) {
		return found
	}
	if at.voted.Has(from) && (at.twice.Has(from) || !p.Certified) {
		return nil
	}
	if found == nil {
		at.tallies = append(at.tallies, tally{digest: p.Digest})
		found = &at.tallies[len(at.tallies)-1]
	}
	at.twice = at.twice.Union(at.voted.Intersect(group.SetOf(from)))
	at.voted = at.voted.With(from)
	return found
}
