package recon

import (
	"cmp"
	"slices"

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
	if now < s.Deadline() {
		return
	}
	next, behind := batch{number: s.batched + 1}, known.Behind()
	for len(s.queue) > 0 && s.queue[0].due <= now {
		request := s.queue[0].request
		if s.queue = s.queue[1:]; len(s.queue) == 0 {
			s.queue = nil
		}
		m := request.Msg.(*wire.PreorderRequest)
		if to := s.lacking(request.Sender, m.Seq, known).Minus(behind); to != 0 {
			id := wire.PreorderID{Origin: request.Sender, Position: wire.Position{Incarnation: request.Incarnation, Seq: m.Seq}}
			out.Jobs = append(out.Jobs, effect.Job{ID: id, To: to, Batch: next.number, Request: request})
			next.left++
		}
	}
	if next.left > 0 {
		s.batched, s.batches = next.number, append(s.batches, next)
	}
}

// lacking is who is not known to hold a request. Its origin has it, and who is proven faulty need not.
func (s *State) lacking(origin group.ID, seq uint64, known Requests) group.Set {
	return s.cfg.Group.Others(s.cfg.Self).Without(origin).Minus(known.Holders(origin, seq)).Minus(s.blacklist)
}

// cut takes this replica's part of a request. When all that were cut together are done, they are sent.
func (s *State) cut(d *effect.Done, known Requests, out *effect.Output) {
	k := slices.IndexFunc(s.batches, func(b batch) bool { return b.number == d.Batch })
	if k < 0 {
		return
	}
	b := &s.batches[k]
	if b.left--; d.Part != nil {
		b.parts = append(b.parts, ready{*d.Part, d.To})
	}
	if b.left == 0 {
		s.send(b, known, out)
		s.batches = slices.Delete(s.batches, k, k+1)
	}
}

// send sends the parts of a batch to those who still lack their requests: what the same replicas lack in the same messages.
func (s *State) send(b *batch, known Requests, out *effect.Output) {
	slices.SortFunc(b.parts, func(x, y ready) int {
		return cmp.Or(cmp.Compare(x.part.ID.Origin, y.part.ID.Origin), cmp.Compare(x.part.ID.Seq, y.part.ID.Seq))
	})
	var all group.Set
	for k := range b.parts {
		p := &b.parts[k]
		id := p.part.ID
		p.to = p.to.Intersect(s.lacking(id.Origin, id.Seq, known))
		if n := p.to.Len(); n > 0 {
			s.counters.Sent += uint64(n)
			s.counters.SentBytes += uint64(n * len(p.part.Bytes))
			out.Emit(trace.Event{Kind: trace.PartSent, Origin: id.Origin, Seq: id.Seq})
		}
		all = all.Union(p.to)
	}
	for all != 0 {
		var list []wire.Part
		same := all
		for k := range b.parts {
			if p := &b.parts[k]; first(all).Intersect(p.to) != 0 {
				list, same = append(list, p.part), same.Intersect(p.to)
			} else {
				same = same.Minus(p.to)
			}
		}
		all = all.Minus(same)
		for len(list) > 0 {
			n := fitting(list)
			out.Sends = append(out.Sends, effect.Send{To: same, Class: wire.Recon, Msg: &wire.Parts{List: list[:n:n]}})
			list = list[n:]
		}
	}
}

// fitting is how many of the first parts go into one RECON, at least one.
func fitting(list []wire.Part) (n int) {
	for size := 0; n < len(list) && n < wire.MaxParts; n++ {
		if size += list[n].Size(); n > 0 && size > wire.ReconBytes {
			break
		}
	}
	return n
}

// first is the first of a set that is not empty.
func first(s group.Set) group.Set {
	for id := range s.All() {
		return group.SetOf(id)
	}
	return 0
}
