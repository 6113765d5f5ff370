package node

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/record"
	"github.com/primebft/prime/storage"
	"github.com/primebft/prime/storage/file"
)

// TestRestartFromImage: replicas whose application has snapshots shorten their logs, and start again from an image of the core: count
// and digest of the stream go on, the application has its state, and the log stays small however long the replica runs.
func TestRestartFromImage(t *testing.T) {
	c := newCluster(t, 1, 0, func(cl *config.Cluster, n *config.Node) {
		n.Storage.Mode = config.StorageDurable
		cl.Limits.OrdinalWindow, cl.Limits.CheckpointOrdinals, cl.Limits.CheckpointBytes = 4, 8, 1<<20
	})
	apps := make([]*locked, 4)
	open := func(id int) {
		apps[id-1] = &locked{}
		c.open(id, apps[id-1], Options{Check: true})
	}
	for id := 1; id <= 4; id++ {
		open(id)
	}
	fromImage := 0
	for round := range 4 {
		id := 1 + round%4
		for range 12 {
			c.runAll(20, 1, 2, 3, 4)
		}
		before := c.nodes[id-1].records.Position()
		c.nodes[id-1].CloseNow()
		open(id)
		c.runAll(10, 1, 2, 3, 4)
		after := c.settle(before.Count, 1, 2, 3, 4) // equal digests and counts
		if after.Ordinal < before.Ordinal {
			t.Errorf("r%d was at %+v and is at %+v", id, before, after)
		}
		await(t, func() string {
			for other := range apps {
				if apps[other].content() != apps[0].content() {
					return fmt.Sprintf("the application of r%d has %q", other+1, apps[other].content())
				}
			}
			return ""
		})
		if c.nodes[id-1].loop.restoration.start.Ordinal > 0 {
			fromImage++
		}
	}
	if fromImage < 3 {
		t.Errorf("%d of 4 starts were from an image", fromImage)
	}
	for id, n := range c.nodes {
		if x := n.journal.log.Extent(); n.Err() != nil || x.First == 1 && x.Bytes > 40<<20 {
			t.Errorf("r%d: %v; its log is %+v", id+1, n.Err(), x)
		}
	}
}

// TestNoSnapshotsNoImages: a replica whose application has no way to state that it lacks is given everything again.
func TestNoSnapshotsNoImages(t *testing.T) {
	c := newCluster(t, 1, 0, func(cl *config.Cluster, n *config.Node) {
		n.Storage.Mode = config.StorageDurable
		cl.Limits.OrdinalWindow, cl.Limits.CheckpointOrdinals, cl.Limits.CheckpointBytes = 4, 8, 1<<20
	})
	c.openAll()
	for range 6 {
		c.runAll(20, 1, 2, 3, 4)
	}
	c.nodes[0].CloseNow()
	start, _, err := record.Find(mustOpenLog(t, c.nodes[0]), func(uint64) bool { return true })
	if err != nil || start.Ordinal == 0 {
		t.Errorf("there is no image to be left aside: %+v, %v", start.Began, err)
	}
	c.reopen(1)
	c.runAll(10, 1, 2, 3, 4)
	c.settle(1, 1, 2, 3, 4)
	if from := c.nodes[0].loop.restoration.start.Ordinal; from != 0 || strings.Contains(c.logs[0].String(), "level=ERROR") {
		t.Errorf("it goes on from ordinal %d; it logged %s", from, c.logs[0])
	}
}

// mustOpenLog opens the log of a replica that has ended.
func mustOpenLog(t *testing.T, n *Node) storage.Log {
	t.Helper()
	log, err := file.Open(filepath.Join(n.cfg.Dir, LogFolder), file.Options{Owner: n.owner()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}
