// Package node runs one replica: it owns the protocol core on one goroutine, and around it everything that the core does not
// do itself, which is to receive and verify (package sign), to sign and send, to keep time, to record what was executed, to
// call the application and to make results known.
//
// The goroutines and what connects them; every arrow is bounded in bytes or by what the core itself bounds:
//
//	peers → transport → sign.Pool → loop (the core) → egress → transport → peers
//	           jobs ⇄ loop; own copies ↗ ↑ submits    ↘ recorder → Records → deliverer (the application) → reply.Store
//	                                                                       ↘ watchers
//
// No goroutine of the circle loop → egress → loop ever waits for another: who is behind is asked how far (outlet.congested),
// and then the loop takes no new messages and updates, but goes on with its own copies and with time.
package node

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/heavy"
	"github.com/primebft/prime/internal/marker"
	"github.com/primebft/prime/internal/record"
	"github.com/primebft/prime/internal/reply"
	"github.com/primebft/prime/internal/sign"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/storage/file"
	"github.com/primebft/prime/threshold"
	"github.com/primebft/prime/transport"
)

// Errors that callers tell apart; texts carry details and remedies.
var (
	// ErrOverloaded says that a queue is full: try again later.
	ErrOverloaded = errors.New("replica is overloaded")
	// ErrOversized says that an update is larger than the cluster allows.
	ErrOversized = errors.New("update is too large")
	// ErrApplication says that this replica's application has failed or is too far behind, so that it cannot answer.
	ErrApplication = errors.New("application cannot answer")
	// ErrCrashed says that the replica found itself to be wrong and stopped.
	ErrCrashed = errors.New("replica has crashed")
)

// Options are what a node is given besides its configuration.
type Options struct {
	Transport    transport.Transport                    // connects it with its peers; the node starts and closes it
	Log          *slog.Logger                           // nil: nothing is logged
	Wrap         Wrap                                   // wraps the core, as attacks and tests do, once it is what it was before; nil: as it is
	Threshold    threshold.Scheme                       // of a cluster whose proofs are threshold signatures; nil in others
	Observe      func(now clock.Instant, e trace.Event) // sees every event of the core on its goroutine; must be quick; may be nil
	Check        bool                                   // verify costly invariants
	Disk         file.Disk                              // where a durable replica keeps its log; nil is the machine's
	SegmentBytes int64                                  // of the log; 0 is the default
}

// Node is a running replica.
type Node struct {
	self    group.ID
	epoch   uint32
	cfg     config.Config
	log     *slog.Logger
	started time.Time

	folder      *marker.Folder
	journal     *journal // nil: the replica is ephemeral
	net         transport.Transport
	keyring     *sign.Keyring
	verifier    *sign.Verifier
	pool        *sign.Pool
	loop        *loop
	outlet      *outlet
	egress      *egress
	gate        *gate
	jobs        *jobs
	executed    *mailbox[effect.Delivery]
	recorder    *recorder
	records     *Records
	deliver     *deliverer
	checkpoints *checkpoints
	replies     *reply.Store

	submitted, overloaded atomic.Uint64

	stop     chan struct{} // closed when everything has to end
	loopDone chan struct{}
	final    core.Status // what the core said last; written before loopDone is closed
	workers  sync.WaitGroup

	closing   atomic.Bool
	closeOnce sync.Once
	closeErr  error
	crash     atomic.Pointer[string]
	onMissed  atomic.Pointer[func()]
	unusable  atomic.Bool   // the log is: that is why it crashed
	done      chan struct{} // closed when everything has ended
}

