package appsocket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/unixsock"
)

const (
	maxStrangers   = 16              // connections that have not attached yet
	attachTimeout  = 5 * time.Second // from connecting to Attach
	handoverGrace  = 2 * time.Second // for an owner that was killed to be noticed, before a second one is refused
	refusalTimeout = time.Second     // for a refusal to be taken
)

// Info is what a replica tells its application.
type Info struct {
	Replica int // 1..n
	Cluster [32]byte
	Epoch   uint32
	Replays bool // a replica that starts again delivers everything again, from the first record on
}

// Server is the application as its replica sees it. It is made before the replica and listens once the replica has locked its
// folder.
type Server struct {
	info      Info
	log       *slog.Logger
	strangers chan struct{} // a token for each connection that has not attached
	wg        sync.WaitGroup
	closed    chan struct{}
	shut      sync.Once
	refusals  rate.Sometimes // logged

	mu       sync.Mutex
	listener *unixsock.Listener
	changed  chan struct{} // closed, and made anew, whenever something below changes
	owner    *owner        // the process that is attached
	batch    []app.Record  // in hand; nil between two calls of Deliver
	results  [][]byte      // of the records of batch that have been acknowledged
	last     Position      // last record that was acknowledged
	count    uint64        // records acknowledged since the start
	skip     Position      // the application has the records up to here, where this replica, which has started again, is still to come
	has      Position      // the attached process has the records up to here
	way      app.Way       // of the process that attached last
	lost     bool          // the application misses records and is given nothing before its transfer point
	point    *Point        // a transfer point that the process has to deal with before it gets what follows
	jump     *jump         // in hand: nothing is delivered before the application has followed
	landing  *jump         // the last one
	request  func()        // asks for a transfer point
}

// New makes the application of one replica.
func New(info Info, log *slog.Logger) *Server {
	return &Server{info: info, log: log, strangers: make(chan struct{}, maxStrangers), closed: make(chan struct{}),
		changed: make(chan struct{}), request: func() {}, refusals: rate.Sometimes{First: 3, Interval: 10 * time.Second}}
}

// where is the socket's place: app.sock in folder, or path if that is not empty, which may be relative to the folder.
func where(folder, path string) (dir, name string) {
	switch {
	case path == "":
		return folder, SocketName
	case !filepath.IsAbs(path):
		path = filepath.Join(folder, path)
	}
	dir, name = filepath.Split(path)
	return filepath.Clean(dir), name
}

// Check finds what would make Listen fail. It changes nothing.
func Check(folder, path string) error {
	if err := unixsock.Check(where(folder, path)); err != nil {
		return fmt.Errorf("application socket (app.socket in node.toml): %w", err)
	}
	return nil
}

// Listen opens the socket: app.sock in folder, or path if that is not empty. The caller holds the folder's lock.
func (s *Server) Listen(folder, path string) error {
	l, err := unixsock.Listen(where(folder, path))
	if err != nil {
		return fmt.Errorf("application socket: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed: // the replica has ended meanwhile
		return l.Close()
	default:
	}
	s.listener = l
	s.log.Info("the application is a process of its own: waiting for it to attach", "socket", l.Path())
	s.wg.Go(func() { s.accept(l) })
	return nil
}

// Close ends all conversations and makes Deliver return. What was not acknowledged has no results then.
func (s *Server) Close() error {
	var err error
	s.shut.Do(func() {
		s.mu.Lock()
		close(s.closed)
		l := s.listener
		s.mu.Unlock()
		if l != nil {
			err = l.Close()
		}
		s.wg.Wait()
	})
	return err
}

// Interrupt implements app.Interrupter: it is Close.
func (s *Server) Interrupt() { _ = s.Close() }

// Attached reports whether a process is attached.
func (s *Server) Attached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owner != nil
}

// Deliver gives a batch to the attached process, waiting for one if there is none, and returns its results. It returns nil
// if Close is called first: the application has not dealt with the batch.
func (s *Server) Deliver(batch []app.Record) [][]byte {
	if len(batch) == 0 {
		return [][]byte{}
	}
	s.mu.Lock()
	s.batch, s.results = batch, make([][]byte, 0, len(batch))
	s.skipKnown()
	s.skipLost()
	s.wake()
	for (len(s.results) < len(batch) || s.point != nil) && s.wait(s.closed) {
	}
	results, done := s.results, s.point == nil
	s.batch, s.results = nil, nil
	s.mu.Unlock()
	if len(results) < len(batch) || !done {
		return nil
	}
	return results
}

// wake tells everybody who waits that something has changed. The caller holds the lock.
func (s *Server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait releases the lock until something changes or end is closed; false in the latter case.
func (s *Server) wait(end <-chan struct{}) bool {
	changed := s.changed
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-changed:
		return true
	case <-end:
		return false
	}
}

func (s *Server) accept(l *unixsock.Listener) {
	for pause := time.Duration(0); ; {
		sock, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as: no file descriptor is free
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log.Warn("application socket cannot accept", "error", err, "again_in", pause)
			select {
			case <-time.After(pause):
				continue
			case <-s.closed:
				return
			}
		}
		pause = 0
		select {
		case s.strangers <- struct{}{}:
			s.wg.Go(func() { s.converse(sock) })
		default:
			_ = sock.Close()
		}
	}
}

