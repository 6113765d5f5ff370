package catchup

import (
	"slices"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// Limits of what one peer is answered.
const (
	MaxLinks     = 1024      // links of an outline: a longer way is caught up in several rounds
	SegmentBytes = 256 << 10 // contents of one segment
	MaxAsks      = 4         // questions of a peer that wait; more are dropped
	ServeBytes   = 1 << 20   // what it is answered in a Fetch interval, and one message more
)

// History is what answering asks of the core.
type History interface {
	// Held are the first and the last ordinal that can be told; first is one more than last if there is none.
	Held() (first, last uint64)
	// Link is what executing an ordinal left behind: one from Held, or the one before the first.
	Link(ordinal uint64) wire.Digest
	// Ordinal is one of Held with the contents of all its requests. The receiver may change it, but not the requests.
	Ordinal(ordinal uint64) wire.SegmentOrdinal
	// Tell tells a peer how far this replica is.
	Tell(to group.ID, out *effect.Output)
}

// asker is what answering keeps of one peer.
type asker struct {
	credit   int           // bytes that it may still be answered
	refillAt clock.Instant // when credit is full again
	asks     []question    // the oldest first, at most MaxAsks
}

// question is an OUTLINE-ASK or a SEGMENT-ASK.
type question struct {
	wire.SegmentAsk
	outline bool
}

// OnOutlineAsk handles an OUTLINE-ASK.
func (s *State) OnOutlineAsk(now clock.Instant, env *wire.Envelope, h History, out *effect.Output) {
	m := env.Msg.(*wire.OutlineAsk)
	s.take(now, env.Sender, question{wire.SegmentAsk{From: m.From, To: m.To}, true}, h, out)
}

// OnSegmentAsk handles a SEGMENT-ASK.
func (s *State) OnSegmentAsk(now clock.Instant, env *wire.Envelope, h History, out *effect.Output) {
	s.take(now, env.Sender, question{*env.Msg.(*wire.SegmentAsk), false}, h, out)
}

// take answers a question, now or when its sender has credit again, if what it is about is held here.
func (s *State) take(now clock.Instant, from group.ID, q question, h History, out *effect.Output) {
	a := &s.askers[from.Index()]
	switch first, last := h.Held(); {
	case from == s.cfg.Self || slices.Contains(a.asks, q):
		return
	case q.From+1 < first:
		out.Emit(trace.Event{Kind: trace.OutOfHistory, Peer: from, Ordinal: q.From + 1})
		return
	case q.To > last:
		drop(out, from, "asks for what is not executed here")
		return
	case len(a.asks) == MaxAsks:
		drop(out, from, "asks faster than is answered")
		return
	}
	a.asks = append(a.asks, q)
	s.answer(now, from, h, out)
}

// Serve answers what waited for credit.
func (s *State) Serve(now clock.Instant, h History, out *effect.Output) {
	for i := range s.askers {
		if len(s.askers[i].asks) > 0 {
			s.answer(now, group.FromIndex(i), h, out)
		}
	}
}

// answer answers a peer's questions as far as its credit goes. While it asks it hears how far this replica is, once in a Fetch interval, so
// that its next round reaches as far.
func (s *State) answer(now clock.Instant, to group.ID, h History, out *effect.Output) {
	a := &s.askers[to.Index()]
	if now >= a.refillAt {
		a.credit, a.refillAt = ServeBytes, now.Add(s.cfg.Fetch)
		h.Tell(to, out)
	}
	for len(a.asks) > 0 && a.credit > 0 {
		q := a.asks[0]
		if a.asks = a.asks[1:]; len(a.asks) == 0 {
			a.asks = nil
		}
		if first, _ := h.Held(); q.From+1 < first {
			continue // it was collected meanwhile
		}
		send := effect.Send{To: group.SetOf(to), Class: wire.Recon}
		if q.outline {
			m := outline(q.From, q.To, h)
			send.Msg = m
			a.credit -= len(m.Links) * len(wire.Digest{})
		} else {
			m, bytes := told(&q.SegmentAsk, h)
			send.Msg = m
			a.credit -= bytes
		}
		out.Sends = append(out.Sends, send)
	}
}

// serveDeadline is when a question that waits can be answered.
func (s *State) serveDeadline() clock.Instant {
	first := clock.Never
	for i := range s.askers {
		if a := &s.askers[i]; len(a.asks) > 0 {
			first = min(first, a.refillAt)
		}
	}
	return first
}

// outline is the links on a way that is held here.
func outline(from, to uint64, h History) *wire.Outline {
	m := &wire.Outline{From: from, To: to, Links: make([]wire.Digest, wire.Links(from, to))}
	for k := range m.Links {
		m.Links[k] = h.Link(end(from, to, k))
	}
	return m
}

// end is the ordinal of the k-th link of an outline.
func end(from, to uint64, k int) uint64 {
	return min((from/wire.Spacing+1+uint64(k))*wire.Spacing, to)
}

// told is the answer to a SEGMENT-ASK for what is held here, and its bytes, about.
func told(q *wire.SegmentAsk, h History) (m *wire.Segment, bytes int) {
	m = &wire.Segment{From: q.From, To: q.To, Before: h.Link(q.From)}
	for o := q.From + 1; o <= q.To; o++ {
		m.Ordinals = append(m.Ordinals, h.Ordinal(o))
	}
	return m, m.Trim(q.Skip, SegmentBytes, h.Link)
}

func drop(out *effect.Output, from group.ID, why trace.Reason) {
	out.Emit(trace.Event{Kind: trace.Dropped, Peer: from, Reason: why})
}

// Resume goes on with another interval, after this replica was away.
func (s *State) Resume(fetch time.Duration) {
	s.cfg.Fetch = fetch
	s.abandon()
}
