package catchup

import (
	"slices"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/invariant"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// Limits of what is asked for at once.
const (
	Active      = 16      // segments
	MaxBuffered = 8 << 20 // bytes of contents that wait; the first segment is got in any case
	Outstanding = 2       // questions to one peer
)

// How long answers are waited for.
const (
	fetches  = 10 // Fetch intervals until a peer counts as silent, at first
	leastOf  = 100 * time.Millisecond
	mostOf   = 4 * time.Second // however long its last answer took
	patience = 16              // of the first wait without any progress: the round is given up
	failures = 3               // outlines in a row that nobody could agree on, until the way is taken to be lost
	hopeless = 20              // the same, if a checkpoint is known and fewer than f+1 are heard
)

// Config is what catching up has to know.
type Config struct {
	Self      group.ID
	Group     group.Group
	Fetch     time.Duration
	Threshold uint64 // ordinals that a replica may be behind before it is caught up at once
}

// State is the state of catching up at one replica, and of helping others to.
type State struct {
	cfg      Config
	peers    []peer  // by group.ID.Index
	askers   []asker // likewise
	phase    phase
	executed uint64 // here, as far as is known
	proven   uint64 // ordinal of a checkpoint that f+1 have signed, 0 if none is known
	counters Counters

	// The round. from and to are fixed when it begins.
	from, to uint64
	askAt    clock.Instant // outlining: when to ask again; fetching: when the round is given up if nothing comes until then
	outlines []agreement
	failed   int       // rounds in a row without an outline, although f+1 said that they could have given it
	vain     bool      // the last round ended without an outline
	heard    bool      // somebody said in this round that it has executed to
	lonely   int       // rounds in a row without an outline and without progress of another kind, in which somebody was heard
	alive    group.Set // who said in this round that it has executed to
	again    bool      // a round has ended well: go on if anything is missing, however little
	links    []wire.Digest
	givers   group.Set // who gave these links
	liars    group.Set // who sent a wrong segment
	active   []segment
	next     int // the link at the end of the segment after the active ones
	buffered int // bytes of contents in active
	turn     int // whom to prefer
}

// phase is where a round is.
type phase uint8

const (
	idle      phase = iota
	outlining       // waiting for f+1 equal outlines
	fetching        // the outline is known
)

// peer is what is known of one replica.
type peer struct {
	told                                bool
	executed, oldest, stable, installed uint64 // advertised last
	open                                int    // questions that wait for its answer
	slow                                bool   // it did not answer one in time
	wait                                time.Duration
}

// agreement is who gave one outline.
type agreement struct {
	links []wire.Digest
	by    group.Set
}

// Counters count since the start.
type Counters struct {
	Rounds   uint64 // outlines that f+1 replicas agreed on
	Ordinals uint64 // executed from what others told
	Segments uint64 // received that were right
	Bytes    uint64 // of contents in these
	Wrong    uint64 // received that were wrong
	Late     uint64 // questions that were not answered in time
}

// Since is what was counted after earlier was.
func (c Counters) Since(earlier Counters) Counters {
	c.Rounds -= earlier.Rounds
	c.Ordinals -= earlier.Ordinals
	c.Segments -= earlier.Segments
	c.Bytes -= earlier.Bytes
	c.Wrong -= earlier.Wrong
	c.Late -= earlier.Late
	return c
}

// New returns the state of a replica that has heard of nobody.
func New(cfg Config) *State {
	n := cfg.Group.N()
	return &State{cfg: cfg, peers: make([]peer, n), askers: make([]asker, n)}
}

// Counters are how much was done.
func (s *State) Counters() Counters { return s.counters }

// Active reports whether a round is on.
func (s *State) Active() bool { return s.phase != idle }

// Suffices reports whether a round is on that may be all that helps this replica on: no outline was asked for in vain. If f+1 say that
// they executed an ordinal only one of them need be correct, and alone it cannot vouch for it, but prove it.
func (s *State) Suffices() bool { return s.phase != idle && !s.vain }

// OnStatus notes where a peer says that it is. What it said before does not count: a replica that lies may take it back. It reports
// whether anything of that is new.
func (s *State) OnStatus(from group.ID, m *wire.Status) bool {
	p := &s.peers[from.Index()]
	before, alive, heard := *p, s.alive, s.heard
	p.told = true
	p.executed, p.oldest, p.stable, p.installed = m.Executed, m.Oldest, m.Stable, m.Installed
	if s.phase != idle && m.Executed >= s.to {
		s.alive, s.heard = s.alive.With(from), true
	}
	return *p != before || s.alive != alive || s.heard != heard
}

// OnVote notes that a peer takes part in ordering an ordinal, so that it has executed all but so many before it.
func (s *State) OnVote(from group.ID, ordinal, ahead uint64) {
	if p := &s.peers[from.Index()]; ordinal > ahead {
		p.executed = max(p.executed, ordinal-ahead)
	}
}

// Target is what a correct replica has executed: the (f+1)-th highest ordinal that others say they have, or a checkpoint beyond it.
func (s *State) Target() uint64 {
	return max(s.proven, s.ranked(func(p *peer) uint64 { return p.executed }))
}

// Proven says that the checkpoint of an ordinal is known, by f+1 signatures at least.
func (s *State) Proven(ordinal uint64) { s.proven = max(s.proven, ordinal) }

// Installed is a view that a correct replica has installed, or a later one.
func (s *State) Installed() uint64 { return s.ranked(func(p *peer) uint64 { return p.installed }) }

func (s *State) ranked(value func(*peer) uint64) uint64 {
	var values [group.MaxReplicas]uint64
	all := values[:0]
	for i := range s.peers {
		if group.FromIndex(i) != s.cfg.Self {
			all = append(all, value(&s.peers[i]))
		}
	}
	if len(all) < s.cfg.Group.OneCorrect() {
		return 0
	}
	slices.Sort(all)
	return all[len(all)-s.cfg.Group.OneCorrect()]
}

// Lacks reports whether what this replica needs next cannot be had as ordinals: f+1 replicas have forgotten it and too few are left
// who could vouch for it, or several times no f+1 vouched for the same although so many were there; or although a checkpoint is known,
// and nobody helps in another way for long: who executed it may have crashed, but for one that went on from it and is all that is heard. The
// state of a checkpoint is needed then.
func (s *State) Lacks() bool {
	if s.Target() <= s.executed {
		return false
	}
	able, gone := 0, 0
	for i := range s.peers {
		switch p := &s.peers[i]; {
		case group.FromIndex(i) == s.cfg.Self || !p.told || p.executed <= s.executed:
		case p.oldest <= s.executed+1:
			able++
		default:
			gone++
		}
	}
	one := s.cfg.Group.OneCorrect()
	return gone >= one && able < one || s.failed >= failures || s.proven > s.executed && s.lonely == hopeless
}

// Jumped says that this replica goes on after an ordinal with the state of a checkpoint.
func (s *State) Jumped(ordinal uint64) {
	s.executed = max(s.executed, ordinal)
	s.hope()
	s.abandon()
}

// Advance lets the round go on, or begins one: if others are known to be so far ahead that it is worth it, or if the caller has waited in
// vain for anything else (urgent).
func (s *State) Advance(now clock.Instant, executed uint64, urgent bool, out *effect.Output) {
	s.executed = executed
	if s.phase != idle && executed >= s.to {
		if s.phase == fetching {
			s.again = true
			out.Emit(trace.Event{Kind: trace.CaughtUp, Ordinal: executed})
		}
		s.hope()
		s.abandon()
	}
	switch s.phase {
	case idle:
		target := s.Target()
		if behind := target > executed; behind && (urgent || s.again || target-executed > s.cfg.Threshold) {
			s.alive = 0
			s.begin(now, executed, target, out)
		}
		s.again = s.again && s.phase != idle
	case outlining:
		if now >= s.askAt {
			s.failing()
			s.restart(now, out)
		}
	case fetching:
		if now >= s.askAt {
			s.restart(now, out)
			return
		}
		s.fetch(now, out)
	}
}

// failing notes that a round ends without an outline. If something was executed meanwhile, others help in another way.
func (s *State) failing() {
	if s.vain = true; s.executed > s.from {
		s.failed, s.lonely = 0, 0
		return
	}
	if s.heard {
		s.lonely = min(s.lonely+1, hopeless)
	}
	if s.alive.Len() >= s.cfg.Group.OneCorrect() {
		s.failed, s.alive = min(s.failed+1, failures), 0
	}
}

// restart gives the round up and begins another, if anything is still missing.
func (s *State) restart(now clock.Instant, out *effect.Output) {
	s.abandon()
	if target := s.Target(); target > s.executed {
		s.begin(now, s.executed, target, out)
	} else {
		s.hope()
	}
}

// hope forgets that others could not agree on what came next: this replica got on.
func (s *State) hope() { s.failed, s.vain, s.lonely = 0, false, 0 }

// begin asks all others what was executed up to an ordinal, or as far as one outline reaches.
func (s *State) begin(now clock.Instant, from, to uint64, out *effect.Output) {
	s.phase, s.again, s.heard, s.outlines = outlining, false, false, nil
	s.from, s.to = from, min(to, (from/wire.Spacing+MaxLinks)*wire.Spacing)
	s.askAt = now.Add(s.firstWait() << min(s.failed, 3))
	m := &wire.OutlineAsk{From: s.from, To: s.to}
	out.Sends = append(out.Sends, effect.Send{To: s.cfg.Group.Others(s.cfg.Self), Class: wire.Bounded, Msg: m})
}

// firstWait is how long an answer is waited for of whom nothing is known.
func (s *State) firstWait() time.Duration { return max(leastOf, fetches*s.cfg.Fetch) }

// abandon ends the round.
func (s *State) abandon() {
	s.phase, s.outlines, s.links, s.active, s.buffered, s.next = idle, nil, nil, nil, 0, 0
	s.givers, s.liars = 0, 0
	for i := range s.peers {
		s.peers[i].open, s.peers[i].slow, s.peers[i].wait = 0, false, 0
	}
}

// OnOutline handles an OUTLINE: the first of each replica in a round counts, and f+1 equal ones are the outline.
func (s *State) OnOutline(now clock.Instant, env *wire.Envelope, out *effect.Output) {
	m := env.Msg.(*wire.Outline)
	if s.phase == idle || m.From != s.from || m.To != s.to || env.Sender == s.cfg.Self {
		drop(out, env.Sender, "outline that was not asked for")
		return
	}
	if s.phase == fetching {
		if slices.Equal(m.Links, s.links) && !s.givers.Has(env.Sender) {
			s.givers = s.givers.With(env.Sender)
			s.fetch(now, out)
		}
		return
	}
	var at *agreement
	for k := range s.outlines {
		if s.outlines[k].by.Has(env.Sender) {
			return
		}
		if slices.Equal(s.outlines[k].links, m.Links) {
			at = &s.outlines[k]
		}
	}
	if at == nil {
		s.outlines = append(s.outlines, agreement{links: m.Links})
		at = &s.outlines[len(s.outlines)-1]
	}
	if at.by = at.by.With(env.Sender); at.by.Len() < s.cfg.Group.OneCorrect() {
		return
	}
	s.phase, s.links, s.givers, s.outlines = fetching, at.links, at.by, nil
	s.hope()
	s.askAt = now.Add(patience * s.firstWait())
	s.counters.Rounds++
	out.Emit(trace.Event{Kind: trace.CatchingUp, Ordinal: s.to})
	s.fetch(now, out)
}

// Deadline is when Advance or Serve has something to do although nothing arrived.
func (s *State) Deadline() clock.Instant {
	first := s.serveDeadline()
	if s.phase == idle {
		return first
	}
	first = min(first, s.askAt)
	for k := range s.active {
		first = min(first, s.expires(&s.active[k], k == 0))
	}
	return first
}

// Check verifies invariants that cost too much for every step in production.
func (s *State) Check() {
	bytes := 0
	open := make([]int, len(s.peers))
	for k := range s.active {
		bytes += s.active[k].bytes
		for i := range s.active[k].asked {
			if a := &s.active[k].asked[i]; a.open {
				open[a.peer.Index()]++
			}
		}
	}
	invariant.Assert(bytes == s.buffered && len(s.active) <= Active, "%d bytes of %d segments wait, counted as %d", bytes, len(s.active),
		s.buffered)
	for i := range s.peers {
		invariant.Assert(open[i] == s.peers[i].open && open[i] <= Outstanding, "%s has %d questions, counted as %d",
			group.FromIndex(i), open[i], s.peers[i].open)
	}
}
