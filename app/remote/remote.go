// Package remote lets a program be the application of a Prime replica that runs in another process, over the replica's
// application socket (docs/application-socket.md). The replica is configured with app.kind = "socket".
//
//	state := newState()
//	err := remote.Serve(ctx, "demo/r1/app.sock", app.Func(state.apply), remote.Options{})
//
// The replica delivers a record again if the connection broke before the record was acknowledged. Serve recognises such records
// as long as it runs, and does not give them to the application twice. A program that keeps its state on disk keeps the
// position of the last record with it and passes it as Options.After when it starts again.
package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/appsocket"
	"github.com/primebft/prime/internal/localframe"
	"github.com/primebft/prime/internal/unixsock"
)

// Reasons for Serve to end, besides its context. They are wrapped in errors that say more.
var (
	ErrBusy    = errors.New("another process is the application")
	ErrGone    = errors.New("records were missed")
	ErrAhead   = errors.New("the replica never delivered what the state has")
	ErrForeign = errors.New("the state is of another cluster or epoch")
	ErrRefused = errors.New("the replica refused the application")
	ErrStopped = errors.New("the replica stopped")
	ErrResults = errors.New("the application returned wrong results")
	ErrState   = errors.New("the application cannot hand over or take over its state")
)

// Position names a record: the Index-th of Ordinal, both from 1. The zero Position is before every record.
type Position = app.Position

// Options say what state the application has.
type Options struct {
	// After is the last record that the state has. The zero Position, for a new state, demands the whole stream.
	After Position
	// AnyPosition takes what the replica still has instead, whatever After says: the application misses what another process
	// acknowledged before. Record by record the application then sees from where it has the stream.
	AnyPosition bool
	// Cluster is the id of the cluster that the state is of. If it is not zero, other clusters are refused.
	Cluster [32]byte
	// Epoch is the epoch that After is of, if it is not 0.
	Epoch uint32
	// Transfer asks for a transfer point whenever it has a value, if the application is an app.Transferrer; see there. May be nil.
	Transfer <-chan struct{}
	// Log gets a line when the application is attached or cut off; nil for none.
	Log *slog.Logger
}

// Pauses between attempts to connect.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
)

// resultTimeout is how long results that are ready may take to be sent when the context has ended.
const resultTimeout = 5 * time.Second

// Serve attaches a to the replica whose application socket is at the given path and gives it the ordered stream, until ctx
// ends, the replica stops or refuses, or the application's results are wrong: it always returns an error. It waits for a
// replica that does not run yet, and connects again when the connection breaks.
func Serve(ctx context.Context, socket string, a app.Application, o Options) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &session{app: a, options: o, last: o.After}
	folder, name := filepath.Split(socket)
	folder = filepath.Clean(folder)
	for pause := firstPause; ; {
		sock, err := unixsock.Dial(ctx, folder, name)
		if err == nil {
			before := s.frames
			err = s.converse(ctx, sock)
			if s.frames > before {
				pause = firstPause
			}
		}
		var lost *lostError
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &lost):
			o.Log.Warn("lost the replica; connecting again", "after", s.last.String(), "why", lost.cause)
		case !errors.Is(err, unixsock.ErrNotRunning):
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pause = min(2*pause, lastPause)
	}
}

// lostError is the end of a connection without a reason: another is tried.
type lostError struct{ cause error }

func (l *lostError) Error() string { return "lost the replica: " + l.cause.Error() }

// session is what outlives a connection.
type session struct {
	app      app.Application
	options  Options
	attached bool               // once at least: positions are our own from then on
	last     appsocket.Position // last record that the application has dealt with
	blank    bool               // it has part of a snapshot, or failed to get its state, and so has no state at all
	kept     []kept             // results that may have to be sent again: those of the last frame
	frames   uint64             // frames of records dealt with

	records []app.Record
	results [][]byte
	out     []byte
}

type kept struct {
	at     appsocket.Position
	result []byte
}

// converse is one connection.
func (s *session) converse(ctx context.Context, sock *net.UnixConn) error {
	defer func() { _ = sock.Close() }()
	ended := make(chan struct{})
	defer close(ended)
	stop := context.AfterFunc(ctx, func() {
		_ = sock.SetReadDeadline(time.Now())
		_ = sock.SetWriteDeadline(time.Now().Add(resultTimeout))
	})
	defer stop()
	w := &wire{sock: sock, frames: localframe.NewReader(bufio.NewReaderSize(sock, 64<<10), appsocket.MaxFrame)}
	defer w.enough()
	// What was dealt with and not acknowledged is asked for again, because its results have to be sent again.
	a := appsocket.Attach{Version: appsocket.Version, Cluster: s.options.Cluster, Epoch: s.options.Epoch, After: s.last,
		Resume: s.attached || !s.options.AnyPosition, Again: s.attached, Way: app.WayOf(s.app)}
	if s.blank {
		a.After = Position{}
	}
	if err := w.write(a.Append(nil)); err != nil {
		return err
	}
	s.ask(w, ended)
	var failed *lostError // of a write; what the replica said before it hung up is looked at first
	for welcomed := false; ; {
		kind, body, err := w.frames.Next()
		switch {
		case err != nil && failed == nil:
			return &lostError{err}
		case err == nil && kind == appsocket.KindRefused:
			return refused(body)
		case failed != nil:
			return failed
		case kind == appsocket.KindWelcome && !welcomed:
			welcomed = true
			err = s.welcome(w, body)
		case kind == appsocket.KindRecords && welcomed:
			err = s.deliver(w, body)
		case welcomed:
			err = s.event(w, kind, body)
		default:
			err = fmt.Errorf("%w: it sent a frame of kind %d", ErrRefused, kind)
		}
		if err != nil && !errors.As(err, &failed) {
			return err
		}
	}
}

