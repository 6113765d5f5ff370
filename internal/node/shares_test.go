package node

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/reply"
	"github.com/primebft/prime/internal/wire"
)

// smallLogs is a cluster of durable replicas whose logs may have so many bytes.
func smallLogs(t *testing.T, bytes int) *cluster {
	return newCluster(t, 1, 0, func(cl *config.Cluster, n *config.Node) {
		n.Storage.Mode, n.Storage.MaxBytes = config.StorageDurable, bytes
		cl.Limits.OrdinalWindow, cl.Limits.CheckpointOrdinals = 4, 8
	})
}

// wordy says in every step something large that nobody needs and that no two times is the same.
type wordy struct {
	core.Machine
	said uint64
}

func (m *wordy) Step(now clock.Instant, in core.Input, out *effect.Output) {
	m.Machine.Step(now, in, out)
	var updates []wire.Update
	for range 4 {
		m.said++
		payload := make([]byte, 60_000)
		binary.LittleEndian.PutUint64(payload, m.said)
		updates = append(updates, wire.Update{Client: wire.ClientID{1}, Seq: m.said, Payload: payload})
	}
	out.Sends = append(out.Sends, effect.Send{To: group.SetOf(1, 2, 3), Class: wire.Bounded,
		Msg: &wire.PreorderRequest{Seq: 1<<40 + m.said, Updates: updates}})
}

// TestFloodersShareOfTheLog: a replica that sends what has to be remembered, while nothing is ordered that would shorten the logs, fills its
// share of them and no more, also across restarts; the others order, and when their logs have been shortened it is listened to again.
func TestFloodersShareOfTheLog(t *testing.T) {
	const most = 16 << 20
	c := smallLogs(t, most)
	open := func(id int) { c.open(id, new(locked), Options{Check: true, SegmentBytes: 1 << 20}) }
	for id := 1; id <= 3; id++ {
		open(id)
	}
	flooder := c.open(4, new(locked), Options{Wrap: func(_ Seat, m core.Machine) core.Machine { return &wordy{Machine: m} }})
	refused := func(id int) uint64 {
		for _, d := range c.nodes[id-1].Status().Counters.Ignored {
			if d.Peer == 4 && d.Reason == string(reasonShare) {
				return d.Count
			}
		}
		return 0
	}
	full := func() {
		await(t, func() string {
			for id := 1; id <= 3; id++ {
				if n := c.nodes[id-1]; n.Err() == nil && refused(id) < 20 {
					return fmt.Sprintf("r%d has a log of %d bytes and refused %d messages", id, n.journal.size(), refused(id))
				}
			}
			return ""
		})
	}
	full()
	c.nodes[0].CloseNow()
	open(1)
	full()
	for id := 1; id <= 3; id++ {
		if n := c.nodes[id-1]; n.Err() != nil || n.journal.size() > most*3/4 {
			t.Fatalf("r%d: %v, a log of %d bytes", id, n.Err(), n.journal.size())
		}
	}
	await(t, func() string {
		c.runAll(1, 1)
		if size := c.nodes[0].journal.size(); size > most/2 || c.nodes[0].journal.crowded.Load() {
			return fmt.Sprintf("the log of r1 is not shortened: %d bytes; %+v %+v", size, c.nodes[0].Status().Checkpoints, c.nodes[0].Status())
		}
		return ""
	})
	if err := flooder.Err(); err != nil {
		t.Error(err)
	}
}

// TestRepeatedUpdates: a client that repeats what has been executed, after its results are forgotten, makes no log longer.
func TestRepeatedUpdates(t *testing.T) {
	c := smallLogs(t, 16<<20)
	c.openAll()
	n := c.nodes[0]
	u := c.update(1, make([]byte, 60_000))
	submit := func() {
		outcome := make(chan reply.Reply, 1)
		defer n.Replies().Wait(reply.Key{Client: u.Client, Seq: u.Seq}, func(r reply.Reply) { outcome <- r })()
		if err := n.Submit(u); err != nil {
			t.Fatal(err)
		}
		<-outcome
	}
	submit()
	c.settle(1, 1, 2, 3, 4)
	before := n.journal.size()
	done := n.loop.inputs[inputSubmit].Load()
	for range 150 {
		if err := n.Submit(u); err != nil {
			t.Fatal(err)
		}
	}
	await(t, func() string {
		if n.loop.inputs[inputSubmit].Load() == done || n.waitingSubmits() > 0 {
			return "updates wait"
		}
		return ""
	})
	c.runAll(1, 2)
	c.settle(1, 1, 2, 3, 4)
	if grown := n.journal.size() - before; grown > 150*60_000/10 {
		t.Errorf("the log has grown by %d bytes", grown)
	}
}

func (n *Node) waitingSubmits() int {
	items, _ := n.loop.submits.load()
	return items
}
