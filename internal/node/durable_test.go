package node

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/marker"
	"github.com/primebft/prime/storage"
	"github.com/primebft/prime/storage/fault"
	"github.com/primebft/prime/storage/file"
)

// durableCluster is a cluster of durable replicas. Its tests run one after the other: together with those of other clusters they are
// more than a small machine under the race detector can do in time.
func durableCluster(t *testing.T) *cluster {
	return newCluster(t, 1, 0, func(_ *config.Cluster, n *config.Node) { n.Storage.Mode = config.StorageDurable })
}

// reopen starts a replica again.
func (c *cluster) reopen(id int) *Node {
	c.tb.Helper()
	return c.open(id, echo, Options{Check: true})
}

// settle waits until these replicas are at one place of one stream, with at least so many updates.
func (c *cluster) settle(least uint64, ids ...int) Position {
	c.tb.Helper()
	var place Position
	await(c.tb, func() string {
		place = c.nodes[ids[0]-1].records.Position()
		for _, id := range ids {
			if p := c.nodes[id-1].records.Position(); p != place || p.Count < least {
				return fmt.Sprintf("r%d is at %+v, r%d at %+v", id, p, ids[0], place)
			}
		}
		return ""
	})
	return place
}

// TestRestartOne: a replica that ends at any time, and starts again, takes part as before, and its stream is whole.
func TestRestartOne(t *testing.T) {
	c := durableCluster(t)
	c.openAll()
	total := 0
	for round := range 6 {
		c.runAll(40, 1, 2, 3, 4)
		total += 160
		id := 1 + round%4
		if round%2 == 0 {
			c.settle(1, 1, 2, 3, 4)
		}
		c.nodes[id-1].CloseNow()
		others := []int{1 + id%4, 1 + (id+1)%4, 1 + (id+2)%4}
		c.runAll(20, others...)
		total += 60
		c.reopen(id)
		c.runAll(10, id) // it introduces, acknowledges and answers again
		total += 10
	}
	place := c.settle(1, 1, 2, 3, 4)
	count := map[string]int{}
	for id := 1; id <= 4; id++ {
		if n := c.nodes[id-1]; n.Err() != nil || len(n.Status().Blacklist) > 0 {
			t.Errorf("r%d: %v, %v", id, n.Err(), n.Status().Blacklist)
		}
	}
	records, err := c.nodes[0].Records().Next(t.Context(), 1)
	for from := uint64(1); err == nil; {
		for _, r := range records {
			if !r.NoOp() {
				count[fmt.Sprintf("%x %d", r.Client, r.Seq)]++
			}
		}
		if from = records[len(records)-1].Ordinal + 1; from > place.Ordinal {
			break
		}
		records, err = c.nodes[0].Records().Next(t.Context(), from)
	}
	if err != nil || len(count) != total {
		t.Errorf("%v; %d updates took effect, want %d", err, len(count), total)
	}
}

// TestRestartAll: all replicas end and start again, several times; every update that was answered is there.
func TestRestartAll(t *testing.T) {
	c := durableCluster(t)
	for round := range 3 {
		for id := 1; id <= 4; id++ {
			c.reopen(id)
		}
		c.runAll(50, 1, 2, 3, 4)
		if p := c.settle(1, 1, 2, 3, 4); p.Ordinal < uint64(round+1) {
			t.Errorf("round %d: %+v", round, p)
		}
		for _, n := range c.nodes {
			n.CloseNow()
		}
	}
	place := c.nodes[0].records.Position()
	for id := 1; id <= 4; id++ {
		c.reopen(id)
	}
	if p := c.settle(place.Count, 1, 2, 3, 4); p.Ordinal < place.Ordinal {
		t.Errorf("after the last start %+v, before %+v", p, place)
	}
}

// TestModesAreFixed: a folder that was used in one mode is refused in the other, and so is one whose log is gone.
func TestModesAreFixed(t *testing.T) {
	c := durableCluster(t)
	c.reopen(1).CloseNow()
	open := func(cfg config.Config) error {
		n, err := Open(cfg, echo, Options{Transport: c.net.Endpoint(cfg.Node.ID)})
		if err == nil {
			n.CloseNow()
		}
		return err
	}
	cfg := c.config(1)
	cfg.Node.Storage.Mode = config.StorageEphemeral
	if err := open(cfg); !errors.Is(err, marker.ErrUsed) || !strings.Contains(err.Error(), "storage.mode") {
		t.Errorf("ephemeral after durable: %v", err)
	}
	cfg = c.config(2)
	cfg.Node.Storage.Mode = config.StorageEphemeral
	if err := open(cfg); err != nil {
		t.Fatal(err)
	}
	if err := open(c.config(2)); !errors.Is(err, marker.ErrUsed) {
		t.Errorf("durable after ephemeral: %v", err)
	}
	logs := filepath.Join(c.config(1).Dir, LogFolder)
	if err := os.RemoveAll(logs); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and the refusal must not have made one
		if err := open(c.config(1)); !errors.Is(err, ErrStorage) || !strings.Contains(err.Error(), LogFolder) {
			t.Errorf("without its log: %v", err)
		}
	}
}

