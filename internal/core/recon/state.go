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
	Stored       int           // bytes of parts kept for each origin and sender; of RECONs they came in, as much times the number of replicas
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
	// Behind is who lacks so much in so many lanes that its origins cannot have hidden all of it.
	Behind() group.Set
}

// State is the state of reconciliation at one replica.
type State struct {
	cfg       Config
	lanes     []lane
	queue     []planned // in order of due
	batches   []batch   // of requests that are being cut
	batched   uint64    // the last batch
	pinned    []int     // bytes of the RECONs whose parts are kept, one for each part, by sender
	blacklist group.Set
	counters  Counters
}

// batch is requests that are cut together, whose parts go together.
type batch struct {
	number uint64
	left   int // of its jobs, not done
	parts  []ready
}

// ready is a part that is cut, and who is to get it.
type ready struct {
	part wire.Part
	to   group.Set
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
	s := &State{cfg: cfg, lanes: make([]lane, cfg.Group.N()), pinned: make([]int, cfg.Group.N())}
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
			s.forget(s.id(i, seq), l.slots.At(seq))
		}
		l.slots.Advance(vector[i].Seq)
	}
}

// forget drops the parts of a request.
func (s *State) forget(id wire.PreorderID, at *slot) {
	l := &s.lanes[id.Origin.Index()]
	for _, e := range at.parts {
		l.stored[e.Sender.Index()] -= cost(e.Msg.(*wire.Parts).Find(id))
		s.pinned[e.Sender.Index()] -= len(e.Raw)
	}
	at.parts = nil
}

// cost is what a stored part counts against the limit of its lane. The RECON that it came in stays in memory for it.
func cost(m *wire.Part) int { return len(m.Bytes) + 512 }

func (s *State) id(i int, seq uint64) wire.PreorderID {
	return wire.PreorderID{Origin: group.FromIndex(i), Position: wire.Position{Incarnation: s.cfg.Incarnations[i], Seq: seq}}
}

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
	pinned := make([]int, len(s.pinned))
	for i := range s.lanes {
		l := &s.lanes[i]
		stored := make([]int, len(l.stored))
		for seq := l.slots.Base() + 1; seq <= l.slots.Base()+uint64(l.slots.Len()); seq++ {
			var senders group.Set
			id := s.id(i, seq)
			for _, e := range l.slots.At(seq).parts {
				invariant.Assert(!senders.Has(e.Sender) && l.slots.At(seq).from.Has(e.Sender), "two parts of %s are kept", e.Sender)
				senders = senders.With(e.Sender)
				stored[e.Sender.Index()] += cost(e.Msg.(*wire.Parts).Find(id))
				pinned[e.Sender.Index()] += len(e.Raw)
			}
		}
		for j := range stored {
			invariant.Assert(stored[j] == l.stored[j] && stored[j] <= s.cfg.Stored,
				"%d bytes of parts of %s are kept, counted as %d", stored[j], group.FromIndex(j), l.stored[j])
		}
	}
	for j := range pinned {
		invariant.Assert(pinned[j] == s.pinned[j] && pinned[j] <= s.cfg.Stored*s.cfg.Group.N(),
			"%d bytes of RECONs of %s are kept, counted as %d", pinned[j], group.FromIndex(j), s.pinned[j])
	}
}

// Done takes the result of a job. It returns a request that came together here, nil if none did.
func (s *State) Done(d *effect.Done, known Requests, out *effect.Output) *wire.Envelope {
	if d.Request != nil {
		s.cut(d, known, out)
		return nil
	}
	return s.joined(d, out)
}
