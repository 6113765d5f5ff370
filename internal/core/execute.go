package core

import (
	"slices"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/core/order"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// slice is how many ordinals one step executes at most; the rest follows in the next steps, so that TIMELY input comes in
// between.
const slice = 16

// execute delivers ordered ordinals, each once everything that it makes eligible is preordered here. It reports whether it
// delivered any.
func (r *Replica) execute(now clock.Instant, out *effect.Output) bool {
	r.unsliced = false
	for done := 0; ; done++ {
		o := r.next(now, out)
		if o == nil {
			return done > 0
		}
		if done == slice {
			r.unsliced = true
			return true
		}
		if r.deliver(o, out); r.since == (progress{}) {
			r.unsliced = true // the checkpoint is of the state after this step
			return true
		}
	}
}

// ordinal is the next ordinal to execute.
type ordinal struct {
	time     int64
	eligible wire.Vector
	requests []*wire.Envelope // those between the execution vector and eligible: origins ascending, then sequence numbers (5.2)
	learned  bool             // from what others told: it is not ordered here, and its requests have no proofs
	bytes    int              // what is kept of it beside the requests, about
}

// next is the next ordinal if it can be executed: it is ordered and everything that it makes eligible is preordered here, or others told
// it. Nil if it cannot.
func (r *Replica) next(now clock.Instant, out *effect.Output) *ordinal {
	proposal, eligible, ok := r.order.Next()
	if !ok {
		return r.learned(out)
	}
	if missing, ready := r.preorder.Ready(eligible); !ready {
		if o := r.learned(out); o != nil {
			return o
		}
		r.preorder.Hurry(now, r.order.Due())
		if next := r.executed() + 1; r.waiting != next {
			r.waiting = next
			out.Emit(trace.Event{Kind: trace.Waiting, Ordinal: next, Origin: missing.Origin, Seq: missing.Seq})
		}
		return nil
	}
	o := &ordinal{time: r.time, eligible: eligible}
	if proposal != nil { // otherwise a view change bound it to nothing
		o.time = order.Time(r.cfg.Group, proposal.Msg.(*wire.PrePrepare).Rows, r.time)
		o.bytes = len(proposal.Raw) + 512*r.cfg.Group.Quorum()
	}
	for i := range eligible {
		for seq := r.vector[i].Seq + 1; seq <= eligible[i].Seq; seq++ {
			o.requests = append(o.requests, r.preorder.Request(group.FromIndex(i), seq))
		}
	}
	return o
}

// deliver executes the next ordinal: its requests in order, and their updates as packed. Updates that took effect before are left out;
// if nothing is left it is a no-op.
func (r *Replica) deliver(o *ordinal, out *effect.Output) {
	number, bytes := r.executed()+1, 512+o.bytes
	r.time = o.time
	d := effect.Delivery{Ordinal: number, Time: r.time}
	digests, updates := make([]wire.Digest, len(o.requests)), 0
	for _, request := range o.requests {
		updates += len(request.Msg.(*wire.PreorderRequest).Updates)
	}
	d.Updates, d.Origins = make([]wire.Update, 0, updates), make([]group.ID, 0, updates)
	for k, request := range o.requests {
		bytes += len(request.Content) + 768
		digests[k] = request.Digest
		r.since.bytes += len(request.Content)
		r.take(request, &d)
	}
	if o.learned {
		r.preorder.Learn(o.requests, out)
		r.order.Learn(o.eligible)
		r.catchup.Took()
	} else {
		r.order.MarkExecuted()
	}
	r.preorder.Executed(o.eligible)
	if r.recon != nil {
		r.recon.Executed(o.eligible)
	}
	r.link = effect.Link(r.link, number, r.time, o.eligible, digests)
	*r.held.Make(number) = executed{bytes: bytes, proof: o.bytes, time: r.time, link: r.link, before: r.vector, eligible: o.eligible}
	r.heldBytes += bytes
	r.vector = o.eligible
	r.since.ordinals++
	r.beatAt = r.nextBeat(r.now)
	d.State = r.checkpoint()
	r.collect(out)
	out.Deliver = append(out.Deliver, d)
	out.Emit(trace.Event{Kind: trace.Executed, Ordinal: number, Seq: uint64(len(d.Updates))})
}

// progress is what was executed since a checkpoint was due.
type progress struct{ ordinals, bytes int }

// checkpoint is the state to be kept if a checkpoint is due now. What was executed decides that, so it is due at the same ordinals
// everywhere.
func (r *Replica) checkpoint() *effect.State {
	l := &r.cfg.Limits
	overdue := r.overdue()
	if !overdue && (l.CheckpointOrdinals == 0 || r.since.ordinals < l.CheckpointOrdinals) &&
		(l.CheckpointBytes == 0 || r.since.bytes < l.CheckpointBytes) {
		return nil
	}
	r.since, r.checkpointed = progress{}, r.time
	return &effect.State{
		Ordinal: r.executed(), Time: r.time, Vector: r.vector, Chain: r.link, Transfers: slices.Clone(r.transfers.last),
		Sessions: r.sessions.AppendState(nil),
	}
}

// take adds the updates of a request that take effect to a delivery. Transfer points that do not leave no trace.
func (r *Replica) take(request *wire.Envelope, d *effect.Delivery) {
	updates := request.Msg.(*wire.PreorderRequest).Updates
	for k := range updates {
		u := &updates[k]
		if u.TransferPoint() {
			if r.transfers.execute(r.now, request.Sender, r.cfg.Self, r.time) {
				d.Updates, d.Origins = append(d.Updates, *u), append(d.Origins, request.Sender)
			}
			continue
		}
		if why := r.sessions.Execute(u.Client, u.Seq, r.time); why != 0 {
			d.Dropped = append(d.Dropped, effect.Refusal{Client: u.Client, Seq: u.Seq, Why: why})
			continue
		}
		d.Updates = append(d.Updates, *u)
		d.Origins = append(d.Origins, request.Sender)
	}
}

// collect forgets the oldest executed ordinals, and their requests, beyond what is kept for peers that are behind. The last
// one always stays: later ones build on what it made eligible. What was executed after the stable checkpoint stays too, for whoever
// goes on from there, unless a new one does not become stable for far too long.
func (r *Replica) collect(out *effect.Output) {
	last := r.order.Collected()
	executed := r.executed()
	r.unprove(executed)
	first := last
	for last+1 < executed && r.excess(last, executed) {
		last++
		r.heldBytes -= r.held.At(last).bytes
		r.gone = r.held.At(last).link
	}
	if last == first {
		return
	}
	r.held.Advance(last)
	r.preorder.Collect(r.order.Collect(last))
	out.Emit(trace.Event{Kind: trace.Collected, Ordinal: last})
}

// proofs is for how many view windows executed ordinals are kept with what proves them, which is most of what small ones take.
const proofs = 4

// unprove forgets what proves the ordinal that is now too old for it.
func (r *Replica) unprove(executed uint64) {
	if kept := uint64(proofs * ViewWindow(r.cfg.Limits)); executed > kept {
		if at := r.held.At(executed - kept); at != nil {
			r.order.Unprove(executed - kept)
			r.heldBytes -= at.proof
			at.bytes, at.proof = at.bytes-at.proof, 0
		}
	}
}

// excess reports whether the ordinal after last is more than has to be kept.
//
// Nobody else may have executed the last view window of ordinals: of the Q replicas that ordered them f may be faulty, and the others may
// lack the COMMITs. What all wait for is then here alone. So it stays, whatever its bytes, until a checkpoint after it is stable,
// which f+1 correct replicas have. It reaches back far enough: f+k+1 correct replicas took part in ordering the newest ordinal, so they
// lack no more than a view window, and with them everybody gets on.
func (r *Replica) excess(last, executed uint64) bool {
	l, held, bytes := &r.cfg.Limits, executed-last, r.cfg.Limits.HistoryBytes
	if last < r.checkpoints.Stable().Ordinal {
		return held > uint64(l.History) || r.heldBytes > bytes
	}
	if l.CheckpointOrdinals+l.CheckpointBytes > 0 {
		bytes += 4 * max(l.CheckpointBytes, l.HistoryBytes)
	}
	return held > uint64(Kept(*l)) || held > uint64(ViewWindow(*l)) && r.heldBytes > bytes
}

// Kept is how many executed ordinals are kept at most: the history, and what was executed since the stable checkpoint, which is as
// much as four checkpoints are apart or, where their distance is only one of bytes, four times the history; a view window in any case.
func Kept(l Limits) int {
	most := l.History
	switch {
	case l.CheckpointOrdinals > 0:
		most += 4 * l.CheckpointOrdinals
	case l.CheckpointBytes > 0:
		most *= 5
	}
	return max(most, ViewWindow(l))
}
