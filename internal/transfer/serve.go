package transfer

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/primebft/prime/internal/blocks"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/snapshot"
	"github.com/primebft/prime/internal/wire"
)

// Limits of serving.
const (
	// DefaultCredit is how many bytes may be under way to a replica unless ServerOptions say otherwise.
	DefaultCredit = 1 << 20
	// DefaultRate is how many bytes per second a replica is given at most, unless they say otherwise: several times what the
	// paper measured, and a small part of a processor.
	DefaultRate = 128 << 20
	// forget is after how long without a word from a replica what it wanted is forgotten.
	forget = 10 * time.Second
	// pinnedFor is how long a checkpoint counts as being fetched since the last ask for it, and pinnedMost since the first.
	pinnedFor, pinnedMost = 30 * time.Second, time.Hour
)

// ServerOptions are how a replica gives checkpoints to others.
type ServerOptions struct {
	N      int             // replicas
	Store  *snapshot.Store //
	Credit int             // bytes that may be under way to one replica; 0: DefaultCredit. At least a frame is under way.
	Rate   int64           // bytes per second to one replica; 0: DefaultRate; below 0: no limit
}

// Server gives checkpoints to others. It is deterministic, given what its store has, and not safe for concurrent use.
type Server struct {
	o      ServerOptions
	askers []asker // by id, from 0
	turn   int     // who is looked at first
}

// asker is a replica that fetches a checkpoint from this one.
type asker struct {
	session  uint64
	digest   wire.Digest
	from     *snapshot.Checkpoint // nil: not held
	ordinal  uint64               // of the last checkpoint that it asked for and that is held
	since    clock.Instant        // since when it asks for that
	heard    clock.Instant        // when it asked last
	wants    []want
	spares   []want
	denied   bool   // it is to be told that the checkpoint is not held
	sent     uint64 // bytes in this session
	received uint64 // of those, acknowledged
	tokens   int64  // bytes that its rate allows now; may be overdrawn by a frame
	filled   clock.Instant
}

// want is an answer that is wanted.
type want struct {
	kind   kind // of the ask
	number uint32
}

// NewServer returns a server that nobody has asked yet.
func NewServer(o ServerOptions) *Server {
	if o.Credit == 0 {
		o.Credit = DefaultCredit
	}
	if o.Rate == 0 {
		o.Rate = DefaultRate
	}
	return &Server{o: o, askers: make([]asker, o.N)}
}

// burst is how many bytes of its rate a replica may save up.
func (s *Server) burst() int64 { return max(int64(s.o.Credit), s.o.Rate/50) }

// deliver takes an ask of a replica, 1..N.
func (s *Server) deliver(now clock.Instant, from group.ID, f *frame) {
	a := &s.askers[from.Index()]
	if f.session != a.session {
		if f.session < a.session && now.Sub(a.heard) < forget {
			return // overtaken
		}
		*a = asker{session: f.session, tokens: a.tokens, filled: a.filled, ordinal: a.ordinal, since: a.since, heard: a.heard}
		if a.filled == 0 {
			a.tokens, a.filled = s.burst(), now
		}
	}
	idle := now.Sub(a.heard)
	a.heard = now
	if a.from == nil || a.digest != f.digest {
		a.digest, a.from = f.digest, s.o.Store.Find(f.digest)
		a.wants, a.spares = nil, nil
	}
	a.received = min(max(a.received, f.received), a.sent)
	if a.from == nil {
		a.denied = true
		return
	}
	if ordinal := a.from.Manifest().Ordinal; ordinal != a.ordinal || idle > pinnedFor {
		a.ordinal, a.since = ordinal, now
	}
	if slices.Sort(f.drops); len(f.drops) > 0 { // sorted, so that whoever asks without end costs little
		gone := func(w want) bool {
			_, found := slices.BinarySearch(f.drops, w.number)
			return found && w.kind == f.kind
		}
		a.wants, a.spares = slices.DeleteFunc(a.wants, gone), slices.DeleteFunc(a.spares, gone)
	}
	a.wants = a.add(a.wants, f.kind, f.wants)
	a.spares = a.add(a.spares, f.kind, f.spares)
}

