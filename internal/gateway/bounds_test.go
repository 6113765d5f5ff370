package gateway_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/primebft/prime/internal/clientwire"
	"github.com/primebft/prime/internal/gateway"
	"github.com/primebft/prime/internal/gateway/gatewaytest"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/reply"
	"github.com/primebft/prime/internal/wire"
)

// TestSlowReader: who does not read what it asked for is cut off when its queue is full; others get theirs.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	for _, signed := range []bool{false, true} {
		t.Run(fmt.Sprintf("signed=%v", signed), func(t *testing.T) {
			t.Parallel()
			c := gatewaytest.New(t, one(), nil)
			slow, good := enter(t, c, "slow", signed), enter(t, c, "good", signed)
			slow.submit(1, "x")
			slow.reply()
			result := make([]byte, 500<<10)
			put := 0
			eventually(t, "the slow reader is cut off", func() bool {
				put++
				c.Replicas[0].Replies().Put([]reply.Reply{{Key: reply.Key{Client: slow.id, Seq: uint64(put + 1)}, Result: result}})
				return c.Replicas[0].Stats().Slow == 1
			})
			eventually(t, "its session has ended", func() bool { return c.Replicas[0].Stats().Connections == 1 })
			good.submit(1, "x")
			if r := good.reply(); string(r.Result) != "ok:x" {
				t.Fatalf("%+v", r)
			}
		})
	}
}

// TestSlowestGivesWay: when all queues together are too long, the longest is cut off, and nobody who reads.
func TestSlowestGivesWay(t *testing.T) {
	t.Parallel()
	const each, all = 32 << 20, 8 << 20
	c := gatewaytest.New(t, one(), func(_ group.ID, cfg *gateway.Config) { cfg.QueueBytes, cfg.AllQueueBytes = each, all })
	good := enter(t, c, "good", false)
	var slow []*peer
	for i := range 4 {
		slow = append(slow, enter(t, c, fmt.Sprint("slow", i), false))
		slow[i].submit(1, "x")
		slow[i].reply()
	}
	result := make([]byte, 500<<10)
	put := 0
	eventually(t, "one is cut off", func() bool {
		put++
		for i := range slow {
			if i == 0 || put%4 == 0 { // the first gets most
				c.Replicas[0].Replies().Put([]reply.Reply{{Key: reply.Key{Client: slow[i].id, Seq: uint64(put + 1)}, Result: result}})
			}
		}
		return c.Replicas[0].Stats().Slow == 1
	})
	if put*(500<<10) > each {
		t.Errorf("cut off after %d replies: not by the bound on all", put)
	}
	eventually(t, "its session has ended", func() bool { return c.Replicas[0].Stats().Connections == 4 })
	if _, _, err := slow[1].next(); err != nil {
		t.Errorf("another one was cut off: %v", err)
	}
	good.submit(1, "x")
	good.reply()
}

func TestConnectionsOfOneClient(t *testing.T) {
	t.Parallel()
	c := gatewaytest.New(t, one(), func(_ group.ID, cfg *gateway.Config) { cfg.Conns, cfg.ConnsPerClient = 5, 3 })
	var greedy []*peer
	for range 4 {
		greedy = append(greedy, enter(t, c, "greedy", false))
	}
	if j := greedy[0].reject(); j.Code != clientwire.Superseded {
		t.Fatalf("%+v", j)
	}
	enter(t, c, "bob", false)
	enter(t, c, "carol", false)
	enter(t, c, "dave", false) // all places are taken: greedy has most and gives way
	enter(t, c, "erin", false)
	for _, p := range greedy[1:3] {
		if j := p.reject(); j.Code != clientwire.Superseded {
			t.Fatalf("%+v", j)
		}
	}
	p := knock(t, c.Replicas[0], "frank") // everybody has one: nobody gives way
	p.send(clientwire.AppendHello(nil, clientwire.Hello{Version: clientwire.Version, Cluster: c.ID}))
	if j := p.reject(); j.Code != clientwire.TooMany || !strings.Contains(j.Text, "5") {
		t.Fatalf("%+v", j)
	}
	greedy[3].submit(1, "x")
	if r := greedy[3].reply(); string(r.Result) != "ok:x" {
		t.Fatalf("%+v", r)
	}
}

// TestBoundedLane: a client that submits faster than the backend takes is not read beyond its budget, and when the backend
// comes back everything is there.
func TestBoundedLane(t *testing.T) {
	t.Parallel()
	const limit, updates = 300 << 10, 400
	c := gatewaytest.New(t, one(), func(_ group.ID, cfg *gateway.Config) { cfg.ClientBytes = limit })
	gate := make(chan struct{})
	c.Replicas[0].OnSubmit = func(wire.Update) error { <-gate; return nil }
	var open sync.Once
	defer open.Do(func() { close(gate) })
	p := enter(t, c, "alice", false)
	var sent sync.WaitGroup
	sent.Go(func() {
		b := clientwire.AppendSubmit(nil, &clientwire.Submit{Payload: make([]byte, 10<<10)})
		for i := range updates {
			b[5], b[6] = byte(i+1), byte((i+1)>>8)
			if _, err := p.conn.Write(b); err != nil {
				t.Error(err)
				return
			}
		}
	})
	eventually(t, "the lane is full", func() bool { return c.Replicas[0].Stats().QueuedBytes > limit-12<<10 })
	for range 100 {
		if n := c.Replicas[0].Stats().QueuedBytes; n > limit {
			t.Fatalf("%d bytes wait", n)
		}
		runtime.Gosched()
	}
	open.Do(func() { close(gate) })
	for range updates {
		p.reply()
	}
	sent.Wait()
}
