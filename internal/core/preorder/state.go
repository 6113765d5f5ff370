package preorder

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

// Most parts of one PO-ACK and most wants of one Fetch; a receiver refuses more.
const (
	MaxAckParts = 512
	MaxWants    = 64
)

// Config is what preordering has to know.
type Config struct {
	Self           group.ID
	Group          group.Group
	Incarnations   []uint32    // by group.ID.Index
	Membership     wire.Digest // wire.HashIncarnations of them
	UpdateBytes    int
	RequestBytes   int
	RequestUpdates int
	EagerBytes     int // at most RequestBytes
	InFlight       int // own requests under way
	Ahead          int // requests of a lane that are taken ahead of execution
	PendingBytes   int
	Parts          bool // missing requests come in parts (5.3) and are asked for only if those do not come
	Request        time.Duration
	Ack            time.Duration
	Summary        time.Duration
	Fetch          time.Duration
	Wall           int64 // Unix nanoseconds at Instant 0
}

// State is the state of preordering at one replica.
type State struct {
	cfg   Config
	lanes []lane
	peers []peer

	rows    wire.Rows // newest summary of each replica, our own included
	version uint64    // rises whenever rows changes

	pending      []wire.Update // of own clients, not yet introduced
	pendingBytes int
	sent         uint64 // own requests introduced

	summarized wire.Vector // vector of the last summary we sent
	number     uint64      // its number
	lastTime   int64       // its time

	request, ack, summary clock.Pacer
	fetchAt               clock.Instant // when to look for missing requests; Never if nothing is missing
	blacklist             group.Set
}

// lane is one origin's requests. Invariant: executed <= preordered <= held, acked <= held, base of slots <= executed.
type lane struct {
	slots                             window.Ring[slot]
	held, acked, preordered, executed uint64
	top                               uint64   // highest number that anything is known of
	needed                            uint64   // an ordered matrix makes everything up to here eligible
	streams                           []stream // of parts, by sender; nil: none came
}

// stream is the parts of a lane that one sender sends.
type stream struct {
	seq uint64        // the highest of which a part came
	at  clock.Instant // when
}

// slot is one number of a lane.
type slot struct {
	request *wire.Envelope // first PO-REQUEST received, or the bound one; nil if none is here
	seen    clock.Instant  // when anything was first known of this number
	asked   uint8          // how many replicas were asked for it
	asks    uint8          // how often, as far as it matters
	askAt   clock.Instant  // when the next may be asked, if it is missing
	resend  backoff        // of the request, if it is ours
	reack   backoff        // of our ack
	bound   bool           // a certificate for digest exists
	digest  wire.Digest    // of the bound request
	tallies []tally        // one per digest; nearly always one
	voted   group.Set      // replicas in any tally
	twice   group.Set      // replicas in two
	parted  group.Set      // replicas that sent a part of it
}

// tally is who acknowledged one digest.
type tally struct {
	digest    wire.Digest
	ackers    group.Set
	certified group.Set // those of ackers who say that they hold a certificate
}

// peer is what preordering keeps of each replica to bound what it does for it.
type peer struct {
	answers answers       // to its fetches
	acked   clock.Instant // when it last acknowledged a request of ours that it had not acknowledged before; 0: never
}

// New returns the state of a replica that has seen nothing.
func New(cfg Config) *State {
	n := cfg.Group.N()
	return &State{
		cfg: cfg, lanes: make([]lane, n), peers: make([]peer, n), rows: make(wire.Rows, n), summarized: make(wire.Vector, n),
		request: clock.Pacer{Interval: cfg.Request}, ack: clock.Pacer{Interval: cfg.Ack},
		summary: clock.Pacer{Interval: cfg.Summary}, fetchAt: clock.Never,
	}
}

// Resume goes on with other intervals, and a calendar that knows how long this replica was away.
func (s *State) Resume(wall int64, request, ack, summary, fetch time.Duration) {
	s.cfg.Wall, s.cfg.Fetch = wall, fetch
	s.request, s.ack, s.summary = clock.Pacer{Interval: request}, clock.Pacer{Interval: ack}, clock.Pacer{Interval: summary}
}

