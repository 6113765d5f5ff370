package bench

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/primebft/prime/internal/bench/stall"
	"github.com/primebft/prime/internal/local"
)

// fake is a client whose updates take as long as it is told.
type fake struct {
	id      byte
	seq     atomic.Uint64
	under   atomic.Int64
	most    atomic.Int64
	release chan struct{} // each update takes one token; closed: none waits
	fail    func(seq uint64) error
}

func (f *fake) Submit([]byte) (Ack, error) {
	now := f.under.Add(1)
	defer f.under.Add(-1)
	for most := f.most.Load(); now > most && !f.most.CompareAndSwap(most, now); most = f.most.Load() {
	}
	seq := f.seq.Add(1)
	if f.release != nil {
		<-f.release
	}
	if f.fail != nil {
		if err := f.fail(seq); err != nil {
			return Ack{}, err
		}
	}
	return Ack{Client: [32]byte{f.id}, Seq: seq, Ordinal: seq, Index: 1}, nil
}

func (f *fake) Close() error { return nil }

// closed is a channel that never makes anybody wait.
func closedChannel() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// TestClosedLoad: as many updates are under way at once as was asked for, never more, dealt evenly to the clients.
func TestClosedLoad(t *testing.T) {
	t.Parallel()
	r := newRecorder(stall.NewClock())
	a, b := &fake{id: 1, release: make(chan struct{})}, &fake{id: 2, release: make(chan struct{})}
	now := r.clock.Now()
	r.begin(stall.Span{From: now, To: now + int64(time.Hour)}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		Load{PayloadBytes: 10, InFlight: 5}.generate(ctx, []Submitter{a, b}, r, now, now+int64(time.Hour))
	})
	for range 50 { // no more than these can be done, so the rest is under way
		a.release <- struct{}{}
		b.release <- struct{}{}
	}
	cancel()
	close(a.release)
	close(b.release)
	running.Wait()
	if a.most.Load() > 3 || b.most.Load() > 2 {
		t.Errorf("%d and %d under way at once: at most 3 and 2 were asked for", a.most.Load(), b.most.Load())
	}
	done := a.seq.Load() + b.seq.Load()
	if r.count != done || r.total != done || done < 100 || r.latency.Count() != done {
		t.Errorf("%d updates, %d counted, %d in all, %d latencies", done, r.count, r.total, r.latency.Count())
	}
}

// TestOpenLoadHidesNothing: when the cluster stands still, the updates that should have been sent meanwhile count with the time
// that they would have had to wait.
func TestOpenLoadHidesNothing(t *testing.T) {
	t.Parallel()
	r := newRecorder(stall.NewClock())
	stuck := &fake{id: 1, release: make(chan struct{})}
	now := r.clock.Now()
	window := stall.Span{From: now, To: now + int64(200*time.Millisecond)}
	r.begin(window, nil)
	var running sync.WaitGroup
	running.Go(func() { Load{Rate: 100000}.generate(t.Context(), []Submitter{stuck}, r, window.From, window.To) })
	for r.clock.Now() < window.To {
		select {
		case stuck.release <- struct{}{}:
			// The first is through: from now on nothing is, until the window is over.
			<-time.After(time.Duration(window.To - r.clock.Now()))
		case <-time.After(time.Millisecond):
		}
	}
	close(stuck.release)
	running.Wait()
	// When the cluster goes on at the end, a generator that itself stood still may send some more.
	if sent := stuck.seq.Load(); sent > 2*openLimit || sent+uint64(r.late) != 20000 {
		t.Errorf("%d sent (at most %d may be under way), %d late: together they must be 20000", sent, openLimit, r.late)
	}
	if r.late < 10000 || r.latency.Count() < uint64(r.late) {
		t.Errorf("%d late, but only %d latencies", r.late, r.latency.Count())
	}
}

// TestFailures: what is refused for a moment is tried again, what fails is counted, and a client that is cut off stops.
func TestFailures(t *testing.T) {
	t.Parallel()
	r := newRecorder(stall.NewClock())
	now := r.clock.Now()
	r.begin(stall.Span{From: now, To: now + int64(time.Hour)}, nil)
	f := &fake{id: 1, release: closedChannel(), fail: func(seq uint64) error {
		switch {
		case seq <= 3:
			return &local.Failure{Code: local.Overloaded, Text: "full"}
		case seq == 5:
			return &local.Failure{Code: local.Unknown, Text: "gave up"}
		case seq == 7:
			return errors.New("cut off")
		}
		return nil
	}}
	Load{PayloadBytes: 1, InFlight: 1}.generate(t.Context(), []Submitter{f}, r, now, now+int64(time.Hour))
	if f.seq.Load() != 7 || r.total != 2 || r.failed != 2 || r.failures["gave up"] != 1 || r.failures["cut off"] != 1 {
		t.Errorf("%d tries, %d acknowledged, %d failed: %v", f.seq.Load(), r.total, r.failed, r.failures)
	}
}

// TestWindow: only what ends in the window counts, and everything that is acknowledged is remembered.
func TestWindow(t *testing.T) {
	t.Parallel()
	r := newRecorder(stall.NewClock())
	r.begin(stall.Span{From: r.clock.Now() + int64(time.Hour), To: r.clock.Now() + 2*int64(time.Hour)}, nil)
	r.done(0, r.clock.Now(), Ack{Seq: 1}, nil)
	r.begin(stall.Span{From: 0, To: r.clock.Now() + int64(time.Hour)}, nil)
	r.done(0, r.clock.Now(), Ack{Seq: 2}, nil)
	if r.count != 1 || r.total != 2 || r.latency.Count() != 1 {
		t.Errorf("count %d, total %d, latencies %d: want 1, 2, 1", r.count, r.total, r.latency.Count())
	}
	delivered := updateSet{}
	delivered.add([32]byte{}, 2)
	if n := r.acknowledged.missing(delivered); n != 1 {
		t.Errorf("%d updates are missing, want 1", n)
	}
}

func TestPayload(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 7, 8, 300} {
		p := newPayload(size)
		before := string(p)
		p.next()
		if len(p) != size || size >= 8 && string(p) == before {
			t.Errorf("%d bytes: %d, and the next is %v", size, len(p), string(p) != before)
		}
	}
}
