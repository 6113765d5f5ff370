package catchup

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// segment is what lies between two links of the outline. What it is becomes known from the end on, message by message: the ordinals
// after rest are known, with a digest for each request. Then the contents that are still missing are asked for.
type segment struct {
	from, to uint64
	rest     uint64      // from <= rest <= to
	link     wire.Digest // of rest
	parts    []part      // what is known, the last ordinals first
	bytes    int         // of contents that are here
	asked    []asked     // who was asked for something, the oldest first
}

// part is ordinals that came in one message, and have to be asked for as one.
type part struct {
	from, to uint64
	link     wire.Digest // of to
	ordinals []wire.SegmentOrdinal
	missing  int // requests whose content is not here
}

// asked is one question to one peer, at most one answer to which is looked at.
type asked struct {
	peer     group.ID
	at       clock.Instant
	from, to uint64
	open     bool // it is waited for
	answered bool
	doubled  bool // somebody else was asked for the same meanwhile, or nobody could be
}

// MaxAsked is how many questions about one segment are remembered, so that an answer that comes late is of use.
const MaxAsked = 8

// Next is the ordinal after the last executed one, if it is here with all its requests; nil if it is not.
func (s *State) Next(executed uint64) *wire.SegmentOrdinal {
	for k := range s.active {
		g := &s.active[k]
		if executed < g.from || executed >= g.to {
			continue
		}
		for i := range g.parts {
			p := &g.parts[i]
			if executed < p.from || executed >= p.to {
				continue
			}
			o := &p.ordinals[executed-p.from]
			for r := range o.Requests {
				if o.Requests[r].Request == nil {
					return nil
				}
			}
			return o
		}
	}
	return nil
}

// Took says that the core has executed what Next gave.
func (s *State) Took() { s.counters.Ordinals++ }

// Misfits says that what Next gave cannot be executed here. More than f replicas vouch for something wrong.
func (s *State) Misfits() { s.abandon() }

// fetch forgets what has been executed, and asks for what is missing.
func (s *State) fetch(now clock.Instant, out *effect.Output) {
	for len(s.active) > 0 && s.active[0].to <= s.executed {
		s.close(&s.active[0])
		s.buffered -= s.active[0].bytes
		s.active = s.active[1:]
	}
	for k := range s.active {
		s.expire(now, &s.active[k])
	}
	for k := 0; ; k++ {
		if k == len(s.active) && !s.open() {
			return
		}
		if g := &s.active[k]; g.waiting() == 0 {
			if k == 0 || s.buffered < MaxBuffered {
				s.ask(now, g, out)
			}
		} else if k == 0 && now >= s.expires(g, true) {
			g.double()
			s.ask(now, g, out)
		}
	}
}

// double notes that somebody else is asked what is waited for.
func (g *segment) double() {
	for i := range g.asked {
		g.asked[i].doubled = true
	}
}

// open makes the next segment active; false if there is none, or enough wait.
func (s *State) open() bool {
	for ; s.next < len(s.links); s.next++ {
		from, to := s.from, end(s.from, s.to, s.next)
		if s.next > 0 {
			from = end(s.from, s.to, s.next-1)
		}
		if to <= s.executed {
			continue
		}
		if len(s.active) == Active || len(s.active) > 0 && s.buffered >= MaxBuffered {
			return false
		}
		s.active = append(s.active, segment{from: from, to: to, rest: to, link: s.links[s.next]})
		s.next++
		return true
	}
	return false
}

// need is what has to be asked for next; false if all is here.
func (g *segment) need() (q wire.SegmentAsk, ok bool) {
	if g.rest > g.from {
		return wire.SegmentAsk{From: g.from, To: g.rest}, true
	}
	for i := len(g.parts) - 1; i >= 0; i-- {
		if p := &g.parts[i]; p.missing > 0 {
			return wire.SegmentAsk{From: p.from, To: p.to, Skip: p.first()}, true
		}
	}
	return q, false
}

