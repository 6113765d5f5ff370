package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/catchup"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/core/preorder"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// world is one simulated world: replicas, network, clients and checkers, and the only clock there is.
type world struct {
	options     *Options
	plan        *plan
	keys        *identities
	wire        wire.Limits
	header      []wire.Header
	nodes       []*node // by group.ID.Index
	network     *network
	links       *links // nil: the network has latencies of its own
	ledger      *ledger
	promises    *promises
	views       *views
	history     *history
	calm        calm
	checkpoints checkpoints
	machine     func(core.Config) (core.Machine, error)

	now           clock.Instant
	storm         bool
	queue         eventQueue
	arrivals      []clock.Instant // scratch memory of transmit
	stepping      group.ID        // whose Step is running; 0 if none is
	over          bool
	events        uint64
	refusedFrames uint64        // messages of attackers that receivers refuse
	restarts      int           // of replicas
	images        int           // of cores that were taken
	drops         int           // of beginnings of logs
	reborn        int           // starts from images
	refusals      uint64        // updates that correct replicas refused
	awake         clock.Instant // until then somebody naps
	gauge         *gauge        // of what replicas hold
	nested        bool          // a view began before the one before it was installed anywhere
	hash          uint64
	violation     *Violation
}

// newWorld makes the world of a seed.
func newWorld(o *Options, p *plan, machine func(core.Config) (core.Machine, error)) (*world, error) {
	w := &world{options: o, plan: p, machine: machine, storm: true, hash: o.Seed}
	w.wire = p.wire()
	net := &p.net
	if o.WAN != nil {
		net = p.net.instant()
		var err error
		if w.links, err = newLinks(w, *o.WAN, o.Seed); err != nil {
			return nil, err
		}
	}
	w.network = newNetwork(net, p.group.N(), rand.New(rand.NewPCG(o.Seed, 2)))
	if err := w.build(); err != nil {
		return nil, err
	}
	w.schedule()
	return w, nil
}

// wire is what messages replicas of this plan accept.
func (p *plan) wire() wire.Limits {
	return wire.Limits{
		N: p.group.N(), UpdateBytes: p.limits.UpdateBytes, RequestBytes: p.limits.RequestBytes,
		RequestUpdates: p.limits.RequestUpdates, AckParts: preorder.MaxAckParts, Wants: preorder.MaxWants, SignedUpdates: p.auth,
		Window: core.ViewWindow(p.limits), Recalls: core.MaxRecalls, Enough: p.group.OneCorrect(), Threshold: p.threshold,
		Lane: core.LaneWindow(p.limits), Links: catchup.MaxLinks, SegmentBytes: catchup.SegmentBytes,
	}
}

// schedule puts what the plan fixes into the queue.
func (w *world) schedule() {
	for i := range w.plan.replicas {
		if at := w.plan.replicas[i].crash; at != clock.Never {
			w.queue.push(event{at: at, kind: crash, node: group.FromIndex(i)})
		}
	}
	for i := range w.plan.work.submissions {
		s := &w.plan.work.submissions[i]
		w.signUpdates(s.updates)
		w.queue.push(event{at: s.at, kind: submit, node: s.to, arg: i})
	}
	for _, n := range w.nodes {
		w.arm(n)
	}
	w.queue.push(event{at: 0, kind: inspect})
	w.queue.push(event{at: w.plan.stormEnd, kind: quieten})
}

// mostTurns is how many events a world may have, ten times what the largest has: the limit that does not depend on how fast
// the machine is.
const mostTurns = 5_000_000