// Open starts a replica. It takes the replica's folder, begins to listen, and marks the folder as started before anything is
// signed: a start that fails before that leaves the folder as it was, and closes the transport. Faults of cfg are config's
// errors.
func Open(cfg config.Config, a app.Application, o Options) (*Node, error) {
	if o.Transport == nil {
		return nil, errors.New("the transport is nil")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	n, err := assemble(cfg, a, o)
	if err != nil {
		return nil, errors.Join(err, o.Transport.Close())
	}
	if err := n.begin(); err != nil {
		return nil, errors.Join(err, n.abandon())
	}
	return n, nil
}

// assemble makes all parts. Only the verifying workers run already.
func assemble(cfg config.Config, a app.Application, o Options) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if a == nil {
		return nil, errors.New("the application is nil: give an app.Application, for example an app.Func")
	}
	g, err := cfg.Cluster.Group()
	if err != nil {
		return nil, err
	}
	q := cfg.Node.Queues
	n := &Node{
		self: group.ID(cfg.Node.ID), epoch: cfg.Cluster.Epoch, cfg: cfg, log: o.Log, started: time.Now(), net: o.Transport,
		executed: newMailbox[effect.Delivery](), replies: reply.New(q.ReplyBytes),
		records: newRecords(cfg.Node.ID, cfg.Cluster.Epoch, q.WatchBytes, q.DeliverBytes),
		stop:    make(chan struct{}), loopDone: make(chan struct{}), done: make(chan struct{}),
	}
	incarnations := firstIncarnations(g)
	scheme, err := sign.ForRule(cfg.Cluster.Verification)
	if err != nil {
		return nil, err
	}
	shares, err := openShares(cfg, g, o.Threshold)
	if err != nil {
		return nil, err
	}
	if n.keyring, err = newKeyring(cfg.Cluster, g, incarnations, shares); err != nil {
		return nil, err
	}
	signer, err := sign.NewSigner(n.keyring, scheme, n.self, cfg.Key)
	if err != nil {
		return nil, err
	}
	signer.UseThreshold(shares)
	n.verifier = sign.NewVerifier(n.keyring, scheme, cfg.Node.Crypto.Cache)
	worker, err := heavy.New(n.self, g, wireLimits(cfg.Cluster, g), n.verifier.Verify)
	if err != nil {
		return nil, err
	}
	n.jobs = newJobs(worker.Do)
	real := clock.NewReal()
	coreConfig := newCoreConfig(cfg, g, incarnations, real.Wall(), o.Check)
	lock := marker.Lock
	if n.durable() {
		lock = marker.LockDurable
	}
	if n.folder, err = lock(cfg.Dir); err != nil {
		return nil, err
	}
	if err := n.assembleRest(a, coreConfig, real, signer, o); err != nil {
		return nil, errors.Join(err, n.folder.Release())
	}
	if o.Wrap != nil {
		own, err := sign.NewSigner(n.keyring, scheme, n.self, cfg.Key) // a signer is used by one goroutine only
		if err != nil {
			return nil, errors.Join(err, n.journal.close(), n.folder.Release())
		}
		own.UseThreshold(shares)
		seat := n.seat(coreConfig, own)
		if n.loop.restoration == nil {
			n.loop.machine = o.Wrap(seat, n.loop.machine)
		} else { // what was given to the core before is given to the core
			n.loop.wrap = func(m core.Machine) core.Machine { return o.Wrap(seat, m) }
		}
	}
	n.pool = sign.NewPool(n.verifier, wireLimits(cfg.Cluster, g), g.N(), cfg.Node.Crypto.Workers, q.IngressBytes)
	n.loop.inbox = n.pool
	return n, nil
}

// assembleRest makes what needs the folder, which is locked.
func (n *Node) assembleRest(a app.Application, c core.Config, real *clock.Real, signer *sign.Signer, o Options) error {
	store, err := n.openStore()
	if err != nil {
		return err
	}
	c, past, err := n.openLog(c, signer, o, func(ordinal uint64) bool {
		_, err := store.Get(ordinal)
		return err == nil && outlives(a)
	})
	if err != nil {
		return err
	}
	replica, err := core.New(c)
	if err != nil {
		return errors.Join(err, n.journal.close())
	}
	n.assembleLoop(replica, real, signer, o)
	n.loop.restoration = past
	n.loop.restoring.Store(past != nil)
	n.recorder = &recorder{in: n.executed, records: n.records, done: n.loop.nudge}
	n.deliver = &deliverer{
		app: a, calls: newApplication(a, n.self, n.epoch, n.RequestTransfer), records: n.records, replies: n.replies, log: o.Log,
		done: n.loop.nudge, missed: n.missed, ended: make(chan struct{}),
	}
	n.openCheckpoints(n.keyring.Group(), store)
	n.recorder.jumped = func(s *effect.State) error { return n.checkpoints.jumped(s, n.records) }
	n.recorder.restoring, n.recorder.broke = n.loop.restoring.Load, n.broke
	return nil
}

