package snapshot

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/primebft/prime/internal/blocks"
	"github.com/primebft/prime/internal/wire"
)

// ErrGone is a checkpoint that the store has removed meanwhile.
var ErrGone = errors.New("snapshot: the checkpoint has been removed")

// Checkpoint is one that is complete. It is safe for concurrent use.
type Checkpoint struct {
	store    *Store
	path     string
	manifest blocks.Manifest
	digest   wire.Digest
	leaves   []wire.Digest
	paths    blocks.Paths

	mu      sync.RWMutex // of the file: held for reading while it is read
	file    File         // nil: removed
	checked bits         // blocks that are known to be as they were written; guarded by checking
	checks  sync.Mutex
}

// bits is a set of blocks.
type bits []uint64

func newBits(n int) bits      { return make(bits, (n+63)/64) }
func (b bits) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }
func (b bits) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bits) clear(i int)    { b[i/64] &^= 1 << (i % 64) }

// all is the set of the first n blocks.
func (b bits) all(n int) bits {
	for i := range n {
		b.set(i)
	}
	return b
}

func newCheckpoint(s *Store, path string, f File, m blocks.Manifest, leaves []wire.Digest, checked bits) *Checkpoint {
	return &Checkpoint{store: s, path: path, file: f, manifest: m, digest: m.Digest(), leaves: leaves,
		paths: blocks.NewPaths(leaves), checked: checked}
}

// Manifest says what the checkpoint consists of.
func (c *Checkpoint) Manifest() blocks.Manifest { return c.manifest }

// Digest is what replicas vote on.
func (c *Checkpoint) Digest() wire.Digest { return c.digest }

// Chunk is the leaves of a chunk, which must exist, and their path to the root. Neither may be changed.
func (c *Checkpoint) Chunk(i int) (leaves, path []wire.Digest) {
	from, to := blocks.Chunk(i, len(c.leaves))
	return c.leaves[from:to], c.paths.Of(i)
}

// AppendBlock appends block i, 0..Count()-1, to b. If it is not as it was written the checkpoint is dropped from the store:
// ErrDamaged. ErrGone if it was removed; or an error of the disk.
func (c *Checkpoint) AppendBlock(b []byte, i int) ([]byte, error) {
	n := len(b)
	b, err := c.read(b, i)
	if err != nil {
		return b[:n], err
	}
	c.checks.Lock()
	known := c.checked.has(i)
	c.checks.Unlock()
	if known {
		return b, nil
	}
	if blocks.Leaf(b[n:]) != c.leaves[i] {
		c.store.drop(c, i)
		return b[:n], fmt.Errorf("%w: %s: block %d is not as it was written", ErrDamaged, c.path, i)
	}
	c.checks.Lock()
	c.checked.set(i)
	c.checks.Unlock()
	return b, nil
}

// read appends block i as it is in the file.
func (c *Checkpoint) read(b []byte, i int) ([]byte, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.file == nil {
		return b, ErrGone
	}
	offset, size := c.manifest.Extent(i)
	n := len(b)
	if cap(b)-n < size {
		b = append(make([]byte, 0, n+size), b...)
	}
	b = b[:n+size]
	if _, err := c.file.ReadAt(b[n:], pageSize+offset); err != nil {
		return b, fmt.Errorf("snapshot: %s: block %d: %w", c.path, i, err)
	}
	return b, nil
}

// Head is the engine's part.
func (c *Checkpoint) Head() ([]byte, error) {
	head := make([]byte, 0, c.manifest.HeadBlocks()*int(c.manifest.BlockSize))
	for i := range c.manifest.HeadBlocks() {
		var err error
		if head, err = c.AppendBlock(head, i); err != nil {
			return nil, err
		}
	}
	return head[:c.manifest.HeadBytes], nil
}

// Application is a stream of the application's bytes, checked as they are read.
func (c *Checkpoint) Application() io.Reader {
	return &stream{checkpoint: c, next: c.manifest.HeadBlocks()}
}

// stream reads blocks in turn.
type stream struct {
	checkpoint *Checkpoint
	next       int
	block      []byte // memory for a block
	left       []byte // what of it has not been read
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(s.left) == 0 {
		if s.next >= s.checkpoint.manifest.Count() {
			return 0, io.EOF
		}
		var err error
		if s.block, err = s.checkpoint.AppendBlock(s.block[:0], s.next); err != nil {
			return 0, err
		}
		s.left = s.block
		s.next++
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

// close ends the use of the file.
func (c *Checkpoint) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file != nil {
		_ = c.file.Close() // nothing was written to it
		c.file = nil
	}
}