// Rows is the newest summary of each replica. The caller must not change it.
func (s *State) Rows() wire.Rows { return s.rows }

// Version rises whenever Rows changes.
func (s *State) Version() uint64 { return s.version }

// Blacklist marks a replica as proven faulty: its requests are no longer acknowledged, unless they are bound.
func (s *State) Blacklist(id group.ID) { s.blacklist = s.blacklist.With(id) }

// Pending is how many updates of own clients wait to be introduced, and their bytes.
func (s *State) Pending() (updates, bytes int) { return len(s.pending), s.pendingBytes }

// Marks is the state of one lane.
func (s *State) Marks(origin group.ID) (held, preordered, executed uint64) {
	l := &s.lanes[origin.Index()]
	return l.held, l.preordered, l.executed
}

// Slots is how many slots the lane of origin takes, for limits.
func (s *State) Slots(origin group.ID) int { return s.lanes[origin.Index()].slots.Len() }

func (s *State) id(i int, seq uint64) wire.PreorderID {
	return wire.PreorderID{Origin: group.FromIndex(i), Position: wire.Position{Incarnation: s.cfg.Incarnations[i], Seq: seq}}
}

// Position is a lane's sequence number as a position of the current incarnation; 0 is before everything.
func (s *State) position(i int, seq uint64) wire.Position {
	if seq == 0 {
		return wire.Position{}
	}
	return wire.Position{Incarnation: s.cfg.Incarnations[i], Seq: seq}
}

// Vectors returns, new, up to where this replica has preordered and up to where it holds every lane.
func (s *State) Vectors() (preordered, held wire.Vector) {
	preordered, held = make(wire.Vector, len(s.lanes)), make(wire.Vector, len(s.lanes))
	for i := range s.lanes {
		preordered[i], held[i] = s.position(i, s.lanes[i].preordered), s.position(i, s.lanes[i].held)
	}
	return preordered, held
}

// Ready reports whether everything up to want is preordered here; if not, it says the first request that is missing.
func (s *State) Ready(want wire.Vector) (wire.PreorderID, bool) {
	for i := range want {
		if l := &s.lanes[i]; want[i].Seq > l.preordered {
			return s.id(i, l.preordered+1), false
		}
	}
	return wire.PreorderID{}, true
}

// Hurry says that execution waits for what is missing up to the vector: what was not asked for yet is asked for at once, unless
// parts of it are on their way.
func (s *State) Hurry(now clock.Instant, vector wire.Vector) {
	if s.cfg.Parts {
		return
	}
	for i := range vector {
		l := &s.lanes[i]
		if vector[i].Seq <= l.preordered {
			continue
		}
		s.expect(now, i, vector[i].Seq)
		for seq := l.preordered + 1; seq <= min(vector[i].Seq, l.top); seq++ {
			at := l.slots.At(seq)
			if _, missing := s.missing(l, seq, at); missing && at.asked == 0 {
				at.askAt, s.fetchAt = now, now
			}
		}
	}
}

// Expect says that a proposal makes everything up to the vector eligible: what is missing of it is fetched in good time.
func (s *State) Expect(now clock.Instant, vector wire.Vector) {
	for i := range vector {
		if l := &s.lanes[i]; vector[i].Seq > l.held && vector[i].Seq > l.needed {
			s.expect(now, i, vector[i].Seq)
		}
	}
}

// expect notes that every request of a lane up to seq exists and is wanted here.
func (s *State) expect(now clock.Instant, i int, seq uint64) {
	l := &s.lanes[i]
	seq = min(seq, s.horizon(l))
	for next := max(l.top, l.slots.Base()) + 1; next <= seq; next++ {
		s.touch(l, next, now)
	}
	if s.cfg.Parts { // holders send their parts now: they get one Fetch interval
		for next := max(l.needed, l.preordered) + 1; next <= seq; next++ {
			if at := l.slots.At(next); at != nil {
				if at.asked == 0 {
					at.askAt = 0
				}
				at.askAt = max(at.askAt, now.Add(s.cfg.Fetch))
			}
		}
	}
	l.needed = max(l.needed, seq)
	s.fetchAt = min(s.fetchAt, now.Add(s.cfg.Fetch))
}

