package recon

import (
	"slices"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// OnParts handles a RECON: of each of its parts, the first of its sender for a request is kept while the request is lacking, and if it
// is the (f+1)-th with its digest and root, the request is put together.
func (s *State) OnParts(env *wire.Envelope, known Requests, out *effect.Output) {
	m := env.Msg.(*wire.Parts)
	for k := range m.List {
		s.onPart(env, &m.List[k], known, out)
	}
}

func (s *State) onPart(env *wire.Envelope, m *wire.Part, known Requests, out *effect.Output) {
	i, j := m.ID.Origin.Index(), env.Sender.Index()
	l := &s.lanes[i]
	s.counters.Received++
	switch {
	case m.ID.Incarnation != s.cfg.Incarnations[i]:
		drop(out, env.Sender, "part of another incarnation")
		return
	case m.ID.Seq <= l.slots.Base():
		s.counters.Unneeded++ // executed: it comes late
		return
	case m.ID.Seq > s.horizon(l):
		drop(out, env.Sender, "part beyond the window")
		return
	}
	at := l.slots.Make(m.ID.Seq)
	switch {
	case at.from.Has(env.Sender):
		drop(out, env.Sender, "second part of one request")
	case known.Has(m.ID.Origin, m.ID.Seq, m.Digest):
		s.counters.Unneeded++
		at.from = at.from.With(env.Sender)
		at.accuse(env, m, known.Preordered(m.ID.Origin, m.ID.Seq), out)
	case l.stored[j]+cost(m) > s.cfg.Stored || s.pinned[j]+len(env.Raw) > s.cfg.Stored*s.cfg.Group.N():
		drop(out, env.Sender, "too many parts")
	default:
		at.from = at.from.With(env.Sender)
		at.parts = append(at.parts, env)
		l.stored[j], s.pinned[j] = l.stored[j]+cost(m), s.pinned[j]+len(env.Raw)
		s.gather(at, m, out)
	}
}

// gather has the parts with the digest and root of m put together if they are enough.
func (s *State) gather(at *slot, m *wire.Part, out *effect.Output) {
	var same []*wire.Envelope
	for _, e := range at.parts {
		if p := e.Msg.(*wire.Parts).Find(m.ID); p.Digest == m.Digest && p.Root == m.Root {
			same = append(same, e)
		}
	}
	if len(same) < s.cfg.Group.OneCorrect() || slices.Contains(at.tried, m.Root) {
		return
	}
	at.tried = append(at.tried, m.Root)
	out.Jobs = append(out.Jobs, effect.Job{ID: m.ID, Parts: same})
}

// joined takes a request that came together, and convicts whoever sent a wrong part of it.
func (s *State) joined(d *effect.Done, out *effect.Output) *wire.Envelope {
	if d.Joined == nil {
		s.counters.Spoiled++
		return nil
	}
	s.counters.Joined++
	out.Emit(trace.Event{Kind: trace.Reconciled, Origin: d.ID.Origin, Seq: d.ID.Seq})
	l := &s.lanes[d.ID.Origin.Index()]
	if at := l.slots.At(d.ID.Seq); at != nil {
		at.digest, at.root = d.Joined.Digest, d.Parts[0].Msg.(*wire.Parts).Find(d.ID).Root
		for _, e := range at.parts {
			at.accuse(e, e.Msg.(*wire.Parts).Find(d.ID), d.Joined, out)
		}
		s.forget(d.ID, at)
	}
	return d.Joined
}

// accuse convicts the sender of a part whose root is not that of the request that it names. Anybody can check: the request is
// what its digest says, and cutting it gives the root.
func (at *slot) accuse(recon *wire.Envelope, m *wire.Part, request *wire.Envelope, out *effect.Output) {
	if at.digest == (wire.Digest{}) || m.Digest != at.digest || m.Root == at.root || request == nil || !m.Names(request) {
		return
	}
	out.Evidence = append(out.Evidence, wire.Evidence{First: recon, Second: request})
}

func drop(out *effect.Output, from group.ID, why trace.Reason) {
	out.Emit(trace.Event{Kind: trace.Dropped, Peer: from, Reason: why})
}
