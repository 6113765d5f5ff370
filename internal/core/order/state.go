package order

import (
	"slices"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/core/window"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/invariant"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// Config is what ordering has to know.
type Config struct {
	Self          group.ID
	Group         group.Group
	Membership    wire.Digest // wire.HashIncarnations of the current incarnations
	OrdinalWindow int         // ordinals that a leader proposes ahead of execution
	Ahead         int         // ordinals that are taken ahead of execution
	Matrix        time.Duration
	Propose       time.Duration
}

// State is the state of ordering at one replica.
type State struct {
	cfg       Config
	view      uint64
	installed bool              // the view is; otherwise nothing new is proposed, prepared or committed
	start     uint64            // first ordinal of normal ordering in the view
	certified uint64            // highest view that a commit certificate is known of; if it is later, our view is dead
	slots     window.Ring[slot] // by ordinal
	windows   []*wire.Window    // certificates of the ordinals that view changes bound, as long as those are held

	executed uint64      // last ordinal executed
	landed   uint64      // ordinals up to here were not executed here, see Jump: they cannot be given to others
	accepted uint64      // proposals 1..accepted have been accepted, in order
	planned  uint64      // accepted proposals 1..planned have been given out by Fresh
	chain    wire.Vector // what proposal accepted makes eligible
	known    uint64      // highest ordinal that some correct replica is ready to order
	high     uint64      // highest ordinal with a proposal

	eligible wire.Vector // of the newest rows
	version  uint64      // of the rows that eligible was computed from
	demand   wire.Vector // eligible without the rows of replicas that are proven faulty: what the leader can be asked for
	faulty   group.Set   // those replicas

	next     uint64      // ordinal of the next proposal, when leading
	proposed wire.Vector // what the last proposal makes eligible
	propose  clock.Pacer
	shown    wire.Vector   // what the leader has been shown to be eligible, by our matrices or evidently
	showAt   clock.Instant // when the leader is shown more, if it has not proposed it by then; Never if there is nothing to show
}

// slot is one ordinal. Once it is ordered, by a commit certificate or because an installed view bound it, it stays so.
type slot struct {
	seen     clock.Instant    // when anything was first known of this ordinal
	round    round            // ordering in the current view
	best     *wire.Prepared   // prepare certificate of the highest view before, nil if there is none
	known    []*wire.Envelope // PRE-PREPAREs of earlier views that are here, the newest last; at most maxKnown
	ordered  bool
	bound    bool             // by a view change, to the digest binding
	binding  wire.Digest      // zero is a no-op
	awaited  wire.Digest      // proposal of an earlier view that the view being changed to will probably bind; zero: none
	proposal *wire.Envelope   // the PRE-PREPARE that is ordered; nil for a no-op, and while a bound one is missing
	commits  []*wire.Envelope // Q COMMITs for it, if a commit certificate ordered it
	learned  bool             // nothing here proves it: others told what it was, or it was executed long ago
	eligible wire.Vector      // E of this ordinal, once accepted
}

// maxKnown is how many proposals of earlier views are kept for an ordinal, in case a view change binds it to one.
const maxKnown = 3

// round is one ordinal in one view. Invariant: votes has at most one PREPARE and one COMMIT of each replica, so that what is
// counted is distinct signers.
type round struct {
	proposal  *wire.Envelope   // the first PRE-PREPARE received
	votes     []*wire.Envelope // n PREPAREs, then n COMMITs, by sender; the first of each
	prepares  int              // PREPAREs for proposal
	commits   int              // COMMITs for proposal
	voters    group.Set        // who sent a COMMIT, for any proposal
	prepared  bool             // the prepare certificate is complete
	committed bool             // COMMIT sent
	announced bool             // PREPARE sent
}

// New returns the state of a replica in view 1 that has seen nothing.
func New(cfg Config) *State {
	n := cfg.Group.N()
	return &State{
		cfg: cfg, view: 1, installed: true, start: 1, next: 1, chain: make(wire.Vector, n), eligible: make(wire.Vector, n), demand: make(wire.Vector, n),
		proposed: make(wire.Vector, n), shown: make(wire.Vector, n),
		propose: clock.Pacer{Interval: cfg.Propose}, showAt: clock.Never,
	}
}

// Resume goes on with other intervals, after this replica was away.
func (s *State) Resume(matrix, propose time.Duration) {
	s.cfg.Matrix, s.cfg.Propose = matrix, propose
	s.propose = clock.Pacer{Interval: propose}
}

// View is the current view.
func (s *State) View() uint64 { return s.view }

// Leader leads the current view.
func (s *State) Leader() group.ID { return s.cfg.Group.Leader(s.view) }

// High is the highest ordinal with a proposal.
func (s *State) High() uint64 { return s.high }

// Known is the highest ordinal that some correct replica is ready to order, or has.
func (s *State) Known() uint64 { return s.known }

// Ordered is the last ordinal of the gap-free prefix that is ordered.
func (s *State) Ordered() uint64 {
	last := s.executed
	for at := s.slots.At(last + 1); at != nil && at.ordered; at = s.slots.At(last + 1) {
		last++
	}
	return last
}

// Progress is the last ordinal executed, Ordered, and the highest ordinal of which anything is kept.
func (s *State) Progress() (executed, ordered, farthest uint64) {
	return s.executed, s.Ordered(), s.farthest()
}

// Slots is how many slots are held, for limits.
func (s *State) Slots() int { return s.slots.Len() }

// farthest is the highest ordinal of which anything is kept.
func (s *State) farthest() uint64 { return s.executed + uint64(s.cfg.Ahead) }

// Next is the next ordinal to execute: its proposal, nil for a no-op, and what it makes eligible; false if it is not ordered
// yet, or its proposal is missing.
func (s *State) Next() (proposal *wire.Envelope, eligible wire.Vector, ok bool) {
	at := s.slots.At(s.executed + 1)
	if at == nil || !at.ordered || s.accepted <= s.executed {
		return nil, nil, false
	}
	return at.proposal, at.eligible, true
}

// Executed is the last ordinal executed.
func (s *State) Executed() uint64 { return s.executed }

// MarkExecuted says that the next ordinal has been executed. Only what proves it to others is kept.
func (s *State) MarkExecuted() {
	s.executed++
	at := s.slots.At(s.executed)
	invariant.Assert(at != nil && at.ordered && s.accepted >= s.executed, "ordinal %d executed before it was ordered", s.executed)
	at.round, at.best, at.known = round{}, nil, nil
}

// Learn says that the next ordinal has been executed, as others told, with what it makes eligible. If nothing here ordered it there is
// nothing that proves it to anybody. What is known of later ordinals stays, and all that was promised of them.
func (s *State) Learn(eligible wire.Vector) {
	next := s.executed + 1
	at := s.slots.Make(next)
	if s.accepted >= next && !slices.Equal(at.eligible, eligible) {
		s.retreat(next)
	}
	s.executed = next
	if s.accepted < next {
		s.accepted, s.chain = next, eligible
		s.shown = raise(s.shown, eligible)
	}
	if at.eligible = eligible; !at.ordered || at.bound && at.proposal == nil && at.binding != (wire.Digest{}) {
		at.ordered, at.learned, at.proposal, at.commits = true, true, nil, nil
	}
	at.round, at.best, at.known, at.awaited = round{}, nil, nil, wire.Digest{}
	s.high, s.known = max(s.high, next), max(s.known, next)
}

// Unprove forgets what proves an executed ordinal: whoever still needs it is so far behind that f+1 others vouch for it instead.
func (s *State) Unprove(ordinal uint64) {
	if at := s.slots.At(ordinal); at != nil && ordinal <= s.executed {
		at.learned, at.proposal, at.commits = true, nil, nil
	}
}

// Proves reports whether this replica can prove an executed ordinal to others.
func (s *State) Proves(ordinal uint64) bool {
	at := s.slots.At(ordinal)
	return at != nil && ordinal <= s.executed && at.ordered && !at.learned
}

// Due is what the ordinals that are ordered, without a gap, and accepted make eligible: execution needs it. The caller must
// not change it.
func (s *State) Due() wire.Vector {
	last := min(s.Ordered(), s.accepted)
	if at := s.slots.At(last); at != nil {
		return at.eligible
	}
	return nil
}

// Accepted is what the accepted proposals make eligible. The caller must not change it.
func (s *State) Accepted() wire.Vector { return s.chain }

// Fresh is the next accepted proposal that it has not given out before: its rows, and what was eligible before and after
// it. It gives each out once, and again after it was taken back. False if there is none.
func (s *State) Fresh() (rows wire.Rows, before, after wire.Vector, ok bool) {
	s.planned = max(s.planned, s.executed)
	for s.planned < s.accepted {
		before = make(wire.Vector, len(s.chain))
		if last := s.slots.At(s.planned); last != nil {
			before = last.eligible
		}
		s.planned++
		at := s.slots.At(s.planned)
		proposal := at.round.proposal
		if at.ordered {
			proposal = at.proposal
		}
		if proposal != nil {
			return proposal.Msg.(*wire.PrePrepare).Rows, before, at.eligible, true
		}
	}
	return nil, nil, nil, false
}

// Collect forgets everything up to an executed ordinal and returns what that ordinal made eligible.
func (s *State) Collect(ordinal uint64) wire.Vector {
	at := s.slots.At(ordinal)
	invariant.Assert(at != nil && ordinal <= s.executed, "ordinal %d collected, executed to %d", ordinal, s.executed)
	eligible := at.eligible
	s.slots.Advance(ordinal)
	s.windows = slices.DeleteFunc(s.windows, func(w *wire.Window) bool {
		return w.Resolution.Start <= ordinal+1 && w.Resolution.View < s.view
	})
	return eligible
}

// Check verifies invariants that cost too much for every step in production.
func (s *State) Check() {
	invariant.Assert(s.accepted >= s.executed, "accepted to %d, executed to %d", s.accepted, s.executed)
	previous := s.slots.At(s.executed)
	for o := s.executed + 1; o <= s.accepted; o++ {
		at := s.slots.At(o)
		invariant.Assert(at != nil && at.eligible != nil, "ordinal %d accepted without a proposal", o)
		invariant.Assert(previous == nil || at.eligible.Covers(previous.eligible), "ordinal %d takes eligibility back", o)
		s.checkVotes(o, &at.round)
		previous = at
	}
}

func (s *State) checkVotes(o uint64, r *round) {
	prepares, commits := 0, 0
	for k, v := range r.votes {
		if v == nil {
			continue
		}
		invariant.Assert(v.Sender.Index() == k%s.cfg.Group.N(), "a vote of %s is in the place of another", v.Sender)
		if r.proposal != nil && proposalOf(v) == r.proposal.Digest && k < s.cfg.Group.N() {
			prepares++
		} else if r.proposal != nil && proposalOf(v) == r.proposal.Digest {
			commits++
		}
	}
	invariant.Assert(prepares == r.prepares && commits == r.commits, "ordinal %d counts its votes wrong", o)
}

// Collected is the last ordinal that is no longer held, or never was.
func (s *State) Collected() uint64 { return max(s.slots.Base(), s.landed) }

// Deadline is when Advance has something to do although nothing arrived.
func (s *State) Deadline() clock.Instant {
	first := clock.Never
	if s.toPropose() {
		first = min(first, s.propose.Next())
	}
	return min(first, s.showAt)
}

// Advance accepts proposals in order and sends what is due. rows is the newest summary of each replica, version changes with
// it. It returns what the leader was shown to be eligible, if it was sent a matrix.
func (s *State) Advance(now clock.Instant, rows wire.Rows, version uint64, out *effect.Output) (shown wire.Vector) {
	if version != s.version {
		s.version = version
		s.compute(rows)
	}
	s.accept(out)
	s.next = max(s.next, s.accepted+1) // a leader that was replaced learns what others ordered in its place
	if s.propose.Due(now) && s.toPropose() {
		s.sendProposal(now, rows, out)
	}
	switch {
	case !s.toShow():
		s.showAt = clock.Never
	case s.showAt == clock.Never && s.cfg.Matrix > 0:
		s.showAt = now.Add(s.cfg.Matrix)
	case s.showAt == clock.Never || now >= s.showAt:
		s.showAt = clock.Never
		s.shown = raise(s.shown, s.demand)
		s.sendMatrix(rows, out)
		return s.shown
	}
	return nil
}

// compute finds what rows make eligible, and how much of it the leader can be asked for: of a replica that is proven faulty it may
// hold another row.
func (s *State) compute(rows wire.Rows) {
	Eligible(s.cfg.Group, rows, s.eligible)
	copy(s.demand, s.eligible)
	if s.faulty != 0 {
		others := slices.Clone(rows)
		for id := range s.faulty.All() {
			others[id.Index()] = nil
		}
		Eligible(s.cfg.Group, others, s.demand)
	}
}

// Blacklist says that a replica is proven faulty. What the leader was shown with the help of its rows is shown again without.
func (s *State) Blacklist(id group.ID, rows wire.Rows) {
	s.faulty = s.faulty.With(id)
	s.compute(rows)
	s.shown, s.showAt = slices.Clone(s.chain), clock.Never
}

func (s *State) leads() bool { return s.Leader() == s.cfg.Self }

// toPropose: with nothing new to order no ordinal is created, and not too many are under way at once. A leader that learns from
// a certificate that the others are in a later view proposes no more.
func (s *State) toPropose() bool {
	return s.leads() && s.live() && s.accepted+1 >= s.start && s.next <= s.executed+uint64(s.cfg.OrdinalWindow) &&
		!s.base().Covers(s.eligible)
}

// live reports whether ordering goes on in our view: it is installed, and no later one is known to be.
func (s *State) live() bool { return s.installed && s.certified <= s.view }

// base is what the proposal before the next one makes eligible: our last, or what was accepted if that is all.
func (s *State) base() wire.Vector {
	if s.next == s.accepted+1 {
		return s.chain
	}
	return s.proposed
}

func (s *State) sendProposal(now clock.Instant, rows wire.Rows, out *effect.Output) {
	m := &wire.PrePrepare{
		View: s.view, Ordinal: s.next, Incarnations: s.cfg.Membership, Base: s.base(), Rows: append(wire.Rows(nil), rows...),
	}
	s.proposed = raise(m.Base, s.eligible)
	s.next++
	s.propose.Done(now)
	out.Sends = append(out.Sends, effect.Send{To: s.cfg.Group.All(), Class: wire.Timely, Msg: m})
	out.Emit(trace.Event{Kind: trace.Proposed, View: m.View, Ordinal: m.Ordinal})
}

// toShow: a matrix goes to the leader when it shows more to be eligible than the leader is known to know. It waits for the
// Matrix interval, in which a leader that got the same summaries proposes by itself: then none is needed.
func (s *State) toShow() bool { return !s.leads() && s.installed && !s.shown.Covers(s.demand) }

func (s *State) sendMatrix(rows wire.Rows, out *effect.Output) {
	m := &wire.SummaryMatrix{View: s.view, Rows: append(wire.Rows(nil), rows...)}
	out.Sends = append(out.Sends, effect.Send{To: group.SetOf(s.Leader()), Class: wire.Timely, Msg: m})
}

func drop(out *effect.Output, from group.ID, ordinal uint64, why trace.Reason) {
	out.Emit(trace.Event{Kind: trace.Dropped, Peer: from, Ordinal: ordinal, Reason: why})
}
