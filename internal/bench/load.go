package bench

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/primebft/prime/internal/bench/latency"
	"github.com/primebft/prime/internal/bench/stall"
)

// Load is what one leg of a benchmark asks of the cluster.
type Load struct {
	PayloadBytes int
	InFlight     int           // updates under way at once, in all: each is followed by the next. Ignored if there is a Rate
	Rate         float64       // updates per second in all, at fixed times whatever becomes of them; 0: as InFlight says
	WarmUp       time.Duration // before the measurement
	Duration     time.Duration // of the measurement

	Began        func(window Span) // told when the measurement will be, before anything is submitted; may be nil
	Acknowledged func(Sample)      // told of every acknowledged update, under a lock: must be quick; may be nil
}

// Sample is one acknowledged update.
type Sample struct {
	Client   int   // index of its client
	From, To int64 // when it was, or should have been, submitted, and when it was acknowledged, on the clock of package stall
}

// openLimit is the most updates under way of one client with a fixed rate. Those beyond it wait, and their waiting counts.
const openLimit = 4096

// busyPause is how long a client waits that was refused because a queue is full.
const busyPause = 2 * time.Millisecond

// maxFailures is how many different reasons of failures are remembered.
const maxFailures = 20

// recorder notes what becomes of updates.
type recorder struct {
	clock stall.Clock

	mu           sync.Mutex
	window       stall.Span // outcomes in it count
	acknowledged updateSet
	count        uint64 // acknowledged in the window
	total        uint64 // acknowledged
	latency      latency.Histogram
	recent       latency.Histogram // since it was looked at
	tell         func(Sample)      // see Load.Acknowledged
	failed       int               // without an acknowledgement
	failures     map[string]int    // why: the first few reasons
	late         int               // intended in the window, but never sent
}

func newRecorder(clock stall.Clock) *recorder {
	return &recorder{clock: clock, acknowledged: updateSet{}, failures: map[string]int{}}
}

// begin forgets the last window and opens the next. What is acknowledged for good is remembered.
func (r *recorder) begin(window stall.Span, tell func(Sample)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.window, r.count, r.late, r.tell = window, 0, 0, tell
	r.latency.Reset()
	r.recent.Reset()
}

// done notes the outcome of an update of a client that was, or should have been, submitted at start.
func (r *recorder) done(client int, start int64, ack Ack, err error) {
	now := r.clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if text := reason(err); r.failures[text] > 0 || len(r.failures) < maxFailures {
			r.failures[text]++
		}
		r.failed++
		return
	}
	r.acknowledged.add(ack.Client, ack.Seq)
	r.total++
	took := time.Duration(now - start)
	r.recent.Add(took)
	if r.tell != nil {
		r.tell(Sample{client, start, now})
	}
	if now >= r.window.From && now < r.window.To {
		r.count++
		r.latency.Add(took)
	}
}

// reason is an error without the numbers that make each one different.
func reason(err error) string {
	words := strings.Fields(err.Error())
	for i, word := range words {
		if digits := strings.Trim(word, "0123456789"); len(word)-len(digits) > 8 {
			words[i] = "…" + strings.TrimLeft(digits, "…")
		}
	}
	return strings.Join(words, " ")
}

// unsent notes an update that should have been submitted at start but was not before the end. Its latency is at least the time
// until then, and counts as that: an overload must not make the figures better.
func (r *recorder) unsent(start int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if start >= r.window.From && start < r.window.To {
		r.late++
		r.latency.Add(time.Duration(r.window.To - start))
	}
}

// look returns the number of acknowledged updates in all, and the latencies since the last look.
func (r *recorder) look() (total uint64, recent latency.Summary, count uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	recent, count = r.recent.Summary(), r.recent.Count()
	r.recent.Reset()
	return r.total, recent, count
}

// generate runs the load with these clients until the end of the window or of ctx, and then waits for what is under way.
func (l Load) generate(ctx context.Context, clients []Submitter, r *recorder, start, end int64) {
	ctx, cancel := context.WithDeadline(ctx, r.clock.At(end))
	defer cancel()
	var running sync.WaitGroup
	if l.Rate > 0 {
		interval := int64(float64(time.Second) * float64(len(clients)) / l.Rate)
		for i, c := range clients {
			first := start + interval*int64(i)/int64(len(clients))
			running.Go(func() { l.open(ctx, i, c, r, first, interval, end) })
		}
	} else {
		for i := range l.InFlight {
			running.Go(func() { l.closed(ctx, i%len(clients), clients[i%len(clients)], r) })
		}
	}
	running.Wait()
}

// closed submits one update after the other.
func (l Load) closed(ctx context.Context, client int, c Submitter, r *recorder) {
	payload := newPayload(l.PayloadBytes)
	for ctx.Err() == nil {
		payload.next()
		start := r.clock.Now()
		ack, err := c.Submit(payload)
		for ; err != nil && busy(err) && ctx.Err() == nil; ack, err = c.Submit(payload) {
			wait(ctx, busyPause)
		}
		r.done(client, start, ack, err)
		if err != nil {
			if over(err) {
				return
			}
			wait(ctx, busyPause)
		}
	}
}

// open submits updates at fixed times. Each is measured from the time at which it should have been submitted, so a cluster
// that keeps clients waiting cannot hide it (no coordinated omission).
func (l Load) open(ctx context.Context, client int, c Submitter, r *recorder, at, interval, end int64) {
	room := make(chan struct{}, openLimit)
	var running sync.WaitGroup
	defer running.Wait()
	for ; at < end; at += interval {
		wait(ctx, time.Duration(at-r.clock.Now()))
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		intended := at
		running.Go(func() {
			defer func() { <-room }()
			payload := newPayload(l.PayloadBytes)
			ack, err := c.Submit(payload)
			r.done(client, intended, ack, err)
		})
	}
	for ; at < end; at += interval {
		r.unsent(at)
	}
}

func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// payload is an update of random bytes that begins with a counter.
type payload []byte

func newPayload(size int) payload {
	p := make(payload, size)
	for i := 0; i < len(p); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], rand.Uint64())
		copy(p[i:], word[:])
	}
	return p
}

// next makes it another update.
func (p payload) next() {
	if len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)+1)
	}
}
