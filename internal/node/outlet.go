package node

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/reply"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport"
)

// outlet is where the effects of steps go. It belongs to the loop's goroutine, but for its counters.
type outlet struct {
	net         transport.Transport
	egress      *egress
	gate        *gate // nil: the replica is ephemeral
	jobs        *jobs
	executed    *mailbox[effect.Delivery]
	journal     *journal
	backlog     func() int // bytes of records that the application has not taken and will be given
	limit       int        // bytes of executed updates that may wait to be recorded before the loop holds back
	replies     *reply.Store
	checkpoints *checkpoints
	diverged    func(*effect.Divergence) // this replica is wrong: called once
	log         *slog.Logger
	observe     func(clock.Instant, trace.Event) // may be nil

	lots      lots                    // spare memory
	promises  []effect.Send           // spare memory
	events    [remembered]trace.Event // the last ones, for the dump of a crash
	eventAt   int
	convicted group.Set // people have been told that these are faulty
	lost      group.Set // people have been told that these are too far behind
	views     viewLog
	installed atomic.Uint64 // views; anybody may read it

	mu    sync.Mutex // of what follows
	drops map[dropKey]uint64
}

// remembered is how many of the last events go into the dump of a crash.
const remembered = 128

// dropKey is a peer, 0 if none is to blame, and why the core ignored a message of it. Reasons are a fixed set of constants.
type dropKey struct {
	peer   group.ID
	reason trace.Reason
}

// congested reports whether whoever follows the loop is so far behind that it should take nothing new.
func (o *outlet) congested() bool {
	if o.egress.load() > egressLimit || o.journal.congested() || o.jobs.congested() {
		return true
	}
	_, bytes := o.executed.load()
	return bytes > o.limit
}

// flush lets everything in out happen. It never waits.
func (o *outlet) flush(now clock.Instant, out *effect.Output) {
	o.send(out.Sends)
	if len(out.Jobs) > 0 {
		o.jobs.put(out.Jobs)
	}
	o.deliver(out.Deliver)
	if len(out.Refused) > 0 {
		o.replies.Refuse(out.Refused)
	}
	if out.Stable != nil {
		o.checkpoints.stable(*out.Stable)
	}
	if out.Lacks != nil {
		o.checkpoints.lacks(*out.Lacks)
	}
	if out.Diverged != nil {
		o.diverged(out.Diverged)
	}
	for i := range out.Evidence {
		o.convict(&out.Evidence[i])
	}
	for i := range out.Events {
		o.event(now, &out.Events[i])
	}
}

// deliver hands on what was executed.
func (o *outlet) deliver(executed []effect.Delivery) {
	if len(executed) == 0 {
		return
	}
	weight := 0
	for i := range executed {
		weight += weigh(&executed[i])
		o.checkpoints.goesOn(&executed[i])
	}
	o.executed.put(weight, executed...)
}

// send gives new messages to the egress, and promises to the gate before it. What was signed before leaves at once: the
// transport's budgets bound it.
func (o *outlet) send(sends []effect.Send) {
	for i := range sends {
		switch s := &sends[i]; {
		case s.Signed != nil:
			transmit(o.net, s.To.Without(o.egress.self), s.Class, s.Signed)
			if s.To.Has(o.egress.self) { // the core does not say such a thing to itself, but whoever wraps it may
				o.egress.back.put(1, ownCopy{env: s.Signed})
			}
		case o.gate.binds(s):
			o.promises = append(o.promises, *s)
		default:
			o.egress.expect(1)
			o.lots.add(s)
		}
	}
	o.egress.put(&o.lots)
	o.gate.put(o.promises)
	o.lots.clear()
	clear(o.promises)
	o.promises = o.promises[:0]
}

// convict tells people, once, that a replica has been proven faulty.
func (o *outlet) convict(e *wire.Evidence) {
	culprit := e.First.Sender
	if o.convicted.Has(culprit) {
		return
	}
	o.convicted = o.convicted.With(culprit)
	o.log.Error("a replica is proven faulty: "+crime(e)+"; treat it as compromised",
		"replica", culprit.String(), "first", e.First.Digest.String(), "second", e.Second.Digest.String())
}

// crime is what evidence proves, for people.
func crime(e *wire.Evidence) string {
	switch e.First.Kind {
	case wire.KindPart:
		return "it signed a RECON with a part of a request that is none"
	case wire.KindPreorderRequest:
		return "it signed two requests under one number"
	case wire.KindSummary:
		return "it signed two PO-SUMMARYs that contradict each other"
	case wire.KindPrePrepare:
		return "it signed two proposals for one ordinal of one view"
	default:
		return "it signed two " + e.First.Kind.String() + " messages for one view that contradict each other"
	}
}

func (o *outlet) event(now clock.Instant, e *trace.Event) {
	o.events[o.eventAt%remembered] = *e
	o.eventAt++
	switch e.Kind {
	case trace.Dropped:
		o.dropped(e.Peer, e.Reason)
	case trace.OutOfHistory:
		o.sayLost(e)
	case trace.Installed:
		o.installed.Add(1)
	}
	o.views.note(e)
	if o.observe != nil {
		o.observe(now, *e)
	}
}

// dropped counts a message of a peer that is not looked at.
func (o *outlet) dropped(peer group.ID, why trace.Reason) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drops[dropKey{peer, why}]++
}

// sayLost tells people, once, that a replica can no longer be helped by this one.
func (o *outlet) sayLost(e *trace.Event) {
	if o.lost.Has(e.Peer) {
		return
	}
	o.lost = o.lost.With(e.Peer)
	o.log.Warn("a replica is so far behind that this one no longer holds what it needs; limits.history says how much is kept",
		"replica", e.Peer.String(), "needs_ordinal", e.Ordinal)
}

// history is the last events, the oldest first, for people.
func (o *outlet) history() []string {
	var lines []string
	for i := max(0, o.eventAt-remembered); i < o.eventAt; i++ {
		lines = append(lines, o.events[i%remembered].String())
	}
	return lines
}