// run lets the world run until it is over. A panic of a replica is a violation: to the others it would be a crash, but
// correct replicas do not crash of their own accord.
func (w *world) run() {
	defer func() {
		if p := recover(); p != nil {
			w.fail("%s panics: %v", w.stepping, p)
			w.print("%s", debug.Stack())
		}
	}()
	var deadline time.Time
	if w.options.Timeout > 0 {
		deadline = time.Now().Add(w.options.Timeout)
	}
	most := mostTurns
	if w.links != nil {
		most *= 4 // packets and their timers are turns as well
	}
	for turns := 0; !w.over && w.violation == nil; turns++ {
		e, ok := w.queue.pop()
		if !ok {
			w.fail("the world has come to a standstill")
			return
		}
		if turns == most || turns%4096 == 4095 && !deadline.IsZero() && time.Now().After(deadline) {
			w.fail("the world does not end: %d events, %v of its time", w.events, time.Duration(w.now))
			return
		}
		w.now = e.at
		w.handle(&e)
	}
	if w.violation == nil {
		w.promises.unique()
		w.views.forever()
		w.peace()
	}
}

// handle does what an event says.
func (w *world) handle(e *event) {
	w.hash = scramble(w.hash ^ uint64(e.at)<<8 ^ uint64(e.kind)<<4 ^ uint64(e.node))
	switch e.kind {
	case depart:
		w.links.depart(e)
		return
	case transit:
		w.links.transit(e)
		return
	}
	var n *node
	if e.node != 0 {
		n = w.nodes[e.node.Index()]
		if n.crashed != clock.Never && e.kind != rise {
			return
		}
		if until := n.plan.paused(w.now); until > w.now && e.kind != crash && e.kind != tumble && e.kind != rise {
			e.at = until // in its old place among the events of that instant: what came first stays first
			w.queue.insert(*e)
			return
		}
	}
	switch e.kind {
	case arrive:
		w.arrive(n, e)
	case wake:
		w.wake(n, e)
	case complete:
		if e.life == len(n.ends) {
			w.complete(n, e.done)
		}
	case submit:
		w.submit(n, w.plan.work.submissions[e.arg].updates)
	case crash:
		n.crashed = w.now
		w.note(w.now, "crashes", n.id, 0, nil)
	case quieten:
		w.storm = false
		w.returns()
		w.note(w.now, "storm ends", 0, 0, nil)
		w.calmDown()
	case inspect:
		w.inspect()
	case checkpointed:
		w.checkpointed(n, e)
	case fetched:
		w.fetched(n, e)
	case synced, tumble, rise:
		w.diskOf(n, e)
	case probe:
		w.offer(e.arg)
	case strike:
		w.strike(uint64(e.arg))
	case freeze:
		w.freeze(&w.plan.serve.freeze[e.arg])
	}
}

// paused is until when a pause that covers now lasts; now if there is none.
func (r *replicaPlan) paused(now clock.Instant) clock.Instant {
	until := now
	for _, p := range r.pauses {
		if p.from <= now && now < p.until {
			until = max(until, p.until)
		}
	}
	return until
}

func (w *world) arrive(n *node, e *event) {
	if w.nodes[e.from.Index()].ended(e.life, e.departs) {
		return // its sender did not live to send it
	}
	if e.from == n.id && e.life != len(n.ends) {
		return // it was on its way inside a process that is no more
	}
	w.hash = scramble(w.hash ^ uint64(e.from) ^ uint64(e.env.Digest[0])<<8 ^ uint64(e.env.Digest[1])<<16)
	if w.plan.immutable {
		if again := wire.NewEnvelope(e.env.Header, e.env.Msg); again.Digest != e.env.Digest {
			w.fail("a %s of %s was changed after it was sent", e.env.Kind, e.env.Sender)
		}
	}
	w.note(w.now, "hears", n.id, e.from, e.env)
	n.echo = e.from == n.id
	w.step(n, core.Input{Message: e.env})
	n.echo = false
}

// progress is the last ordinal that a node's core has executed, if that can be seen: each step executes only some.
func (n *node) progress() uint64 {
	if r, ok := n.machine.(*core.Replica); ok {
		executed, _, _ := r.Progress()
		return executed
	}
	return 0
}

// mostIdle is how many ticks in a row may leave a machine's deadline where it is.
const mostIdle = 100