// converse is one connection from its beginning to its end.
func (s *Server) converse(sock *net.UnixConn) {
	o := newOwner(s, sock)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	o.wg.Go(func() { // the one place that ends a conversation from outside
		select {
		case <-s.closed:
			_ = sock.SetWriteDeadline(time.Now().Add(refusalTimeout))
			_ = sock.SetReadDeadline(time.Now())
		case <-ctx.Done():
		}
	})
	a, err := o.introduce()
	if err == nil {
		err = s.attach(o, a)
	}
	<-s.strangers
	if err == nil {
		s.log.Info("application attached", "after", o.start.String())
		err = o.run()
		s.detach(o)
		s.log.Info("application detached", "acknowledged", s.position().String(), "why", err.Error())
	}
	o.refuse(err)
	stop()
	o.wg.Wait()
	_ = sock.Close()
}

func (s *Server) position() Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// attach makes o the owner, if nobody else is and the records that it wants are there.
func (s *Server) attach(o *owner, a Attach) error {
	fresh := a.Way == app.OwnWay && a.Epoch != s.info.Epoch // it is told to discard what it has
	if a.Cluster != [32]byte{} && a.Cluster != s.info.Cluster || a.Epoch != 0 && a.Epoch != s.info.Epoch && !fresh {
		return &Refused{Code: Foreign, Text: fmt.Sprintf(
			"the application's state is of cluster %x, epoch %d; this is cluster %x, epoch %d: attach it to its own replica",
			a.Cluster[:4], a.Epoch, s.info.Cluster[:4], s.info.Epoch)}
	}
	grace := make(chan struct{})
	timer := time.AfterFunc(handoverGrace, func() { close(grace) })
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.owner != nil && s.wait(grace) {
	}
	select {
	case <-s.closed:
		return &Refused{Code: Stopped, Text: "the replica stops"}
	default:
	}
	if s.owner != nil {
		return &Refused{Code: Busy, Text: "another process is this replica's application: stop it first"}
	}
	if fresh && a.Epoch != 0 {
		a.After = Position{}
	}
	before, was := s.skip, s.lost
	s.skip, o.reset = Position{}, fresh
	if a.Resume {
		if err := s.resume(o, &a); err != nil {
			s.skip, s.lost = before, was
			return err
		}
	} else {
		s.has, s.lost = s.last, false
	}
	s.way = a.Way
	o.start, o.sent = s.has, s.count
	w := Welcome{Version: Version, Replica: s.info.Replica, Cluster: s.info.Cluster, Epoch: s.info.Epoch, After: s.has}
	if err := o.write(w.Append(nil)); err != nil {
		return err
	}
	s.owner = o
	s.skipLost()
	s.wake()
	return nil
}

// resume goes on after the record that an application had last. Records that it has dealt with and could not acknowledge are
// not delivered to it again; nobody knows their results any more, so they are empty. The caller holds the lock.
func (s *Server) resume(o *owner, a *Attach) error {
	after := a.After
	if l := s.landing; after.Less(s.last) && s.last == l.position() && a.Way == app.EnginesWay && l.open != nil {
		s.jump = l // it has not kept what it was given
	}
	if s.jump != nil { // that decides what becomes of it
		s.has = after
		if s.last.Less(after) {
			s.skip = after
		}
		return nil
	}
	if after.Less(s.last) {
		if a.Way == app.OwnWay {
			s.has = after
			s.lose(o)
			return nil
		}
		return &Refused{Code: Gone, At: s.last, Text: fmt.Sprintf(
			"the application has the records up to %s, but those up to %s were acknowledged and are gone: "+
				"restore a newer state, or attach without a position and go on from there", after, s.last)}
	}
	rest := s.rest()
	end := 0
	for end < len(rest) && !after.Less(PositionOf(&rest[end])) {
		end++
	}
	found := after == s.last || end > 0 && PositionOf(&rest[end-1]) == after
	if !found && s.info.Replays && end == len(rest) {
		s.has, s.skip, s.lost = after, after, false
		s.log.Info("the application has more records than this replica has delivered since its start: it gets those after them",
			"application", after.String(), "replica", s.last.String())
		s.skipKnown()
		return nil
	}
	if !found {
		return &Refused{Code: Ahead, At: s.last, Text: fmt.Sprintf(
			"the application says that it has the records up to %s, but this replica delivered none after %s: "+
				"attach it to the replica that its state is of", after, s.last)}
	}
	s.has, s.lost, s.way = after, false, a.Way
	if a.Again {
		s.has, end = s.last, 0
	}
	for i := range end {
		s.acknowledge([]byte{})
		if i == end-1 {
			s.passed(&rest[i])
		}
	}
	return nil
}

// skipKnown acknowledges records in hand that the application has had from this replica before that started again; nobody knows
// their results any more. The caller holds the lock.
func (s *Server) skipKnown() {
	for len(s.rest()) > 0 && !s.skip.Less(PositionOf(&s.rest()[0])) {
		s.acknowledge([]byte{})
	}
}

// rest is the records in hand that have not been acknowledged. The caller holds the lock.
func (s *Server) rest() []app.Record { return s.batch[len(s.results):] }

// sendable is those of them that the process may be sent: a transfer point is the last. The caller holds the lock.
func (s *Server) sendable() []app.Record {
	if s.lost || s.point != nil || s.jump != nil {
		return nil
	}
	rest := s.rest()
	for i := range rest {
		if s.way == app.OwnWay && rest[i].TransferPoint() {
			return rest[:i+1]
		}
	}
	return rest
}

// acknowledge takes the result of the next record. The caller holds the lock.
func (s *Server) acknowledge(result []byte) {
	s.last = PositionOf(&s.rest()[0])
	s.results = append(s.results, result)
	s.count++
}

func (s *Server) detach(o *owner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner == o {
		s.owner = nil
		s.wake()
	}
}
