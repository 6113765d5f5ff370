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

	"github.com/primebft/prime/app"
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

	writing  sync.Mutex    // of sock: records and what is asked of snapshots come from different goroutines
	left     chan struct{} // closed when the process has left, or broken a rule
	verdicts chan Verdict  // of the snapshot that it restores

	// Under the server's lock.
	sent     uint64    // what the server's count will be when all that was sent is acknowledged
	reset    bool      // it is to be told the epoch
	gap      *Gap      // it is to be told
	told     bool      // of the server's point
	restores bool      // it restores a snapshot
	snapshot *snapshot // that it writes
	owed     int       // pieces of snapshots that were asked for and given up
}

func newOwner(s *Server, sock *net.UnixConn) *owner {
	return &owner{server: s, sock: sock, frames: localframe.NewReader(bufio.NewReaderSize(sock, 64<<10), MaxFrame),
		left: make(chan struct{}), verdicts: make(chan Verdict, 1)}
}

// write sends whole frames.
func (o *owner) write(frames []byte) error {
	o.writing.Lock()
	defer o.writing.Unlock()
	_, err := o.sock.Write(frames)
	return err
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
	var why error
	o.wg.Go(func() {
		defer close(o.left)
		why = o.receive()
		_ = o.sock.SetWriteDeadline(time.Now().Add(refusalTimeout)) // whoever is being sent something does not read it
	})
	err := o.send()
	_ = o.sock.SetReadDeadline(time.Now())
	<-o.left
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

// send sends what there is for the process.
func (o *owner) send() error {
	s := o.server
	var buf []byte
	for {
		var j *jump
		var err error
		s.mu.Lock()
		for {
			if buf, j, err = o.next(buf[:0]); err != nil || j != nil || len(buf) > 0 {
				break
			}
			if !s.wait(o.left) {
				s.mu.Unlock()
				return nil
			}
		}
		s.mu.Unlock()
		switch {
		case err != nil:
		case j != nil:
			err = o.restore(j)
		default:
			err = o.write(buf)
		}
		if err != nil {
			return err
		}
	}
}

// next appends what the process is to be told now, if there is anything: what happened to the stream first, then a frame of records, of
// which the next comes when all of the last have been acknowledged. A jump is a snapshot that it has to restore. The caller holds the
// lock.
func (o *owner) next(buf []byte) ([]byte, *jump, error) {
	s := o.server
	if o.reset {
		buf, o.reset = Reset{s.info.Epoch}.Append(buf), false
	}
	if s.jump != nil {
		j, err := o.follow()
		if j != nil {
			o.restores = true
		}
		if j != nil || err != nil {
			return buf, j, err
		}
	}
	if o.gap != nil {
		buf, o.gap = o.gap.Append(buf), nil
	}
	if s.point != nil && !o.told {
		buf, o.told = s.point.Append(buf), true
	}
	if records := s.sendable(); len(records) > 0 && o.sent <= s.count {
		records = records[:min(len(records), maxRecords)]
		records = records[:localframe.Chunk(records, recordsSize)]
		buf = AppendRecords(buf, records) // a copy: the batch is the replica's again once it is acknowledged
		o.sent = s.count + uint64(len(records))
	}
	return buf, nil, nil
}

// receive takes what the process says until it leaves or breaks a rule.
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
		}
		if results, err = o.handle(kind, body, results); err != nil {
			return &Refused{Code: Protocol, Text: err.Error()}
		}
	}
}

// handle is one frame of the process. results is spare memory.
func (o *owner) handle(kind byte, body []byte, results [][]byte) ([][]byte, error) {
	switch kind {
	case KindResults:
		r, err := ParseResults(body, results)
		if err != nil {
			return results, err
		}
		return r.Results, o.accept(r)
	case KindData:
		p, err := ParsePiece(body)
		if err != nil {
			return results, err
		}
		return results, o.piece(p)
	case KindRestored:
		v, err := ParseVerdict(body)
		if err != nil {
			return results, err
		}
		return results, o.restored(v)
	case KindTaken:
		v, err := ParseVerdict(body)
		if err != nil {
			return results, err
		}
		return results, o.taken(v)
	case KindTransfer:
		if len(body) > 0 {
			return results, errors.New("a request for a transfer point has a body")
		}
		return results, o.asks()
	}
	return results, fmt.Errorf("frame of kind %d, which no application sends", kind)
}

// asks asks for a transfer point.
func (o *owner) asks() error {
	o.server.mu.Lock()
	way, request := o.server.way, o.server.request
	o.server.mu.Unlock()
	if way != app.OwnWay {
		return errors.New("a request for a transfer point from an application that does not take over state in its own way")
	}
	request()
	return nil
}

// restored is what the process says of the snapshot that it was given.
func (o *owner) restored(v Verdict) error {
	o.server.mu.Lock()
	defer o.server.mu.Unlock()
	if !o.restores {
		return errors.New("a verdict on a snapshot that it was not given")
	}
	o.restores = false
	o.verdicts <- v // has room: there is one for each snapshot
	return nil
}

// accept acknowledges the records of one frame of results, or fewer.
func (o *owner) accept(r Results) error {
	s := o.server
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := min(int(o.sent-min(o.sent, s.count)), len(s.rest()))
	if len(r.Results) > waiting {
		return fmt.Errorf("%d results for the %d records that wait for one", len(r.Results), waiting)
	}
	if want := PositionOf(&s.rest()[0]); r.First != want {
		return fmt.Errorf("results from %s on where those from %s on were expected", r.First, want)
	}
	for _, result := range r.Results {
		record := &s.rest()[0]
		s.acknowledge(bytes.Clone(result))
		s.passed(record)
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
	_ = o.write(r.Append(nil))
}
