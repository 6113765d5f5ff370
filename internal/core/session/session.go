// Package session remembers which updates of which clients have taken effect, so that each does so once however often and
// through however many replicas it is introduced. The table is replicated state: it changes only as ordered updates execute,
// and two correct replicas that executed the same ordinals hold equal tables.
//
// A session needs no opening. A client's sequence numbers start at its clock, in microseconds since 1970, and rise by one for
// each update, so that a client that restarts, or was forgotten, never uses a number again. Three rules make this safe in
// bounded memory:
//   - Window: a session remembers the numbers (High-Window, High]; lower ones are Expired, never executed.
//   - Floor: when the table is full the session unused for longest is forgotten, and Floor rises to its High. A new session
//     executes nothing at or below the Floor of its start, so nothing that a forgotten session did can happen again.
//   - Ceiling: no number may be more than Ahead beyond the ordered time, which f liars cannot push. Otherwise one client could
//     raise the Floor for everybody by a number from the far future.
//
// No source in the papers, which leave duplicates to the application; see docs/divergence.md.
package session

import (
	"encoding/binary"
	"time"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// Ahead is how far a sequence number may be beyond the ordered time.
const Ahead = 10 * time.Minute

// Table is the sessions of all clients. Make one with New.
type Table struct {
	window   uint64
	most     int
	floor    uint64 // no new session executes a number at or below this
	sessions map[wire.ClientID]*session
	byUse    uses // the one unused for longest first
}

// session is one client's memory. Invariant: bit seq%window of executed is set only for seq in (high-window, high].
type session struct {
	client   wire.ClientID
	floor    uint64   // numbers up to here are expired whatever the window says
	high     uint64   // highest number executed
	executed []uint64 // bitmap of the window

	before, after *session // in the order of use
}

// New returns an empty table of at most the given sessions, each remembering window numbers (a multiple of 64).
func New(most, window int) *Table {
	return &Table{window: uint64(window), most: most, sessions: map[wire.ClientID]*session{}}
}

// Len is how many sessions are remembered.
func (t *Table) Len() int { return len(t.sessions) }

// Floor is the highest number of any forgotten session.
func (t *Table) Floor() uint64 { return t.floor }

// Executed reports what is known of an update before it is ordered: Duplicate or Expired if it can never take effect, zero if
// it may.
func (t *Table) Executed(client wire.ClientID, seq uint64) effect.Why {
	at, ok := t.sessions[client]
	if !ok {
		if seq <= t.floor {
			return effect.Expired
		}
		return 0
	}
	return at.check(seq, t.window)
}

// Execute decides whether an ordered update takes effect (zero) and, if so, remembers it. now is the ordered time of its
// ordinal, Unix nanoseconds.
func (t *Table) Execute(client wire.ClientID, seq uint64, now int64) effect.Why {
	if seq > uint64(max(0, now)/1000)+uint64(Ahead/time.Microsecond) {
		return effect.Expired
	}
	if why := t.Executed(client, seq); why != 0 {
		return why
	}
	at, ok := t.sessions[client]
	if !ok {
		t.makeRoom()
		s := &session{client: client, floor: t.floor, executed: make([]uint64, t.window/64)}
		at = t.byUse.PushBack(s)
		t.sessions[client] = at
	}
	t.byUse.MoveToBack(at)
	at.mark(seq, t.window)
	return 0
}

func (t *Table) makeRoom() {
	for len(t.sessions) >= t.most {
		oldest := t.byUse.first
		t.byUse.Remove(oldest)
		delete(t.sessions, oldest.client)
		t.floor = max(t.floor, oldest.high)
	}
}

func (s *session) check(seq, window uint64) effect.Why {
	switch {
	case seq <= s.floor, s.high >= window && seq <= s.high-window:
		return effect.Expired
	case seq <= s.high && s.executed[seq%window/64]&(1<<(seq%64)) != 0:
		return effect.Duplicate
	}
	return 0
}

func (s *session) mark(seq, window uint64) {
	if seq > s.high {
		if seq-s.high >= window {
			clear(s.executed)
		} else {
			for gone := s.high + 1; gone <= seq; gone++ {
				s.executed[gone%window/64] &^= 1 << (gone % 64)
			}
		}
		s.high = seq
	}
	s.executed[seq%window/64] |= 1 << (seq % 64)
}

// AppendState appends a canonical encoding of the table, in order of use, so that replicas can compare theirs.
func (t *Table) AppendState(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, t.floor)
	for s := t.byUse.first; s != nil; s = s.after {
		b = append(b, s.client[:]...)
		b = binary.LittleEndian.AppendUint64(b, s.floor)
		b = binary.LittleEndian.AppendUint64(b, s.high)
		for _, word := range s.executed {
			b = binary.LittleEndian.AppendUint64(b, word)
		}
	}
	return b
}
