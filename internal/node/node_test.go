package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/invariant"
	"github.com/primebft/prime/internal/marker"
	"github.com/primebft/prime/internal/reply"
	"github.com/primebft/prime/transport"
)

// TestOrder: clusters of several sizes order everybody's updates into one stream.
func TestOrder(t *testing.T) {
	t.Parallel()
	for _, size := range []struct{ f, k int }{{1, 0}, {1, 1}, {2, 0}} {
		t.Run(fmt.Sprintf("f=%d,k=%d", size.f, size.k), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, size.f, size.k, nil)
			c.openAll()
			var ids []int
			for i := range c.nodes {
				ids = append(ids, i+1)
			}
			c.runAll(60, ids...)
			c.agree(ids...)
			for id, n := range c.nodes {
				if err := n.Close(); err != nil {
					t.Errorf("r%d: %v", id+1, err)
				}
				if s := n.Status(); s.State != StateClosed || s.Delivered < uint64(60*len(ids)) || s.Leader != leaderOf(c, s.View) {
					t.Errorf("r%d after its end: %+v", id+1, s)
				}
			}
		})
	}
}

// TestStopped: the others go on without a replica that has been closed.
func TestStopped(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, nil)
	c.openAll()
	c.runAll(50, 1, 2, 3, 4)
	if err := c.nodes[2].CloseNow(); err != nil {
		t.Fatal(err)
	}
	c.runAll(50, 1, 2, 4)
	c.agree(1, 2, 4)
	if _, err := c.submit(3, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("update at a closed replica: %v, want ErrClosed", err)
	}
}

// TestLate: a replica that is cut off while others order catches up when it is back.
func TestLate(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, nil)
	c.openAll()
	for _, id := range []int{1, 2, 3} {
		c.net.Cut(4, id)
	}
	c.runAll(100, 1, 2, 3)
	for _, id := range []int{1, 2, 3} {
		c.net.Heal(4, id)
	}
	c.agree(1, 2, 3, 4)
	c.runAll(10, 4)
	c.agree(1, 2, 3, 4)
}

// TestDrain: an end that drains leaves no accepted update without its result.
func TestDrain(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, func(_ *config.Cluster, n *config.Node) { n.Timing.Drain = patience })
	c.openAll()
	var outcomes []<-chan reply.Reply
	for i := range 500 {
		outcome, err := c.submit(2, fmt.Append(nil, i))
		if err != nil {
			t.Fatal(err)
		}
		outcomes = append(outcomes, outcome)
	}
	if err := c.nodes[1].Close(); err != nil {
		t.Fatal(err)
	}
	for i, outcome := range outcomes {
		select {
		case r := <-outcome:
			if string(r.Result) != fmt.Sprint(i) {
				t.Fatalf("update %d: %+v", i, r)
			}
		default:
			t.Fatalf("update %d has no result after Close", i)
		}
	}
	if _, err := c.submit(2, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("update after Close: %v, want ErrClosed", err)
	}
}

// TestDrainInVain: an end that cannot drain says so, and ends.
func TestDrainInVain(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, func(_ *config.Cluster, n *config.Node) { n.Timing.Drain = 20 * time.Millisecond })
	n := c.open(1, echo, Options{})
	if _, err := c.submit(1, []byte("alone")); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want that the deadline has passed", err)
	}
	select {
	case <-n.Done():
	default:
		t.Error("Close has returned and the replica has not ended")
	}
}

// TestOverload: a replica that cannot order accepts a bounded amount of updates, then refuses them.
func TestOverload(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, func(s *config.Cluster, n *config.Node) {
		s.Limits.UpdateBytes, s.Limits.RequestBytes, s.Limits.InFlight = 1024, 4096, 8
		n.Queues.SubmitBytes = 64 << 10
	})
	n := c.open(1, echo, Options{})
	accepted := 0
	await(t, func() string {
		for {
			_, err := c.submit(1, make([]byte, 1000))
			if errors.Is(err, ErrOverloaded) {
				return ""
			}
			if err != nil {
				t.Fatal(err)
			}
			if accepted++; accepted > 1000 {
				t.Fatalf("%d updates of 1000 bytes are accepted by a replica that is alone", accepted)
			}
		}
	})
	if accepted < 32 {
		t.Errorf("only %d updates of 1000 bytes are accepted", accepted)
	}
	if s := n.Status(); s.Counters.Overloaded == 0 || s.Counters.Submitted != uint64(accepted) || s.State != StateRunning {
		t.Errorf("%+v", s)
	}
	if _, err := c.submit(1, make([]byte, 1025)); !errors.Is(err, ErrOversized) || !strings.Contains(err.Error(), "update_bytes is 1024") {
		t.Errorf("an update that is too large: %v", err)
	}
}

