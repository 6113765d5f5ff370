package core

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// Step implements Machine: handle one input, then advance as far as that allows.
func (r *Replica) Step(now clock.Instant, in Input, out *effect.Output) {
	proofs := len(out.Evidence)
	r.notice(now, out)
	out.Known = false
	switch {
	case in.Message != nil:
		r.receive(now, in.Message, out)
	case len(in.Submit) > 0:
		r.submit(in.Submit, out)
	case in.Resumed != nil:
		r.resume(now, in.Resumed)
	case in.Done != nil:
		r.finish(now, in.Done, out)
	case in.Transfer:
		r.transfers.want(now, r.cfg.Self, r.cfg.Wall)
	case in.Checkpointed != nil:
		r.checkpoints.Made(wire.Checkpoint{Ordinal: in.Checkpointed.Ordinal, Digest: in.Checkpointed.Digest}, out)
	case in.Restored != nil:
		r.jump(now, in.Restored, out)
	}
	r.advance(now, out)
	r.convict(proofs, out)
	if len(out.Evidence) > proofs {
		out.Known = false // whom a message convicts has to be remembered, although it is of no other use
	}
	r.due = r.deadline()
}

// notice finds out that this replica itself stood still: it is stepped later than it asked to be.
func (r *Replica) notice(now clock.Instant, out *effect.Output) {
	first, late := r.now == 0, now.Sub(max(r.due, r.now))
	r.now = max(r.now, now)
	if !first && r.monitors() && late > r.cfg.Timing.Suspect.Check {
		if taken := r.suspect.Stalled(late); taken > 0 {
			out.Emit(trace.Event{Kind: trace.Stalled, Seq: uint64(taken.Milliseconds())})
		}
	}
}

// resume goes on after an absence.
func (r *Replica) resume(now clock.Instant, m *Resumed) {
	t := m.Timing
	r.cfg.Timing, r.cfg.Wall = t, m.Wall
	r.preorder.Resume(m.Wall, t.Request, t.Ack, t.Summary, t.Fetch)
	r.order.Resume(t.Matrix, t.Propose)
	if r.recon != nil {
		r.recon.Resume(t.Recon)
	}
	r.checkpoints.Resume(t.Retransmit)
	r.suspect.Resume(now, suspectConfig(&r.cfg))
	r.catchup.Resume(t.Fetch)
	r.repeatAt = now
}

// receive is the protocol's table of contents: which rule handles which message.
func (r *Replica) receive(now clock.Instant, env *wire.Envelope, out *effect.Output) {
	if !r.permits(env, out) {
		return
	}
	r.overhear(env)
	if r.keepEarly(env) {
		return
	}
	switch m := env.Msg.(type) {
	// Preordering (TDSC 2011 section 5.1).
	case *wire.PreorderRequest:
		r.preorder.OnRequest(now, env, out)
	case *wire.PreorderAck:
		r.preorder.OnAck(now, env, out)
	case *wire.Summary:
		r.preorder.OnSummary(env, out)
	case *wire.Fetch:
		r.preorder.OnFetch(now, env, out)

	// Ordering (5.2).
	case *wire.SummaryMatrix:
		r.onMatrix(env, m, out)
	case *wire.PrePrepare:
		if r.order.OnPrePrepare(now, env, out) {
			r.adopt(m.Rows, out)
		}
	case *wire.Prepare:
		r.order.OnPrepare(now, env, out)
	case *wire.Commit:
		r.order.OnCommit(now, env, out)
	case *wire.Certificate:
		if r.order.OnCertificate(now, env, out) {
			r.adopt(m.PrePrepare.Msg.(*wire.PrePrepare).Rows, out)
		}

	// Reconciliation (5.3).
	case *wire.Parts:
		r.onParts(now, env, out)

	// Catching up.
	case *wire.OutlineAsk:
		r.catchup.OnOutlineAsk(now, env, told{r}, out)
	case *wire.Outline:
		r.catchup.OnOutline(now, env, out)
	case *wire.SegmentAsk:
		r.catchup.OnSegmentAsk(now, env, told{r}, out)
	case *wire.Segment:
		r.catchup.OnSegment(now, env, out)

	// Helping others on, and telling on them.
	case *wire.Checkpoint:
		r.checkpoints.OnVote(now, env, out)
	case *wire.CheckpointProof:
		r.checkpoints.OnProof(env, out)
	case *wire.Status:
		r.onStatus(now, env, m, out)
	case *wire.Evidence:
		r.onEvidence(m, out)
	case *wire.Recall:
		r.onRecall(now, env, m, out)
	case *wire.Window:
		r.onWindow(now, env, m, out)

	default:
		r.receiveView(now, env, out)
	}
}

