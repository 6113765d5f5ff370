package core

import (
	"testing"
	"time"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// A sender cannot make us keep many large messages of a view that never comes.
func TestEarlyMessagesAreBounded(t *testing.T) {
	t.Parallel()
	r, err := New(Config{
		Self: 2, Group: group.MustNew(1, 0), Epoch: 1, Incarnations: []uint32{1, 1, 1, 1},
		Limits: Limits{UpdateBytes: 50, RequestBytes: 100, RequestUpdates: 3, InFlight: 3, PendingBytes: 1000, Sessions: 2,
			SessionWindow: 64, OrdinalWindow: 3, History: 2},
		Timing: Timing{Retransmit: 50 * time.Millisecond, Fetch: 5 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	early := func(sender group.ID, size int) {
		env := &wire.Envelope{Header: wire.Header{Sender: sender, Epoch: 1, Incarnation: 1}, Msg: &wire.Report{View: 2},
			Raw: make([]byte, size)}
		if !r.keepEarly(env) {
			t.Fatal("not of the next view")
		}
	}
	for range 1000 {
		early(3, 1<<20)
		early(4, 100)
	}
	if got := len(r.early[2]); got != maxEarlyBytes>>20 {
		t.Errorf("%d messages of 1 MiB are kept, want %d", got, maxEarlyBytes>>20)
	}
	if got := len(r.early[3]); got != maxEarly {
		t.Errorf("%d small messages are kept, want %d", got, maxEarly)
	}
}
