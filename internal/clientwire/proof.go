package clientwire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math/bits"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// A replica signs replies in batches: the leaves of a binary tree of SHA-256 hashes are the replies, and one signature covers
// the root. The number of leaves and the place of each are inside what is hashed and signed, and every hash begins with a
// byte that says what it is, so that no part of a tree can be taken for another.
const (
	// MaxBatch is the most replies that one signature covers; MaxPath the longest path from a leaf to the root.
	MaxBatch = 256
	MaxPath  = 8

	domainReply = "prime-reply-v1\x00"
	tagLeaf     = 0
	tagNode     = 1
)

// Proof shows that a reply is number Index of Count replies that a replica signed together. Path has the sibling of every
// node on the way from the leaf to the root, from the leaf up: as many as it takes bits to write Count-1.
type Proof struct {
	Count, Index uint16
	Path         []wire.Digest
	Sig          wire.Signature
}

func pathLen(count uint16) int { return bits.Len16(count - 1) }

func appendProof(b []byte, p *Proof) []byte {
	b = binary.LittleEndian.AppendUint16(b, p.Count)
	b = binary.LittleEndian.AppendUint16(b, p.Index)
	for i := range p.Path {
		b = append(b, p.Path[i][:]...)
	}
	return append(b, p.Sig[:]...)
}

func readProof(r *wire.Reader, p *Proof) {
	p.Count, p.Index = r.U16(), r.U16()
	r.Check(p.Count >= 1 && p.Count <= MaxBatch && p.Index < p.Count, badProof)
	if r.Err() != nil {
		return
	}
	n := pathLen(p.Count)
	r.Check(r.Len() == n*len(wire.Digest{})+len(p.Sig), badProof)
	if r.Err() != nil {
		return
	}
	if n > 0 {
		p.Path = make([]wire.Digest, n)
		for i := range p.Path {
			p.Path[i] = r.Digest()
		}
	}
	copy(p.Sig[:], r.Bytes(len(p.Sig)))
}

// hasher computes leaves and nodes without allocating.
type hasher struct {
	h   hash.Hash
	buf [1 + 2*len(wire.Digest{})]byte
}

func newHasher() hasher { return hasher{h: sha256.New()} }

// leaf is SHA-256(0, count u16, index u16, content).
func (s *hasher) leaf(count, index uint16, content []byte) (d wire.Digest) {
	s.h.Reset()
	s.buf[0] = tagLeaf
	binary.LittleEndian.PutUint16(s.buf[1:], count)
	binary.LittleEndian.PutUint16(s.buf[3:], index)
	s.h.Write(s.buf[:5])
	s.h.Write(content)
	s.h.Sum(s.buf[:0])
	copy(d[:], s.buf[:])
	return d
}

// node is SHA-256(1, left, right).
func (s *hasher) node(left, right *wire.Digest) wire.Digest {
	s.buf[0] = tagNode
	copy(s.buf[1:], left[:])
	copy(s.buf[1+len(left):], right[:])
	return sha256.Sum256(s.buf[:])
}

// Tree is the hash tree of one batch of replies. The zero Tree is ready for Build, which may be called again and again.
type Tree struct {
	hash   hasher
	width  int           // leaves with padding: a power of two
	count  uint16        //
	digest []wire.Digest // digest[1] is the root; the children of i are 2i and 2i+1; leaves begin at width
}

// Build makes the tree of these reply contents (see AppendContent), 1 to MaxBatch of them. Missing leaves, up to a power of
// two, are zero digests.
func (t *Tree) Build(contents [][]byte) {
	if t.hash.h == nil {
		t.hash = newHasher()
		t.digest = make([]wire.Digest, 2*MaxBatch)
	}
	t.count = uint16(len(contents))
	t.width = 1 << pathLen(t.count)
	for i, c := range contents {
		t.digest[t.width+i] = t.hash.leaf(t.count, uint16(i), c)
	}
	clear(t.digest[t.width+len(contents) : 2*t.width])
	for i := t.width - 1; i >= 1; i-- {
		t.digest[i] = t.hash.node(&t.digest[2*i], &t.digest[2*i+1])
	}
}

// Root is the digest that is signed.
func (t *Tree) Root() wire.Digest { return t.digest[1] }

// Prove sets p to the proof of leaf i, without a signature. It reuses p's memory.
func (t *Tree) Prove(i int, p *Proof) {
	p.Count, p.Index, p.Path = t.count, uint16(i), p.Path[:0]
	for at := t.width + i; at > 1; at /= 2 {
		p.Path = append(p.Path, t.digest[at^1])
	}
}

// AppendStatement appends what a replica signs for a batch of replies: domain, cluster id, replica (u8), number of replies
// (u16), root.
func AppendStatement(b []byte, cluster [32]byte, replica group.ID, count uint16, root wire.Digest) []byte {
	b = append(b, domainReply...)
	b = append(b, cluster[:]...)
	b = append(b, byte(replica))
	b = binary.LittleEndian.AppendUint16(b, count)
	return append(b, root[:]...)
}

// Verifier checks the replies of one replica. It remembers the last batch, so that a batch costs one verification however
// many of its replies arrive one after the other. It is not for concurrent use.
type Verifier struct {
	Cluster [32]byte
	Replica group.ID
	Key     ed25519.PublicKey

	hash      hasher
	statement []byte
	known     []byte // statement that lastSig is a valid signature of
	lastSig   wire.Signature
}

// Verify reports whether the replica signed a reply with this content.
func (v *Verifier) Verify(content []byte, p *Proof) bool {
	if p.Count < 1 || p.Count > MaxBatch || p.Index >= p.Count || len(p.Path) != pathLen(p.Count) {
		return false
	}
	if v.hash.h == nil {
		v.hash = newHasher()
	}
	d := v.hash.leaf(p.Count, p.Index, content)
	at := p.Index
	for i := range p.Path {
		if at&1 == 0 {
			d = v.hash.node(&d, &p.Path[i])
		} else {
			d = v.hash.node(&p.Path[i], &d)
		}
		at >>= 1
	}
	v.statement = AppendStatement(v.statement[:0], v.Cluster, v.Replica, p.Count, d)
	if p.Sig == v.lastSig && string(v.known) == string(v.statement) {
		return true
	}
	if len(v.Key) != ed25519.PublicKeySize || !ed25519.Verify(v.Key, v.statement, p.Sig[:]) {
		return false
	}
	v.known, v.lastSig = append(v.known[:0], v.statement...), p.Sig
	return true
}
