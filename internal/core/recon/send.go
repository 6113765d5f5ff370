package recon

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// Plan says that a proposal with these rows was accepted, which makes eligible what is after from up to to. Where this replica
// is one of a lane's senders, it will send its parts.
func (s *State) Plan(now clock.Instant, rows wire.Rows, from, to wire.Vector, known Requests) {
	for i := range to {
		if !from[i].Less(to[i]) || !s.senders(rows, i, to[i]).Has(s.cfg.Self) {
			continue
		}
		first := uint64(1)
		if from[i].Incarnation == to[i].Incarnation {
			first = from[i].Seq + 1
		}
		first = max(first, s.lanes[i].slots.Base()+1)
		for seq := first; seq <= to[i].Seq; seq++ {
			s.plan(now, i, seq, known)
		}
	}
}

// senders are the first Q replicas, by id, whose rows reach a position of a lane; a proposal that makes the position eligible
// has that many.
func (s *State) senders(rows wire.Rows, i int, reach wire.Position) (set group.Set) {
	for j, row := range rows {
		if row == nil || set.Len() == s.cfg.Group.Quorum() {
			continue
		}
		if at := row.Msg.(*wire.Summary).Vector[i]; at.Incarnation == reach.Incarnation && at.Seq >= reach.Seq {
			set = set.With(group.FromIndex(j))
		}
	}
	return set
}

// plan queues this replica's part of a request, unless that was done before, for another proposal.
func (s *State) plan(now clock.Instant, i int, seq uint64, known Requests) {
	l := &s.lanes[i]
	request := known.Preordered(group.FromIndex(i), seq)
	if request == nil || seq > s.horizon(l) {
		return
	}
	at := l.slots.Make(seq)
	if at == nil || at.planned {
		return
	}
	at.planned = true
	s.queue = append(s.queue, planned{due: now.Add(s.cfg.Wait), request: request})
}

// Advance has the parts cut whose time has come, if somebody still lacks the request.
func (s *State) Advance(now clock.Instant, known Requests, out *effect.Output) {
	for len(s.queue) > 0 && s.queue[0].due <= now {
		request := s.queue[0].request
		if s.queue = s.queue[1:]; len(s.queue) == 0 {
			s.queue = nil
		}
		m := request.Msg.(*wire.PreorderRequest)
		if to := s.lacking(request.Sender, m.Seq, known); to != 0 {
			id := wire.PreorderID{Origin: request.Sender, Position: wire.Position{Incarnation: request.Incarnation, Seq: m.Seq}}
			out.Jobs = append(out.Jobs, effect.Job{ID: id, To: to, Request: request})
		}
	}
}

// lacking is who is not known to hold a request. Its origin has it, and who is proven faulty need not.
func (s *State) lacking(origin group.ID, seq uint64, known Requests) group.Set {
	return s.cfg.Group.Others(s.cfg.Self).Without(origin).Minus(known.Holders(origin, seq)).Minus(s.blacklist)
}

// send sends this replica's part of a request that has been cut to those who still lack it.
func (s *State) send(d *effect.Done, known Requests, out *effect.Output) {
	to := d.To.Intersect(s.lacking(d.ID.Origin, d.ID.Seq, known))
	if to == 0 || d.Part == nil {
		return
	}
	s.counters.Sent += uint64(to.Len())
	s.counters.SentBytes += uint64(to.Len() * len(d.Part.Bytes))
	out.Sends = append(out.Sends, effect.Send{To: to, Class: wire.Recon, Msg: d.Part})
	out.Emit(trace.Event{Kind: trace.PartSent, Origin: d.ID.Origin, Seq: d.ID.Seq})
}
