package bulk

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/primebft/prime/internal/blocks"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/snapshot"
)

// First bytes of the frames of a copy; those of transfers begin with their version.
const (
	copyFrame = 0xc0 // number of the piece (u32), bytes
	ackFrame  = 0xc1 // bytes that have been written (u64)
)

// Sizes of a copy.
const (
	piece      = blocks.Size
	copyHeader = 1 + 4
	copyWindow = 8 << 20 // bytes under way: half of what the transport holds
	writeOut   = 8 << 20 // bytes after which the system is told to begin to write them to the disk, as for a checkpoint
)

// giver copies the blocks of the checkpoint to another process.
type giver struct {
	mu      sync.Mutex
	changed sync.Cond
	written int64
}

func (g *giver) acknowledged(frame []byte) {
	if len(frame) != 1+8 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.written = max(g.written, int64(binary.LittleEndian.Uint64(frame[1:])))
	g.changed.Broadcast()
}

// give copies the file to another process, as fast as that writes it.
func (n *node) give(to group.ID) error {
	c, err := n.store.Get(ordinal)
	if err != nil {
		return err
	}
	g := &giver{}
	g.changed.L = &g.mu
	n.giving.Store(g)
	defer n.giving.Store(nil)
	m := c.Manifest()
	for i := range m.Count() {
		offset, size := m.Extent(i)
		g.mu.Lock()
		for offset-g.written > copyWindow {
			g.changed.Wait()
		}
		g.mu.Unlock()
		b := append(make([]byte, 0, copyHeader+size), copyFrame)
		if b, err = c.AppendBlock(binary.LittleEndian.AppendUint32(b, uint32(i)), i); err != nil {
			return err
		}
		n.send(to, b)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.written < int64(m.TotalBytes) {
		g.changed.Wait()
	}
	return nil
}

// taker takes a copy.
type taker struct {
	node    *node
	file    snapshot.File
	total   int64
	written int64 // by the handler of one peer only
	begun   int64
	done    chan error
}

// take writes a piece, and says so.
func (t *taker) take(from group.ID, frame []byte) {
	if len(frame) < copyHeader || t.written == t.total {
		return
	}
	at := int64(binary.LittleEndian.Uint32(frame[1:])) * piece
	if _, err := t.file.WriteAt(frame[copyHeader:], at); err != nil {
		t.done <- err
		return
	}
	t.written += int64(len(frame) - copyHeader)
	if t.written-t.begun >= writeOut {
		t.file.Begin(0, 0)
		t.begun = t.written
	}
	t.node.send(from, binary.LittleEndian.AppendUint64([]byte{ackFrame}, uint64(t.written)))
	if t.written == t.total {
		t.done <- nil
	}
}

// takeCopy takes a copy of so many bytes, in a file as a checkpoint would be.
func (n *node) takeCopy(total int64) (a answer, err error) {
	path := filepath.Join(n.dir, "copy")
	disk := snapshot.System{}
	f, err := disk.Create(path, total)
	if err != nil {
		return a, err
	}
	defer disk.Remove(path)
	defer f.Close()
	t := &taker{node: n, file: f, total: total, done: make(chan error, 4)}
	n.taking.Store(t)
	defer n.taking.Store(nil)
	if err := n.answers.Encode(answer{}); err != nil { // the other may begin
		return a, err
	}
	a.From = n.clock.Now()
	if err := <-t.done; err != nil {
		return a, fmt.Errorf("copy: %w", err)
	}
	a.There = n.clock.Now()
	if err := f.Sync(); err != nil {
		return a, err
	}
	a.Durable, a.CPU = n.clock.Now(), cpu()
	return a, nil
}
