package core

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/core/preorder"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// Culprit is who is proven faulty by two envelopes whose signatures have been checked, 0 if they prove nothing: two
// PO-REQUESTs under one number, two PO-SUMMARYs that are inconsistent, two PRE-PREPAREs for one view and ordinal,
// two REPLAYs or two REPORTs for one view, two CHECKPOINTs for one ordinal; or a RECON and the PO-REQUEST that it is no part of.
func Culprit(e *wire.Evidence) group.ID {
	a, b := e.First, e.Second
	if m, ok := a.Msg.(*wire.Parts); ok { // whoever hands one in has cut the request and found another root
		if b.Epoch == a.Epoch && m.Of(b) != nil {
			return a.Sender
		}
		return 0
	}
	if a.Sender != b.Sender || a.Kind != b.Kind || a.Epoch != b.Epoch || a.Incarnation != b.Incarnation || a.Digest == b.Digest {
		return 0
	}
	proven := false
	switch m := a.Msg.(type) {
	case *wire.PreorderRequest:
		proven = m.Seq == b.Msg.(*wire.PreorderRequest).Seq
	case *wire.Summary:
		proven = preorder.Inconsistent(m, b.Msg.(*wire.Summary))
	case *wire.PrePrepare:
		o := b.Msg.(*wire.PrePrepare)
		proven = m.View == o.View && m.Ordinal == o.Ordinal
	case *wire.Replay:
		p, q := &m.Proof.Resolution, &b.Msg.(*wire.Replay).Proof.Resolution
		proven = p.View == q.View && p.Digest() != q.Digest()
	case *wire.Report:
		proven = m.View == b.Msg.(*wire.Report).View
	case *wire.Checkpoint:
		proven = m.Ordinal == b.Msg.(*wire.Checkpoint).Ordinal
	}
	if !proven {
		return 0
	}
	return a.Sender
}

// onEvidence takes a peer's proof as our own, if it is one.
func (r *Replica) onEvidence(m *wire.Evidence, out *effect.Output) {
	for _, e := range [...]*wire.Envelope{m.First, m.Second} {
		if !r.permits(e, out) {
			return
		}
	}
	out.Evidence = append(out.Evidence, *m)
}

// convict acts on the proofs that this step found: the first for each culprit blacklists it and is passed on to everybody;
// the others are dropped from the output, so that a liar cannot make anybody log or send without limit. Two REPORTs are not passed
// on: they can be as large as no other message.
func (r *Replica) convict(from int, out *effect.Output) {
	kept := from
	for k := from; k < len(out.Evidence); k++ {
		e := out.Evidence[k]
		culprit := Culprit(&e)
		if culprit == 0 || r.blacklist.Has(culprit) {
			continue
		}
		r.blacklist = r.blacklist.With(culprit)
		r.preorder.Blacklist(culprit)
		if r.recon != nil {
			r.recon.Blacklist(culprit)
		}
		r.suspect.Discount(culprit, r.order.Eligibility)
		r.order.Blacklist(culprit, r.preorder.Rows())
		out.Evidence[kept] = e
		kept++
		out.Emit(trace.Event{Kind: trace.Blacklisted, Peer: culprit})
		if e.First.Kind != wire.KindReport {
			out.Sends = append(out.Sends, effect.Send{To: r.cfg.Group.Others(r.cfg.Self), Class: wire.Bounded, Msg: &e})
		}
	}
	clear(out.Evidence[kept:])
	out.Evidence = out.Evidence[:kept]
}
