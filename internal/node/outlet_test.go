package node

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// TestTellOnce: what peers can repeat is logged once and counted.
func TestTellOnce(t *testing.T) {
	t.Parallel()
	log := new(logBuffer)
	o := &outlet{egress: &egress{}, log: slog.New(slog.NewTextHandler(log, nil)), drops: map[dropKey]uint64{}}
	lie := func(id group.ID) wire.Evidence {
		env := &wire.Envelope{Header: wire.Header{Sender: id}}
		return wire.Evidence{First: env, Second: env}
	}
	for range 100 {
		o.flush(0, &effect.Output{
			Evidence: []wire.Evidence{lie(2), lie(3)},
			Events: []trace.Event{
				{Kind: trace.Dropped, Peer: 2, Reason: "stale"}, {Kind: trace.Dropped, Peer: 1, Reason: "stale"},
				{Kind: trace.Dropped, Peer: 1, Reason: "early"}, {Kind: trace.OutOfHistory, Peer: 4, Ordinal: 7},
			},
		})
	}
	text := log.String()
	for _, line := range []string{"replica=r2 ", "replica=r3 ", "replica=r4 needs_ordinal=7"} {
		if n := strings.Count(text, line); n != 1 {
			t.Errorf("%q is logged %d times: %s", line, n, text)
		}
	}
	want := []Drop{{1, "early", 100}, {1, "stale", 100}, {2, "stale", 100}}
	got := o.ignored()
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
	if h := o.history(); len(h) != remembered || !strings.Contains(h[remembered-1], "out-of-history") {
		t.Errorf("history of %d events", len(h))
	}
}
