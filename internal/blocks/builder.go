package blocks

import (
	"errors"
	"fmt"
	"io"

	"github.com/primebft/prime/internal/wire"
)

// ErrTooLarge is a checkpoint of more than MaxBlocks blocks.
var ErrTooLarge = errors.New("blocks: a checkpoint has too many bytes")

// Builder cuts a stream into blocks while it is written, and hashes each as it goes by, so that nothing is read twice. First
// comes the head, then EndHead, then the application's bytes, then Finish.
type Builder struct {
	manifest Manifest
	leaves   []wire.Digest
	out      func(block []byte) error
	block    []byte // what does not fill a block yet
	ended    bool   // the head has
	written  uint64 // bytes of the stream
	err      error  // what went wrong first
}

var _ io.Writer = (*Builder)(nil)

// NewBuilder begins a checkpoint in blocks of size bytes, MinSize..MaxSize. out is given each block in turn, and must not keep it.
func NewBuilder(ordinal uint64, size int, out func(block []byte) error) *Builder {
	return &Builder{
		manifest: Manifest{Ordinal: ordinal, BlockSize: uint32(size)}, out: out, block: make([]byte, 0, size),
	}
}

// Write appends to the head, or, after EndHead, to the application's bytes.
func (b *Builder) Write(p []byte) (n int, err error) {
	size := int(b.manifest.BlockSize)
	for len(p) > 0 && b.err == nil {
		if len(b.block) == 0 && len(p) >= size {
			b.put(p[:size])
			n, p = n+size, p[size:]
			continue
		}
		k := min(size-len(b.block), len(p))
		b.block = append(b.block, p[:k]...)
		n, p = n+k, p[k:]
		if len(b.block) == size {
			b.flush()
		}
	}
	return n, b.err
}

// EndHead ends the head and fills it up with zeros to whole blocks.
func (b *Builder) EndHead() error {
	if b.ended {
		return b.err
	}
	b.ended = true
	b.manifest.HeadBytes = b.written + uint64(len(b.block))
	if n := len(b.block); n > 0 && b.err == nil {
		b.block = b.block[:cap(b.block)]
		clear(b.block[n:])
		b.flush()
	}
	return b.err
}

// Finish ends the stream: the manifest, and the leaf of every block. A stream without a byte is an error.
func (b *Builder) Finish() (Manifest, []wire.Digest, error) {
	if err := b.EndHead(); err != nil {
		return Manifest{}, nil, err
	}
	if len(b.block) > 0 {
		b.flush()
	}
	if b.err == nil && len(b.leaves) == 0 {
		b.err = fmt.Errorf("%w: nothing was written", ErrManifest)
	}
	if b.err != nil {
		return Manifest{}, nil, b.err
	}
	b.manifest.TotalBytes = b.written
	b.manifest.Root = Root(b.leaves)
	return b.manifest, b.leaves, nil
}

func (b *Builder) flush() {
	b.put(b.block)
	b.block = b.block[:0]
}

func (b *Builder) put(block []byte) {
	if len(b.leaves) == MaxBlocks {
		b.err = fmt.Errorf("%w: %d blocks are the most", ErrTooLarge, MaxBlocks)
		return
	}
	b.leaves = append(b.leaves, Leaf(block))
	b.written += uint64(len(block))
	b.err = b.out(block)
}
