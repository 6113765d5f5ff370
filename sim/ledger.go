package sim

import (
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// ledger remembers what replicas said and what each correct one has heard. It is built from the messages alone, so what it
// knows does not depend on the code under test.
type ledger struct {
	group        group.Group
	incarnations []uint32
	membership   wire.Digest
	requests     map[requestKey]*requestSlot
	proposals    map[proposalKey]*proposalSlot
	requestKeys  []requestKey // of requests, in the order in which they were first mentioned
	proposalKeys []proposalKey
	byDigest     map[wire.Digest]*proposalVariant // of proposals of leaders
	topView      uint64                           // the highest with a proposal
	changes
	vouching
}

// requestKey names a preorder request of the one incarnation that its origin has.
type requestKey struct {
	origin group.ID
	seq    uint64
}

// requestSlot has every request that somebody mentioned under one id.
type requestSlot struct {
	variants []*requestVariant
	promised []wire.Digest // by replica: the first digest that it acknowledged, if it is correct
}

// requestVariant is one of the requests that compete for an id; more than one only if the origin equivocates or somebody
// lies. The lists are by hearer.
type requestVariant struct {
	digest    wire.Digest
	msg       *wire.PreorderRequest // nil: nobody has sent it
	holders   group.Set             // correct replicas that received it
	ackers    group.Set             // whoever signed an acknowledgement
	acks      []group.Set           // whose acknowledgement the hearer has
	certified []group.Set           // who told the hearer that there is a certificate
	parts     []group.Set           // who sent the hearer a part
	parted    []group.Set           // by replica: to whom it sent its part
	learned   group.Set             // correct replicas that executed it from what others told
}

// proposalKey names a place that a leader can propose for.
type proposalKey struct{ view, ordinal uint64 }

// proposalSlot has every proposal that somebody mentioned for one place.
type proposalSlot struct {
	variants []*proposalVariant
	prepared []*proposalVariant // by replica: what it prepared, if it is correct
	commits  []*proposalVariant // by replica: what it committed, if it is correct
}

// proposalVariant is one of the proposals that compete for a place.
type proposalVariant struct {
	digest     wire.Digest
	msg        *wire.PrePrepare // nil: nobody has sent it
	eligible   wire.Vector      // what it makes eligible, its base included
	holders    group.Set        // correct replicas that received it
	flooded    []group.Set      // by replica: to whom it passed it on
	preparers  group.Set        // whoever signed a PREPARE
	committers group.Set        // whoever signed a COMMIT
	prepares   []group.Set      // by hearer
	committed  []group.Set      // by hearer
}

func newLedger(g group.Group, epoch uint32, incarnations []uint32) *ledger {
	return &ledger{
		group: g, incarnations: incarnations, membership: wire.HashIncarnations(epoch, incarnations),
		requests: map[requestKey]*requestSlot{}, proposals: map[proposalKey]*proposalSlot{},
		byDigest: map[wire.Digest]*proposalVariant{}, changes: newChanges(), vouching: newVouching(g.N()),
	}
}

func (l *ledger) requestAt(key requestKey) *requestSlot {
	s := l.requests[key]
	if s == nil {
		s = &requestSlot{promised: make([]wire.Digest, l.group.N())}
		l.requests[key] = s
		l.requestKeys = append(l.requestKeys, key)
	}
	return s
}

func (s *requestSlot) find(d wire.Digest) *requestVariant {
	for _, v := range s.variants {
		if v.digest == d {
			return v
		}
	}
	return nil
}

func (l *ledger) request(key requestKey, d wire.Digest) *requestVariant {
	s := l.requestAt(key)
	v := s.find(d)
	if v == nil {
		n := l.group.N()
		v = &requestVariant{digest: d, acks: make([]group.Set, n), certified: make([]group.Set, n),
			parts: make([]group.Set, n), parted: make([]group.Set, n)}
		s.variants = append(s.variants, v)
	}
	return v
}

func (l *ledger) proposalAt(key proposalKey) *proposalSlot {
	s := l.proposals[key]
	if s == nil {
		n := l.group.N()
		s = &proposalSlot{prepared: make([]*proposalVariant, n), commits: make([]*proposalVariant, n)}
		l.proposals[key] = s
		l.proposalKeys = append(l.proposalKeys, key)
	}
	return s
}

func (s *proposalSlot) find(d wire.Digest) *proposalVariant {
	for _, v := range s.variants {
		if v.digest == d {
			return v
		}
	}
	return nil
}

func (l *ledger) proposal(key proposalKey, d wire.Digest) *proposalVariant {
	s := l.proposalAt(key)
	v := s.find(d)
	if v == nil {
		n := l.group.N()
		v = &proposalVariant{digest: d, flooded: make([]group.Set, n), prepares: make([]group.Set, n),
			committed: make([]group.Set, n)}
		s.variants = append(s.variants, v)
	}
	return v
}

// said notes what env's sender said, when it said it.
func (l *ledger) said(env *wire.Envelope) {
	if !l.current(env) {
		return
	}
	switch m := env.Msg.(type) {
	case *wire.PreorderRequest:
		l.request(requestKey{env.Sender, m.Seq}, env.Digest).msg = m
	case *wire.PreorderAck:
		l.acknowledged(m, func(_ wire.AckPart, v *requestVariant) { v.ackers = v.ackers.With(env.Sender) })
	case *wire.Parts:
		l.parted(m, func(v *requestVariant) { v.ackers = v.ackers.With(env.Sender) })
	case *wire.PrePrepare:
		if env.Sender != l.group.Leader(m.View) {
			return // nobody's proposal
		}
		if v := l.proposal(proposalKey{m.View, m.Ordinal}, env.Digest); v.msg == nil {
			v.msg, v.eligible = m, l.eligible(m)
			l.byDigest[env.Digest], l.topView = v, max(l.topView, m.View)
		}
	case *wire.Prepare:
		if m.Incarnations == l.membership {
			v := l.proposal(proposalKey{m.View, m.Ordinal}, m.Proposal)
			v.preparers = v.preparers.With(env.Sender)
		}
	case *wire.Commit:
		if m.Incarnations == l.membership {
			v := l.proposal(proposalKey{m.View, m.Ordinal}, m.Proposal)
			v.committers = v.committers.With(env.Sender)
		}
	default:
		l.saidView(env)
	}
}

// heard notes that hearer has env now, and everything inside it.
func (l *ledger) heard(hearer group.ID, env *wire.Envelope) {
	if env == nil || !l.current(env) {
		return
	}
	i := hearer.Index()
	switch m := env.Msg.(type) {
	case *wire.PreorderRequest:
		v := l.request(requestKey{env.Sender, m.Seq}, env.Digest)
		v.holders = v.holders.With(hearer)
	case *wire.PreorderAck:
		l.acknowledged(m, func(part wire.AckPart, v *requestVariant) {
			v.acks[i] = v.acks[i].With(env.Sender)
			if part.Certified {
				v.certified[i] = v.certified[i].With(env.Sender)
			}
		})
	case *wire.Parts: // it says that its sender holds certificates
		l.parted(m, func(v *requestVariant) {
			v.parts[i], v.acks[i], v.certified[i] = v.parts[i].With(env.Sender), v.acks[i].With(env.Sender), v.certified[i].With(env.Sender)
		})
	case *wire.PrePrepare:
		if env.Sender == l.group.Leader(m.View) {
			v := l.proposal(proposalKey{m.View, m.Ordinal}, env.Digest)
			v.holders = v.holders.With(hearer)
		}
	case *wire.Prepare:
		if m.Incarnations == l.membership {
			v := l.proposal(proposalKey{m.View, m.Ordinal}, m.Proposal)
			v.prepares[i] = v.prepares[i].With(env.Sender)
		}
	case *wire.Commit:
		if m.Incarnations == l.membership {
			v := l.proposal(proposalKey{m.View, m.Ordinal}, m.Proposal)
			v.committed[i] = v.committed[i].With(env.Sender)
		}
	case *wire.Certificate:
		l.heard(hearer, m.PrePrepare)
		for _, c := range m.Commits {
			l.heard(hearer, c)
		}
	case *wire.Evidence:
		l.heard(hearer, m.First)
		l.heard(hearer, m.Second)
	case *wire.Outline, *wire.Segment:
		l.heardCatchUp(hearer, env)
	default:
		l.heardView(hearer, env)
	}
}

// current reports whether env is of this configuration and of its sender's one incarnation.
func (l *ledger) current(env *wire.Envelope) bool {
	return l.group.Has(env.Sender) && env.Incarnation == l.incarnations[env.Sender.Index()]
}

// counts reports whether a part of an acknowledgement can count: its origin exists and has that incarnation.
func (l *ledger) counts(part wire.AckPart) bool {
	o := part.ID.Origin
	return l.group.Has(o) && part.ID.Incarnation == l.incarnations[o.Index()]
}

// acknowledged calls f for the request that each part of m is about, if it can count.
func (l *ledger) acknowledged(m *wire.PreorderAck, f func(wire.AckPart, *requestVariant)) {
	if m.Incarnations != l.membership {
		return
	}
	for _, part := range m.Parts {
		if l.counts(part) {
			f(part, l.request(requestKey{part.ID.Origin, part.ID.Seq}, part.Digest))
		}
	}
}

// preordered reports whether what hearer has heard amounts to a preorder certificate for v: the request and either Q
// acknowledgements of it, or f+1 replicas that say that they hold a certificate, one of which is correct.
func (l *ledger) preordered(hearer group.ID, v *requestVariant) bool {
	return v.holders.Has(hearer) && l.certified(hearer, v)
}

// certified is preordered without the request itself.
func (l *ledger) certified(hearer group.ID, v *requestVariant) bool {
	i := hearer.Index()
	return v.learned.Has(hearer) || v.acks[i].Len() >= l.group.Quorum() || v.certified[i].Len() >= l.group.OneCorrect()
}

// eligible is what a proposal makes eligible: what its rows do, but never less than the base (protocol-core.md 4.4).
func (l *ledger) eligible(m *wire.PrePrepare) wire.Vector {
	out := l.ofRows(m)
	for c := range out {
		if out[c].Less(m.Base[c]) {
			out[c] = m.Base[c]
		}
	}
	return out
}

// ofRows is what the rows of a proposal make eligible: for each origin the Q-th highest entry of its column. There is one
// incarnation, so entries of any other count as nothing.
func (l *ledger) ofRows(m *wire.PrePrepare) wire.Vector {
	n, q := l.group.N(), l.group.Quorum()
	out := make(wire.Vector, n)
	column := make([]uint64, n)
	for c := range out {
		for i := range column {
			column[i] = 0
			if i >= len(m.Rows) || m.Rows[i] == nil || m.Rows[i].Sender != group.FromIndex(i) {
				continue
			}
			if s, ok := m.Rows[i].Msg.(*wire.Summary); ok && s.Vector[c].Incarnation == l.incarnations[c] {
				column[i] = s.Vector[c].Seq
			}
		}
		out[c] = wire.Position{Incarnation: l.incarnations[c], Seq: highest(column, q)}
		if seq := out[c].Seq; seq == 0 {
			out[c] = wire.Position{}
		}
	}
	return out
}

// highest is the q-th highest of values, found by counting: value v is it if at least q are v or more.
func highest(values []uint64, q int) (best uint64) {
	for _, v := range values {
		reached := 0
		for _, w := range values {
			if w >= v {
				reached++
			}
		}
		if reached >= q {
			best = max(best, v)
		}
	}
	return best
}
