package node

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport"
)

// wiretap is a transport that keeps what it is given.
type wiretap struct {
	deaf
	mu     sync.Mutex
	frames map[int][]transport.Frame
}

func (w *wiretap) Send(to int, f transport.Frame) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frames[to] = append(w.frames[to], f)
}

// TestEgress: messages leave in batches of bounded number and size, urgent ones in the next batch and others in order;
// signed copies come back; frames are charged to this replica.
func TestEgress(t *testing.T) {
	t.Parallel()
	net := &wiretap{frames: map[int][]transport.Frame{}}
	var batches [][]*wire.Envelope
	first, release := make(chan struct{}), make(chan struct{})
	e := &egress{
		self: 2, header: wire.Header{Sender: 2, Epoch: 1, Incarnation: 1}, net: net, eased: func() {}, complete: func(m wire.Message) wire.Message { return m },
		back: newMailbox[ownCopy](), urgent: newMailbox[effect.Send](), rest: newMailbox[effect.Send](), repair: newMailbox[effect.Send](),
		sign: func(batch []*wire.Envelope) {
			batches = append(batches, append([]*wire.Envelope(nil), batch...))
			if len(batches) == 1 {
				close(first)
				<-release
			}
			for _, env := range batch {
				env.Finish(wire.Proof{Count: 1})
			}
		},
	}
	all := group.MustNew(1, 0).All()
	vote := func(ordinal int, class wire.Class) effect.Send {
		return effect.Send{To: all, Class: class, Msg: &wire.Prepare{Vote: wire.Vote{View: 1, Ordinal: uint64(ordinal)}}}
	}
	o := &outlet{net: net, egress: e}
	put := func(sends ...effect.Send) { o.send(sends) }
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); e.run(stop) }()
	put(vote(0, wire.Bounded))
	<-first // while the first is being signed, more gather
	var rest []effect.Send
	for i := 1; i <= 100; i++ {
		rest = append(rest, vote(i, wire.Bounded))
	}
	big := effect.Send{To: all.Without(2), Class: wire.Bounded, Msg: &wire.PreorderRequest{Seq: 1,
		Updates: []wire.Update{{Payload: make([]byte, batchContent)}}}}
	put(append(rest, big, big)...)
	put(vote(1000, wire.Timely))
	if e.load() != 104 {
		t.Errorf("%d messages wait, want 104", e.load())
	}
	close(release)
	await(t, func() string {
		if e.load() > 0 {
			return "the egress is not done"
		}
		return ""
	})
	close(stop)
	<-done

	// The urgent one and 63 others; 37 and the first large one; the second.
	if sizes, want := lengths(batches), []int{1, wire.MaxBatch, 38, 1}; !slices.Equal(sizes, want) {
		t.Errorf("batches of %v messages, want %v", sizes, want)
	}
	if m := batches[1][0].Msg.(*wire.Prepare); m.Ordinal != 1000 {
		t.Errorf("the second batch begins with %d, want the urgent message", m.Ordinal)
	}
	own, _ := e.back.take(nil)
	if len(own) != 102 {
		t.Errorf("%d own copies, want 102", len(own))
	}
	if len(net.frames) != 3 || len(net.frames[2]) > 0 {
		t.Errorf("frames to %d replicas, %d of them to itself", len(net.frames), len(net.frames[2]))
	}
	for to, frames := range net.frames {
		if len(frames) != 104 || frames[0].Source != 2 || frames[1].Class != wire.Timely || frames[2].Class != wire.Bounded {
			t.Errorf("%d frames to r%d, first %+v", len(frames), to, frames[0].Class)
		}
	}
}

func lengths(batches [][]*wire.Envelope) (all []int) {
	for _, batch := range batches {
		all = append(all, len(batch))
	}
	return all
}

// TestMailbox: offers are refused beyond the limit and after the end; memory is used again.
func TestMailbox(t *testing.T) {
	t.Parallel()
	m := newMailbox[int]()
	for i := range 10 {
		if added, open := m.offer(i, 10, 100); !added || !open {
			t.Fatalf("offer %d: %v, %v", i, added, open)
		}
	}
	if added, open := m.offer(10, 10, 100); added || !open {
		t.Errorf("offer to a full mailbox: %v, %v", added, open)
	}
	items, weight := m.take(nil)
	if len(items) != 10 || weight != 100 || items[9] != 9 {
		t.Errorf("took %v, %d", items, weight)
	}
	if _, w := m.load(); w != 0 {
		t.Errorf("weight %d when empty", w)
	}
	m.put(3, 1, 2, 3)
	m.close()
	if added, open := m.offer(4, 1, 100); added || open {
		t.Errorf("offer to a closed mailbox: %v, %v", added, open)
	}
	if again, _ := m.take(items); len(again) != 3 {
		t.Errorf("took %v from a closed mailbox, want what was there", again)
	}
	if items[0] != 0 {
		t.Error("memory that was given back still holds items")
	}
	select {
	case <-m.ready:
	default:
		t.Error("no token after put")
	}
}

// TestHistogram: every duration is counted in the bucket that its bound says.
func TestHistogram(t *testing.T) {
	t.Parallel()
	var h histogram
	for _, d := range []time.Duration{-1, 0, 1, 2, 3, 1000, 1024, 1 << 60} {
		h.add(d)
	}
	want := []Bucket{{1, 2}, {2, 1}, {4, 2}, {1024, 1}, {2048, 1}, {1 << (histogramBuckets - 1), 1}}
	got := h.snapshot()
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("bucket %d is %v, want %v", i, got[i], want[i])
		}
	}
	if empty := new(histogram).snapshot(); empty == nil || len(empty) != 0 {
		t.Errorf("empty: %v", empty)
	}
}
