package node

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/snapshot"
	"github.com/primebft/prime/internal/wire"
)

// forgetful is a cluster that keeps little history and makes checkpoints often.
func forgetful(t *testing.T, change func(*config.Node)) *cluster {
	return newCluster(t, 1, 0, func(c *config.Cluster, n *config.Node) {
		c.Limits.OrdinalWindow, c.Limits.History, c.Limits.CheckpointOrdinals = 16, 16, 16
		if change != nil {
			change(n)
		}
	})
}

// locked is an application that a test may look at.
type locked struct {
	mu sync.Mutex
	saved
}

func (l *locked) Deliver(batch []app.Record) [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.saved.Deliver(batch)
	results := make([][]byte, len(batch))
	for i := range batch {
		results[i] = batch[i].Payload
	}
	return results
}

func (l *locked) content() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.state)
}

// TestStateTransfer: a replica that was away until no one held what it missed takes over a checkpoint: its stream goes on with the count and
// the digest of the others, and its application with their state.
func TestStateTransfer(t *testing.T) {
	t.Parallel()
	for _, strategy := range []config.Strategy{config.StrategyBandwidth, config.StrategyLatency} {
		t.Run(string(strategy), func(t *testing.T) {
			t.Parallel()
			c := forgetful(t, func(n *config.Node) { n.Transfer.Strategy = strategy })
			apps := make([]*locked, 4)
			for i := range 3 {
				apps[i] = new(locked)
				c.open(i+1, apps[i], Options{Check: true})
			}
			for range 40 {
				c.runAll(10, 1, 2, 3)
			}
			await(t, func() string {
				if s := c.nodes[0].Status(); s.Checkpoints.Stable < 32 {
					return fmt.Sprintf("%+v, executed %d", s.Checkpoints, s.Executed)
				}
				return ""
			})
			apps[3] = new(locked)
			away := c.open(4, apps[3], Options{Check: true})
			c.runAll(20, 1, 2, 3)
			await(t, func() string {
				s := away.Status()
				if s.Checkpoints.Restored == 0 || s.Ordinal < c.nodes[0].Status().Ordinal {
					return fmt.Sprintf("%s %+v %+v at %d of %d\n%s", s.State, s.Checkpoints, s.Transfer, s.Ordinal, c.nodes[0].Status().Ordinal, c.logs[3])
				}
				return ""
			})
			c.runAll(20, 1, 2, 3) // with so little history r4 may be left behind again, and miss results of its own
			c.settle(1, 1, 2, 3, 4)
			await(t, func() string {
				for i := range apps {
					if apps[i].content() != apps[0].content() {
						return fmt.Sprintf("the application of r%d has %d bytes of %d", i+1, len(apps[i].content()), len(apps[0].content()))
					}
				}
				return ""
			})
			if s := away.Status(); s.Oldest <= 1 || s.Delivered < s.Ordinal || s.Application.Way != "engine" {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestTransferPointsInCluster: the same for applications of their own way: the transfer point is ordered, and what comes after it is what the
// others see.
func TestTransferPointsInCluster(t *testing.T) {
	t.Parallel()
	c := forgetful(t, nil)
	h := &meeting{states: map[app.Position]string{}}
	open := func(id int) { c.open(id, &resident{meeting: h, self: id}, Options{Check: true}) }
	for id := range 3 {
		open(id + 1)
	}
	for range 40 {
		c.runAll(10, 1, 2, 3)
	}
	open(4)
	c.runAll(20, 1, 2, 3)
	await(t, func() string {
		s := c.nodes[3].Status()
		if s.State != StateRunning || s.Checkpoints.Restored == 0 || s.Application.Ordinal < c.nodes[0].Status().Ordinal {
			return fmt.Sprintf("%s: %+v %+v at %d of %d\n%s", s.State, s.Checkpoints, s.Application, s.Ordinal, c.nodes[0].Status().Ordinal, c.logs[3])
		}
		return ""
	})
	c.runAll(20, 1, 2, 3)
	c.settle(1, 1, 2, 3, 4)
	await(t, h.differ)
	if h.gaps == 0 {
		t.Error("r4 had no gap")
	}
}

// meeting is where residents meet.
type meeting struct {
	mu      sync.Mutex
	states  map[app.Position]string
	now     [5]string
	gaps    int
	changed sync.Cond
}

func (m *meeting) differ() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := 2; id <= 4; id++ {
		if m.now[id] != m.now[1] {
			return fmt.Sprintf("r%d has %d bytes, r1 %d", id, len(m.now[id]), len(m.now[1]))
		}
	}
	return ""
}

// resident is an application of its own way, whose state is the payloads.
type resident struct {
	meeting *meeting
	self    int
}

func (r *resident) Deliver(batch []app.Record) [][]byte {
	r.meeting.mu.Lock()
	defer r.meeting.mu.Unlock()
	results := make([][]byte, len(batch))
	for i := range batch {
		r.meeting.now[r.self] += string(batch[i].Payload)
		results[i] = batch[i].Payload
	}
	return results
}

func (r *resident) Reset(uint32) {}

func (r *resident) Gap(after, next app.Position) {
	r.meeting.mu.Lock()
	defer r.meeting.mu.Unlock()
	r.meeting.gaps++
}

func (r *resident) TransferPoint(at app.Position, requester int) error {
	m := r.meeting
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed.L = &m.mu
	if requester != r.self {
		m.states[at] = m.now[r.self]
		m.changed.Broadcast()
		return nil
	}
	for m.states[at] == "" {
		m.changed.Wait()
	}
	m.now[r.self] = m.states[at]
	return nil
}

// TestNoWayInCluster: an application that has no way to what it misses fails and says why; its replica orders on.
func TestNoWayInCluster(t *testing.T) {
	t.Parallel()
	c := forgetful(t, nil)
	for id := range 3 {
		c.open(id+1, echo, Options{Check: true})
	}
	for range 40 {
		c.runAll(10, 1, 2, 3)
	}
	away := c.open(4, echo, Options{Check: true})
	c.runAll(20, 1, 2, 3)
	await(t, func() string {
		if s := away.Status(); !strings.HasPrefix(s.State, StateApplicationFailed) || s.Ordinal < c.nodes[0].Status().Ordinal {
			return s.State + c.logs[3].String()
		}
		return ""
	})
	if !strings.Contains(away.State(), "app.Snapshotter") {
		t.Error(away.State())
	}
	c.runAll(20, 1, 2)
	c.settle(1, 1, 2, 3, 4)
}

// other is another application than the rest of its cluster runs.
type other struct{ locked }

func (o *other) Snapshot() (app.Snapshot, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return app.Bytes(append([]byte("other"), o.state...)), nil
}

func (*other) String() string { return "app.kind = \"other\" of node.toml" }

// TestOtherApplication: a replica that runs another application than the rest stops at the first checkpoint, and says what it runs and what
// to do; the others go on.
func TestOtherApplication(t *testing.T) {
	t.Parallel()
	c := forgetful(t, nil)
	for id := range 3 {
		c.open(id+1, new(locked), Options{Check: true})
	}
	odd := c.open(4, new(other), Options{Check: true})
	await(t, func() string {
		c.runAll(10, 1, 2, 3)
		if s := odd.State(); !strings.HasPrefix(s, StateCrashed) {
			return s
		}
		return ""
	})
	for _, want := range []string{"app.kind = \"other\"", "make it equal everywhere"} {
		if !strings.Contains(odd.State(), want) {
			t.Errorf("it says %q, want %q in it", odd.State(), want)
		}
	}
	c.runAll(10, 1, 2, 3)
	c.agree(1, 2, 3)
}

// TestHeads: what is written is read, and nothing else is.
func TestHeads(t *testing.T) {
	t.Parallel()
	d := &due{State: &effect.State{Ordinal: 7, Time: 8, Vector: make(wire.Vector, 4), Transfers: make([]int64, 4), Sessions: []byte("sessions")},
		Delivered: 9, Digest: [32]byte{1}, Records: 2}
	for _, snapshot := range []bool{false, true} {
		b := appendHead(nil, d, snapshot)
		got, has, err := parseHead(b, 4)
		if err != nil || has != snapshot || !bytes.Equal(appendHead(nil, got, has), b) || got.at() != d.at() {
			t.Errorf("%+v, %v, %v", got, has, err)
		}
		for i := range len(b) - len("sessions") {
			if _, _, err := parseHead(b[:i], 4); err == nil {
				t.Errorf("%d of %d bytes are a head", i, len(b))
			}
		}
	}
	for _, wrong := range []func(*due){func(d *due) { d.Records = 0 }, func(d *due) { d.Delivered = 6 }} {
		w := *d
		wrong(&w)
		if _, _, err := parseHead(appendHead(nil, &w, true), 4); err == nil {
			t.Errorf("%+v is a head", w)
		}
	}
	if _, _, err := parseHead(append([]byte{2}, appendHead(nil, d, true)[1:]...), 4); err == nil {
		t.Error("another version is a head")
	}
}

// slow is a snapshot that is written when it is let.
type slow struct {
	let      chan struct{}
	released chan struct{}
}

func (s *slow) WriteTo(w io.Writer) (int64, error) {
	<-s.let
	n, err := w.Write([]byte("state"))
	return int64(n), err
}

func (s *slow) Release() { close(s.released) }

// TestCheckpointBusy: a checkpoint that is due while the one before is still being written is skipped, counted, and its snapshot released;
// nobody waits. One that panics or fails is none, and the next is made.
func TestCheckpointBusy(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, nil)
	n := c.open(1, echo, Options{})
	k := n.checkpoints
	at := func(ordinal uint64) *due {
		return &due{State: &effect.State{Ordinal: ordinal, Vector: make(wire.Vector, 4)}, Delivered: ordinal, Records: 1}
	}
	first := &slow{make(chan struct{}), make(chan struct{})}
	second := &slow{make(chan struct{}), make(chan struct{})}
	k.keep(at(100), first)
	k.keep(at(200), second)
	<-second.released
	if s, _ := k.status(); s.Skipped != 1 || s.Made != 0 {
		t.Errorf("%+v", s)
	}
	close(first.let)
	<-first.released
	await(t, func() string {
		if s, _ := k.status(); s.Made != 1 || s.Last != 100 {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	k.keep(at(300), failing{})
	await(t, func() string {
		if s, _ := k.status(); s.Skipped != 2 {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	k.keep(at(400), nil)
	await(t, func() string {
		if s, _ := k.status(); s.Made != 2 || s.Last != 400 {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
}

// failing is a snapshot that cannot be written.
type failing struct{}

func (failing) WriteTo(io.Writer) (int64, error) { panic(errTest) }
func (failing) Release()                         {}

// cramped is a disk for checkpoints that has no room while it is full: after some bytes of each file.
type cramped struct {
	*snapshot.Memory
	full atomic.Bool
}

type crampedFile struct {
	snapshot.File
	disk *cramped
}

func (d *cramped) Create(path string, size int64) (snapshot.File, error) {
	f, err := d.Memory.Create(path, size)
	return crampedFile{f, d}, err
}

func (f crampedFile) WriteAt(b []byte, offset int64) (int, error) {
	if offset > 0 && f.disk.full.Load() {
		return 0, syscall.ENOSPC
	}
	return f.File.WriteAt(b, offset)
}

// TestCheckpointOnFullDisk: a replica whose disk has no room for checkpoints votes, orders and delivers as the others do, which make
// theirs stable without it; it says what to do, and makes the next one when there is room.
func TestCheckpointOnFullDisk(t *testing.T) {
	t.Parallel()
	c := forgetful(t, nil)
	disk := &cramped{Memory: snapshot.NewMemory(1 << 30)}
	disk.full.Store(true)
	store, err := snapshot.Open(snapshot.Options{Dir: "checkpoints", Disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	for id := 1; id <= 4; id++ {
		c.open(id, new(locked), Options{Check: true})
	}
	full := c.nodes[3]
	full.checkpoints.store = store // nothing has been executed yet
	stable := func(least uint64) {
		await(t, func() string {
			c.runAll(5, 1, 4)
			if s := full.Status(); s.Checkpoints.Stable < least {
				return fmt.Sprintf("%+v", s.Checkpoints)
			}
			return ""
		})
	}
	stable(32)
	if s := full.Status().Checkpoints; s.Made > 0 || s.Skipped < 2 || full.Err() != nil {
		t.Errorf("%+v, %v", s, full.Err())
	}
	if said := c.logs[3].String(); !strings.Contains(said, "make room on the disk") {
		t.Errorf("it does not say what to do: %s", said)
	}
	disk.full.Store(false)
	stable(full.Status().Checkpoints.Stable + 32)
	if s := full.Status().Checkpoints; s.Made == 0 {
		t.Errorf("%+v", s)
	}
	c.settle(1, 1, 2, 3, 4)
}
