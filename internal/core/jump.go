package core

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/core/session"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// jump goes on after the ordinal of a checkpoint, with its state, instead of executing what led there. Nothing goes back: a
// state that is not beyond what was executed here is not looked at (protocol-recovery.md 9.2, 2). What was signed, received and
// ordered beyond it stays (9.2, 3), and so does the view; a view change that waited for our execution goes on.
//
// The owner has checked the state against the digest of effect.Output.Lacks, which f+1 replicas signed. One that cannot follow from what we
// executed means that we have executed something else than they.
func (r *Replica) jump(now clock.Instant, state *effect.State, out *effect.Output) {
	if state.Ordinal <= r.executed() {
		return
	}
	sessions, err := session.Parse(state.Sessions, r.cfg.Limits.Sessions, r.cfg.Limits.SessionWindow)
	if err != nil || !r.follows(state) {
		out.Diverged = &effect.Divergence{Ordinal: state.Ordinal, Own: r.link, Others: state.Chain}
		out.Emit(trace.Event{Kind: trace.Diverged, Ordinal: state.Ordinal})
		return
	}
	r.sessions = sessions
	r.vector, r.time, r.link = state.Vector, state.Time, state.Chain
	r.transfers.restored(state.Transfers, r.cfg.Self, r.cfg.Wall)
	r.since, r.checkpointed, r.unsliced = progress{}, state.Time, false
	r.order.Jump(now, state.Ordinal, state.Vector)
	r.preorder.Jump(state.Vector, out)
	if r.recon != nil {
		r.recon.Executed(state.Vector)
	}
	r.suspect.Passed(state.Vector)
	r.held.Advance(state.Ordinal)
	r.heldBytes, r.gone = 0, state.Chain
	r.catchup.Jumped(state.Ordinal)
	out.Deliver = append(out.Deliver, effect.Delivery{Ordinal: state.Ordinal, Time: state.Time, Jump: state})
	out.Emit(trace.Event{Kind: trace.Jumped, Ordinal: state.Ordinal})
	r.change.Executed(state.Ordinal, out)
}

// follows reports whether a state can be one that comes after what was executed here.
func (r *Replica) follows(state *effect.State) bool {
	if len(state.Vector) != len(r.vector) || state.Time < r.time || !state.Vector.Covers(r.vector) {
		return false
	}
	for i, p := range state.Vector {
		if p != (wire.Position{}) && p.Incarnation != r.cfg.Incarnations[i] {
			return false
		}
	}
	return true
}