// early is after how many Fetch intervals a request is asked for that is not eligible yet, where requests come in parts.
const early = 4

// horizon is the highest number that a lane accepts.
func (s *State) horizon(l *lane) uint64 { return l.executed + uint64(s.cfg.Ahead) }

// touch is the slot of seq, which the caller has checked against horizon; nil if it is gone.
func (s *State) touch(l *lane, seq uint64, now clock.Instant) *slot {
	at := l.slots.Make(seq)
	if at != nil && at.seen == 0 {
		at.seen = max(now, 1)
		at.askAt = now.Add(s.cfg.Fetch)
		if s.cfg.Parts { // once it is eligible it comes in parts; but without it, it may not become eligible
			at.askAt = now.Add(early * s.cfg.Fetch)
		}
	}
	l.top = max(l.top, seq)
	return at
}

// Request is the request of a position that Ready found preordered.
func (s *State) Request(origin group.ID, seq uint64) *wire.Envelope {
	at := s.lanes[origin.Index()].slots.At(seq)
	invariant.Assert(at != nil && at.bound && at.request != nil && at.request.Digest == at.digest,
		"request %d of %s is executed but not preordered here", seq, origin)
	return at.request
}

// Executed says that every lane has been executed up to the vector.
func (s *State) Executed(vector wire.Vector) {
	for i := range vector {
		l := &s.lanes[i]
		invariant.Assert(vector[i].Seq >= l.executed && vector[i].Seq <= l.preordered,
			"lane of %s executes to %d from %d with %d preordered", group.FromIndex(i), vector[i].Seq, l.executed, l.preordered)
		l.executed = vector[i].Seq
	}
}

// Collect forgets the requests of every lane up to the vector, all of them executed.
func (s *State) Collect(vector wire.Vector) {
	for i := range vector {
		l := &s.lanes[i]
		invariant.Assert(vector[i].Seq <= l.executed, "lane of %s is collected to %d, executed to %d",
			group.FromIndex(i), vector[i].Seq, l.executed)
		l.slots.Advance(vector[i].Seq)
		l.acked = max(l.acked, vector[i].Seq) // what is gone needs no acknowledgement
	}
}

// Check verifies the invariants of one lane, which cost too much for every step in production.
func (s *State) Check(origin group.ID) {
	l := &s.lanes[origin.Index()]
	invariant.Assert(l.executed <= l.preordered && l.preordered <= l.held && l.acked <= l.held && l.slots.Base() <= l.executed,
		"lane of %s: executed %d, preordered %d, acked %d, held %d, collected %d",
		origin, l.executed, l.preordered, l.acked, l.held, l.slots.Base())
	invariant.Assert(l.top <= s.horizon(l), "lane of %s reaches %d, beyond %d", origin, l.top, s.horizon(l))
	for seq := max(l.executed, l.slots.Base()) + 1; seq <= l.preordered; seq++ {
		at := l.slots.At(seq)
		invariant.Assert(at.bound && at.request.Digest == at.digest, "request %d of %s is preordered but not bound", seq, origin)
	}
}

// Deadline is when Advance has something to do although nothing arrived.
func (s *State) Deadline() clock.Instant {
	first := s.fetchAt
	if s.roomToIntroduce() && !s.crowded() {
		first = min(first, s.request.Next())
	}
	if s.toAck() {
		first = min(first, s.ack.Next())
	}
	if s.toSummarize() {
		first = min(first, s.summary.Next())
	}
	return first
}

// Advance sends what is due: requests, acks, a summary, fetches.
func (s *State) Advance(now clock.Instant, out *effect.Output) {
	s.introduce(now, out)
	if s.ack.Due(now) && s.toAck() {
		s.sendAcks(now, out)
	}
	if s.summary.Due(now) && s.toSummarize() {
		s.sendSummary(now, out)
	}
	if now >= s.fetchAt {
		s.fetchMissing(now, out)
	}
}

func drop(out *effect.Output, from group.ID, why trace.Reason) {
	out.Emit(trace.Event{Kind: trace.Dropped, Peer: from, Reason: why})
}
