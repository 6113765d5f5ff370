package recon

import (
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/core/window"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/invariant"
	"github.com/primebft/prime/internal/wire"
)

// Config is what reconciliation has to know.
type Config struct {
	Self         group.ID
	Group        group.Group
	Incarnations []uint32      // by group.ID.Index
	Ahead        int           // how far beyond what is executed a lane reaches, as in preordering
	Stored       int           // bytes of parts kept for each origin and sender
	Wait         time.Duration // before a part is sent, for acknowledgements that are on their way
}

// Requests is what reconciliation asks of preordering.
type Requests interface {
	// Preordered is the request of a position that is preordered here; nil if it is not, or no longer held.
	Preordered(origin group.ID, seq uint64) *wire.Envelope
	// Has reports whether the request with this digest is here, or was executed.
	Has(origin group.ID, seq uint64, digest wire.Digest) bool
	// Holders is who is known to hold the request that is preordered at a position.
	Holders(origin group.ID, seq uint64) group.Set
}

// State is the state of reconciliation at one replica.
type State struct {
	cfg       Config
	lanes     []lane
	queue     []planned // in order of due
	blacklist group.Set
	counters  Counters
}

// Counters count since the start.
type Counters struct {
	Sent      uint64 // parts sent, one for each receiver
	SentBytes uint64 // of these parts, without the messages around them
	Received  uint64 // parts received
	Unneeded  uint64 // of these, parts of requests that were here already
	Joined    uint64 // requests put together
	Spoiled   uint64 // groups of parts that gave nothing back
}

// lane is what is known of one origin's requests.
type lane struct {
	slots  window.Ring[slot]
	stored []int // bytes of the parts in slots, by sender
}

// slot is one request. Invariant: parts has one part at most of each sender, all of them in from.
type slot struct {
	planned bool             // this replica's part is sent or will be
	from    group.Set        // who sent a part
	parts   []*wire.Envelope // those that are kept, by arrival
	tried   []wire.Digest    // roots whose parts have been or are being put together
	digest  wire.Digest      // of the request, once it came together; zero before
	root    wire.Digest      // of its parts
}

// planned is a part that this replica will send.
type planned struct {
	due     clock.Instant
	request *wire.Envelope
}

// Resume goes on with another wait, after this replica was away.
func (s *State) Resume(wait time.Duration) { s.cfg.Wait = wait }

// New returns the state of a replica that has seen nothing.
func New(cfg Config) *State {
	s := &State{cfg: cfg, lanes: make([]lane, cfg.Group.N())}
	for i := range s.lanes {
		s.lanes[i].stored = make([]int, cfg.Group.N())
	}
	return s
}

// Blacklist marks a replica as proven faulty: it is sent nothing any more.
func (s *State) Blacklist(id group.ID) { s.blacklist = s.blacklist.With(id) }

// Counters are how much was done.
func (s *State) Counters() Counters { return s.counters }

// Stored is the bytes of parts kept of one sender, in all lanes, for limits.
func (s *State) Stored(sender group.ID) (bytes int) {
	for i := range s.lanes {
		bytes += s.lanes[i].stored[sender.Index()]
	}
	return bytes
}

// Executed says that every lane has been executed up to the vector: parts of what was are of no use.
func (s *State) Executed(vector wire.Vector) {
	for i := range vector {
		l := &s.lanes[i]
		last := min(vector[i].Seq, l.slots.Base()+uint64(l.slots.Len()))
		for seq := l.slots.Base() + 1; seq <= last; seq++ {
			l.forget(l.slots.At(seq))
		}
		l.slots.Advance(vector[i].Seq)
	}
}

// forget drops the parts of a slot.
func (l *lane) forget(at *slot) {
	for _, e := range at.parts {
		l.stored[e.Sender.Index()] -= cost(e)
	}
	at.parts = nil
}

// cost is what a stored part counts against the limit.
func cost(e *wire.Envelope) int { return len(e.Msg.(*wire.Part).Bytes) + 512 }

// horizon is the highest number that a lane accepts.
func (s *State) horizon(l *lane) uint64 { return l.slots.Base() + uint64(s.cfg.Ahead) }

// Deadline is when Advance has something to do although nothing arrived.
func (s *State) Deadline() clock.Instant {
	if len(s.queue) == 0 {
		return clock.Never
	}
	return s.queue[0].due
}

// Check verifies invariants that cost too much for every step in production.
func (s *State) Check() {
	for i := range s.lanes {
		l := &s.lanes[i]
		stored := make([]int, len(l.stored))
		for seq := l.slots.Base() + 1; seq <= l.slots.Base()+uint64(l.slots.Len()); seq++ {
			var senders group.Set
			for _, e := range l.slots.At(seq).parts {
				invariant.Assert(!senders.Has(e.Sender) && l.slots.At(seq).from.Has(e.Sender), "two parts of %s are kept", e.Sender)
				senders = senders.With(e.Sender)
				stored[e.Sender.Index()] += cost(e)
			}
		}
		for j := range stored {
			invariant.Assert(stored[j] == l.stored[j] && stored[j] <= s.cfg.Stored,
				"%d bytes of parts of %s are kept, counted as %d", stored[j], group.FromIndex(j), l.stored[j])
		}
	}
}

// Done takes the result of a job. It returns a request that came together here, nil if none did.
func (s *State) Done(d *effect.Done, known Requests, out *effect.Output) *wire.Envelope {
	if d.Request != nil {
		s.send(d, known, out)
		return nil
	}
	return s.joined(d, out)
}