// TestSlowApplication: an application that takes nothing first costs its replica's own clients their service, then is given
// up; the protocol goes on at this replica too, and the application gets a prefix of the stream without a gap.
func TestSlowApplication(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, func(_ *config.Cluster, n *config.Node) { n.Queues.DeliverBytes, n.Queues.WatchBytes = 1<<20, 80<<10 })
	release := make(chan struct{})
	var seen []uint64
	slow := app.Func(func(r app.Record) []byte {
		<-release
		if len(seen) == 0 || seen[len(seen)-1] != r.Ordinal {
			seen = append(seen, r.Ordinal)
		}
		return nil
	})
	n := c.open(2, slow, Options{Check: true})
	c.openAll()
	var overloaded, behind atomic.Bool
	payload := make([]byte, 60<<10)
	ask := func() {
		switch _, err := c.submit(2, []byte("x")); {
		case errors.Is(err, ErrOverloaded):
			overloaded.Store(true)
		case errors.Is(err, ErrApplication):
			behind.Store(true)
		case err != nil:
			t.Fatal(err)
		}
	}
	await(t, func() string {
		var outcomes []<-chan reply.Reply
		for range 8 {
			outcome, err := c.submit(1, payload)
			if err != nil {
				t.Fatal(err)
			}
			outcomes = append(outcomes, outcome)
		}
		for _, outcome := range outcomes {
			if r := <-outcome; r.Refused != 0 {
				t.Fatalf("%+v", r)
			}
		}
		ask()
		if s := n.Status(); !behind.Load() {
			return fmt.Sprintf("the application is not behind: %+v", s.Application)
		}
		return ""
	})
	if !overloaded.Load() {
		t.Error("the replica's own clients were never told that it is overloaded")
	}
	c.runAll(20, 1, 3, 4)
	c.agree(1, 2, 3, 4)
	s := n.Status()
	if want := fmt.Sprintf("application-behind: missed from ordinal %d", s.Application.MissedFrom); s.State != want {
		t.Errorf("state %q, want %q", s.State, want)
	}
	if s.Application.MissedFrom < 2 || s.Application.MissedRecords == 0 {
		t.Errorf("%+v", s.Application)
	}
	close(release)
	<-n.AppDone()
	if uint64(len(seen)) != s.Application.MissedFrom-1 || seen[0] != 1 || seen[len(seen)-1] != s.Application.MissedFrom-1 {
		t.Errorf("the application got %d ordinals, up to %d; it misses those from %d on", len(seen), seen[len(seen)-1],
			s.Application.MissedFrom)
	}
}

// TestApplicationFails: an application that breaks its contract is not called again; its replica goes on for the others.
func TestApplicationFails(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name, says string
		app        app.Application
	}{
		{"panic", "the application panicked: test", app.Func(func(app.Record) []byte { panic(errTest) })},
		{"results", "must return one for each", wrong{}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 1, 0, nil)
			n := c.open(3, kind.app, Options{Check: true})
			c.openAll()
			c.runAll(20, 1, 2, 4)
			c.agree(1, 2, 3, 4)
			<-n.AppDone()
			s := n.Status()
			if !strings.HasPrefix(s.State, StateApplicationFailed+": ") || !strings.Contains(s.State, kind.says) ||
				strings.Contains(s.State, "\n") || s.Application.MissedFrom != 1 || s.Application.MissedRecords == 0 {
				t.Errorf("%q %+v", s.State, s.Application)
			}
			if _, err := c.submit(3, nil); !errors.Is(err, ErrApplication) {
				t.Errorf("update: %v, want ErrApplication", err)
			}
			if err := n.Close(); err != nil {
				t.Error(err)
			}
			c.runAll(20, 1, 2, 4)
		})
	}
}

// wrong is an application that returns too few results.
type wrong struct{}

func (wrong) Deliver(batch []app.Record) [][]byte { return make([][]byte, len(batch)-1) }

// TestCrash: a replica that finds itself to be wrong stops alone, says once what happened, and the others go on.
func TestCrash(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, nil)
	n := c.open(4, echo, Options{Wrap: func(_ Seat, m core.Machine) core.Machine { return &fragile{Machine: m, steps: 60} }})
	c.openAll()
	c.runAll(100, 1, 2, 3)
	await(t, func() string {
		select {
		case <-n.Done():
			return ""
		default:
			return "the fragile replica has not crashed"
		}
	})
	if err := n.Err(); !errors.Is(err, ErrCrashed) || !strings.Contains(err.Error(), "the moon is made of cheese") {
		t.Errorf("%v, want ErrCrashed and why", err)
	}
	if s := n.Status(); s.State != "crashed: invariant violated: the moon is made of cheese" || s.Replica != 4 || s.Leader != 1 {
		t.Errorf("%+v", s)
	}
	if _, err := c.submit(4, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("update: %v, want ErrClosed", err)
	}
	log := c.logs[3].String()
	if strings.Count(log, "the moon is made of cheese") != 1 || !strings.Contains(log, "fragile") || !strings.Contains(log, "last_input") {
		t.Errorf("log: %s", log)
	}
	c.runAll(50, 1, 2, 3)
	c.agree(1, 2, 3)
}

