package appsocket

import (
	"errors"
	"fmt"
	"io"

	"github.com/primebft/prime/app"
)

// jump is a place in the stream that the replica goes on from, because nobody holds what is before it any more.
type jump struct {
	at   Position                      // records follow from the one after this
	open func() (io.ReadCloser, error) // a snapshot as of it; nil if there is none
	err  error                         // the application cannot follow
}

// position is where it goes on; the zero Position, of no record, if there is none.
func (j *jump) position() Position {
	if j == nil {
		return Position{}
	}
	return j.at
}

// errNoneThere says that a checkpoint cannot help an application that relies on it.
var errNoneThere = errors.New("the other replicas' applications do not write snapshots, but this replica's wants to restore one: run the " +
	"same application everywhere")

// Attend gives the server the function by which the application asks for a transfer point; it must not wait.
func (s *Server) Attend(request func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.request = request
}

// Way is how the application comes to state that it lacks, as the process said that attached last.
func (s *Server) Way() app.Way {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.way
}

// String is for people.
func (s *Server) String() string {
	return fmt.Sprintf("app.kind = \"socket\" of node.toml, a process of its own whose way to state is %q", s.Way())
}

// Lost reports whether the application waits for a transfer point of its own, and is given nothing before.
func (s *Server) Lost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// Jump goes on after a record although what was before it has not been delivered. It waits for a process that can follow: one that
// has later records already, restores the snapshot, or goes its own way. Processes that cannot are refused. It returns nil without
// any if Close is called first.
func (s *Server) Jump(at Position, open func() (io.ReadCloser, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := &jump{at: at, open: open}
	s.jump = j
	s.wake()
	for s.jump == j && s.wait(s.closed) {
	}
	return j.err
}

// landed ends a jump. The caller holds the lock.
func (s *Server) landed() {
	s.last, s.landing, s.jump = s.jump.at, s.jump, nil
	s.wake()
}

// follow lets the attached process follow a jump, as far as that takes no time. It returns the jump if the process has to restore
// the snapshot. The caller holds the lock.
func (o *owner) follow() (*jump, error) {
	s := o.server
	j := s.jump
	switch {
	case !s.has.Less(j.at): // it lived on while the replica was away
		s.landed()
		return nil, nil
	case s.way == app.OwnWay:
		s.landed()
		s.lose(o)
		return nil, nil
	case s.way == app.EnginesWay && j.open != nil:
		return j, nil
	case s.way == app.EnginesWay:
		j.err = errNoneThere
		s.landed()
		return nil, nil
	}
	return nil, &Refused{Code: Gone, At: j.at, Text: fmt.Sprintf("the records up to %s are held by no replica any more, and "+
		"the application has those up to %s and no way to get the state: attach one that has, restore a newer state, or attach without a "+
		"position", j.at, s.has)}
}

// restore gives the process the snapshot of a jump.
func (o *owner) restore(j *jump) error {
	s := o.server
	from, err := j.open()
	if err != nil {
		return s.unable(j, err)
	}
	defer func() { _ = from.Close() }()
	if err := o.write(At{j.at}.Append(nil, KindRestore)); err != nil {
		return err
	}
	buf, frame := make([]byte, MaxPiece), []byte(nil)
	for mark := Done; mark == Done; {
		n, err := io.ReadFull(from, buf)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			mark = Last
		case err != nil:
			return s.unable(j, err)
		}
		p := Piece{Mark: mark, Data: buf[:n]}
		frame = p.Append(frame[:0], KindRestoreData)
		if err := o.write(frame); err != nil {
			return err
		}
	}
	select {
	case v := <-o.verdicts:
		if v.Mark == Failed {
			return s.unable(j, fmt.Errorf("the application cannot restore a snapshot: %s", v.Text))
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.jump == j {
			s.has, s.skip = j.at, Position{}
			s.landed()
		}
		return nil
	case <-o.left:
		return nil
	}
}

// unable gives up a jump that the application cannot follow.
func (s *Server) unable(j *jump, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.err = err
	if s.landing == j {
		s.landing = nil // there is no use in trying it again
	}
	if s.jump == j {
		s.jump = nil
		s.wake()
	}
	return err
}

// lose notes that the attached process misses records and waits for a transfer point. The caller holds the lock.
func (s *Server) lose(o *owner) {
	next := Position{Ordinal: s.last.Ordinal + 1, Index: 1}
	if rest := s.rest(); len(rest) > 0 {
		next = PositionOf(&rest[0])
	}
	o.gap = &Gap{After: s.has, Next: next}
	s.lost = true
	if s.point != nil && s.point.Requester != s.info.Replica {
		s.point = nil
	}
	s.skip = Position{}
	s.request()
	s.skipLost()
	s.wake()
}

// unknown is the result of a record that the application was not given.
var unknown = []byte{0}

// Unknown reports whether a result of Deliver is none: the application was not given the record.
func (s *Server) Unknown(result []byte) bool { return len(result) == 1 && &result[0] == &unknown[0] }

// skipLost passes over records that a process without the state before them cannot use, up to its own transfer point. The caller
// holds the lock.
func (s *Server) skipLost() {
	for s.lost && s.point == nil && len(s.rest()) > 0 {
		r := &s.rest()[0]
		s.acknowledge(unknown)
		if r.TransferPoint() && r.Origin == s.info.Replica {
			s.point = &Point{At: PositionOf(r), Requester: r.Origin}
		}
	}
}

// passed notes that the process has been given a record, which may be a transfer point that it has to deal with. The caller holds the
// lock.
func (s *Server) passed(r *app.Record) {
	s.has = PositionOf(r)
	if s.way == app.OwnWay && r.TransferPoint() {
		s.point = &Point{At: PositionOf(r), Requester: r.Origin}
	}
}

// taken is what the process says of the transfer point that it was told of.
func (o *owner) taken(v Verdict) error {
	s := o.server
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.point
	switch {
	case p == nil || !o.told || v.At != p.At:
		return fmt.Errorf("an answer to a transfer point at %s, of which it was not told", v.At)
	case v.Mark == Failed && p.Requester != s.info.Replica:
		return fmt.Errorf("it failed at the transfer point of r%d, and only that has to get a state there: %s", p.Requester, v.Text)
	case v.Mark == Failed:
		s.log.Warn("the application has not got the state as of its transfer point; it waits for another", "at", p.At.String(), "why", v.Text)
		s.lost = true
		s.request()
	default:
		s.lost = s.lost && p.Requester != s.info.Replica
		if p.Requester == s.info.Replica {
			s.has = p.At
		}
	}
	s.point, o.told = nil, false
	s.skipLost()
	s.wake()
	return nil
}
