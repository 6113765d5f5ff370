package sign

import (
	"crypto/sha256"
	"math/bits"

	"github.com/primebft/prime/internal/wire"
)

const (
	domainLeaf = "prime-leaf-v1\x00"
	domainNode = "prime-node-v1\x00"
	domainPad  = "prime-pad-v1\x00"
)

// hashLeaf is the leaf of the message with this content digest at this place of a batch.
func hashLeaf(index uint8, content *wire.Digest) wire.Digest {
	var b [len(domainLeaf) + 1 + 32]byte
	copy(b[:], domainLeaf)
	b[len(domainLeaf)] = index
	copy(b[len(domainLeaf)+1:], content[:])
	return sha256.Sum256(b[:])
}

// hashNode is the parent of two nodes.
func hashNode(left, right *wire.Digest) wire.Digest {
	var b [len(domainNode) + 2*32]byte
	copy(b[:], domainNode)
	copy(b[len(domainNode):], left[:])
	copy(b[len(domainNode)+32:], right[:])
	return sha256.Sum256(b[:])
}

// hashPad is the leaf where a batch has no message.
func hashPad() wire.Digest { return sha256.Sum256([]byte(domainPad)) }

// pathLen is the height of the tree over count messages.
func pathLen(count uint8) int { return bits.Len8(count - 1) }

// rootOf is the root that p claims for the message with this content digest; false if p's shape is impossible.
func rootOf(content *wire.Digest, p *wire.Proof) (root wire.Digest, ok bool) {
	if p.Count < 1 || p.Count > wire.MaxBatch || p.Index >= p.Count || len(p.Path) != pathLen(p.Count) {
		return root, false
	}
	root = hashLeaf(p.Index, content)
	for level := range p.Path {
		if p.Index>>level&1 == 0 {
			root = hashNode(&root, &p.Path[level])
		} else {
			root = hashNode(&p.Path[level], &root)
		}
	}
	return root, true
}

// tree is the Merkle tree over one batch. The root is node 1, the children of node x are 2x and 2x+1.
type tree struct {
	nodes [2 * wire.MaxBatch]wire.Digest
	pad   wire.Digest
	width int // leaves, padded to a power of two
}

// build makes the tree over batch, which has 1 to wire.MaxBatch messages.
func (t *tree) build(batch []*wire.Envelope) {
	t.width = 1 << pathLen(uint8(len(batch)))
	for i := range t.width {
		if i < len(batch) {
			t.nodes[t.width+i] = hashLeaf(uint8(i), &batch[i].Digest)
		} else {
			t.nodes[t.width+i] = t.pad
		}
	}
	for i := t.width - 1; i >= 1; i-- {
		t.nodes[i] = hashNode(&t.nodes[2*i], &t.nodes[2*i+1])
	}
}

// root is the root of the tree.
func (t *tree) root() *wire.Digest { return &t.nodes[1] }

// path is the siblings from leaf index up; nil if there are none.
func (t *tree) path(index int) []wire.Digest {
	if t.width == 1 {
		return nil
	}
	p := make([]wire.Digest, 0, bits.Len(uint(t.width-1)))
	for i := t.width + index; i > 1; i >>= 1 {
		p = append(p, t.nodes[i^1])
	}
	return p
}
