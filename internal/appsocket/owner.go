package appsocket

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/primebft/prime/internal/localframe"
)

// owner is one connection of an application. While it is attached, the goroutine that accepted it sends frames of records, and
// another takes frames of results.
type owner struct {
	server *Server
	sock   *net.UnixConn
	frames *localframe.Reader
	wg     sync.WaitGroup
	start  Position // records are sent from the one after this
	sent   uint64   // what the server's count will be when all that was sent is acknowledged; under the server's lock
}

func newOwner(s *Server, sock *net.UnixConn) *owner {
	return &owner{server: s, sock: sock, frames: localframe.NewReader(bufio.NewReaderSize(sock, 64<<10), MaxFrame)}
}

// introduce reads the first frame.
func (o *owner) introduce() (Attach, error) {
	_ = o.sock.SetReadDeadline(time.Now().Add(attachTimeout))
	kind, body, err := o.frames.Next()
	if err != nil {
		return Attach{}, err
	}
	if kind != KindAttach {
		return Attach{}, &Refused{Code: Protocol, Text: "a conversation begins with Attach"}
	}
	a, err := ParseAttach(body)
	switch {
	case err != nil:
		return Attach{}, &Refused{Code: Protocol, Text: err.Error()}
	case a.Version != Version:
		return Attach{}, &Refused{Code: Protocol, Text: fmt.Sprintf(
			"the application speaks version %d of the application socket, the replica version %d: use the same release",
			a.Version, Version)}
	}
	_ = o.sock.SetReadDeadline(time.Time{})
	return a, nil
}

// run is the conversation of an attached process. It returns why it ended.
func (o *owner) run() error {
	left := make(chan struct{})
	var why error
	o.wg.Go(func() {
		defer close(left)
		why = o.receive()
		_ = o.sock.SetWriteDeadline(time.Now().Add(refusalTimeout)) // whoever is being sent something does not read it
	})
	err := o.send(left)
	_ = o.sock.SetReadDeadline(time.Now())
	<-left
	select {
	case <-o.server.closed:
		return &Refused{Code: Stopped, Text: "the replica stops"}
	default:
	}
	if err == nil || errors.As(why, new(*Refused)) {
		err = why
	}
	return err
}

// send sends records, one frame at a time: the next when all of the last have been acknowledged.
func (o *owner) send(left <-chan struct{}) error {
	s := o.server
	var buf []byte
	for {
		s.mu.Lock()
		for len(s.rest()) == 0 || o.sent > s.count {
			if !s.wait(left) {
				s.mu.Unlock()
				return nil
			}
		}
		records := s.rest()
		records = records[:min(len(records), maxRecords)]
		records = records[:localframe.Chunk(records, recordsSize)]
		buf = AppendRecords(buf[:0], records) // a copy: the batch is the replica's again once it is acknowledged
		o.sent = s.count + uint64(len(records))
		s.mu.Unlock()
		if _, err := o.sock.Write(buf); err != nil {
			return err
		}
	}
}

// receive takes results until the process leaves or breaks a rule.
func (o *owner) receive() error {
	var results [][]byte
	for {
		kind, body, err := o.frames.Next()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("it closed the connection")
		case errors.Is(err, localframe.ErrTooLong), errors.Is(err, localframe.ErrNoKind):
			return &Refused{Code: Protocol, Text: err.Error()}
		case err != nil:
			return err
		case kind != KindResults:
			return &Refused{Code: Protocol, Text: fmt.Sprintf("frame of kind %d where results were expected", kind)}
		}
		r, err := ParseResults(body, results)
		if err == nil {
			results = r.Results
			err = o.accept(r)
		}
		if err != nil {
			return &Refused{Code: Protocol, Text: err.Error()}
		}
	}
}

// accept acknowledges the records of one frame of results, or fewer.
func (o *owner) accept(r Results) error {
	s := o.server
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := min(int(o.sent-s.count), len(s.rest()))
	if len(r.Results) > waiting {
		return fmt.Errorf("%d results for the %d records that wait for one", len(r.Results), waiting)
	}
	if want := PositionOf(&s.rest()[0]); r.First != want {
		return fmt.Errorf("results from %s on where those from %s on were expected", r.First, want)
	}
	for _, result := range r.Results {
		s.acknowledge(bytes.Clone(result))
	}
	s.wake()
	return nil
}

// refuse says why the conversation ends, if the process can be told.
func (o *owner) refuse(err error) {
	var r *Refused
	if !errors.As(err, &r) {
		return
	}
	if r.Code != Stopped {
		o.server.refusals.Do(func() { o.server.log.Warn("application refused", "why", r.Text) })
	}
	_ = o.sock.SetWriteDeadline(time.Now().Add(refusalTimeout))
	_, _ = o.sock.Write(r.Append(nil))
}
