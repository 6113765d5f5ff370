package blocks

import (
	"crypto/sha256"

	"github.com/primebft/prime/internal/wire"
)

// The first bytes of what is hashed.
const (
	leafPrefix = 0
	nodePrefix = 1
)

// ChunkLeaves is how many leaves are proven together: 128 KiB of them. It is a power of two, so every chunk is a node of the tree.
const ChunkLeaves = 1 << chunkLevel

const chunkLevel = 12

// MaxPath is how many nodes the longest path from a chunk to the root has.
const MaxPath = 32 - chunkLevel

// Leaf is the leaf of a block.
func Leaf(block []byte) (leaf wire.Digest) {
	h := sha256.New()
	h.Write([]byte{leafPrefix})
	h.Write(block)
	h.Sum(leaf[:0])
	return leaf
}

// node is the parent of two nodes.
func node(left, right wire.Digest) wire.Digest {
	var b [1 + 2*len(wire.Digest{})]byte
	b[0] = nodePrefix
	copy(b[1:], left[:])
	copy(b[1+len(left):], right[:])
	return sha256.Sum256(b[:])
}

// up replaces a level of the tree by the one above it.
func up(level []wire.Digest) []wire.Digest {
	half := len(level) / 2
	for i := range half {
		level[i] = node(level[2*i], level[2*i+1])
	}
	if len(level)%2 == 1 {
		level[half] = level[len(level)-1]
		half++
	}
	return level[:half]
}

// top is the root of a tree over leaves, which there must be; level is overwritten.
func top(level []wire.Digest) wire.Digest {
	for len(level) > 1 {
		level = up(level)
	}
	return level[0]
}

// Root is the root of the tree over leaves, of which there must be one.
func Root(leaves []wire.Digest) wire.Digest { return top(append([]wire.Digest(nil), leaves...)) }

// Chunks is how many chunks the leaves of count blocks make.
func Chunks(count int) int { return (count + ChunkLeaves - 1) / ChunkLeaves }

// Chunk is where chunk c of the leaves of count blocks begins and ends.
func Chunk(c, count int) (from, to int) { return c * ChunkLeaves, min((c+1)*ChunkLeaves, count) }

// Paths are the paths from all chunks to the root.
type Paths struct{ levels [][]wire.Digest }

// NewPaths makes the paths of a checkpoint's leaves, of which there must be one.
func NewPaths(leaves []wire.Digest) Paths {
	level := make([]wire.Digest, Chunks(len(leaves)))
	for c := range level {
		from, to := Chunk(c, len(leaves))
		level[c] = Root(leaves[from:to])
	}
	p := Paths{levels: [][]wire.Digest{level}}
	for len(level) > 1 {
		level = up(append([]wire.Digest(nil), level...))
		p.levels = append(p.levels, level)
	}
	return p
}

// Root is the root of the tree.
func (p *Paths) Root() wire.Digest { return p.levels[len(p.levels)-1][0] }

// Of is the path of chunk c: the partners of the nodes from it to the root, from below.
func (p *Paths) Of(c int) (path []wire.Digest) {
	for _, level := range p.levels[:len(p.levels)-1] {
		if partner := c ^ 1; partner < len(level) {
			path = append(path, level[partner])
		}
		c /= 2
	}
	return path
}

// CheckChunk reports whether leaves are those of chunk c of a checkpoint, as their path shows. Any arguments are fine.
func (m *Manifest) CheckChunk(c int, leaves, path []wire.Digest) bool {
	count := m.Count()
	if c < 0 || c >= Chunks(count) {
		return false
	}
	if from, to := Chunk(c, count); len(leaves) != to-from {
		return false
	}
	sum := Root(leaves)
	for width := Chunks(count); width > 1; width = (width + 1) / 2 {
		if partner := c ^ 1; partner < width {
			if len(path) == 0 {
				return false
			}
			if partner < c {
				sum = node(path[0], sum)
			} else {
				sum = node(sum, path[0])
			}
			path = path[1:]
		}
		c /= 2
	}
	return len(path) == 0 && sum == m.Root
}
