package suspect

import (
	"slices"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// Config is what monitoring has to know.
type Config struct {
	Self     group.ID
	Group    group.Group
	KLat     int           // variability of TIMELY latency that is acceptable, in thousandths: 2500 is 2.5
	Delta    time.Duration // longest pause that a correct leader makes between proposals
	Floor    time.Duration // least acceptable turnaround
	Ping     time.Duration // between RTT-PINGs, and before values that did not change are repeated
	Check    time.Duration // how often a waiting challenge is looked at
	Window   time.Duration // how long a turnaround counts at least; it counts twice as long at most
	MaxStall time.Duration // own standstill that may be taken out of the measurements in a Window
}

// unknown is a duration that nobody has measured yet.
const unknown = time.Duration(1<<63 - 1)

// State is the state of monitoring at one replica. All of it is of one view.
type State struct {
	cfg    Config
	view   uint64
	normal bool // ordering is on; false during a view change

	challenges []challenge // the oldest first, each asks for more than the one before
	proof      clock.Instant
	pings      [16]ping
	pinged     uint64        // number of the last ping
	answered   uint64        // number of the last ping that counts as answered by the leader
	unanswered clock.Instant // when the oldest ping was sent that the leader has not answered; Never if it has answered all

	longest  time.Duration // turnaround in the current window
	previous time.Duration // and in the one before
	windowAt clock.Instant // when the current window ends
	stalled  time.Duration // taken out in the current window
	total    time.Duration // taken out in all

	reported []time.Duration // newest TAT-MEASURE of each replica
	numbers  []uint64        // their numbers
	trips    []time.Duration // lowest round trip that each replica measured to this one
	bounds   []time.Duration // lowest TAT-UB of each replica

	answers []answers // to each replica's pings

	number    uint64        // of the last turnaround reported; it rises through all views
	sent      time.Duration // that turnaround
	sentAt    clock.Instant
	sentBound time.Duration
	boundAt   clock.Instant
	pingAt    clock.Instant
	checkAt   clock.Instant
}

// challenge is something that the leader has been shown and has to propose.
type challenge struct {
	want  wire.Vector
	rows  wire.Rows
	since clock.Instant
}

// answers is how many pings of a replica were answered until an instant.
type answers struct {
	until clock.Instant
	count int
}

type ping struct {
	seq uint64
	at  clock.Instant
}

// New returns the state of a replica that is about to Start view 1.
func New(cfg Config) *State { return &State{cfg: cfg} }

// Start begins to measure the leader of a view, from nothing.
func (s *State) Start(now clock.Instant, view uint64, normal bool) {
	n := s.cfg.Group.N()
	*s = State{
		cfg: s.cfg, view: view, normal: normal, proof: clock.Never, unanswered: clock.Never, total: s.total, stalled: s.stalled,
		windowAt: now.Add(s.cfg.Window), reported: make([]time.Duration, n), numbers: make([]uint64, n), number: s.number, answers: s.answers, trips: slices.Repeat([]time.Duration{unknown}, n),
		bounds: slices.Repeat([]time.Duration{unknown}, n), sentBound: unknown, pingAt: now, checkAt: now.Add(s.cfg.Check),
		pinged: s.pinged, answered: s.pinged,
	}
	s.trips[s.cfg.Self.Index()] = 0
	if s.answers == nil {
		s.answers = make([]answers, n)
	}
}

// Resume goes on with other settings, because this replica was away. What the leader was asked for before it owes from now on:
// nobody will ask again. Pings are begun anew.
func (s *State) Resume(now clock.Instant, cfg Config) {
	s.cfg = cfg
	for k := range s.challenges {
		s.challenges[k].since = now
	}
	if s.proof != clock.Never {
		s.proof = now
	}
	s.pinged += forgotten
	s.answered, s.unanswered, s.pings = s.pinged, clock.Never, [len(s.pings)]ping{}
	s.pingAt, s.checkAt = now, now.Add(s.cfg.Check)
}

// forgotten is more pings than a replica can have sent without remembering it, as it may.
const forgotten = 1 << 20

// Normal says that ordering is on. Pings of before do not count: the leader may not have been in the view yet.
func (s *State) Normal() { s.normal, s.proof, s.answered = true, clock.Never, s.pinged }

func (s *State) leader() group.ID { return s.cfg.Group.Leader(s.view) }

// MaxChallenges is how many challenges are kept. A replica that keeps up has few, since the leader answers them or is replaced; one
// that lags behind its peers, and so accepts no proposals, would gather one with each of their summaries.
const MaxChallenges = 1024

// Challenge says that the leader has been sent a matrix that makes want eligible. If there are too many it takes the place of the one
// before, which it includes: what is waited for longest stays.
func (s *State) Challenge(now clock.Instant, want wire.Vector, rows wire.Rows) {
	if last := len(s.challenges) - 1; last+1 == MaxChallenges {
		s.challenges[last] = challenge{want, rows, now}
		return
	}
	s.challenges = append(s.challenges, challenge{want, rows, now})
}

// Proposed says what the accepted proposals make eligible: challenges that this covers have ended.
func (s *State) Proposed(now clock.Instant, accepted wire.Vector) {
	done := 0
	for done < len(s.challenges) && accepted.Covers(s.challenges[done].want) {
		s.measure(now.Sub(s.challenges[done].since))
		done++
	}
	if done > 0 {
		s.challenges = slices.Delete(s.challenges, 0, done)
	}
}

// Passed says that this replica went on after what it had not executed: when the leader proposed that, if it owed it, is not known.
func (s *State) Passed(executed wire.Vector) {
	s.challenges = slices.DeleteFunc(s.challenges, func(c challenge) bool { return executed.Covers(c.want) })
}

// Discount takes the rows of a replica that was proven faulty out of what the leader is asked for: it may have shown the
// leader others. eligible computes what rows make eligible.
func (s *State) Discount(id group.ID, eligible func(wire.Rows) wire.Vector) {
	for k := range s.challenges {
		c := &s.challenges[k]
		c.rows = slices.Clone(c.rows)
		c.rows[id.Index()] = nil
		c.want = eligible(c.rows)
	}
}

// Proof says that the leader has been sent a VC-PROOF; Replayed, that its REPLAY is here.
func (s *State) Proof(now clock.Instant) {
	if s.proof == clock.Never && !s.normal {
		s.proof = now
	}
}

// Replayed says that the leader's REPLAY is here.
func (s *State) Replayed(now clock.Instant) {
	if s.proof != clock.Never && !s.normal {
		s.measure(now.Sub(s.proof))
		s.proof = clock.Never
	}
}

func (s *State) measure(d time.Duration) { s.longest = max(s.longest, d) }

// Stalled says that this replica itself stood still for d just now. It returns how much of that is taken out.
func (s *State) Stalled(d time.Duration) time.Duration {
	d = min(d, s.cfg.MaxStall-s.stalled)
	if d <= 0 {
		return 0
	}
	s.stalled += d
	s.total += d
	for k := range s.challenges {
		s.challenges[k].since = s.challenges[k].since.Add(d)
	}
	for k := range s.pings {
		s.pings[k].at = s.pings[k].at.Add(d)
	}
	s.proof, s.unanswered = s.proof.Add(d), s.unanswered.Add(d)
	return d
}

// TakenOut is how much standstill was taken out of the measurements so far.
func (s *State) TakenOut() time.Duration { return s.total }

// Turnaround is the leader's turnaround and the acceptable one, and the limit that follows; very large if not yet known.
func (s *State) Turnaround() (leader, acceptable, limit time.Duration) {
	leader, acceptable = s.rank(s.reported, false), max(s.cfg.Floor, s.rank(s.bounds, true))
	if acceptable == unknown {
		return leader, acceptable, unknown
	}
	limit = scale(acceptable, s.cfg.KLat)
	if s.normal {
		limit += s.cfg.Delta
	}
	return leader, acceptable, limit
}

// Suspicious reports whether the leader is slower than a correct one could be.
func (s *State) Suspicious() bool {
	leader, _, limit := s.Turnaround()
	return leader > limit
}

// scale multiplies by thousandths, without overflow: no value of a peer is believed to be small.
func scale(d time.Duration, thousandths int) time.Duration {
	if d > unknown/time.Duration(max(1, thousandths))-1 {
		return unknown / 2
	}
	return d * time.Duration(thousandths) / 1000
}

// rank is the W-th highest or W-th lowest of the values, W = f+k+1.
func (s *State) rank(values []time.Duration, highest bool) time.Duration {
	var sorted [group.MaxReplicas]time.Duration
	copied := sorted[:copy(sorted[:], values)]
	slices.Sort(copied)
	if highest {
		return copied[len(copied)-s.cfg.Group.Rank()]
	}
	return copied[s.cfg.Group.Rank()-1]
}

// Deadline is when Advance has something to do although nothing arrived.
func (s *State) Deadline() clock.Instant { return min(s.pingAt, s.checkAt) }

// Advance sends what is due.
func (s *State) Advance(now clock.Instant, out *effect.Output) {
	if now >= s.windowAt {
		s.previous, s.longest, s.stalled, s.windowAt = s.longest, 0, 0, now.Add(s.cfg.Window)
	}
	if now >= s.checkAt {
		s.checkAt = now.Add(s.cfg.Check)
		s.measureWaiting(now)
	}
	if now >= s.pingAt {
		s.sendPing(now, out)
	}
	if tat := max(s.longest, s.previous); s.worthReporting(tat) || now >= s.sentAt.Add(s.cfg.Ping) {
		s.number++
		s.sent, s.sentAt = tat, now
		s.broadcast(out, wire.Bounded, &wire.Turnaround{View: s.view, Number: s.number, Nanos: uint64(tat)})
	}
	if alpha := s.rank(s.trips, true); alpha != unknown && (s.sentBound == unknown || now >= s.boundAt.Add(s.cfg.Ping)) {
		s.sentBound, s.boundAt = alpha, now
		s.broadcast(out, wire.Bounded, &wire.Bound{View: s.view, Nanos: uint64(alpha)})
	}
}

// worthReporting reports whether a turnaround is so much longer than the last one reported that others have to know at once: by a
// sixteenth, or by anything if it is more than the leader may take.
func (s *State) worthReporting(tat time.Duration) bool {
	if tat <= s.sent || tat > s.sent+s.sent/16 {
		return tat > s.sent
	}
	_, _, limit := s.Turnaround()
	return tat > limit
}

// measureWaiting counts what the leader has not done yet, so that a silent one is noticed.
func (s *State) measureWaiting(now clock.Instant) {
	if s.leader() == s.cfg.Self {
		return
	}
	if len(s.challenges) > 0 {
		s.measure(now.Sub(s.challenges[0].since))
	}
	if s.proof != clock.Never {
		s.measure(now.Sub(s.proof))
	}
	if s.unanswered != clock.Never {
		s.measure(now.Sub(s.unanswered))
	}
}

func (s *State) broadcast(out *effect.Output, class wire.Class, m wire.Message) {
	out.Sends = append(out.Sends, effect.Send{To: s.cfg.Group.All(), Class: class, Msg: m})
}
