package session

import "github.com/primebft/prime/internal/wire"

// place is where a session is among those of its table, from 1; 0 is no place. Sessions point to each other by place, so that the table is
// two pieces of memory without pointers: an image of the core (package image) copies them as they are, however many clients there are.
type place uint32

// at is the session of a place. It is valid until the next session is added.
func (t *Table) at(p place) *session { return &t.sessions[p-1] }

// executedBy is the bitmap of a place's session, valid likewise.
func (t *Table) executedBy(p place) []uint64 {
	words := place(t.window / 64)
	return t.executed[(p-1)*words : p*words]
}

// find is the place of a client's session, 0 if there is none. The index is made when there is none: in a table of an image.
func (t *Table) find(client wire.ClientID) place {
	if t.places == nil {
		t.places = make(map[wire.ClientID]place, len(t.sessions))
		for i := range t.sessions {
			t.places[t.sessions[i].client] = place(i + 1)
		}
	}
	return t.places[client]
}

// add makes a session for a client that has none, as the last one used. If the table is full, that is the place of the one unused for
// longest, which the caller has forgotten.
func (t *Table) add(client wire.ClientID) place {
	p := t.first
	if len(t.sessions) < t.most {
		t.sessions = append(t.sessions, session{})
		t.executed = append(t.executed, make([]uint64, t.window/64)...)
		p = place(len(t.sessions))
	} else {
		t.unlink(p)
		delete(t.places, t.at(p).client)
		clear(t.executedBy(p))
	}
	*t.at(p) = session{client: client}
	t.pushBack(p)
	t.find(client) // makes the index, if there is none
	t.places[client] = p
	return p
}

// pushBack makes a session that is not in the order of use the last one used.
func (t *Table) pushBack(p place) {
	s := t.at(p)
	if s.before, s.after = t.last, 0; s.before == 0 {
		t.first = p
	} else {
		t.at(s.before).after = p
	}
	t.last = p
}

// unlink takes a session out of the order of use.
func (t *Table) unlink(p place) {
	s := t.at(p)
	if s.before == 0 {
		t.first = s.after
	} else {
		t.at(s.before).after = s.after
	}
	if s.after == 0 {
		t.last = s.before
	} else {
		t.at(s.after).before = s.before
	}
}
