package emulate_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/emulate"
	"github.com/primebft/prime/transport/emulate/wan"
	"github.com/primebft/prime/transport/memory"
	"github.com/primebft/prime/transport/transporttest"
)

// TestContract: with perfect links the wrapped transport keeps the promises of the one below.
func TestContract(t *testing.T) {
	for name, p := range map[string]wan.Profile{
		"perfect": {},
		"fast":    {Link: wan.Link{Rate: wan.Rate{Bits: 1e12, Burst: 1 << 30}}},
	} {
		t.Run(name, func(t *testing.T) {
			transporttest.Run(t, func(t *testing.T, s transporttest.Setup) transporttest.Opener {
				n := memory.New(memory.Options{
					Replicas: s.Replicas, BudgetBytes: s.BudgetBytes, MaxFrame: func(transport.Class) int { return s.MaxFrame },
				})
				return func(id int) transport.Transport { return wrap(t, n.Endpoint(id), p, id, s.Replicas) }
			})
		})
	}
}

func wrap(t *testing.T, inner transport.Transport, p wan.Profile, self, n int) *emulate.Transport {
	t.Helper()
	w, err := emulate.Wrap(inner, p, emulate.Options{Self: self, Replicas: n, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// recorder is a transport that notes when it is told to send what.
type recorder struct {
	mu     sync.Mutex
	begin  time.Time
	frames []sent
}

type sent struct {
	after time.Duration
	to    int
	first byte
}

func (r *recorder) Start(transport.Handler) error { return nil }
func (r *recorder) Close() error                  { return nil }

func (r *recorder) Peers() []transport.Peer {
	return []transport.Peer{{ID: 2, Connected: true}, {ID: 3, Connected: true}}
}

func (r *recorder) Send(to int, f transport.Frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames = append(r.frames, sent{time.Since(r.begin), to, f.Bytes[0]})
}

func (r *recorder) take() []sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.frames
	r.frames = nil
	return all
}

// inBubble runs a test of r1 of three, in virtual time. When it ends no goroutine may be left: the bubble sees to that.
func inBubble(t *testing.T, p wan.Profile, run func(*testing.T, *emulate.Transport, *recorder)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{begin: time.Now()}
		w := wrap(t, r, p, 1, 3)
		if err := w.Start(func(int, transport.Class, []byte) {}); err != nil {
			t.Fatal(err)
		}
		run(t, w, r)
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		r.take()
		w.Send(2, frame(transport.Timely, 'x', 10))
		synctest.Wait()
		if late := r.take(); len(late) != 0 {
			t.Errorf("after the end: %v", late)
		}
	})
}

func frame(c transport.Class, first byte, size int) transport.Frame {
	b := make([]byte, size)
	b[0] = first
	return transport.Frame{Class: c, Source: 1, Bytes: b}
}

// after waits for the virtual clock.
func after(d time.Duration) { <-time.After(d) }