// add appends what is wanted, if it exists; what does not fit is not answered.
func (a *asker) add(list []want, k kind, numbers []uint32) []want {
	m := a.from.Manifest()
	count := 1
	switch k {
	case leavesAsk:
		count = blocks.Chunks(m.Count())
	case blockAsk:
		count = m.Count()
	}
	for _, i := range numbers {
		if int(i) < count && len(list) < maxNumbers {
			list = append(list, want{k, i})
		}
	}
	return list
}

// Next is a frame that may leave now, and for whom; nil if there is none. See Deadline.
func (s *Server) Next(now clock.Instant) (to group.ID, frame []byte) {
	for range s.askers {
		i := s.turn
		s.turn = (s.turn + 1) % len(s.askers)
		if a := &s.askers[i]; a.ready(s.o.Credit) && s.fill(now, a) {
			if frame = a.answer(); frame != nil {
				a.sent += uint64(len(frame))
				a.tokens -= int64(len(frame))
				return group.ID(i + 1), frame
			}
		}
	}
	return 0, nil
}

// Deadline is when Next may have a frame without an ask before; Never if not.
func (s *Server) Deadline() clock.Instant {
	first := clock.Never
	for i := range s.askers {
		if a := &s.askers[i]; a.ready(s.o.Credit) {
			if s.o.Rate < 0 || a.tokens > 0 {
				return a.filled
			}
			first = min(first, a.filled.Add(time.Duration((1-a.tokens)*int64(time.Second)/s.o.Rate)+1))
		}
	}
	return first
}

// ready reports whether there is something to send, and room for it on its way: for spares, nothing else may be.
func (a *asker) ready(credit int) bool {
	switch under := a.sent - a.received; {
	case a.denied || len(a.wants) > 0:
		return under == 0 || under < uint64(credit)
	default:
		return len(a.spares) > 0 && under == 0
	}
}

// fill lets the time that has passed count for a replica's rate, and reports whether that allows a frame.
func (s *Server) fill(now clock.Instant, a *asker) bool {
	if s.o.Rate < 0 {
		return true
	}
	if passed := min(now.Sub(a.filled), time.Minute); passed > 0 {
		a.tokens = min(s.burst(), a.tokens+int64(float64(s.o.Rate)*passed.Seconds()))
		a.filled = now
	}
	return a.tokens > 0
}

// answer makes the next frame for a replica; nil if there is none after all.
func (a *asker) answer() []byte {
	for a.from != nil && len(a.wants)+len(a.spares) > 0 {
		list := &a.wants
		if len(*list) == 0 {
			list = &a.spares
		}
		w := (*list)[0]
		*list = (*list)[1:]
		if frame := a.make(w); frame != nil {
			return frame
		}
		a.from, a.wants, a.spares, a.denied = nil, nil, nil, true // it was removed, or is damaged
	}
	if !a.denied {
		return nil
	}
	a.denied = false
	return begin(nil, notHeld, a.session)
}

// make makes an answer; nil if the checkpoint cannot give it any more.
func (a *asker) make(w want) []byte {
	m := a.from.Manifest()
	switch w.kind {
	case manifestAsk:
		f := frame{kind: manifestIs, session: a.session, manifest: m}
		return f.append(nil)
	case leavesAsk:
		f := frame{kind: leavesAre, session: a.session, number: w.number}
		f.leaves, f.path = a.from.Chunk(int(w.number))
		return f.append(make([]byte, 0, leavesSize+(len(f.leaves)+len(f.path))*digestSize))
	}
	_, size := m.Extent(int(w.number))
	b := begin(make([]byte, 0, blockSize+size), blockIs, a.session)
	b, err := a.from.AppendBlock(binary.LittleEndian.AppendUint32(b, w.number), int(w.number))
	if err != nil {
		return nil
	}
	return b
}

// InUse is the ordinals of the checkpoints that others are fetching, for Store.Keep: it leaves them to be fetched to the end, but
// not for ever.
func (s *Server) InUse(now clock.Instant) (ordinals []uint64) {
	for i := range s.askers {
		a := &s.askers[i]
		if a.from != nil && now.Sub(a.heard) < pinnedFor && now.Sub(a.since) < pinnedMost && !slices.Contains(ordinals, a.ordinal) {
			ordinals = append(ordinals, a.ordinal)
		}
	}
	slices.Sort(ordinals)
	return ordinals
}