// first is the number of the first request whose content is not here.
func (p *part) first() (number uint32) {
	for i := range p.ordinals {
		for r := range p.ordinals[i].Requests {
			if p.ordinals[i].Requests[r].Request == nil {
				return number
			}
			number++
		}
	}
	return number
}

// waiting is how many questions are waited for.
func (g *segment) waiting() (count int) {
	for i := range g.asked {
		if g.asked[i].open {
			count++
		}
	}
	return count
}

// ask asks one peer for what a segment needs, if there is one that may be asked.
func (s *State) ask(now clock.Instant, g *segment, out *effect.Output) {
	q, ok := g.need()
	if !ok {
		return
	}
	id := s.choose(g)
	if id == 0 {
		return
	}
	s.turn = id.Index() + 1
	p := &s.peers[id.Index()]
	p.open++
	if p.wait == 0 {
		p.wait = s.firstWait()
	}
	if len(g.asked) == MaxAsked {
		s.forget(g)
	}
	g.asked = append(g.asked, asked{peer: id, at: now, from: q.From, to: q.To, open: true})
	out.Sends = append(out.Sends, effect.Send{To: group.SetOf(id), Class: wire.Bounded, Msg: &q})
}

// forget drops the oldest question about a segment.
func (s *State) forget(g *segment) {
	if g.asked[0].open {
		s.peers[g.asked[0].peer.Index()].open--
	}
	g.asked = g.asked[1:]
}

// choose is whom to ask about a segment: of those who vouched for the links and have not lied, one who is not slow if there is any, with
// the fewest questions, in turn; nobody who is asked about it already. 0: nobody may be asked now.
func (s *State) choose(g *segment) (best group.ID) {
	able := s.givers.Minus(s.liars)
	for i := range g.asked {
		if a := &g.asked[i]; a.open {
			able = able.Without(a.peer)
		}
	}
	if fast := s.fast(able); fast != 0 {
		able = fast
	} else if s.fast(s.givers.Minus(s.liars)) != 0 {
		return 0 // the only ones that are not slow have been asked
	}
	n := len(s.peers)
	for k := range n {
		i := (s.turn + k) % n
		id, p := group.FromIndex(i), &s.peers[i]
		if able.Has(id) && p.open < Outstanding && (best == 0 || p.open < s.peers[best.Index()].open) {
			best = id
		}
	}
	return best
}

// fast is those of a set who are not slow.
func (s *State) fast(set group.Set) (fast group.Set) {
	for id := range set.All() {
		if !s.peers[id.Index()].slow {
			fast = fast.With(id)
		}
	}
	return fast
}

// expire stops waiting for answers that are late.
func (s *State) expire(now clock.Instant, g *segment) {
	for i := range g.asked {
		a := &g.asked[i]
		p := &s.peers[a.peer.Index()]
		if !a.open || now < a.at.Add(p.wait) {
			continue
		}
		a.open, p.slow = false, true
		p.open--
		s.counters.Late++
	}
}

// close stops waiting for answers that are not needed any more.
func (s *State) close(g *segment) {
	for i := range g.asked {
		if a := &g.asked[i]; a.open {
			a.open = false
			s.peers[a.peer.Index()].open--
		}
	}
}

// overtaken stops waiting for whoever else was asked for the same. Who is overtaken by somebody who was asked later is slow.
func (s *State) overtaken(g *segment) {
	for i := range g.asked {
		if a := &g.asked[i]; a.open && a.doubled {
			s.peers[a.peer.Index()].slow = true
			s.counters.Late++
		}
	}
	s.close(g)
}

// expires is when the next question about a segment is late. That which execution waits for is asked for a second time after a quarter.
func (s *State) expires(g *segment, lowest bool) clock.Instant {
	first := clock.Never
	for i := range g.asked {
		a := &g.asked[i]
		if !a.open {
			continue
		}
		wait := s.peers[a.peer.Index()].wait
		if lowest && !a.doubled {
			wait = min(wait, s.firstWait()/4)
		}
		first = min(first, a.at.Add(wait))
	}
	return first
}

