package node

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/attack"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// TestFlooderFillsNothing: a replica that floods everything that it can fills no queue beyond its limit, keeps nobody from being
// served, and makes nobody write more than a line. (What the core holds is asserted in the simulator.)
func TestFlooderFillsNothing(t *testing.T) {
	t.Parallel()
	const watch, replies, ingress = 128 << 10, 64 << 10, 1 << 20
	c := newCluster(t, 1, 0, func(_ *config.Cluster, n *config.Node) {
		n.Queues.WatchBytes, n.Queues.ReplyBytes, n.Queues.IngressBytes = watch, replies, ingress
	})
	c.open(4, echo, Options{Wrap: func(seat Seat, m core.Machine) core.Machine {
		h := &attack.Host{Self: seat.Self, Group: seat.Group, Incarnations: seat.Incarnations, Limits: seat.Limits, Sign: seat.Sign,
			Pause: time.Millisecond, Rand: rand.New(rand.NewPCG(1, 2))}
		for _, name := range []string{"flood", "flood-views", "flood:PO-REQUEST", "flood:PO-ACK", "flood:FETCH", "flood:STATUS"} {
			b, ok := attack.Named(name)
			if !ok {
				t.Errorf("there is no %s", name)
				continue
			}
			m = b.Wrap(h, m)
		}
		return m
	}})
	c.openAll()
	deadline := time.Now().Add(patience)
	for flooded := false; !flooded; {
		c.runAll(50, 1, 2, 3)
		flooded = true
		for id := 1; id <= 3; id++ {
			c.nodes[id-1].within(t, ingress, watch, replies)
			flooded = flooded && c.nodes[id-1].droppedOf(4) >= 200
		}
		if time.Now().After(deadline) {
			t.Fatal("r4 floods nobody")
		}
	}
	c.agree(1, 2, 3)
	for id := 1; id <= 3; id++ {
		if lines := strings.Count(c.logs[id-1].String(), "\n"); lines > 40 {
			t.Errorf("r%d logs %d lines", id, lines)
		}
	}
}

// droppedOf is how many messages of a peer were refused or ignored.
func (n *Node) droppedOf(peer int) (count uint64) {
	s := n.Status()
	for _, d := range append(s.Counters.Ignored, s.Counters.Refused...) {
		if d.Peer == peer {
			count += d.Count
		}
	}
	return count
}

// within checks the sizes of what the goroutines of a replica give to each other.
func (n *Node) within(t *testing.T, ingress, watch, replies int) {
	t.Helper()
	for i, p := range n.pool.Stats() {
		if p.Bytes > wire.Classes*ingress {
			t.Errorf("%s: %d bytes of r%d wait to be verified", n.self, p.Bytes, i+1)
		}
	}
	const step = 2048 // what one round may add
	if waiting := n.egress.load(); waiting > egressLimit+step {
		t.Errorf("%s: %d messages wait to be signed", n.self, waiting)
	}
	if waiting := n.jobs.waiting.Load(); waiting > jobsLimit+step {
		t.Errorf("%s: %d jobs wait", n.self, waiting)
	}
	if _, bytes := n.replies.Len(); bytes > replies {
		t.Errorf("%s remembers %d bytes of results", n.self, bytes)
	}
	n.records.mu.Lock()
	held, backlog := n.records.bytes, n.records.backlog.bytes
	n.records.mu.Unlock()
	if held > watch+backlog+1<<16 {
		t.Errorf("%s keeps %d bytes of records, %d of them for the application", n.self, held, backlog)
	}
}

// TestJobsHoldBack: with many jobs waiting nothing new is taken, until they are done.
func TestJobsHoldBack(t *testing.T) {
	t.Parallel()
	enough := make(chan struct{})
	j := newJobs(func(job effect.Job) effect.Done {
		<-enough
		return effect.Done{Job: job}
	})
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		j.run(stop)
	}()
	j.put(make([]effect.Job, jobsLimit+1))
	if !j.congested() {
		t.Error("that many jobs hold back nobody")
	}
	close(enough)
	await(t, func() string {
		if done, _ := j.back.load(); j.congested() || done <= jobsLimit {
			return "jobs to be done"
		}
		return ""
	})
	close(stop)
	<-ended
}
