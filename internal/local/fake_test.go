package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/primebft/prime/app"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a replica that executes every update at once, one ordinal each, and echoes it. hold keeps results back.
type fake struct {
	update int

	mu      sync.Mutex
	changed sync.Cond
	records []app.Record // record i has ordinal i+1
	oldest  uint64       // first ordinal that is held
	closed  bool
	hold    bool
	held    []func()
	calls   int
}

func newFake() *fake {
	f := &fake{update: 1000, oldest: 1}
	f.changed.L = &f.mu
	return f
}

func (f *fake) Info() Info { return Info{Replica: 3, Epoch: 2, UpdateBytes: f.update} }

func (f *fake) Submit(ctx context.Context, payload []byte, done func(Result, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	switch {
	case f.closed:
		done(Result{}, &Failure{Code: Closed, Text: "the replica has stopped"})
		return
	case string(payload) == "overload":
		done(Result{}, &Failure{Code: Overloaded, Text: "queue is full"})
		return
	case string(payload) == "odd":
		done(Result{}, errors.New("an error of its own"))
		return
	}
	r := Result{Epoch: 2, Ordinal: uint64(len(f.records) + 1), Index: 1, Client: [32]byte{1, 31: 2}, Seq: uint64(f.calls), Result: payload}
	f.records = append(f.records, app.Record{Epoch: 2, Ordinal: r.Ordinal, Index: 1, Total: 1, Origin: 3,
		Client: r.Client, Seq: r.Seq, Payload: payload})
	f.changed.Broadcast()
	if !f.hold {
		done(r, nil)
		return
	}
	f.held = append(f.held, func() { done(r, nil) })
}

// release gives the held results, last first.
func (f *fake) release() {
	f.mu.Lock()
	held := f.held
	f.held = nil
	f.mu.Unlock()
	for i := len(held) - 1; i >= 0; i-- {
		held[i]()
	}
}

func (f *fake) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), generous)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changed.Broadcast()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for !ok() {
		if ctx.Err() != nil {
			t.Fatal("waited in vain for " + what)
		}
		f.changed.Wait()
	}
}

func (f *fake) Watch(ctx context.Context, from uint64, emit func([]app.Record) error) error {
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changed.Broadcast()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	if from == 0 {
		from = uint64(len(f.records) + 1)
	}
	for {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case from < f.oldest:
			return &Failure{Code: Gone, Oldest: f.oldest, Text: fmt.Sprintf("ordinal %d is no longer held, the oldest is %d", from, f.oldest)}
		case from <= uint64(len(f.records)):
			batch := f.records[from-1:]
			f.mu.Unlock()
			err := emit(batch)
			f.mu.Lock()
			if err != nil {
				return err
			}
			from += uint64(len(batch))
		case f.closed:
			return &Failure{Code: Closed, Text: "the replica has stopped"}
		default:
			f.changed.Wait()
		}
	}
}

func (f *fake) Status() (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return map[string]int{"ordinal": len(f.records)}, nil
}

func (f *fake) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.changed.Broadcast()
}

func serve(t *testing.T) (*fake, *Server, string) {
	t.Helper()
	f, dir := newFake(), t.TempDir()
	s, err := Serve(dir, f, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return f, s, dir
}

func dial(t *testing.T, dir string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
