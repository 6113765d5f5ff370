package order

import (
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
	OrdinalWindow int
	Matrix        time.Duration
	Propose       time.Duration
}

// State is the state of ordering at one replica.
type State struct {
	cfg   Config
	view  uint64
	slots window.Ring[slot] // by ordinal

	executed uint64      // last ordinal executed
	accepted uint64      // proposals 1..accepted have been accepted, in order
	chain    wire.Vector // what proposal accepted makes eligible
	known    uint64      // highest ordinal that some correct replica is ready to order
	high     uint64      // highest ordinal with a proposal

	eligible wire.Vector // of the newest rows
	version  uint64      // of the rows that eligible was computed from

	next     uint64      // ordinal of the next proposal, when leading
	proposed wire.Vector // what the last proposal makes eligible
	propose  clock.Pacer
	shown    wire.Vector   // what the leader has been shown to be eligible, by our matrices or evidently
	showAt   clock.Instant // when the leader is shown more, if it has not proposed it by then; Never if there is nothing to show
}

// slot is one ordinal. Invariant: votes has at most one PREPARE and one COMMIT of each replica, so that what is counted is
// distinct signers.
type slot struct {
	proposal  *wire.Envelope   // the first PRE-PREPARE received, or the one that was ordered
	seen      clock.Instant    // when anything was first known of this ordinal
	eligible  wire.Vector      // E of this ordinal, once accepted
	votes     []*wire.Envelope // n PREPAREs, then n COMMITs, by sender; the first of each
	prepares  int              // PREPAREs for proposal
	commits   int              // COMMITs for proposal
	voters    group.Set        // who sent a COMMIT, for any proposal
	prepared  bool             // prepare certificate complete; COMMIT sent
	ordered   bool             // commit certificate complete
	announced bool             // PREPARE sent
}

// New returns the state of a replica in view 1 that has seen nothing.
func New(cfg Config) *State {
	n := cfg.Group.N()
	return &State{
		cfg: cfg, view: 1, next: 1, chain: make(wire.Vector, n), eligible: make(wire.Vector, n),
		proposed: make(wire.Vector, n), shown: make(wire.Vector, n),
		propose: clock.Pacer{Interval: cfg.Propose}, showAt: clock.Never,
	}
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

// Slots is how many slots are held, for limits.
func (s *State) Slots() int { return s.slots.Len() }

// Next is the next ordinal to execute: its proposal and what it makes eligible; false if it is not ordered yet.
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
	kept := make([]*wire.Envelope, 0, s.cfg.Group.Quorum())
	for _, v := range at.votes[s.cfg.Group.N():] {
		if v != nil && proposalOf(v) == at.proposal.Digest && len(kept) < cap(kept) {
			kept = append(kept, v)
		}
	}
	at.votes = kept
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

// Collect forgets everything up to an executed ordinal and returns what that ordinal made eligible.
func (s *State) Collect(ordinal uint64) wire.Vector {
	at := s.slots.At(ordinal)
	invariant.Assert(at != nil && ordinal <= s.executed, "ordinal %d collected, executed to %d", ordinal, s.executed)
	eligible := at.eligible
	s.slots.Advance(ordinal)
	return eligible
}

// Check verifies invariants that cost too much for every step in production.
func (s *State) Check() {
	invariant.Assert(s.accepted >= s.executed, "accepted to %d, executed to %d", s.accepted, s.executed)
	previous := s.slots.At(s.executed)
	for o := s.executed + 1; o <= s.accepted; o++ {
		at := s.slots.At(o)
		invariant.Assert(at != nil && at.proposal != nil && at.eligible != nil, "ordinal %d accepted without a proposal", o)
		invariant.Assert(previous == nil || at.eligible.Covers(previous.eligible), "ordinal %d takes eligibility back", o)
		prepares, commits := 0, 0
		for k, v := range at.votes {
			if v == nil {
				continue
			}
			invariant.Assert(v.Sender.Index() == k%s.cfg.Group.N(), "a vote of %s is in the place of another", v.Sender)
			if proposalOf(v) == at.proposal.Digest && k < s.cfg.Group.N() {
				prepares++
			} else if proposalOf(v) == at.proposal.Digest {
				commits++
			}
		}
		invariant.Assert(prepares == at.prepares && commits == at.commits, "ordinal %d counts its votes wrong", o)
		previous = at
	}
}

// Collected is the last ordinal that is no longer held.
func (s *State) Collected() uint64 { return s.slots.Base() }

// Deadline is when Advance has something to do although nothing arrived.
func (s *State) Deadline() clock.Instant {
	first := clock.Never
	if s.toPropose() {
		first = min(first, s.propose.Next())
	}
	return min(first, s.showAt)
}

// Advance accepts proposals in order and sends what is due. rows is the newest summary of each replica, version changes with
// it.
func (s *State) Advance(now clock.Instant, rows wire.Rows, version uint64, out *effect.Output) {
	if version != s.version {
		s.version = version
		Eligible(s.cfg.Group, rows, s.eligible)
	}
	s.accept(now, out)
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
		s.shown = raise(s.shown, s.eligible)
		s.sendMatrix(rows, out)
	}
}

func (s *State) leads() bool { return s.Leader() == s.cfg.Self }

// toPropose: with nothing new to order no ordinal is created, and not too many are under way at once.
func (s *State) toPropose() bool {
	return s.leads() && s.next <= s.executed+uint64(s.cfg.OrdinalWindow) && !s.proposed.Covers(s.eligible)
}

func (s *State) sendProposal(now clock.Instant, rows wire.Rows, out *effect.Output) {
	m := &wire.PrePrepare{
		View: s.view, Ordinal: s.next, Incarnations: s.cfg.Membership, Base: s.proposed, Rows: append(wire.Rows(nil), rows...),
	}
	s.proposed = raise(s.proposed, s.eligible)
	s.next++
	s.propose.Done(now)
	out.Sends = append(out.Sends, effect.Send{To: s.cfg.Group.All(), Class: wire.Timely, Msg: m})
	out.Emit(trace.Event{Kind: trace.Proposed, View: m.View, Ordinal: m.Ordinal})
}

// toShow: a matrix goes to the leader when it shows more to be eligible than the leader is known to know. It waits for the
// Matrix interval, in which a leader that got the same summaries proposes by itself: then none is needed.
func (s *State) toShow() bool { return !s.leads() && !s.shown.Covers(s.eligible) }

func (s *State) sendMatrix(rows wire.Rows, out *effect.Output) {
	m := &wire.SummaryMatrix{View: s.view, Rows: append(wire.Rows(nil), rows...)}
	out.Sends = append(out.Sends, effect.Send{To: group.SetOf(s.Leader()), Class: wire.Timely, Msg: m})
}

func drop(out *effect.Output, from group.ID, ordinal uint64, why trace.Reason) {
	out.Emit(trace.Event{Kind: trace.Dropped, Peer: from, Ordinal: ordinal, Reason: why})
}
