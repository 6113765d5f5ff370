package remote

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/appsocket"
	"github.com/primebft/prime/internal/localframe"
)

// wire is one connection. Results, and pieces of a snapshot, are written by different goroutines.
type wire struct {
	sock    *net.UnixConn
	frames  *localframe.Reader
	mu      sync.Mutex
	replica int
	writing *writing // the snapshot that is being written; nil if none is
}

func (w *wire) write(frame []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.sock.Write(frame); err != nil {
		return &lostError{err}
	}
	return nil
}

// event handles a frame that is about more than records.
func (s *session) event(w *wire, kind byte, body []byte) error {
	switch kind {
	case appsocket.KindMore:
		w.writing.next()
		return nil
	case appsocket.KindEnough:
		w.enough()
		return nil
	}
	switch a := s.app.(type) {
	case app.Snapshotter:
		switch kind {
		case appsocket.KindSnapshot:
			w.enough()
			w.writing = newWriting(w, a)
			return nil
		case appsocket.KindRestore:
			return s.restore(w, a, body)
		}
	case app.Transferrer:
		if app.WayOf(s.app) == app.OwnWay {
			return s.own(w, a, kind, body)
		}
	}
	return fmt.Errorf("%w: it sent a frame of kind %d", ErrRefused, kind)
}

// own tells an application that takes over state in its own way what happened to the stream.
func (s *session) own(w *wire, a app.Transferrer, kind byte, body []byte) error {
	switch kind {
	case appsocket.KindReset:
		r, err := appsocket.ParseReset(body)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		a.Reset(r.Epoch)
		s.last = app.Position{}
		return nil
	case appsocket.KindGap:
		g, err := appsocket.ParseGap(body)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		a.Gap(g.After, g.Next)
		return nil
	case appsocket.KindTransferPoint:
		p, err := appsocket.ParsePoint(body)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return s.point(w, a, p)
	}
	return fmt.Errorf("%w: it sent a frame of kind %d", ErrRefused, kind)
}

// point lets the application deal with a transfer point.
func (s *session) point(w *wire, a app.Transferrer, p appsocket.Point) error {
	v := appsocket.Verdict{At: p.At}
	err := a.TransferPoint(p.At, p.Requester)
	switch {
	case err != nil && p.Requester != w.replica:
		return fmt.Errorf("%w: transfer point of r%d at %s: %w", ErrState, p.Requester, p.At, err)
	case err != nil:
		v.Mark, v.Text, s.blank = appsocket.Failed, err.Error(), true
	case p.Requester == w.replica:
		s.last, s.blank = p.At, false
	}
	return w.write(v.Append(nil, appsocket.KindTaken))
}

// restore gives the application a snapshot.
func (s *session) restore(w *wire, a app.Snapshotter, body []byte) error {
	at, err := appsocket.ParseAt(body)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	s.blank = true // until it is complete
	from := &pieces{frames: w.frames}
	err = a.Restore(from)
	if err == nil {
		_, err = io.Copy(io.Discard, from) // what is left belongs to it
	}
	if from.broken != nil {
		return from.broken
	}
	v := appsocket.Verdict{At: at.At}
	if err != nil {
		v.Mark, v.Text = appsocket.Failed, err.Error()
		return errors.Join(fmt.Errorf("%w: snapshot as of %s: %w", ErrState, at.At, err), w.write(v.Append(nil, appsocket.KindRestored)))
	}
	s.blank, s.last = false, at.At
	return w.write(v.Append(nil, appsocket.KindRestored))
}

// pieces reads a snapshot off the connection.
type pieces struct {
	frames *localframe.Reader
	rest   []byte
	last   bool
	broken error // the connection is, or the replica broke a rule
}

// Read implements io.Reader.
func (p *pieces) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		switch {
		case p.broken != nil:
			return 0, p.broken
		case p.last:
			return 0, io.EOF
		}
		kind, body, err := p.frames.Next()
		if err != nil {
			p.broken = &lostError{err}
			continue
		}
		if kind == appsocket.KindRefused {
			p.broken = refused(body)
			continue
		}
		piece, err := appsocket.ParsePiece(body)
		if err != nil || kind != appsocket.KindRestoreData || piece.Mark == appsocket.Failed {
			p.broken = fmt.Errorf("%w: it sent a frame of kind %d in the middle of a snapshot", ErrRefused, kind)
			continue
		}
		p.rest, p.last = piece.Data, piece.Mark == appsocket.Last
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// writing is a snapshot that is being written, piece by piece, as the replica asks for them.
type writing struct {
	wire  *wire
	more  chan struct{} // has a token when a piece was asked for
	end   chan struct{} // closed when no more is wanted
	ended chan struct{} // closed when the snapshot is released
	buf   []byte
}

// errEnough ends a snapshot that is not wanted any more.
var errEnough = errors.New("the replica wants no more of the snapshot")

// newWriting takes hold of the state.
func newWriting(w *wire, a app.Snapshotter) *writing {
	t := &writing{wire: w, more: make(chan struct{}, 1), end: make(chan struct{}), ended: make(chan struct{}),
		buf: make([]byte, 0, appsocket.MaxPiece)}
	snapshot, err := a.Snapshot()
	go func() {
		defer close(t.ended)
		if err == nil {
			_, err = snapshot.WriteTo(t)
			snapshot.Release()
		}
		if err == nil {
			_ = t.send(appsocket.Last, t.buf)
		} else if !errors.Is(err, errEnough) {
			_ = t.send(appsocket.Failed, fmt.Append(nil, err))
		}
	}()
	return t
}

// Write implements io.Writer.
func (t *writing) Write(b []byte) (int, error) {
	for n := 0; n < len(b); {
		room := min(len(b)-n, cap(t.buf)-len(t.buf))
		t.buf = append(t.buf, b[n:n+room]...)
		n += room
		if len(t.buf) == cap(t.buf) {
			if err := t.send(appsocket.Done, t.buf); err != nil {
				return n, err
			}
			t.buf = t.buf[:0]
		}
	}
	return len(b), nil
}

// send sends a piece once it was asked for.
func (t *writing) send(mark appsocket.Mark, data []byte) error {
	select {
	case <-t.more:
	case <-t.end:
		return errEnough
	}
	p := appsocket.Piece{Mark: mark, Data: data}
	if err := t.wire.write(p.Append(nil, appsocket.KindData)); err != nil {
		return errEnough
	}
	return nil
}

// next notes that a piece was asked for.
func (t *writing) next() {
	if t == nil {
		return
	}
	select {
	case t.more <- struct{}{}:
	default:
	}
}

// enough ends the snapshot that is being written, if there is one.
func (w *wire) enough() {
	if t := w.writing; t != nil {
		close(t.end)
		<-t.ended
		w.writing = nil
	}
}