func (w *world) wake(n *node, e *event) {
	if e.at >= n.armed { // later than armed if a pause came in between
		n.armed = clock.Never
	}
	if due := n.machine.Deadline(); due > n.local(w.now) {
		w.arm(n)
		return
	}
	before := n.progress()
	w.step(n, core.Tick)
	if n.idle++; n.machine.Deadline() > n.local(w.now) || n.progress() > before {
		n.idle = 0
	}
	if n.idle > mostIdle {
		w.fail("%s wants to be woken again and again, and does nothing about it", n.id)
	}
}

// submit hands updates of clients to a replica.
func (w *world) submit(n *node, updates []wire.Update) {
	if len(updates) == 0 { // no client, but the application
		w.history.asked = w.history.asked.With(n.id)
		w.step(n, core.Input{Transfer: true})
		return
	}
	for i := range updates {
		w.history.submitted(n.id, &updates[i])
		if len(updates[i].Payload) <= w.plan.limits.UpdateBytes {
			n.accepted[updateKey{updates[i].Client, updates[i].Seq}] = true
		}
	}
	w.note(w.now, fmt.Sprintf("takes %d updates", len(updates)), n.id, 0, nil)
	w.step(n, core.Input{Submit: updates})
}

// refused notes that a correct replica refuses an update.
func (w *world) refused(n *node, r *effect.Refusal) {
	w.refusals++
	key := updateKey{r.Client, r.Seq}
	switch r.Why {
	case effect.Overloaded, effect.Expired:
		delete(n.accepted, key)
	case effect.Oversized, effect.Duplicate:
		// The first stays accepted; an oversized one never was.
	default:
		w.fail("%s refuses an update for no reason", n.id)
	}
}

// noted looks at an event that a correct replica reports.
func (w *world) noted(n *node, e *trace.Event) {
	if w.options.Trace != nil {
		w.note(w.now, "reports "+e.String(), n.id, 0, nil)
	}
	switch e.Kind {
	case trace.Blacklisted:
		if w.plan.correct(e.Peer) {
			w.fail("%s blacklists %s, which is correct", n.id, e.Peer)
		}
		w.convicted(e.Peer)
	case trace.Preinstalled:
		w.entered(n, e.View, false)
	case trace.Installed:
		w.entered(n, e.View, true)
		w.views.installed(n.id, e.View, e.Ordinal)
	}
}

// deliver checks what a correct replica executes, and lets its application have it.
func (w *world) deliver(n *node, d *effect.Delivery) {
	w.hash = scramble(w.hash ^ d.Ordinal ^ uint64(len(d.Updates))<<32)
	if d.Jump != nil {
		w.jump(n, d)
		return
	}
	if d.State != nil {
		defer w.due(n, d)
	}
	if d.Ordinal != n.at+1 {
		w.fail("%s executes ordinal %d after ordinal %d", n.id, d.Ordinal, n.at)
		return
	}
	if n.at = d.Ordinal; d.Ordinal <= w.history.at[n.id.Index()] { // in an earlier life, which may have forgotten why
		o := &w.history.ordinals[d.Ordinal-1]
		w.history.compare(n.id, d, &o.delivery)
		if n.app != nil {
			w.history.applied(n.id, o, n.app.Deliver(o.records))
		}
		return
	}
	o := w.history.deliver(n.id, d, latest(w.plan, w.now))
	if o != nil {
		w.executing(n, d)
		w.ownExecuted(n, o.line[n.id.Index()].Seq)
	}
	if o != nil && n.app != nil {
		w.history.applied(n.id, o, n.app.Deliver(o.records))
	}
}

// fail notes the first violation; the world ends with it.
func (w *world) fail(format string, args ...any) {
	if w.violation == nil {
		w.violation = &Violation{Seed: w.options.Seed, At: time.Duration(w.now), What: fmt.Sprintf(format, args...)}
		w.print("%v VIOLATION %s\n", time.Duration(w.now), w.violation.What)
	}
}
