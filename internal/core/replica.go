package core

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/catchup"
	"github.com/primebft/prime/internal/core/checkpoint"
	"github.com/primebft/prime/internal/core/election"
	"github.com/primebft/prime/internal/core/order"
	"github.com/primebft/prime/internal/core/preorder"
	"github.com/primebft/prime/internal/core/rbcast"
	"github.com/primebft/prime/internal/core/recon"
	"github.com/primebft/prime/internal/core/session"
	"github.com/primebft/prime/internal/core/suspect"
	"github.com/primebft/prime/internal/core/viewchange"
	"github.com/primebft/prime/internal/core/window"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// Replica is one correct replica of the protocol: the sum of its sub-protocols' states. It is a Machine. It has one owner and
// is not safe for concurrent use.
type Replica struct {
	cfg      Config
	preorder *preorder.State
	order    *order.State
	recon    *recon.State // nil: missing requests are only fetched
	sessions *session.Table
	suspect  *suspect.State
	election *election.State
	reports  *rbcast.State
	change   *viewchange.State
	// checkpoints is what is known of the states that replicas have made of what they executed.
	checkpoints *checkpoint.State
	transfers   transfers
	random      *rand.ChaCha8 // jitter only

	vector wire.Vector // execution vector: what the executed ordinals made eligible
	time   int64       // ordered time of the last executed ordinal
	link   wire.Digest // effect.Link of the last executed ordinal
	since  progress    // executed since the last checkpoint was due
	// checkpointed is the ordered time at which the last checkpoint was due; before the first, that of the first ordinal.
	checkpointed int64
	beatAt       clock.Instant // when to introduce a beat, if nothing is executed until then
	gone         wire.Digest   // effect.Link of the last ordinal that is collected
	waiting      uint64        // ordinal that lacks a request and was reported so
	unsliced     bool          // execution stopped only because a step must not be long
	held         window.Ring[executed]
	heldBytes    int // bytes of the executed ordinals that are kept
	catchup      *catchup.State

	repeatAt   clock.Instant
	statusAt   clock.Instant // when to say at the latest where this replica is
	behindAt   clock.Instant // when to ask for help, if nothing has been executed until then; Never if not behind
	behind     uint64        // what was executed when behindAt was set
	waits      int           // how often help was asked for in vain since then
	viewBehind bool          // help was asked for because others have installed a later view
	helpAt     []clock.Instant
	helped     []uint64 // the last view in whose change each peer was helped
	incomplete int      // states of a view change that were incomplete after the last step
	rounds     []int    // statuses received from each peer, to share the work of helping
	asked      []uint64 // by peer: one more than it had executed when it asked for help last; 0: its last status asked for none
	blacklist  group.Set

	early      [][]*wire.Envelope // messages of the next view, by sender
	earlyBytes []int              // of these, by sender
	earlyPings []*wire.Envelope   // the newest PING of a later view, by sender
	recallAt   clock.Instant      // when to ask again for what a view change needs; Never if nothing is missing
	recalled   []wire.Digest      // what has been asked for since that was set
	// recallCredit is how many bytes of each peer's recalls may still be answered, until recallRefill.
	recallCredit []int
	recallRefill []clock.Instant
	now          clock.Instant // of the last step
	due          clock.Instant // deadline after the last step
}

var _ Machine = (*Replica)(nil)