// fragile is a machine that finds itself to be wrong after some steps.
type fragile struct {
	core.Machine
	steps int
}

func (f *fragile) Step(now clock.Instant, in core.Input, out *effect.Output) {
	f.steps--
	invariant.Assert(f.steps > 0, "the moon is made of cheese")
	f.Machine.Step(now, in, out)
}

// TestFolder: the folder of an ephemeral replica is marked before anything is signed, used once, and by one replica at a time.
func TestFolder(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, func(_ *config.Cluster, n *config.Node) { n.Storage.Mode = config.StorageEphemeral })
	n := c.open(1, echo, Options{})
	if _, err := os.Stat(filepath.Join(c.dir, "r1", marker.MarkerFile)); err != nil {
		t.Error(err)
	}
	again := func() error {
		n, err := Open(c.config(1), echo, Options{Transport: &deaf{}})
		if err == nil {
			n.CloseNow()
		}
		return err
	}
	if err := again(); !errors.Is(err, marker.ErrInUse) {
		t.Errorf("while it runs: %v, want ErrInUse", err)
	}
	if err := n.CloseNow(); err != nil {
		t.Error(err)
	}
	if err := again(); !errors.Is(err, marker.ErrUsed) {
		t.Errorf("after it has run: %v, want ErrUsed", err)
	}
}

// deaf is a transport that cannot start.
type deaf struct{ closed bool }

func (d *deaf) Start(transport.Handler) error { return errTest }
func (d *deaf) Send(int, transport.Frame)     {}
func (d *deaf) Peers() []transport.Peer       { return nil }
func (d *deaf) Close() error                  { d.closed = true; return nil }

// TestFailedStart: a start that fails before it signs leaves the folder usable, and nothing running.
func TestFailedStart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, nil)
	d := new(deaf)
	if _, err := Open(c.config(1), echo, Options{Transport: d}); !errors.Is(err, errTest) || !d.closed {
		t.Fatalf("%v, closed %v", err, d.closed)
	}
	c.open(1, echo, Options{})

	bad := c.config(2)
	bad.Node.Queues.SubmitBytes = -1
	bad.Cluster.F = 7
	_, err := Open(bad, echo, Options{Transport: new(deaf)})
	if len(config.Problems(err)) < 2 {
		t.Errorf("%v, want every fault of the configuration", err)
	}
	if _, err := Open(c.config(2), nil, Options{Transport: new(deaf)}); err == nil {
		t.Error("no application is no error")
	}
	wrongKey := c.config(2)
	wrongKey.Key = c.config(3).Key
	if _, err := Open(wrongKey, echo, Options{Transport: new(deaf)}); err == nil || errors.Is(err, errTest) {
		t.Errorf("another replica's key: %v", err)
	}
}

// TestStatusJSON: scripts find what they rely on, and lists are never null.
func TestStatusJSON(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 0, 0, nil)
	n := c.open(1, echo, Options{})
	b, err := json.Marshal(n.Status())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "null") {
		t.Errorf("null in %s", b)
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"replica", "view", "leader", "epoch", "ordinal", "delivered", "stream_digest", "peers", "state"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("%q is missing in %s", name, b)
		}
	}
	if err := c.run(1, 10); err != nil {
		t.Error(err)
	}
}

// TestAbsentApplication: an end neither waits for an application that is not there, if nothing of its own clients needs it,
// nor leaves its goroutine behind.
func TestAbsentApplication(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, func(_ *config.Cluster, n *config.Node) { n.Timing.Drain = patience })
	n := c.open(2, &absent{end: make(chan struct{})}, Options{})
	c.openAll()
	c.runAll(20, 1, 3, 4)
	c.agree(1, 2, 3, 4)
	if a := n.Status().Application; a.Ordinal != 0 || a.BacklogBytes == 0 {
		t.Errorf("%+v", a)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if s := n.State(); s != StateClosed {
		t.Errorf("state %q", s)
	}
	if log := c.logs[1].String(); strings.Contains(log, "failed") {
		t.Errorf("log: %s", log)
	}
}

// absent is an application that waits until it is interrupted.
type absent struct{ end chan struct{} }

func (a *absent) Deliver([]app.Record) [][]byte { <-a.end; return nil }
func (a *absent) Interrupt()                    { close(a.end) }
