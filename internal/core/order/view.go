package order

import (
	"cmp"
	"slices"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// Preinstall moves to a view that is not installed. From now on nothing is signed for older views (addendum A4); their prepare
// certificates are kept for the report, those of the highest view (A9).
func (s *State) Preinstall(view uint64) {
	s.view, s.installed = view, false
	for o := s.executed + 1; o <= s.farthest(); o++ {
		at := s.slots.At(o)
		if at == nil {
			continue
		}
		r := &at.round
		if r.prepared {
			at.best = s.prepareCertificate(r)
		}
		if p := r.proposal; p != nil && (r.announced || r.prepared || p.Sender == s.cfg.Self) {
			at.known = append(at.known, r.proposal)
			at.known = at.known[max(0, len(at.known)-maxKnown):]
		}
		at.round, at.awaited = round{}, wire.Digest{}
	}
	s.retreat(s.executed + 1)
}

// prepareCertificate is the certificate of a round that is prepared, without its proposal.
func (s *State) prepareCertificate(r *round) *wire.Prepared {
	m := r.proposal.Msg.(*wire.PrePrepare)
	p := &wire.Prepared{Vote: wire.Vote{View: m.View, Ordinal: m.Ordinal, Proposal: r.proposal.Digest, Incarnations: m.Incarnations}}
	for _, v := range r.votes[:s.cfg.Group.N()] {
		if v != nil && proposalOf(v) == r.proposal.Digest && len(p.Prepares) < s.cfg.Group.Prepares() {
			p.Prepares = append(p.Prepares, v)
		}
	}
	return p
}

// Prepared is the prepare certificates of views from after on, for every ordinal beyond what is executed: what a report has to
// say (addendum A5 d).
func (s *State) Prepared(after uint64) (list []wire.Prepared) {
	for o := s.executed + 1; o <= s.high; o++ {
		if at := s.slots.At(o); at != nil && at.best != nil && at.best.Vote.View >= after {
			list = append(list, *at.best)
		}
	}
	return list
}

// Bind orders the window of a view, wherever it is not executed yet: what Q replicas committed to in a view change is so, now
// and later (addendum A10).
func (s *State) Bind(now clock.Instant, w *wire.Window) {
	first := w.Resolution.Base + 1
	for k, digest := range w.Bindings {
		o := first + uint64(k)
		if o <= s.executed || o > s.farthest() {
			continue
		}
		at := s.slots.Make(o)
		if at.seen == 0 {
			at.seen = max(now, 1)
		}
		if at.ordered {
			continue
		}
		s.retreat(o)
		at.ordered, at.bound, at.binding, at.proposal = true, true, digest, at.find(digest)
		s.high, s.known = max(s.high, o), max(s.known, o)
	}
	s.keep(w)
}

// Await says that the view will probably bind ordinals in this way: proposals that are not here are asked for already.
func (s *State) Await(now clock.Instant, w *wire.Window) {
	for k, digest := range w.Bindings {
		o := w.Resolution.Base + 1 + uint64(k)
		if digest == (wire.Digest{}) || o <= s.executed || o > s.farthest() {
			continue
		}
		at := s.slots.Make(o)
		if at.seen == 0 {
			at.seen = max(now, 1)
		}
		if !at.ordered && at.find(digest) == nil {
			at.awaited = digest
			s.high = max(s.high, o)
		}
	}
}

// keep keeps a window as long as somebody may need it: the newest always, and older ones for what only they prove.
func (s *State) keep(w *wire.Window) {
	for _, old := range s.windows {
		if old.Resolution.View == w.Resolution.View {
			return
		}
	}
	s.windows = append(s.windows, w)
	slices.SortFunc(s.windows, func(a, b *wire.Window) int { return cmp.Compare(a.Resolution.View, b.Resolution.View) })
	newest := &s.windows[len(s.windows)-1].Resolution
	s.windows = slices.DeleteFunc(s.windows, func(old *wire.Window) bool {
		r := &old.Resolution
		return r.View < newest.View && (r.Start <= max(r.Base, s.slots.Base())+1 || r.Base >= newest.Base)
	})
}

// find is a proposal that is here, by digest.
func (at *slot) find(digest wire.Digest) *wire.Envelope {
	if p := at.round.proposal; p != nil && p.Digest == digest {
		return p
	}
	for _, p := range at.known {
		if p.Digest == digest {
			return p
		}
	}
	return nil
}

// Install begins normal ordering in a view, with its window. The proposals and certificates of the view that came early are
// acted on now (addendum A8), those of older views are gone (A9).
func (s *State) Install(now clock.Instant, w *wire.Window, out *effect.Output) {
	if w.Resolution.View != s.view {
		s.Preinstall(w.Resolution.View)
	}
	s.Bind(now, w)
	s.installed, s.start = true, w.Resolution.Start
	s.high = s.highest()
	s.next = max(s.start, s.executed+1)
	s.retreat(s.executed + 1)
	s.shown = append(wire.Vector(nil), s.chain...)
	s.showAt, s.propose = clock.Never, clock.Pacer{Interval: s.cfg.Propose}
	for o := s.executed + 1; o <= s.farthest(); o++ {
		at := s.slots.At(o)
		if at == nil {
			continue
		}
		at.best, at.awaited = nil, wire.Digest{}
		if p := at.round.proposal; p != nil {
			s.certify(at, p.Msg.(*wire.PrePrepare), out)
		}
	}
}

// highest is the highest ordinal that is ordered, bound, or proposed in this view, as far as the window reaches; what was only
// proposed in older views is forgotten.
func (s *State) highest() uint64 {
	last := s.farthest()
	high := min(max(s.executed, s.start-1), last)
	for o := last; o > high; o-- {
		if at := s.slots.At(o); at != nil && (at.ordered || at.round.proposal != nil) {
			return o
		}
	}
	return high
}

// Installed is the highest view that is installed: the current one, or the one that it is to replace.
func (s *State) Installed() bool { return s.installed }

// Eligibility computes what rows make eligible.
func (s *State) Eligibility(rows wire.Rows) wire.Vector {
	into := make(wire.Vector, s.cfg.Group.N())
	Eligible(s.cfg.Group, rows, into)
	return into
}

// windowOf is the certificate of the window that an ordinal is in.
func (s *State) windowOf(ordinal uint64) *wire.Window {
	for k := len(s.windows) - 1; k >= 0; k-- {
		if w := s.windows[k]; w.Resolution.Base < ordinal && ordinal < w.Resolution.Start {
			return w
		}
	}
	return nil
}

// HelpView sends a replica that has not installed the current view its window.
func (s *State) HelpView(from group.ID, out *effect.Output) {
	for _, w := range s.windows {
		if s.installed && w.Resolution.View == s.view {
			out.Sends = append(out.Sends, effect.Send{To: group.SetOf(from), Class: wire.Bounded, Msg: w})
		}
	}
}

// Missing is the proposals that ordinals are bound to and that are not here.
func (s *State) Missing() (digests []wire.Digest) {
	for o := s.executed + 1; o <= s.high; o++ {
		switch at := s.slots.At(o); {
		case at == nil || at.ordered && !at.bound:
		case at.bound && at.proposal == nil && at.binding != (wire.Digest{}):
			digests = append(digests, at.binding)
		case !at.bound && at.awaited != (wire.Digest{}) && at.find(at.awaited) == nil:
			digests = append(digests, at.awaited)
		}
	}
	return digests
}

// Holds is a proposal that is here, by digest, for a replica that lacks it.
func (s *State) Holds(digest wire.Digest) *wire.Envelope {
	for o := s.slots.Base() + 1; o <= s.high; o++ {
		at := s.slots.At(o)
		if at == nil {
			continue
		}
		if at.proposal != nil && at.proposal.Digest == digest {
			return at.proposal
		}
		if p := at.find(digest); p != nil {
			return p
		}
	}
	return nil
}
