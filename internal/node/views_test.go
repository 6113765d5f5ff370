package node

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

func leaderOf(c *cluster, view uint64) int { return int(c.group.Leader(view)) }

// TestDeadLeader: replicas whose leader stops replace it, and say so.
func TestDeadLeader(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, nil)
	c.openAll()
	if err := c.run(2, 20); err != nil {
		t.Fatal(err)
	}
	first := c.nodes[1].Status()
	if !first.Installed || first.Leader != leaderOf(c, first.View) {
		t.Errorf("status %+v", first)
	}
	c.nodes[first.Leader-1].CloseNow()
	id := first.Leader%4 + 1 // leads next
	c.seqs[id-1] += 100      // its client has begun anew
	if err := c.run(id, 20); err != nil {
		t.Fatal(err)
	}
	s := c.nodes[id-1].Status()
	if s.View <= first.View || !s.Installed || s.ViewChanges == 0 || s.Leader == first.Leader {
		t.Errorf("status %+v after %+v", s, first)
	}
	for _, line := range []string{"votes to replace it", "the view is being changed", "the view is installed"} {
		if text := c.logs[id-1].String(); !strings.Contains(text, line) {
			t.Errorf("%q is not in the log: %s", line, text)
		}
	}
}

// TestJudgementJSON: what is not known is left out, and nothing is null.
func TestJudgementJSON(t *testing.T) {
	t.Parallel()
	const never = time.Duration(1<<63 - 1)
	for _, c := range []struct {
		j    core.Judgement
		want string
	}{
		{core.Judgement{Acceptable: never, Limit: never}, `{"turnaround_ms":0,"stalled_ms":0,"suspected":false}`},
		{core.Judgement{Acceptable: never / 2, Limit: never / 2, Stalled: time.Second},
			`{"turnaround_ms":0,"stalled_ms":1000,"suspected":false}`},
		{core.Judgement{Turnaround: 1500 * time.Microsecond, Acceptable: 20 * time.Millisecond, Limit: 75 * time.Millisecond, Voted: true},
			`{"turnaround_ms":1.5,"acceptable_ms":20,"limit_ms":75,"stalled_ms":0,"suspected":true}`},
	} {
		if got, err := json.Marshal(judgement(c.j)); err != nil || string(got) != c.want {
			t.Errorf("%v %s, want %s", err, got, c.want)
		}
	}
}

// TestViewLog: people are told, but nobody can fill the log, by votes or by standstills.
func TestViewLog(t *testing.T) {
	t.Parallel()
	log := new(logBuffer)
	logger := slog.New(slog.NewTextHandler(log, nil))
	o := &outlet{egress: &egress{}, log: logger, drops: map[dropKey]uint64{}, views: newViewLog(logger, group.MustNew(1, 0))}
	const times = 1000
	for range times {
		o.flush(0, &effect.Output{Events: []trace.Event{
			{Kind: trace.Suspected, View: 5, Peer: 1}, {Kind: trace.Preinstalled, View: 6}, {Kind: trace.Installed, View: 6, Ordinal: 9},
			{Kind: trace.Stalled, Seq: longStall}, {Kind: trace.Stalled, Seq: longStall - 1}, {Kind: trace.Executed, Ordinal: 9},
		}})
	}
	text := log.String()
	for _, line := range []string{"view=5 leader=r1\n", "view=6 leader=r2\n", "view=6 leader=r2 from_ordinal=9\n", "ms=100\n"} {
		if n := strings.Count(text, line); n < 10 || n > 20 {
			t.Errorf("%q is logged %d times of %d", line, n, times)
		}
	}
	if strings.Contains(text, "ms=99") || strings.Count(text, "\n") > 80 {
		t.Errorf("%d lines: %.2000s", strings.Count(text, "\n"), text)
	}
	if got := o.installed.Load(); got != times {
		t.Errorf("%d views installed, want %d", got, times)
	}
}

// TestMaxFrames: every kind of message fits the frames of its class.
func TestMaxFrames(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, nil)
	cfg := c.config(1)
	g, err := cfg.Cluster.Group()
	if err != nil {
		t.Fatal(err)
	}
	limits, frame := wireLimits(cfg.Cluster, g), MaxFrame(cfg.Cluster)
	last := wire.Kind(0)
	for k := wire.KindPreorderRequest; k <= wire.LastKind; k++ {
		if k.String() == "unknown" {
			continue
		}
		if last = k; limits.MaxFrame(k) < 1 || limits.MaxFrame(k) > frame(wire.Bounded) {
			t.Errorf("%v has up to %d bytes, BOUNDED frames up to %d", k, limits.MaxFrame(k), frame(wire.Bounded))
		}
	}
	for _, k := range []wire.Kind{wire.KindPing, wire.KindPong, wire.KindSummaryMatrix, wire.KindPrePrepare, wire.KindStateProof,
		wire.KindReplay} {
		if limits.MaxFrame(k) > frame(wire.Timely) {
			t.Errorf("%v has up to %d bytes, TIMELY frames up to %d", k, limits.MaxFrame(k), frame(wire.Timely))
		}
	}
	if last != wire.LastKind || (last+1).String() != "unknown" {
		t.Errorf("the last kind is %v", last)
	}
}
