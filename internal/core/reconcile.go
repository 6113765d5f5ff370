package core

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/core/recon"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// newRecon is the state of reconciliation; nil if requests are not sent in parts.
func newRecon(cfg *Config) *recon.State {
	if !cfg.Limits.Recon {
		return nil
	}
	return recon.New(recon.Config{
		Self: cfg.Self, Group: cfg.Group, Incarnations: cfg.Incarnations, Ahead: LaneWindow(cfg.Limits),
		Stored: storedParts(cfg), Wait: cfg.Timing.Recon,
	})
}

// storedParts is the bytes of parts kept for each origin and sender: a share of 16 MiB for the sender, and enough for some parts
// of the largest requests.
func storedParts(cfg *Config) int {
	content := cfg.Limits.RequestBytes + cfg.Limits.RequestUpdates*128
	return max(16<<20/cfg.Group.N(), 8*(content/cfg.Group.OneCorrect()+1024))
}

// reconcile plans parts of what newly accepted proposals make eligible, before any of it is executed.
func (r *Replica) reconcile(now clock.Instant, out *effect.Output) {
	if r.recon == nil {
		return
	}
	for {
		rows, before, after, ok := r.order.Fresh()
		if !ok {
			break
		}
		r.recon.Plan(now, rows, before, after, r.preorder)
	}
	r.recon.Advance(now, r.preorder, out)
}

// onParts: a part is a certified acknowledgement too, and with enough others it is the request.
func (r *Replica) onParts(now clock.Instant, env *wire.Envelope, out *effect.Output) {
	if r.recon == nil || env.Sender == r.cfg.Self {
		return
	}
	r.preorder.OnParts(now, env, out)
	r.recon.OnParts(env, r.preorder, out)
}

// finish takes the result of a job. A request that came together is as good as one from its origin.
func (r *Replica) finish(now clock.Instant, d *effect.Done, out *effect.Output) {
	if r.recon == nil {
		return
	}
	if request := r.recon.Done(d, r.preorder, out); request != nil && r.permits(request, out) {
		r.preorder.OnRequest(now, request, out)
	}
}

// repair is how much reconciliation did.
func (r *Replica) repair() (c recon.Counters, stored int) {
	if r.recon == nil {
		return c, 0
	}
	for i := range r.cfg.Group.N() {
		stored = max(stored, r.recon.Stored(group.FromIndex(i)))
	}
	return r.recon.Counters(), stored
}
