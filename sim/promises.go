package sim

import (
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// promises checks what correct replicas sign against what they have heard and what they signed before
// (protocol-core.md 11.1, items 2, 3, 4, 5, 7).
type promises struct {
	*ledger
	fail        func(format string, args ...any)
	summaries   []*wire.Summary               // by replica: its last
	introduced  []uint64                      // by replica: requests that it introduced, if it is correct
	skipped     []wire.Vector                 // by replica: what was eligible where its last jump landed
	landed      []uint64                      // and that ordinal
	checkpoints map[checkpointKey]wire.Digest // that correct replicas voted for
	views       *views

	turnarounds    [][]reportedTurnaround // by replica: the longer ones of late, when they were first reported
	lastTurnaround []reportedTurnaround
	remembers      time.Duration // for how long a turnaround counts at least
	now            func() clock.Instant
}

func newPromises(l *ledger, fail func(string, ...any)) *promises {
	return &promises{ledger: l, fail: fail, summaries: make([]*wire.Summary, l.group.N()), introduced: make([]uint64, l.group.N()),
		views: newViews(l, fail), turnarounds: make([][]reportedTurnaround, l.group.N()),
		skipped: make([]wire.Vector, l.group.N()), landed: make([]uint64, l.group.N()), checkpoints: map[checkpointKey]wire.Digest{},
		lastTurnaround: make([]reportedTurnaround, l.group.N()), now: func() clock.Instant { return 0 }}
}

// flooded notes that by passes a proposal or a replay of another replica on.
func (p *promises) flooded(by group.ID, send *effect.Send) {
	if m, ok := send.Signed.Msg.(*wire.Replay); ok {
		v := p.resolved(&m.Proof.Resolution)
		v.flooded[by.Index()] = v.flooded[by.Index()].Union(send.To)
	}
	m, ok := send.Signed.Msg.(*wire.PrePrepare)
	if !ok {
		return
	}
	v := p.proposal(proposalKey{m.View, m.Ordinal}, send.Signed.Digest)
	v.flooded[by.Index()] = v.flooded[by.Index()].Union(send.To)
}

// signed checks a message that a correct replica signs, and lets the replica itself have heard it.
func (p *promises) signed(env *wire.Envelope) {
	p.said(env)
	p.heard(env.Sender, env)
	switch m := env.Msg.(type) {
	case *wire.PreorderRequest:
		p.introduce(env, m)
	case *wire.PreorderAck:
		p.ack(env, m)
	case *wire.Summary:
		p.summary(env, m)
	case *wire.SummaryMatrix:
		p.rows(env, m.Rows)
	case *wire.PrePrepare:
		p.prePrepare(env, m)
	case *wire.Turnaround:
		p.turnaround(env, m)
	case *wire.Prepare:
		p.prepare(env, m)
	case *wire.Commit:
		p.commit(env, m)
	case *wire.Checkpoint:
		p.vote(env, m)
	case *wire.Parts:
		for k := range m.List {
			p.part(env, &m.List[k])
		}
	default:
		p.views.signed(env)
	}
}

// introduce checks that a correct origin uses a sequence number once.
func (p *promises) introduce(env *wire.Envelope, m *wire.PreorderRequest) {
	last := &p.introduced[env.Sender.Index()]
	if m.Seq != *last+1 {
		p.fail("%s introduces request %d after request %d", env.Sender, m.Seq, *last)
	}
	*last = m.Seq
	for _, v := range p.requestAt(requestKey{env.Sender, m.Seq}).variants {
		if v.msg != nil && v.digest != env.Digest {
			p.fail("%s introduces two requests as number %d", env.Sender, m.Seq)
		}
	}
}

func (p *promises) ack(env *wire.Envelope, m *wire.PreorderAck) {
	if m.Incarnations != p.membership {
		p.fail("%s acknowledges under another membership", env.Sender)
	}
	for _, part := range m.Parts {
		if !p.counts(part) {
			p.fail("%s acknowledges a request of nobody: origin %d, incarnation %d", env.Sender, part.ID.Origin,
				part.ID.Incarnation)
			return
		}
		slot := p.requestAt(requestKey{part.ID.Origin, part.ID.Seq})
		v, first := slot.find(part.Digest), &slot.promised[env.Sender.Index()]
		certified := p.certified(env.Sender, v)
		switch {
		case part.Certified && !certified:
			p.fail("%s says that %s %d has a certificate, but holds none", env.Sender, part.ID.Origin, part.ID.Seq)
		case !v.holders.Has(env.Sender):
			p.fail("%s acknowledges %s %d, which it does not hold", env.Sender, part.ID.Origin, part.ID.Seq)
		case *first == wire.Digest{}:
			*first = part.Digest
		case *first != part.Digest && !certified:
			p.fail("%s acknowledges two requests as %s %d", env.Sender, part.ID.Origin, part.ID.Seq)
		}
	}
}

func (p *promises) summary(env *wire.Envelope, m *wire.Summary) {
	by := env.Sender
	last := p.summaries[by.Index()]
	p.summaries[by.Index()] = m
	if len(m.Vector) != p.group.N() {
		p.fail("%s's summary has %d entries", by, len(m.Vector))
		return
	}
	if last != nil && (m.Number <= last.Number || m.Time < last.Time || !m.Vector.Covers(last.Vector)) {
		p.fail("%s's summary %d contradicts its summary %d", by, m.Number, last.Number)
		return
	}
	for i, to := range m.Vector {
		from := uint64(0)
		if last != nil {
			from = last.Vector[i].Seq
		}
		if jumped := p.skipped[by.Index()]; jumped != nil {
			from = max(from, jumped[i].Seq)
		}
		if to.Seq > 0 && to.Incarnation != p.incarnations[i] {
			p.fail("%s's summary has incarnation %d of %s", by, to.Incarnation, group.FromIndex(i))
			return
		}
		for seq := from + 1; seq <= to.Seq; seq++ {
			if !p.holdsCertificate(by, requestKey{group.FromIndex(i), seq}) {
				p.fail("%s's summary covers %s %d, for which it has no certificate", by, group.FromIndex(i), seq)
				return
			}
		}
	}
}

func (p *promises) holdsCertificate(who group.ID, key requestKey) bool {
	slot := p.requests[key]
	if slot == nil {
		return false
	}
	for _, v := range slot.variants {
		if p.preordered(who, v) {
			return true
		}
	}
	return false
}

// rows checks that a matrix that a correct replica sends has in each row a summary of that row's replica.
func (p *promises) rows(env *wire.Envelope, rows wire.Rows) {
	if len(rows) != p.group.N() {
		p.fail("%s sends a matrix of %d rows", env.Sender, len(rows))
		return
	}
	for i, row := range rows {
		if row != nil && (row.Kind != wire.KindSummary || row.Sender != group.FromIndex(i)) {
			p.fail("%s sends a %s of %s as row of %s", env.Sender, row.Kind, row.Sender, group.FromIndex(i))
		}
	}
}

func (p *promises) prePrepare(env *wire.Envelope, m *wire.PrePrepare) {
	p.rows(env, m.Rows)
	if env.Sender != p.group.Leader(m.View) {
		p.fail("%s proposes in view %d", env.Sender, m.View)
		return
	}
	for _, v := range p.proposalAt(proposalKey{m.View, m.Ordinal}).variants {
		if v.msg != nil && v.digest != env.Digest {
			p.fail("%s proposes twice for view %d, ordinal %d", env.Sender, m.View, m.Ordinal)
		}
	}
	p.views.begins(env.Sender, m.View, m.Ordinal, "proposes")
	if v := p.proposal(proposalKey{m.View, m.Ordinal}, env.Digest); !p.follows(env.Sender, m) {
		p.fail("%s proposes for ordinal %d on a base that no proposal before it made eligible", env.Sender, m.Ordinal)
	} else if v.eligible.Covers(m.Base) && m.Base.Covers(v.eligible) {
		p.fail("%s proposes ordinal %d, which orders nothing", env.Sender, m.Ordinal)
	}
}

// follows reports whether the base of a proposal is what some proposal for the ordinal before it, known to who, made
// eligible, or, where a view begins, its window; or else what was decided.
func (p *promises) follows(who group.ID, m *wire.PrePrepare) bool {
	equal := func(at wire.Vector) bool { return at.Covers(m.Base) && m.Base.Covers(at) }
	if m.Ordinal == 1 {
		return equal(make(wire.Vector, p.group.N()))
	}
	if slot := p.proposals[proposalKey{m.View, m.Ordinal - 1}]; slot != nil {
		for _, v := range slot.variants {
			if v.holders.Has(who) && equal(v.eligible) {
				return true
			}
		}
	}
	if at, ok := p.views.line(m.Ordinal - 1); ok && p.views.by[who.Index()].delivered >= m.Ordinal-1 && equal(at) {
		return true
	}
	if m.View == 1 {
		return false
	}
	if w := p.views.window(who, m.View); w != nil && w.resolution.Start == m.Ordinal {
		at, ok := p.views.base(who, m.View)
		return ok && equal(at)
	}
	at, ok := p.views.line(m.Ordinal - 1)
	return ok && equal(at)
}

func (p *promises) prepare(env *wire.Envelope, m *wire.Prepare) {
	by := env.Sender
	if m.Incarnations != p.membership {
		p.fail("%s prepares under another membership", by)
		return
	}
	p.views.begins(by, m.View, m.Ordinal, "prepares")
	slot := p.proposalAt(proposalKey{m.View, m.Ordinal})
	v, before := slot.find(m.Proposal), &slot.prepared[by.Index()]
	if *before != nil && *before != v {
		p.fail("%s prepares two proposals for view %d, ordinal %d", by, m.View, m.Ordinal)
	}
	*before = v
	everybody := p.group.Others(by).Without(p.group.Leader(m.View))
	switch {
	case by == p.group.Leader(m.View):
		p.fail("%s prepares its own proposal", by)
	case v.msg == nil || !v.holders.Has(by):
		p.fail("%s prepares a proposal for ordinal %d that it does not have", by, m.Ordinal)
	case !p.follows(by, v.msg):
		p.fail("%s prepares ordinal %d, whose base does not follow from ordinal %d", by, m.Ordinal, m.Ordinal-1)
	case everybody.Minus(v.flooded[by.Index()]) != 0:
		p.fail("%s prepares ordinal %d without having passed the proposal on to %s", by, m.Ordinal,
			everybody.Minus(v.flooded[by.Index()]))
	}
}

func (p *promises) commit(env *wire.Envelope, m *wire.Commit) {
	by := env.Sender
	if m.Incarnations != p.membership {
		p.fail("%s commits under another membership", by)
		return
	}
	p.views.begins(by, m.View, m.Ordinal, "commits")
	p.views.committing(by, m.Vote)
	slot := p.proposalAt(proposalKey{m.View, m.Ordinal})
	v, before := slot.find(m.Proposal), &slot.commits[by.Index()]
	if *before != nil && *before != v {
		p.fail("%s commits two proposals for view %d, ordinal %d", by, m.View, m.Ordinal)
	}
	*before = v
	prepares := v.prepares[by.Index()].Without(p.group.Leader(m.View))
	if !v.holders.Has(by) || prepares.Len() < p.group.Prepares() {
		p.fail("%s commits ordinal %d with %d PREPAREs (%s)", by, m.Ordinal, prepares.Len(), prepares)
	}
}

// ordered is what who holds a certificate for at an ordinal: a proposal that was committed, or the binding of a window, of
// which the proposal is nil if it is a no-op. normal says which of the two; ok is false if there is no certificate.
func (p *promises) ordered(who group.ID, ordinal uint64) (v *proposalVariant, normal, ok bool) {
	for view := p.topView; view > 0; view-- {
		slot := p.proposals[proposalKey{view, ordinal}]
		if slot == nil {
			continue
		}
		for _, v := range slot.variants {
			if v.holders.Has(who) && v.committed[who.Index()].Len() >= p.group.Quorum() {
				return v, true, true
			}
		}
	}
	for _, w := range p.choices {
		if w.committed[who.Index()].Len() < p.group.Quorum() || !p.compute(w) {
			continue
		}
		if digest, bound := w.binds(ordinal); bound {
			v := p.byDigest[digest]
			return v, false, v != nil && v.holders.Has(who) || digest == (wire.Digest{})
		}
	}
	return nil, false, false
}

// unique checks that no two certificates bind one id or one place to different things. It looks at everything that anybody
// signed, so it finds a pair even if no replica holds both.
func (p *promises) unique() {
	for _, key := range p.requestKeys {
		certified := 0
		for _, v := range p.requests[key].variants {
			if v.ackers.Len() >= p.group.Quorum() {
				certified++
			}
		}
		if certified > 1 {
			p.fail("two requests have a preorder certificate as %s %d", key.origin, key.seq)
		}
	}
	for _, key := range p.proposalKeys {
		prepared, committed := 0, 0
		for _, v := range p.proposals[key].variants {
			if v.preparers.Without(p.group.Leader(key.view)).Len() >= p.group.Prepares() && v.msg != nil {
				prepared++
			}
			if v.committers.Len() >= p.group.Quorum() {
				committed++
			}
		}
		if prepared > 1 || committed > 1 {
			p.fail("view %d, ordinal %d: %d prepare certificates, %d commit certificates", key.view, key.ordinal, prepared,
				committed)
		}
	}
}

// turnaround checks that what a correct replica reported of a leader counts for a while: nobody gains by being slow only now and
// then. remembers is for how long.
func (p *promises) turnaround(env *wire.Envelope, m *wire.Turnaround) {
	i := env.Sender.Index()
	now := p.now()
	kept := p.turnarounds[i][:0]
	for _, t := range p.turnarounds[i] {
		if t.view != m.View || now.Sub(t.at) > p.remembers {
			continue
		}
		if kept = append(kept, t); m.Nanos < t.nanos {
			p.fail("%s reports a turnaround of %v; %v ago it was %v", env.Sender, time.Duration(m.Nanos), now.Sub(t.at), time.Duration(t.nanos))
		}
	}
	p.turnarounds[i] = kept
	if last := &p.lastTurnaround[i]; last.view != m.View || last.nanos < m.Nanos { // it has just been measured
		p.turnarounds[i] = append(kept, reportedTurnaround{m.View, m.Nanos, now})
	}
	p.lastTurnaround[i] = reportedTurnaround{m.View, m.Nanos, now}
}

// reportedTurnaround is what a replica reported of a leader, and when.
type reportedTurnaround struct {
	view, nanos uint64
	at          clock.Instant
}