// TestDelayIsExact: frames leave exactly when they are due, also those that are due before what the timer waits for.
func TestDelayIsExact(t *testing.T) {
	t.Parallel()
	p := wan.Profile{Link: wan.Link{Delay: 50 * time.Millisecond}, Events: []wan.Event{
		{From: []int{1}, To: []int{3}, Change: func(l *wan.Link) { l.Delay = 7 * time.Millisecond }},
	}}
	inBubble(t, p, func(t *testing.T, w *emulate.Transport, r *recorder) {
		w.Send(2, frame(transport.Timely, 'a', 100))
		after(time.Millisecond)
		w.Send(3, frame(transport.Bulk, 'b', 100_000))
		after(9 * time.Millisecond)
		w.Send(2, frame(transport.Bounded, 'c', 100))
		after(time.Second)
		want := []sent{{8 * time.Millisecond, 3, 'b'}, {50 * time.Millisecond, 2, 'a'}, {60 * time.Millisecond, 2, 'c'}}
		if got := r.take(); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

// TestUrgentFramesDoNotQueue: behind an emulated bottleneck full of bulk, TIMELY is as fast as ever.
func TestUrgentFramesDoNotQueue(t *testing.T) {
	t.Parallel()
	p := wan.Profile{Uplink: wan.Rate{Bits: 10e6, Queue: 10 * time.Second}}
	inBubble(t, p, func(t *testing.T, w *emulate.Transport, r *recorder) {
		for range 20 {
			w.Send(2, frame(transport.Bounded, 'b', 100_000))
		}
		if q := w.Peers()[0].Queued; q != 20*100_000 {
			t.Errorf("%d bytes are queued", q)
		}
		after(100 * time.Millisecond)
		w.Send(3, frame(transport.Timely, 't', 1222))
		after(10 * time.Second)
		var urgent time.Duration
		for _, s := range r.take() {
			if s.first == 't' {
				urgent = s.after
			}
		}
		if wait := urgent - 100*time.Millisecond; wait <= time.Millisecond || wait > time.Millisecond+1200*time.Microsecond {
			t.Errorf("TIMELY took %v, its own transmission takes 1 ms and a packet before it 1.2 ms", wait)
		}
		if q := w.Peers()[0].Queued; q != 0 {
			t.Errorf("%d bytes are queued at the end", q)
		}
	})
}

// TestChange: links change while they are used; each transport changes only what is its own.
func TestChange(t *testing.T) {
	t.Parallel()
	inBubble(t, wan.Profile{}, func(t *testing.T, w *emulate.Transport, r *recorder) {
		change := func(from, to int, l wan.Link, valid bool) {
			t.Helper()
			if err := w.Set(from, to, l); (err == nil) != valid {
				t.Errorf("link %d to %d: %v", from, to, err)
			}
		}
		send := func(first byte) {
			w.Send(2, frame(transport.Timely, first, 100))
			w.Send(3, frame(transport.Timely, first, 100))
		}
		change(1, 2, wan.Link{Down: true}, true)
		change(3, 2, wan.Link{Delay: time.Hour}, true)
		change(2, 0, wan.Link{Down: true}, true)
		change(1, 4, wan.Link{}, false)
		change(-1, 2, wan.Link{}, false)
		change(1, 2, wan.Link{Delay: -1}, false)
		send('a')
		for _, p := range w.Peers() {
			if p.Connected != (p.ID == 3) || p.Connected != (p.Why == "") {
				t.Errorf("%+v", p)
			}
		}
		change(0, 0, wan.Link{Delay: time.Second}, true)
		send('b')
		if err := w.Change(1, 3, func(l *wan.Link) { l.Delay += time.Second }); err != nil {
			t.Error(err)
		}
		send('c')
		after(5 * time.Second)
		want := []sent{{0, 3, 'a'}, {time.Second, 2, 'b'}, {time.Second, 3, 'b'}, {time.Second, 2, 'c'}, {2 * time.Second, 3, 'c'}}
		if got := r.take(); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if c := w.Counters(2); c.Cut != 1 || c.Arrived != 2 || w.Counters(9) != (wan.Counters{}) {
			t.Errorf("%+v", c)
		}
	})
}

// TestWholeFramesAreLost: a loss is a frame that the transport below never sees; nobody repeats it.
func TestWholeFramesAreLost(t *testing.T) {
	t.Parallel()
	p := wan.Profile{Link: wan.Link{Delay: time.Millisecond, Loss: wan.Bernoulli(0.5)}}
	inBubble(t, p, func(t *testing.T, w *emulate.Transport, r *recorder) {
		for range 1000 {
			w.Send(2, frame(transport.Bounded, 'a', 100))
		}
		after(time.Minute)
		c := w.Counters(2)
		if got := len(r.take()); got < 400 || got > 600 || c.Arrived != uint64(got) || c.Lost != uint64(1000-got) {
			t.Errorf("%d of 1000 came: %+v", got, c)
		}
	})
}

// TestCloseWithFramesUnderWay: they are forgotten, and nothing waits for them.
func TestCloseWithFramesUnderWay(t *testing.T) {
	t.Parallel()
	p := wan.Profile{Link: wan.Link{Delay: time.Hour, Rate: wan.Rate{Bits: 1e6}}}
	inBubble(t, p, func(_ *testing.T, w *emulate.Transport, _ *recorder) {
		for range 10 {
			w.Send(2, frame(transport.Bounded, 'a', 10_000))
		}
		after(20 * time.Millisecond)
	})
}

// TestWrongWraps: a profile that does not fit is refused.
func TestWrongWraps(t *testing.T) {
	t.Parallel()
	for _, o := range []emulate.Options{{Self: 0, Replicas: 3}, {Self: 4, Replicas: 3}} {
		if _, err := emulate.Wrap(&recorder{}, wan.Profile{}, o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	if _, err := emulate.Wrap(&recorder{}, wan.Profile{Link: wan.Link{Delay: -1}}, emulate.Options{Self: 1, Replicas: 3}); err == nil {
		t.Error("a negative delay is accepted")
	}
}
