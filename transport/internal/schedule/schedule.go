// Package schedule decides which frame goes to a peer next. It is a state machine without clocks, locks or goroutines: its
// owner passes in the time, and the writers of the peer's connections pull frames when they can write, so that queues stay
// here, where they are fair.
//
// Between classes: strict priority, TIMELY first. RECON is certain of its share of the link, whatever else there is to send, and gets
// no more, so that who lacks something gets it, and who only pretends to starves nobody. BULK has at least a floor and at most a share. Inside a class: byte-fair between sources, and of one source frames that yield after the others. TIMELY is
// policed per source, so that nobody gains by calling everything urgent. See network.md 4.7 for the reasons and figures.
package schedule

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport"
)

// Contract is how much TIMELY traffic one source may send; what exceeds it is sent as BOUNDED. The zero Contract is no limit.
type Contract struct {
	BytesPerSecond int // long-term rate
	Burst          int // bytes that may come at once; at least the largest TIMELY frame, or that frame is always demoted
}

// Options say what one peer's link may carry.
type Options struct {
	Sources     int      // replicas that frames are charged to: 1..Sources
	BudgetBytes int      // most bytes that wait in one class; each frame is charged 32 more than it has
	RateBits    int64    // how fast the link is written in all, bits/s; 0: as fast as it goes, each class independently
	ReconShare  float64  // share of a link with a rate for RECON; BULK gets no more either
	Timely      Contract // per source
}

// floorShare is the share of a link that BULK is certain of, and the least that RECON may have.
const floorShare = 0.05

// minBurst is two packets: the least that is written at once on a link with a rate.
const minBurst = 3000

// burstSeconds of traffic may be written at once, because timers are not exact.
const burstSeconds = 0.002

// Scheduler holds what waits for one peer. It is not safe for concurrent use.
type Scheduler struct {
	queues  [wire.Classes]queue
	ready   [wire.Classes]bool // the writer of the class waits for frames
	held    [wire.Classes]bool // it has something to send beside what is queued here
	timely  []bucket           // by source; nil: no contract
	demoted []uint64           // by source
	paced   bool
	link    bucket
	floor   [wire.Classes]bucket // RECON and BULK only
	share   [wire.Classes]bucket // RECON and BULK only
}

// New returns an empty scheduler.
func New(o Options) *Scheduler {
	s := &Scheduler{demoted: make([]uint64, o.Sources+1), paced: o.RateBits > 0}
	for i := range s.queues {
		s.queues[i] = newQueue(o.Sources+1, o.BudgetBytes)
	}
	if o.Timely.BytesPerSecond > 0 {
		s.timely = make([]bucket, o.Sources+1)
		for i := range s.timely {
			s.timely[i] = newBucket(float64(o.Timely.BytesPerSecond), float64(o.Timely.Burst))
		}
	}
	if s.paced {
		rate := float64(o.RateBits) / 8
		burst := max(minBurst, rate*burstSeconds)
		s.link = newBucket(rate, burst)
		for _, c := range [...]transport.Class{transport.Recon, transport.Bulk} {
			share, floor := min(1, max(floorShare, o.ReconShare)), floorShare
			if c == transport.Recon {
				floor = share
			}
			s.floor[index(c)] = newBucket(rate*floor, minBurst)
			s.share[index(c)] = newBucket(rate*share, burst)
		}
	}
	return s
}

func index(c transport.Class) int { return int(c) - 1 }

// repair reports whether a class has a floor and a share instead of plain priority.
func repair(c transport.Class) bool { return c >= transport.Recon }

// Paced reports whether the classes share a rate, so that what one takes matters to the others.
func (s *Scheduler) Paced() bool { return s.paced }

// Verdict is what became of a pushed frame.
type Verdict struct {
	Class   transport.Class // where it was queued
	Queued  bool
	Demoted bool // it exceeded its source's TIMELY contract
	Dropped int  // frames dropped, itself included if it was not queued
}

// Push queues a frame. Its class must be valid; a source that is not a replica is an account of its own.
func (s *Scheduler) Push(now clock.Instant, f transport.Frame) Verdict {
	if f.Source < 0 || f.Source >= len(s.demoted) {
		f.Source = 0
	}
	v := Verdict{Class: f.Class}
	if f.Class == transport.Timely && s.timely != nil {
		b, cost := &s.timely[f.Source], len(f.Bytes)+FrameCost
		if b.level(now) >= float64(cost) {
			b.take(cost)
		} else {
			v.Class, v.Demoted = transport.Bounded, true
			s.demoted[f.Source]++
		}
	}
	v.Dropped, v.Queued = s.queues[index(v.Class)].push(now, f.Source, f.Yields, f.Bytes)
	return v
}

// Expire drops the frames of a class that were queued before a time, and returns how many.
func (s *Scheduler) Expire(c transport.Class, before clock.Instant) (dropped int) {
	return s.queues[index(c)].expire(before)
}