// TestDeafWhileRestoring: what comes while a replica goes through its log would be old afterwards, and stand before what helps it on. So it is
// not taken, and the replica asks for what it lacks.
func TestDeafWhileRestoring(t *testing.T) {
	c := durableCluster(t)
	c.openAll()
	c.runAll(40, 1, 2, 3, 4)
	c.nodes[3].CloseNow()
	// The log is read when it is opened, to find where to begin, and then to go through it.
	disk := &heldDisk{after: 2, reached: make(chan struct{}), release: make(chan struct{})}
	n := c.open(4, echo, Options{Disk: disk, Check: true})
	release := sync.OnceFunc(func() { close(disk.release) })
	t.Cleanup(release)
	<-disk.reached
	c.runAll(20, 1, 2, 3)
	for i, peer := range n.pool.Stats() {
		if !n.Restoring() || peer.Bytes > 0 || peer.Accepted > 0 {
			t.Errorf("restoring %v, and took of r%d: %+v", n.Restoring(), i+1, peer)
		}
	}
	release()
	c.runAll(10, 1, 2, 3, 4)
	c.settle(1, 1, 2, 3, 4)
}

// heldDisk is the machine's disk, on which one read has to wait until it is released.
type heldDisk struct {
	file.System
	after            int32 // so many other reads
	reads            atomic.Int32
	reached, release chan struct{}
}

func (d *heldDisk) Read(path string, into []byte) ([]byte, error) {
	if d.reads.Add(1) == d.after+1 {
		close(d.reached)
		<-d.release
	}
	return d.System.Read(path, into)
}

// TestDiskFull: a replica whose disk is full says so and stops; the others go on, and it continues when there is room.
func TestDiskFull(t *testing.T) {
	c := durableCluster(t)
	disk := &lockedDisk{disk: fault.New(rand.New(rand.NewPCG(1, 1)))}
	for id := 1; id <= 3; id++ {
		c.reopen(id)
	}
	n := c.open(4, echo, Options{Disk: disk, SegmentBytes: 100_000, Check: true})
	c.runAll(50, 1, 2, 3, 4)
	disk.room(20_000)
	for n.Err() == nil {
		c.runAll(20, 1, 2, 3)
	}
	<-n.Done()
	if err := n.Err(); !errors.Is(err, ErrStorage) || !strings.Contains(err.Error(), storage.ErrFull.Error()) {
		t.Errorf("%v", err)
	}
	if !strings.Contains(c.logs[3].String(), "storage.max_bytes") {
		t.Errorf("it logged %s", c.logs[3])
	}
	disk.room(-1)
	n = c.open(4, echo, Options{Disk: disk, SegmentBytes: 100_000, Check: true})
	c.runAll(20, 1, 2, 3, 4)
	c.settle(1, 1, 2, 3, 4)
	if n.Err() != nil {
		t.Error(n.Err())
	}
}

// lockedDisk is a fault.Disk for several goroutines.
type lockedDisk struct {
	mu   sync.Mutex
	disk *fault.Disk
}

type lockedFile struct {
	disk *lockedDisk
	file file.File
}

func (d *lockedDisk) room(bytes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.disk.Room = bytes
}

func (d *lockedDisk) wrap(f file.File, err error) (file.File, error) {
	if err != nil {
		return nil, err
	}
	return &lockedFile{d, f}, nil
}

func (d *lockedDisk) MakeDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.disk.MakeDir(dir)
}

func (d *lockedDisk) List(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.disk.List(dir)
}

func (d *lockedDisk) Create(path string) (file.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.wrap(d.disk.Create(path))
}

func (d *lockedDisk) Open(path string) (file.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.wrap(d.disk.Open(path))
}

func (d *lockedDisk) Read(path string, into []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.disk.Read(path, into)
}

func (d *lockedDisk) Cut(path string, size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.disk.Cut(path, size)
}

func (d *lockedDisk) Remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.disk.Remove(path)
}

func (d *lockedDisk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.disk.SyncDir(dir)
}

func (d *lockedDisk) Reserve(path string, size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.disk.Reserve(path, size)
}

func (d *lockedDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.disk.Rename(from, to)
}

func (f *lockedFile) WriteAt(b []byte, offset int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return f.file.WriteAt(b, offset)
}

func (f *lockedFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return f.file.Sync()
}

func (f *lockedFile) Close() error { return f.file.Close() }

// counter counts the steps of what it wraps.
type counter struct {
	core.Machine
	steps int
}

func (m *counter) Step(now clock.Instant, in core.Input, out *effect.Output) {
	m.steps++
	m.Machine.Step(now, in, out)
}

// TestWrappedAndDurable: what a replica remembers is given to its core, and only what comes after to what wraps it.
func TestWrappedAndDurable(t *testing.T) {
	c := durableCluster(t)
	var lives []*counter
	open := func() {
		c.open(2, echo, Options{Check: true, Wrap: func(_ Seat, m core.Machine) core.Machine {
			lives = append(lives, &counter{Machine: m})
			return lives[len(lives)-1]
		}})
	}
	open()
	c.openAll()
	c.runAll(200, 1, 2, 3)
	c.settle(600, 1, 2, 3, 4)
	c.nodes[1].CloseNow()
	open()
	c.runAll(1, 2)
	c.settle(601, 1, 2, 3, 4)
	c.nodes[1].CloseNow()
	if len(lives) != 2 || lives[0].steps < 50 || lives[1].steps == 0 || lives[1].steps >= lives[0].steps {
		t.Fatalf("%d lives, %d and %d steps", len(lives), lives[0].steps, lives[len(lives)-1].steps)
	}
}