// receiveView is the second half of the table: how a leader is judged and replaced.
func (r *Replica) receiveView(now clock.Instant, env *wire.Envelope, out *effect.Output) {
	switch env.Msg.(type) {
	// Suspect-leader (5.4).
	case *wire.Ping:
		r.suspect.OnPing(now, env, out)
	case *wire.Pong:
		r.suspect.OnPong(now, env, out)
	case *wire.RoundTrip:
		r.suspect.OnRoundTrip(env)
	case *wire.Bound:
		r.suspect.OnBound(env)
	case *wire.Turnaround:
		r.suspect.OnTurnaround(env)

	// Leader election (A.2).
	case *wire.NewLeader:
		r.elect(now, r.election.OnVote(env), out)
	case *wire.NewLeaderProof:
		r.elect(now, r.election.OnProof(env), out)

	// View change (A.3).
	case *wire.Report:
		r.delivered(r.reports.OnReport(env, out), out)
	case *wire.Echo:
		r.delivered(r.reports.OnEcho(env, out), out)
	case *wire.Ready:
		r.delivered(r.reports.OnReady(env, out), out)
	case *wire.StateList:
		r.change.OnList(env, out)
	case *wire.StateShare:
		if r.change.OnShare(env, out) {
			r.suspect.Proof(now)
		}
	case *wire.StateProof:
		r.change.OnProof(env, out)
	case *wire.Replay:
		if r.change.OnReplay(env, out) {
			r.suspect.Replayed(now)
		}
	case *wire.ReplayPrepare:
		r.change.OnReplayPrepare(env, out)
	case *wire.ReplayCommit:
		r.change.OnReplayCommit(env)
	}
}

// permits is the gate that every message passes: it must come from the sender's current incarnation in this epoch. The phases
// of later versions (starting, recovering) belong here.
func (r *Replica) permits(env *wire.Envelope, out *effect.Output) bool {
	if !r.cfg.Group.Has(env.Sender) || env.Epoch != r.cfg.Epoch || env.Incarnation != r.cfg.Incarnations[env.Sender.Index()] {
		out.Emit(trace.Event{Kind: trace.Dropped, Peer: env.Sender, Reason: "another epoch or incarnation"})
		return false
	}
	return true
}

// onMatrix: the leader adopts every row that is newer than its own (5.4).
func (r *Replica) onMatrix(env *wire.Envelope, m *wire.SummaryMatrix, out *effect.Output) {
	if m.View != r.order.View() || r.order.Leader() != r.cfg.Self {
		out.Emit(trace.Event{Kind: trace.Dropped, Peer: env.Sender, View: m.View, Reason: "matrix for another leader"})
		return
	}
	r.adopt(m.Rows, out)
}

// adopt treats every row of a matrix as a summary received from its signer.
func (r *Replica) adopt(rows wire.Rows, out *effect.Output) {
	for _, row := range rows {
		if row != nil {
			r.preorder.OnSummary(row, out)
		}
	}
}

// submit refuses what can no longer take effect and queues the rest.
func (r *Replica) submit(updates []wire.Update, out *effect.Output) {
	fresh := make([]wire.Update, 0, len(updates))
	for _, u := range updates {
		if why := r.sessions.Executed(u.Client, u.Seq); why != 0 {
			out.Refused = append(out.Refused, effect.Refusal{Client: u.Client, Seq: u.Seq, Why: why})
			continue
		}
		fresh = append(fresh, u)
	}
	r.preorder.Submit(fresh, out)
}