// Demoted is how many frames of a source, 1..Sources, exceeded its TIMELY contract.
func (s *Scheduler) Demoted(source int) uint64 { return s.demoted[source] }

// Take appends to dst the frames that the writer of a class should write now, about limit bytes (the last frame may exceed
// it). If there are none the writer is ready from now on, and at is when to call again even if nobody pushes or takes
// anything. With a rate, whoever takes frames must then let all ready writers call again; see also First.
func (s *Scheduler) Take(now clock.Instant, c transport.Class, limit int, dst [][]byte) (_ [][]byte, at clock.Instant) {
	q := &s.queues[index(c)]
	s.ready[index(c)] = true
	before := len(dst)
	for n := 0; n < limit && q.frames > 0; {
		if s.paced {
			if at = s.allowed(now, c); at > now {
				break
			}
		}
		frame := q.pop()
		n += len(frame) + FrameCost
		if s.paced {
			s.charge(c, len(frame)+FrameCost)
		}
		dst = append(dst, frame)
	}
	if len(dst) > before {
		s.ready[index(c)] = false
		return dst, now
	}
	if q.frames == 0 {
		at = clock.Never
	}
	return dst, at
}

// Permit is Take in steps, for a writer that sends packets rather than frames: a large frame makes many packets, and between two
// of them more urgent ones may slip in. Permit is when the writer of a class, which must have something to send, may send its next
// packet: now, later, or Never if another class has to go first. It is ready from now on; see Busy. Whoever may send takes frames
// with Pop if it needs any, and says with Spend what the packet took of the link.
func (s *Scheduler) Permit(now clock.Instant, c transport.Class) (at clock.Instant) {
	i := index(c)
	s.ready[i], s.held[i] = true, true
	if !s.paced {
		return now
	}
	return s.allowed(now, c)
}

// Pop removes the frame of a class whose turn it is, or of those that do not yield only, and says whether it yields; nil if there
// is none.
func (s *Scheduler) Pop(c transport.Class, yielding bool) (frame []byte, yields bool) {
	q := &s.queues[index(c)]
	switch {
	case yielding && q.frames > 0:
		urgent := q.urgent
		frame = q.pop()
		return frame, q.urgent == urgent
	case !yielding && q.urgent > 0:
		return q.popUrgent(), false
	}
	return nil, false
}

// Waits reports whether a class has a frame for Pop.
func (s *Scheduler) Waits(c transport.Class, yielding bool) bool {
	q := &s.queues[index(c)]
	return q.urgent > 0 || yielding && q.frames > 0
}

// Spend charges what a packet of a class took of the link. Packets that could not wait, for example acknowledgements, may make
// the link overdrawn.
func (s *Scheduler) Spend(now clock.Instant, c transport.Class, n int) {
	s.ready[index(c)], s.held[index(c)] = false, false
	if s.paced {
		s.link.level(now)
		s.charge(c, n)
	}
}

// Busy says that the writer of a class does not wait for frames, for example because it has no connection: others need not
// wait for it. It
// reports whether they did.
func (s *Scheduler) Busy(c transport.Class) bool {
	was := s.ready[index(c)]
	s.ready[index(c)], s.held[index(c)] = false, false
	return was
}

// allowed is when a class may send: now, later, or Never if it has to wait for another class to send first.
func (s *Scheduler) allowed(now clock.Instant, c transport.Class) clock.Instant {
	if s.link.level(now) <= 0 {
		return s.link.positive(now)
	}
	switch first := s.First(now); {
	case first == c:
		return now
	case first != 0:
		return clock.Never
	}
	return s.share[index(c)].positive(now)
}

// First is the class of a link with a rate that should send now, of those whose writers are ready; 0 if none may. It changes
// with time: a writer that was told to wait for another class may be first before that class has sent. Whoever is told to wait
// must therefore let the first class's writer call again.
func (s *Scheduler) First(now clock.Instant) transport.Class {
	for c := transport.Recon; c <= transport.Bulk; c++ {
		if i := index(c); s.waits(c) && s.floor[i].level(now) > 0 {
			return c
		}
	}
	for c := transport.Timely; c <= transport.Bulk; c++ {
		if s.waits(c) && (!repair(c) || s.share[index(c)].level(now) > 0) {
			return c
		}
	}
	return 0
}

// waits reports whether a class has frames and a writer that would write them.
func (s *Scheduler) waits(c transport.Class) bool {
	return s.ready[index(c)] && (s.held[index(c)] || s.queues[index(c)].frames > 0)
}

func (s *Scheduler) charge(c transport.Class, n int) {
	s.link.take(n)
	if repair(c) {
		s.floor[index(c)].take(n)
		s.share[index(c)].take(n)
	}
}

// Queued is the bytes charged for all frames that wait.
func (s *Scheduler) Queued() int {
	sum := 0
	for i := range s.queues {
		sum += s.queues[i].bytes
	}
	return sum
}

// Pending is how many frames of a class wait.
func (s *Scheduler) Pending(c transport.Class) int { return s.queues[index(c)].frames }
