package sim

import (
	"math/rand/v2"
	"time"

	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/parts"
	"github.com/primebft/prime/internal/wire"
)

// drawRepair decides whether requests are sent in parts to those who lack them; otherwise they are only fetched. It has
// randomness of its own, so that all else in a world is as it would be without it.
func drawRepair(rng *rand.Rand, p *plan) {
	p.limits.Recon = rng.IntN(8) > 0
	for i := range p.replicas {
		p.replicas[i].timing.Recon = choose(rng, 0, 0, span(rng, 0, p.net.latencyMax))
	}
}

// work has the jobs of a step done, one after the other, each after what it costs: about what hashing and coding take for each
// byte, and a signature's time for those that end with checking one.
func (w *world) work(n *node) {
	for i := range n.out.Jobs {
		done := n.worker.Do(n.out.Jobs[i])
		cost := n.plan.verifyCost
		if done.Request != nil {
			cost = time.Duration(len(done.Request.Raw)) * 2
		} else {
			for _, part := range done.Parts {
				cost += time.Duration(len(part.Raw)) * 2
			}
		}
		n.workFree = max(n.workFree, w.now).Add(cost)
		if n.correct() && w.calm.stage != raging {
			w.calm.working = max(w.calm.working, n.workFree.Sub(w.now))
		}
		w.queue.push(event{at: n.workFree, kind: complete, node: n.id, done: &done, life: len(n.ends)})
	}
}

// Repair is what correct replicas sent to bring requests to those who lack them, on the wire, and what it was good for.
type Repair struct {
	Parts        int // one for each receiver
	PartBytes    int
	Whole        int // PO-REQUESTs that were asked for, likewise
	WholeBytes   int
	RequestBytes int // what they sent of their own requests: what repair is measured against
	Joined       int // requests that came together from parts
	Unneeded     int // parts of requests that their receivers had already
	Most         int // bytes of parts and whole requests that one replica of one world sent, at most
}

// Add adds what happened in another world.
func (r *Repair) Add(o Repair) {
	r.Parts, r.PartBytes, r.Whole, r.WholeBytes = r.Parts+o.Parts, r.PartBytes+o.PartBytes, r.Whole+o.Whole, r.WholeBytes+o.WholeBytes
	r.RequestBytes, r.Joined, r.Unneeded = r.RequestBytes+o.RequestBytes, r.Joined+o.Joined, r.Unneeded+o.Unneeded
	r.Most = max(r.Most, o.Most)
}

// count counts a message that a replica sends to so many others.
func (r *Repair) count(s *effect.Send, env *wire.Envelope, receivers int) {
	bytes := receivers * len(env.Raw)
	switch {
	case s.Class == wire.Recon && env.Kind == wire.KindPart:
		r.Parts, r.PartBytes = r.Parts+receivers*len(env.Msg.(*wire.Parts).List), r.PartBytes+bytes
	case s.Class == wire.Recon && env.Kind == wire.KindPreorderRequest:
		r.Whole, r.WholeBytes = r.Whole+receivers, r.WholeBytes+bytes
	case env.Kind == wire.KindPreorderRequest:
		r.RequestBytes += bytes
	}
}

// repaired is the sum over the correct replicas of a world.
func (w *world) repaired() (sum Repair) {
	for _, n := range w.nodes {
		if !n.correct() {
			continue
		}
		r, c := n.repair, n.status().Repair
		r.Most, r.Joined, r.Unneeded = r.PartBytes+r.WholeBytes, int(c.Joined), int(c.Unneeded)
		sum.Add(r)
	}
	return sum
}

// complete gives a node the result of a job. A request that came together is one that it holds from then on; it takes parts of
// f+1 replicas, and must be what its origin sent.
func (w *world) complete(n *node, done *effect.Done) {
	if request := done.Joined; request != nil && n.correct() {
		v := w.ledger.request(requestKey{request.Sender, request.Msg.(*wire.PreorderRequest).Seq}, request.Digest)
		if from := v.parts[n.id.Index()]; from.Len() < w.plan.group.OneCorrect() || v.msg == nil {
			w.fail("%s puts request %d of %s together from parts of %s only", n.id, done.ID.Seq, done.ID.Origin, from)
		}
		w.ledger.heard(n.id, request)
	}
	w.step(n, core.Input{Done: done})
}

// partOf is the request that a part says it is of, nil if it cannot be one.
func (l *ledger) partOf(m *wire.Part) *requestVariant {
	if !l.counts(wire.AckPart{ID: m.ID}) {
		return nil
	}
	return l.request(requestKey{m.ID.Origin, m.ID.Seq}, m.Digest)
}

// parted gives f the requests that a RECON says it has parts of.
func (l *ledger) parted(m *wire.Parts, f func(*requestVariant)) {
	for k := range m.List {
		if v := l.partOf(&m.List[k]); v != nil {
			f(v)
		}
	}
}

// part checks that a correct replica sends parts of what it has preordered, and its own.
func (p *promises) part(env *wire.Envelope, m *wire.Part) {
	v := p.partOf(m)
	if v == nil || !p.preordered(env.Sender, v) {
		p.fail("%s sends a part of %s %d, for which it has no certificate", env.Sender, m.ID.Origin, m.ID.Seq)
		return
	}
	if code, err := parts.New(p.group); err != nil || m.Root != code.Root(p.content(m.ID, v)) ||
		m.Root != wire.PartRoot(env.Sender.Index(), m.Length, m.Bytes, m.Path) {
		p.fail("%s sends a wrong part of %s %d (%v)", env.Sender, m.ID.Origin, m.ID.Seq, err)
	}
}

// content is the content of a request, made from the message.
func (p *promises) content(id wire.PreorderID, v *requestVariant) []byte {
	return wire.NewEnvelope(wire.Header{Sender: id.Origin, Epoch: epoch, Incarnation: id.Incarnation}, v.msg).Content
}

// parted checks that a correct replica sends nobody its part of a request twice, nor to its origin.
func (p *promises) parted(by group.ID, send *effect.Send, m *wire.Part) {
	v := p.partOf(m)
	if v == nil {
		return // part says so
	}
	if again := v.parted[by.Index()].With(m.ID.Origin).With(by).Intersect(send.To); again != 0 {
		p.fail("%s sends its part of %s %d to %s, which has it", by, m.ID.Origin, m.ID.Seq, again)
	}
	v.parted[by.Index()] = v.parted[by.Index()].Union(send.To)
}