// OnSegment handles a SEGMENT that was asked for: it must lead to the link that is known.
func (s *State) OnSegment(now clock.Instant, env *wire.Envelope, out *effect.Output) {
	m := env.Msg.(*wire.Segment)
	g, a := s.question(env.Sender, m)
	if a == nil {
		drop(out, env.Sender, "segment that was not asked for")
		return
	}
	took := now.Sub(a.at)
	p := &s.peers[env.Sender.Index()]
	if a.answered = true; a.open {
		a.open = false
		p.open--
	}
	link, into := g.place(m)
	switch {
	case link == nil:
		// Somebody else was faster.
	case chain(m) != *link:
		s.convict(env.Sender)
		drop(out, env.Sender, "segment that does not lead to the known link")
	default:
		p.slow, p.wait = false, min(max(p.wait, 2*took), mostOf)
		s.askAt = now.Add(patience * s.firstWait())
		s.overtaken(g)
		bytes := g.merge(m, into)
		s.buffered += bytes
		s.counters.Segments++
		s.counters.Bytes += uint64(bytes)
	}
	s.fetch(now, out)
}

// convict asks a replica that sent a wrong segment nothing more in this round.
func (s *State) convict(liar group.ID) {
	s.liars = s.liars.With(liar)
	s.counters.Wrong++
	for k := range s.active {
		for i := range s.active[k].asked {
			if a := &s.active[k].asked[i]; a.peer == liar {
				a.open, a.answered = false, true // what else it was asked for is not looked at
			}
		}
	}
	s.peers[liar.Index()].open = 0
}

// question is the segment that a message is about and the question that it answers, nil if it answers none.
func (s *State) question(from group.ID, m *wire.Segment) (*segment, *asked) {
	for k := range s.active {
		g := &s.active[k]
		for i := range g.asked {
			if a := &g.asked[i]; a.peer == from && !a.answered && a.to == m.To && a.from <= m.From {
				return g, a
			}
		}
	}
	return nil, nil
}

// place is the link that a message has to lead to and the part that it belongs to, nil if it is new; no link if the message is of no use
// any more.
func (g *segment) place(m *wire.Segment) (link *wire.Digest, into *part) {
	if m.To == g.rest && m.From >= g.from && g.rest > g.from {
		return &g.link, nil
	}
	for i := range g.parts {
		if p := &g.parts[i]; p.from == m.From && p.to == m.To && p.missing > 0 {
			return &p.link, p
		}
	}
	return nil, nil
}

// chain is the link that the ordinals of a message lead to.
func chain(m *wire.Segment) wire.Digest {
	link := m.Before
	var digests []wire.Digest
	for i := range m.Ordinals {
		o := &m.Ordinals[i]
		digests = digests[:0]
		for r := range o.Requests {
			digests = append(digests, o.Requests[r].Digest)
		}
		link = effect.Link(link, m.From+1+uint64(i), o.Time, o.Eligible, digests)
	}
	return link
}

// merge keeps what is new in a message that is right, and returns how many bytes of contents that is.
func (g *segment) merge(m *wire.Segment, into *part) (bytes int) {
	if into == nil {
		g.parts = append(g.parts, part{from: m.From, to: m.To, link: g.link, ordinals: m.Ordinals})
		g.rest, g.link = m.From, m.Before
		into = &g.parts[len(g.parts)-1]
		for i := range m.Ordinals {
			for r := range m.Ordinals[i].Requests {
				if e := m.Ordinals[i].Requests[r].Request; e != nil {
					bytes += len(e.Content)
				} else {
					into.missing++
				}
			}
		}
		g.bytes += bytes
		return bytes
	}
	for i := range m.Ordinals {
		for r := range m.Ordinals[i].Requests {
			at, e := &into.ordinals[i].Requests[r], m.Ordinals[i].Requests[r].Request
			if at.Request == nil && e != nil {
				at.Request = e
				into.missing--
				bytes += len(e.Content)
			}
		}
	}
	g.bytes += bytes
	return bytes
}
