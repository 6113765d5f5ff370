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
	floor    uint64    // no new session executes a number at or below this
	sessions []session // by place
	executed []uint64  // the bitmap of each, window/64 words, by place
	first    place     // the session unused for longest; 0: there is none
	last     place     // the one used last

	places map[wire.ClientID]place `image:"-"` // what sessions says; nil until it is needed
}

// session is one client's memory. Invariant: bit seq%window of its bitmap is set only for seq in (high-window, high].
type session struct {
	client wire.ClientID
	floor  uint64 // numbers up to here are expired whatever the window says
	high   uint64 // highest number executed

	before, after place // in the order of use
}

// New returns an empty table of at most the given sessions, each remembering window numbers (a multiple of 64).
func New(most, window int) *Table { return &Table{window: uint64(window), most: most} }

// Len is how many sessions are remembered.
func (t *Table) Len() int { return len(t.sessions) }

// Floor is the highest number of any forgotten session.
func (t *Table) Floor() uint64 { return t.floor }

// Executed reports what is known of an update before it is ordered: Duplicate or Expired if it can never take effect, zero if
// it may.
func (t *Table) Executed(client wire.ClientID, seq uint64) effect.Why {
	p := t.find(client)
	switch {
	case p != 0:
		return t.at(p).check(seq, t.executedBy(p))
	case seq <= t.floor:
		return effect.Expired
	}
	return 0
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
	p := t.find(client)
	if p == 0 {
		if len(t.sessions) >= t.most {
			t.floor = max(t.floor, t.at(t.first).high) // that session is forgotten
		}
		p = t.add(client)
		t.at(p).floor = t.floor
	} else {
		t.unlink(p)
		t.pushBack(p)
	}
	t.at(p).mark(seq, t.executedBy(p))
	return 0
}

// check is what is known of a number; executed is the session's bitmap.
func (s *session) check(seq uint64, executed []uint64) effect.Why {
	window := uint64(len(executed)) * 64
	switch {
	case seq <= s.floor, s.high >= window && seq <= s.high-window:
		return effect.Expired
	case seq <= s.high && executed[seq%window/64]&(1<<(seq%64)) != 0:
		return effect.Duplicate
	}
	return 0
}

// mark notes a number as executed.
func (s *session) mark(seq uint64, executed []uint64) {
	window := uint64(len(executed)) * 64
	if seq > s.high {
		if seq-s.high >= window {
			clear(executed)
		} else {
			for gone := s.high + 1; gone <= seq; gone++ {
				executed[gone%window/64] &^= 1 << (gone % 64)
			}
		}
		s.high = seq
	}
	executed[seq%window/64] |= 1 << (seq % 64)
}

// AppendState appends a canonical encoding of the table, in order of use, so that replicas can compare theirs.
func (t *Table) AppendState(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, t.floor)
	for p := t.first; p != 0; p = t.at(p).after {
		s := t.at(p)
		b = append(b, s.client[:]...)
		b = binary.LittleEndian.AppendUint64(b, s.floor)
		b = binary.LittleEndian.AppendUint64(b, s.high)
		for _, word := range t.executedBy(p) {
			b = binary.LittleEndian.AppendUint64(b, word)
		}
	}
	return b
}
