package appsocket

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/primebft/prime/app"
)

// errDetached ends a snapshot whose process has left.
var errDetached = errors.New("the application has detached")

// snapshot is one that the attached process holds. It is read piece by piece, each asked for when the one before has been written:
// however slow that is, the results that the process sends in between never wait for it.
type snapshot struct {
	owner  *owner
	pieces chan Piece
	// Under the server's lock.
	asked    bool // for a piece that has not come
	complete bool // nothing more will come
}

// Snapshot implements app.Snapshotter: the state of the process after the last record that it has acknowledged. Without a process it
// is app.ErrNoSnapshot.
func (s *Server) Snapshot() (app.Snapshot, error) {
	s.mu.Lock()
	o := s.owner
	if o == nil || s.way != app.EnginesWay {
		s.mu.Unlock()
		return nil, app.ErrNoSnapshot
	}
	sn := &snapshot{owner: o, pieces: make(chan Piece, 1)}
	o.forget()
	o.snapshot = sn
	frame := At{s.last}.Append(nil, KindSnapshot)
	s.mu.Unlock()
	if err := o.write(frame); err != nil {
		return nil, app.ErrNoSnapshot
	}
	return sn, nil
}

// forget gives up the snapshot in hand, if there is one. The caller holds the lock.
func (o *owner) forget() {
	if sn := o.snapshot; sn != nil {
		if sn.asked {
			o.owed++
		}
		sn.complete, o.snapshot = true, nil
	}
}

// WriteTo implements app.Snapshot.
func (sn *snapshot) WriteTo(w io.Writer) (written int64, err error) {
	o := sn.owner
	for {
		o.server.mu.Lock()
		given := sn.complete
		sn.asked = !given
		o.server.mu.Unlock()
		if given {
			return written, errDetached
		}
		if err := o.write(AppendEmpty(nil, KindMore)); err != nil {
			return written, fmt.Errorf("%w: %w", errDetached, err)
		}
		select {
		case p := <-sn.pieces:
			if p.Mark == Failed {
				return written, fmt.Errorf("the application cannot write the snapshot: %s", p.Data)
			}
			n, err := w.Write(p.Data)
			written += int64(n)
			if err != nil || p.Mark == Last {
				return written, err
			}
		case <-o.left:
			return written, errDetached
		}
	}
}

// Release implements app.Snapshot.
func (sn *snapshot) Release() {
	s := sn.owner.server
	s.mu.Lock()
	enough := !sn.complete
	if sn.owner.snapshot == sn {
		sn.owner.forget()
	}
	s.mu.Unlock()
	if enough {
		_ = sn.owner.write(AppendEmpty(nil, KindEnough))
	}
}

// piece is a part of the snapshot in hand, or of one that was given up.
func (o *owner) piece(p Piece) error {
	s := o.server
	s.mu.Lock()
	defer s.mu.Unlock()
	sn := o.snapshot
	switch {
	case o.owed > 0: // what was given up was asked for first
		o.owed--
	case sn == nil || !sn.asked:
		return errors.New("a piece of a snapshot that was not asked for")
	default:
		sn.asked = false
		if p.Mark != Done {
			sn.complete, o.snapshot = true, nil
		}
		p.Data = bytes.Clone(p.Data)
		sn.pieces <- p // has room: one was asked for
	}
	return nil
}