// assembleLoop makes the loop and what it sends to.
func (n *Node) assembleLoop(replica *core.Replica, real *clock.Real, signer *sign.Signer, o Options) {
	n.loop = &loop{
		machine: replica, status: replica.Status, waiting: replica.Pending, progress: replica.Progress, clock: real, self: n.self,
		back: newMailbox[ownCopy](), done: n.jobs.back, submits: newMailbox[wire.Update](), events: newMailbox[core.Input](),
		poke: make(chan struct{}, 1), ask: make(chan chan<- core.Status), drain: make(chan chan<- struct{}),
		answered: n.answered, journal: n.journal, broke: n.broke,
	}
	if n.journal != nil {
		n.loop.unfinished = &unfinished{replica: replica, header: n.keyring.Header(n.self), awaited: record.NewAwaited[wire.Message]()}
	}
	n.egress = &egress{
		self: n.self, header: n.keyring.Header(n.self), complete: signer.Complete, sign: n.signing(signer), net: n.net,
		back: n.loop.back, urgent: newMailbox[effect.Send](), rest: newMailbox[effect.Send](), repair: newMailbox[effect.Send](),
		eased: n.loop.nudge,
	}
	n.gate = newGate(n.journal, n.egress)
	n.outlet = &outlet{
		net: n.net, egress: n.egress, gate: n.gate, jobs: n.jobs, executed: n.executed, limit: n.cfg.Node.Queues.DeliverBytes, replies: n.replies,
		journal: n.journal, backlog: n.records.waiting, diverged: n.diverged,
		log: o.Log, observe: o.Observe, drops: map[dropKey]uint64{}, views: newViewLog(o.Log, n.keyring.Group()),
	}
	n.loop.outlet = n.outlet
}

// signing is what the egress signs with. The verifier learns what we have signed, so that it costs nothing when peers embed
// it or pass it on: every one that is signed alone, and one message for the rest of the batch.
func (n *Node) signing(signer *sign.Signer) func([]*wire.Envelope) {
	return func(batch []*wire.Envelope) {
		signer.Sign(batch)
		known := false
		for _, env := range batch {
			if env.Kind.Alone() {
				n.verifier.Remember(env)
			} else if !known {
				n.verifier.Remember(env)
				known = true
			}
		}
	}
}

// begin listens, marks the folder, and lets the goroutines run.
func (n *Node) begin() error {
	err := n.net.Start(func(from int, class transport.Class, bytes []byte) {
		if class == transport.Bulk { // nothing of it is signed, and it concerns only the transfer of state
			n.checkpoints.agent.Deliver(n.checkpoints.ctx, group.ID(from), bytes)
			return
		}
		// Who goes through its log is as good as not there yet. What came meanwhile would be old when it is, and stand before what helps.
		if !n.loop.restoring.Load() {
			n.pool.Offer(group.ID(from), class, bytes)
		}
	})
	if err != nil {
		return err
	}
	if err := n.mark(); err != nil {
		return err
	}
	if n.journal != nil {
		n.workers.Go(func() { n.journal.run(n.loopDone) })
		n.workers.Go(func() { n.gate.run(n.stop) })
	}
	n.workers.Go(func() { n.recorder.run(n.loopDone) })
	n.workers.Go(func() { n.egress.run(n.stop) })
	n.workers.Go(func() { n.jobs.run(n.stop) })
	n.workers.Go(func() { n.checkpoints.run(n.stop) })
	go n.deliver.run(n.stop)
	go n.runLoop()
	return nil
}

// mark marks the folder, unless a replica that remembers everything has done so before.
func (n *Node) mark() error {
	if n.folder.Used() {
		return nil
	}
	id := n.cfg.Cluster.ID
	return n.folder.Mark(marker.Info{
		Cluster: fmt.Sprintf("%x", id[:]), Replica: int(n.self), Incarnation: n.keyring.Header(n.self).Incarnation, Started: n.started,
		Durable: n.durable(),
	})
}

// abandon undoes a start that failed before anything was signed.
func (n *Node) abandon() error {
	n.pool.Close()
	n.checkpoints.end()
	return errors.Join(n.net.Close(), n.journal.close(), n.folder.Release())
}

// runLoop runs the core. What it finds wrong with itself ends this replica and nobody else's: to its peers it has crashed.
func (n *Node) runLoop() {
	defer func() {
		if p := recover(); p != nil {
			n.crashed(p, debug.Stack())
		} else {
			n.final = n.loop.status()
		}
		close(n.loopDone)
	}()
	n.loop.run(n.stop)
}

func (n *Node) crashed(p any, stack []byte) {
	what := fmt.Sprint(p)
	n.crash.Store(&what)
	n.loop.submits.close()
	n.log.Error("this replica found itself to be wrong and stops; the others go on without it. Please report this",
		"what", what, "last_input", n.loop.lastInput(), "events", n.outlet.history(), "stack", string(stack))
	func() {
		defer func() { _ = recover() }() // the machine is broken: so may be its status
		n.final = n.loop.status()
	}()
	go n.CloseNow()
}