func refused(body []byte) error {
	r, err := appsocket.ParseRefused(body)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	reasons := map[appsocket.Code]error{appsocket.Busy: ErrBusy, appsocket.Gone: ErrGone, appsocket.Ahead: ErrAhead,
		appsocket.Foreign: ErrForeign, appsocket.Stopped: ErrStopped}
	if reason, ok := reasons[r.Code]; ok {
		return fmt.Errorf("%w: %s", reason, r.Text)
	}
	return fmt.Errorf("%w: %s", ErrRefused, r.Text)
}

// ask passes on that the application asks for transfer points, until the connection ends.
func (s *session) ask(w *wire, ended <-chan struct{}) {
	if s.options.Transfer == nil {
		return
	}
	go func() {
		for {
			select {
			case _, ok := <-s.options.Transfer:
				if !ok || w.write(appsocket.AppendEmpty(nil, appsocket.KindTransfer)) != nil {
					return
				}
			case <-ended:
				return
			}
		}
	}()
}

func (s *session) welcome(conn *wire, body []byte) error {
	w, err := appsocket.ParseWelcome(body)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case w.Version != appsocket.Version:
		return fmt.Errorf("%w: it speaks version %d of the application socket, this program version %d: use the same release",
			ErrRefused, w.Version, appsocket.Version)
	case s.attached && s.last.Less(w.After):
		return fmt.Errorf("%w: this application has the records up to %s and another process acknowledged those up to %s",
			ErrGone, s.last, w.After)
	case !s.attached:
		s.last = w.After
		// From now on only this cluster's stream continues the state.
		s.options.Cluster, s.options.Epoch = w.Cluster, w.Epoch
		s.attached = true
	}
	conn.replica = w.Replica
	s.options.Log.Info("attached to the replica", "replica", w.Replica, "after", w.After.String())
	return nil
}

// deliver gives the application what it has not seen of a frame, and sends the results of all.
func (s *session) deliver(w *wire, body []byte) error {
	records, err := appsocket.ParseRecords(body, s.records)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	s.records = records
	s.results = s.results[:0]
	fresh := records
	for len(fresh) > 0 && !s.last.Less(appsocket.PositionOf(&fresh[0])) {
		s.results = append(s.results, s.recall(appsocket.PositionOf(&fresh[0])))
		fresh = fresh[1:]
	}
	if len(fresh) > 0 {
		if at := appsocket.PositionOf(&fresh[0]); !s.next(at) {
			return fmt.Errorf("%w: %s came after %s", ErrGone, at, s.last)
		}
		results := s.app.Deliver(fresh)
		if len(results) != len(fresh) {
			return fmt.Errorf("%w: %d for %d records; there must be one for each", ErrResults, len(results), len(fresh))
		}
		for i := range results {
			if len(results[i]) > appsocket.MaxResult {
				return fmt.Errorf("%w: that of %s has %d bytes, at most %d are allowed", ErrResults,
					appsocket.PositionOf(&fresh[i]), len(results[i]), appsocket.MaxResult)
			}
		}
		s.results = append(s.results, results...)
		s.last = appsocket.PositionOf(&fresh[len(fresh)-1])
	}
	s.keep(records)
	s.frames++
	return s.send(w, records)
}

// next reports whether the record at this position can be the one after the last. How many records the last ordinal has is not
// remembered: the replica's own order is checked within a frame, and the application can check Record.Total.
func (s *session) next(at appsocket.Position) bool {
	return at == (appsocket.Position{Ordinal: s.last.Ordinal, Index: s.last.Index + 1}) && s.last.Ordinal > 0 ||
		at == (appsocket.Position{Ordinal: s.last.Ordinal + 1, Index: 1})
}

// recall is the result of a record that the application has dealt with. It is empty if that was before this process began.
func (s *session) recall(at appsocket.Position) []byte {
	for i := range s.kept {
		if s.kept[i].at == at {
			return s.kept[i].result
		}
	}
	return nil
}

// keep copies the results of a frame, in case they do not arrive.
func (s *session) keep(records []app.Record) {
	size := 0
	for _, r := range s.results {
		size += len(r)
	}
	arena := make([]byte, 0, size) // new, because recalled results are in the old one
	keep := make([]kept, len(records))
	for i, r := range s.results {
		from := len(arena)
		arena = append(arena, r...)
		keep[i] = kept{appsocket.PositionOf(&records[i]), arena[from:len(arena):len(arena)]}
	}
	s.kept = keep
}

// send sends the kept results, in as many frames as they need.
func (s *session) send(w *wire, records []app.Record) error {
	for i := 0; i < len(records); {
		r := appsocket.Results{First: appsocket.PositionOf(&records[i])}
		for size := 0; i < len(records) && (size == 0 || size+len(s.kept[i].result) < appsocket.MaxFrame/2); i++ {
			r.Results = append(r.Results, s.kept[i].result)
			size += 4 + len(s.kept[i].result)
		}
		s.out = r.Append(s.out[:0])
		if err := w.write(s.out); err != nil {
			return err
		}
	}
	return nil
}
