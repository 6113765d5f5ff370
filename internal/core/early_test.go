package core

import (
	"testing"
	"time"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// A sender cannot make us keep many large messages of a view that never comes.
func TestEarlyMessagesAreBounded(t *testing.T) {
	t.Parallel()
	r := second(t)
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
	if got := len(r.early[3]); got != MaxEarly {
		t.Errorf("%d small messages are kept, want %d", got, MaxEarly)
	}
}

// What a durable replica does not remember (record.Inert) takes no room from what it does: a replica that is given its log again, without
// PINGs, keeps the same messages of later views.
func TestEarlyPingsTakeNoRoom(t *testing.T) {
	t.Parallel()
	live, again := second(t), second(t)
	header := wire.Header{Sender: 3, Epoch: 1, Incarnation: 1, Kind: wire.KindPing}
	for seq := range uint64(MaxEarly) {
		ping := &wire.Envelope{Header: header, Msg: &wire.Ping{View: 2, Seq: seq + 1}}
		commit := &wire.Envelope{Header: wire.Header{Sender: 3, Epoch: 1, Incarnation: 1, Kind: wire.KindCommit},
			Msg: &wire.Commit{Vote: wire.Vote{View: 2, Ordinal: seq + 1}}}
		if !live.keepEarly(ping) || !live.keepEarly(commit) || !again.keepEarly(commit) {
			t.Fatal("not of the next view")
		}
	}
	if len(live.early[2]) != MaxEarly || len(again.early[2]) != MaxEarly || live.earlyBytes[2] != again.earlyBytes[2] {
		t.Errorf("with PINGs %d messages are kept, without %d", len(live.early[2]), len(again.early[2]))
	}
	var out effect.Output
	live.preinstall(1, 2, nil, &out)
	pongs := 0
	for _, s := range out.Sends {
		if p, ok := s.Msg.(*wire.Pong); ok && p.Seq == MaxEarly {
			pongs++
		}
	}
	if pongs != 1 || live.earlyPings[2] != nil {
		t.Errorf("the newest PING is answered %d times once its view has begun", pongs)
	}
}

func second(t *testing.T) *Replica {
	t.Helper()
	r, err := New(Config{
		Self: 2, Group: group.MustNew(1, 0), Epoch: 1, Incarnations: []uint32{1, 1, 1, 1},
		Limits: Limits{UpdateBytes: 50, RequestBytes: 100, RequestUpdates: 3, InFlight: 3, PendingBytes: 1000, Sessions: 2,
			SessionWindow: 64, OrdinalWindow: 3, History: 2},
		Timing: Timing{Retransmit: 50 * time.Millisecond, Fetch: 5 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Others may have given up the next view before we are in it: what they say in the one after it is kept through both.
func TestEarlyMessagesWaitForTheirView(t *testing.T) {
	t.Parallel()
	r := second(t)
	report := func(view uint64) *wire.Envelope {
		return &wire.Envelope{Header: wire.Header{Sender: 3, Epoch: 1, Incarnation: 1, Kind: wire.KindReport}, Msg: &wire.Report{View: view}}
	}
	for view, want := range map[uint64]bool{1: false, 2: true, 3: true, 1 + maxAhead: true, 2 + maxAhead: false} {
		if kept := r.keepEarly(report(view)); kept != want {
			t.Errorf("a message of view %d is kept: %v, in view 1", view, kept)
		}
	}
	var out effect.Output
	for _, step := range []struct {
		view uint64
		kept int
	}{{2, 2}, {3, 1}, {5, 0}} {
		r.preinstall(1, step.view, nil, &out)
		if got := len(r.early[2]); got != step.kept {
			t.Errorf("%d messages are kept in view %d, want %d", got, step.view, step.kept)
		}
	}
	if r.reports.Holds(report(5).Digest) == nil {
		t.Error("the report of view 5 was lost on the way")
	}
}