// diverged ends the replica because what it has executed, or its application's state, is not that of correct ones.
func (n *Node) diverged(d *effect.Divergence) {
	what := fmt.Sprintf("its checkpoint of ordinal %d is %s, and f+1 other replicas have %s. Do all replicas run the same application, in one "+
		"version and with the same [app] in node.toml? This one runs %s: compare it with the others, make it equal everywhere, and let a replica that "+
		"differed join anew. Otherwise the application is not deterministic (equal records must give equal snapshots), or this machine is faulty",
		d.Ordinal, d.Own, d.Others, nameOf(n.deliver.app))
	if !n.crash.CompareAndSwap(nil, &what) {
		return
	}
	n.loop.submits.close()
	n.log.Error("this replica's state is wrong, and it stops; the others go on without it", "what", what)
	go n.CloseNow()
}

// nameOf is an application as people know it: what its String says, or its type.
func nameOf(a app.Application) string {
	if s, ok := a.(fmt.Stringer); ok {
		return s.String()
	}
	return fmt.Sprintf("%T", a)
}

// Submit queues an update of one of this replica's clients to be introduced. The caller has checked that its client is
// admitted and, in a cluster where clients sign, its signature. The outcome goes to Replies. Errors: ErrOverloaded,
// ErrOversized, ErrApplication, ErrClosed; the update has then not been accepted.
func (n *Node) Submit(u wire.Update) error {
	if limit := n.cfg.Cluster.Limits.UpdateBytes; len(u.Payload) > limit {
		return fmt.Errorf("%w: it has %d bytes and the cluster's update_bytes is %d", ErrOversized, len(u.Payload), limit)
	}
	b := n.records.app()
	if n.deliver.failure.Load() != nil || b.absent() || n.deliver.calls.lost() {
		return fmt.Errorf("%w: %s; submit to another replica", ErrApplication, n.State())
	}
	if b.bytes > n.cfg.Node.Queues.DeliverBytes {
		n.overloaded.Add(1)
		return fmt.Errorf("%w: its application is behind by %d bytes of records", ErrOverloaded, b.bytes)
	}
	limit := submitLimit(n.cfg)
	room := limit - int(n.loop.pending.Load())
	added, open := n.loop.submits.offer(u, len(u.Payload)+updateOverhead, room)
	switch {
	case added:
		n.submitted.Add(1)
		return nil
	case !open:
		return ErrClosed
	}
	n.overloaded.Add(1)
	return fmt.Errorf("%w: %d bytes of updates wait to be introduced at most", ErrOverloaded, limit)
}

// RequestTransfer has a transfer point of this replica ordered: its application waits for one. It does not wait itself. See
// app.Transferrer.
func (n *Node) RequestTransfer() { n.loop.events.put(1, core.Input{Transfer: true}) }

// OnMissed sets what is called when the application goes on after records that it was not given: the results of updates that were
// under way may never be known here.
func (n *Node) OnMissed(f func()) { n.onMissed.Store(&f) }

func (n *Node) missed() {
	if f := n.onMissed.Load(); f != nil {
		(*f)()
	}
}

// updateOverhead is what an update is charged besides its payload, so that empty ones are bounded too.
const updateOverhead = 256

// Replies is where the outcomes of updates are made known.
func (n *Node) Replies() *reply.Store { return n.replies }

// Records is the ordered stream as far as it is held.
func (n *Node) Records() *Records { return n.records }

// Keyring knows the cluster's keys.
func (n *Node) Keyring() *sign.Keyring { return n.keyring }

// Verifier checks updates before they are submitted, and remembers the answer for when they come back in a request.
func (n *Node) Verifier() *sign.Verifier { return n.verifier }

// Done is closed when the replica has ended, by Close or by a crash; Err says which.
func (n *Node) Done() <-chan struct{} { return n.done }

// Stopped is closed when the replica begins to end.
func (n *Node) Stopped() <-chan struct{} { return n.stop }

// AppDone is closed when the application will never be given anything more, because it failed, is too far behind, or the
// replica ends: updates that it has not answered will not be answered here.
func (n *Node) AppDone() <-chan struct{} { return n.deliver.ended }

// Err is ErrCrashed with what happened if the replica has crashed, and ErrStorage if it stopped because of its log.
func (n *Node) Err() error {
	what := n.crash.Load()
	switch {
	case what == nil:
		return nil
	case n.unusable.Load():
		return fmt.Errorf("%w%s", ErrStorage, strings.TrimPrefix(*what, ErrStorage.Error()))
	}
	return fmt.Errorf("%w: %s", ErrCrashed, *what)
}
