package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/unixsock"
)

// Replica is what the control socket needs of a replica.
type Replica interface {
	// Info describes the replica; it does not change.
	Info() Info
	// Submit hands in an update of the replica's own client and calls done exactly once, from any goroutine; done does not
	// block. Updates are handed in in the order of the calls. payload belongs to the replica. When ctx ends, nobody is
	// interested in the result any more.
	Submit(ctx context.Context, payload []byte, done func(Result, error))
	// Watch calls emit with consecutive records from the first of ordinal from (0: the next that is executed) until ctx
	// ends or emit fails. It keeps nothing for a caller that is slow: when the next record is no longer held, it
	// returns a Failure with code Gone. Records are valid during the call.
	Watch(ctx context.Context, from uint64, emit func([]app.Record) error) error
	// Status is the replica's state, to be encoded as JSON.
	Status() (any, error)
}

// MaxClients is how many clients the control socket serves at once.
const MaxClients = 64

// Limits in time of what is done to clients that do nothing.
const (
	helloTimeout = 5 * time.Second // from connecting to Hello
	flushTimeout = time.Second     // for the last answers when the replica stops
)

// Server serves the control socket of one replica.
type Server struct {
	replica  Replica
	listener *unixsock.Listener
	log      *slog.Logger
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns map[*conn]struct{}
	done  bool
}

// Serve opens the control socket in folder and serves it until Close.
func Serve(folder string, replica Replica, log *slog.Logger) (*Server, error) {
	l, err := unixsock.Listen(folder, SocketName)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	s := &Server{replica: replica, listener: l, log: log, conns: make(map[*conn]struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.accept)
	return s, nil
}

// Close answers what has a result, ends every conversation and removes the socket. The replica has been closed before, so
// that every update has its outcome.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.done {
		s.mu.Unlock()
		return nil
	}
	s.done = true
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	err := s.listener.Close()
	for _, c := range conns {
		c.stop()
	}
	s.cancel()
	s.wg.Wait()
	return err
}

func (s *Server) accept() {
	for pause := time.Duration(0); ; {
		sock, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as: no file descriptor is free
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log.Warn("control socket cannot accept", "error", err, "again_in", pause)
			select {
			case <-time.After(pause):
				continue
			case <-s.ctx.Done():
				return
			}
		}
		pause = 0
		s.admit(sock)
	}
}

// admit starts a conversation, unless there are too many.
func (s *Server) admit(sock *net.UnixConn) {
	c := newConn(s, sock)
	s.mu.Lock()
	full, done := len(s.conns) >= MaxClients, s.done
	if !full && !done {
		s.conns[c] = struct{}{}
	}
	s.mu.Unlock()
	if done {
		_ = sock.Close()
		return
	}
	if full {
		// The socket is new, so the few bytes fit its buffer and nothing waits.
		_ = sock.SetWriteDeadline(time.Now().Add(flushTimeout))
		f := Failure{Code: Busy, Text: fmt.Sprintf("the control socket serves %d clients already: end one of them", MaxClients)}
		_, _ = sock.Write(answer{kind: kindFailure, failure: f}.append(nil))
		_ = sock.Close()
		return
	}
	s.wg.Go(func() {
		c.serve(s.ctx)
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	})
}