// New returns a replica that has seen nothing. It is an error if the configuration cannot work.
func New(cfg Config) (*Replica, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Limits.HistoryBytes == 0 {
		cfg.Limits.HistoryBytes = 64 << 20
	}
	if e := cfg.Limits.EagerBytes; e <= 0 || e > cfg.Limits.RequestBytes {
		cfg.Limits.EagerBytes = cfg.Limits.RequestBytes
	}
	n := cfg.Group.N()
	membership := wire.HashIncarnations(cfg.Epoch, cfg.Incarnations)
	r := &Replica{
		cfg: cfg,
		preorder: preorder.New(preorder.Config{
			Self: cfg.Self, Group: cfg.Group, Incarnations: cfg.Incarnations, Membership: membership,
			UpdateBytes: cfg.Limits.UpdateBytes, RequestBytes: cfg.Limits.RequestBytes,
			RequestUpdates: cfg.Limits.RequestUpdates, EagerBytes: cfg.Limits.EagerBytes, InFlight: cfg.Limits.InFlight, Ahead: LaneWindow(cfg.Limits), PendingBytes: cfg.Limits.PendingBytes, Parts: cfg.Limits.Recon,
			Request: cfg.Timing.Request, Ack: cfg.Timing.Ack, Summary: cfg.Timing.Summary, Fetch: cfg.Timing.Fetch,
			Wall: cfg.Wall,
		}),
		order: order.New(order.Config{
			Self: cfg.Self, Group: cfg.Group, Membership: membership, OrdinalWindow: cfg.Limits.OrdinalWindow, Ahead: ViewWindow(cfg.Limits),
			Matrix: cfg.Timing.Matrix, Propose: cfg.Timing.Propose,
		}),
		recon:    newRecon(&cfg),
		sessions: session.New(cfg.Limits.Sessions, cfg.Limits.SessionWindow),
		random:   rand.NewChaCha8(cfg.Seed),
		vector:   make(wire.Vector, n),
		suspect:  suspect.New(suspectConfig(&cfg)),
		election: election.New(cfg.Self, cfg.Group),
		reports:  rbcast.New(cfg.Self, cfg.Group),
		change: viewchange.New(viewchange.Config{
			Self: cfg.Self, Group: cfg.Group, Epoch: cfg.Epoch, Membership: membership,
			Window: uint64(ViewWindow(cfg.Limits)),
		}),
		catchup: catchup.New(catchup.Config{
			Self: cfg.Self, Group: cfg.Group, Fetch: cfg.Timing.Fetch, Threshold: uint64(ViewWindow(cfg.Limits) / 4),
		}),
		checkpoints: checkpoint.New(checkpoint.Config{
			Self: cfg.Self, Group: cfg.Group, Interval: cfg.Timing.Retransmit,
		}),
		transfers:    transfers{last: make([]int64, n)},
		behindAt:     clock.Never,
		recallAt:     clock.Never,
		recallCredit: make([]int, n), recallRefill: make([]clock.Instant, n),
		early: make([][]*wire.Envelope, n), earlyBytes: make([]int, n), earlyPings: make([]*wire.Envelope, n),
		helpAt: make([]clock.Instant, n),
		rounds: make([]int, n), asked: make([]uint64, n), helped: make([]uint64, n),
	}
	r.repeatAt, r.beatAt = r.jittered(0), r.nextBeat(0)
	r.statusAt = min(r.repeatAt, clock.Instant(statusEvery))
	r.suspect.Start(0, 1, true)
	r.due = r.deadline()
	return r, nil
}

func suspectConfig(cfg *Config) suspect.Config {
	s := &cfg.Timing.Suspect
	return suspect.Config{
		Self: cfg.Self, Group: cfg.Group, KLat: s.KLat, Delta: s.Delta, Floor: s.Floor, Ping: s.Ping, Check: s.Check,
		Window: s.Window, MaxStall: s.MaxStall,
	}
}

// ahead is how many things a replica takes ahead of what it has executed, if a correct one sends window of them ahead of what that
// has executed: twice as many, for the sender may have executed more. Of small windows others may go through several while a
// message is on its way here, and what is refused then comes again only when it is repeated.
func ahead(window int) int { return max(2*window, window+16) }

// ViewWindow is how many ordinals are taken ahead of execution, a view change can bind, and prepare certificates a report can
// hold, with these limits.
func ViewWindow(l Limits) int { return ahead(l.OrdinalWindow) }

// LaneWindow is how many requests of each origin are taken ahead of execution.
func LaneWindow(l Limits) int { return ahead(l.InFlight) }

func (c Config) validate() error {
	var errs []error
	if !c.Group.Has(c.Self) {
		errs = append(errs, fmt.Errorf("replica %d is not one of %s", c.Self, c.Group))
	}
	if len(c.Incarnations) != c.Group.N() {
		errs = append(errs, fmt.Errorf("%d incarnations for %s", len(c.Incarnations), c.Group))
	}
	l := c.Limits
	for _, limit := range []struct {
		name  string
		value int
	}{
		{"UpdateBytes", l.UpdateBytes}, {"RequestBytes", l.RequestBytes}, {"RequestUpdates", l.RequestUpdates},
		{"InFlight", l.InFlight}, {"PendingBytes", l.PendingBytes}, {"Sessions", l.Sessions},
		{"OrdinalWindow", l.OrdinalWindow}, {"History", l.History},
	} {
		if limit.value < 1 {
			errs = append(errs, fmt.Errorf("%s is %d: must be at least 1", limit.name, limit.value))
		}
	}
	if l.SessionWindow < 64 || l.SessionWindow%64 != 0 {
		errs = append(errs, fmt.Errorf("SessionWindow is %d: must be a multiple of 64", l.SessionWindow))
	}
	if l.UpdateBytes > l.RequestBytes {
		errs = append(errs, fmt.Errorf("UpdateBytes %d is more than RequestBytes %d", l.UpdateBytes, l.RequestBytes))
	}
	if c.Timing.Retransmit <= 0 || c.Timing.Fetch <= 0 {
		errs = append(errs, errors.New("the Retransmit and Fetch intervals must be positive"))
	}
	return errors.Join(errs...)
}

// Deadline implements Machine.
func (r *Replica) Deadline() clock.Instant { return r.due }

func (r *Replica) deadline() clock.Instant {
	if r.unsliced {
		return r.now
	}
	first := clock.Min(r.preorder.Deadline(), r.order.Deadline(), r.catchup.Deadline(), r.repeatAt, r.statusAt, r.behindAt, r.recallAt,
		r.checkpoints.Deadline(), r.transfers.deadline(), r.beatAt)
	if r.recon != nil {
		first = min(first, r.recon.Deadline())
	}
	if r.monitors() {
		first = min(first, r.suspect.Deadline())
	}
	return first
}

// monitors reports whether the leader is judged at all.
func (r *Replica) monitors() bool { return r.cfg.Timing.Suspect.Ping > 0 }

// Status is where the replica is.
func (r *Replica) Status() Status {
	st := Status{
		View: r.order.View(), Leader: r.order.Leader(), Executed: r.executed(), Ordered: r.order.Ordered(),
		Proposed: r.order.High(), Sessions: r.sessions.Len(), Blacklist: r.blacklist, Collected: r.order.Collected(),
		HistoryBytes: r.heldBytes, OrdinalSlots: r.order.Slots(), Installed: r.order.Installed(),
		Stable: r.checkpoints.Stable().Ordinal,
	}
	j := &st.Judgement
	j.Turnaround, j.Acceptable, j.Limit = r.suspect.Turnaround()
	j.Stalled, j.Voted = r.suspect.TakenOut(), r.election.Voted()
	st.Pending, st.Bytes = r.preorder.Pending()
	st.Repair.Counters, st.Repair.Stored = r.repair()
	st.CatchUp, st.Target = r.catchup.Counters(), r.catchup.Target()
	for i := range r.cfg.Group.N() {
		var l Lane
		l.Held, l.Preordered, l.Executed = r.preorder.Marks(group.FromIndex(i))
		l.Slots = r.preorder.Slots(group.FromIndex(i))
		st.Lanes = append(st.Lanes, l)
	}
	return st
}

// Pending is how many updates of own clients wait to be introduced, and the bytes of their payloads: what a queue before this
// one has to know after each step.
func (r *Replica) Pending() (updates, bytes int) { return r.preorder.Pending() }

// Progress is the last ordinal executed, the last of the gap-free prefix that is ordered, and the last of which anything is kept:
// whoever verifies messages for this replica need not look at votes and certificates of others.
func (r *Replica) Progress() (executed, ordered, farthest uint64) { return r.order.Progress() }

// Proves reports whether this replica can prove an executed ordinal to one that lacks it; otherwise it can only tell it, and f others
// have to vouch for it.
func (r *Replica) Proves(ordinal uint64) bool { return r.order.Proves(ordinal) }

// SessionDigest is a hash of the replicated session table: equal at replicas that executed the same ordinals.
func (r *Replica) SessionDigest() [32]byte { return sha256.Sum256(r.sessions.AppendState(nil)) }

// ExecutionVector is what the executed ordinals made eligible. The caller must not change it.
func (r *Replica) ExecutionVector() wire.Vector { return r.vector }

// jittered is one Retransmit interval after now, less up to a quarter.
func (r *Replica) jittered(now clock.Instant) clock.Instant {
	d := r.cfg.Timing.Retransmit
	return now.Add(d - time.Duration(rand.New(r.random).Int64N(int64(d/4)+1)))
}
