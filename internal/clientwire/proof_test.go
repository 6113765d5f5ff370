package clientwire

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/primebft/prime/internal/wire"
)

var replicaKey = ed25519.NewKeyFromSeed(numbered(1, 32))

// signBatch makes signed replies the way a replica does.
func signBatch(t testing.TB, cluster [32]byte, n int) (replies []Reply, contents [][]byte) {
	t.Helper()
	for i := range n {
		r := sampleReply()
		r.Seq = uint64(i + 1)
		replies = append(replies, r)
		contents = append(contents, AppendContent(nil, &r))
	}
	var tree Tree
	tree.Build(contents)
	sig := ed25519.Sign(replicaKey, AppendStatement(nil, cluster, 4, uint16(n), tree.Root()))
	for i := range replies {
		replies[i].Signed = true
		tree.Prove(i, &replies[i].Proof)
		copy(replies[i].Proof.Sig[:], sig)
	}
	return replies, contents
}

func verifier(cluster [32]byte) *Verifier {
	return &Verifier{Cluster: cluster, Replica: 4, Key: replicaKey.Public().(ed25519.PublicKey)}
}

// goldenProof is one whole signed batch for the documentation.
func goldenProof(t testing.TB) string {
	cluster := [32]byte(numbered(0x20, 32))
	replies, _ := signBatch(t, cluster, 3)
	s := "batch, public key: " + hex.EncodeToString(replicaKey.Public().(ed25519.PublicKey)) + "\n"
	for i := range replies {
		s += fmt.Sprintf("batch, reply %d: %x\n", i, AppendReply(nil, &replies[i]))
	}
	u := wire.Update{Client: wire.ClientID(replicaKey.Public().(ed25519.PublicKey)), Seq: 7, Payload: []byte("op")}
	statement := wire.UpdateStatement(cluster, &u)
	s += fmt.Sprintf("update, statement: %x\n", statement)
	return s + fmt.Sprintf("update, signature: %x\n", ed25519.Sign(replicaKey, statement))
}

func TestEveryReplyOfABatch(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 4, 5, 31, 32, 33, 255, 256} {
		replies, contents := signBatch(t, [32]byte{1}, n)
		one := verifier([32]byte{1})
		for i := range replies {
			if !one.Verify(contents[i], &replies[i].Proof) {
				t.Errorf("reply %d of %d is not verified", i, n)
			}
			body := AppendReply(nil, &replies[i])[HeaderSize:]
			if r, content, err := ParseReply(body); err != nil || !verifier([32]byte{1}).Verify(content, &r.Proof) {
				t.Errorf("reply %d of %d is not verified after a journey: %v", i, n, err)
			}
		}
	}
}

// plainRoot is the tree in the fewest words.
func plainRoot(contents [][]byte) [32]byte {
	var level [][32]byte
	for i, c := range contents {
		head := binary.LittleEndian.AppendUint16([]byte{0}, uint16(len(contents)))
		level = append(level, sha256.Sum256(append(binary.LittleEndian.AppendUint16(head, uint16(i)), c...)))
	}
	for len(level)&(len(level)-1) != 0 {
		level = append(level, [32]byte{})
	}
	for len(level) > 1 {
		var up [][32]byte
		for i := 0; i < len(level); i += 2 {
			up = append(up, sha256.Sum256(append(append([]byte{1}, level[i][:]...), level[i+1][:]...)))
		}
		level = up
	}
	return level[0]
}

func TestRootAgainstPlain(t *testing.T) {
	t.Parallel()
	var tree Tree
	for n := 1; n <= 256; n += 1 + n/9 {
		_, contents := signBatch(t, [32]byte{}, n)
		if tree.Build(contents); tree.Root() != wire.Digest(plainRoot(contents)) {
			t.Errorf("root of %d", n)
		}
	}
}

// TestEveryForgery: a change of any byte of a signed reply, or its proof for another cluster, replica or place, is not
// verified; the memory of the last good batch does not change that.
func TestEveryForgery(t *testing.T) {
	t.Parallel()
	replies, contents := signBatch(t, [32]byte{1}, 5)
	v := verifier([32]byte{1})
	whole := AppendReply(nil, &replies[3])[HeaderSize:]
	for i := range whole {
		if i%3 == 0 && !v.Verify(contents[3], &replies[3].Proof) {
			t.Fatal("the genuine reply is not verified")
		}
		forged := bytes.Clone(whole)
		forged[i] ^= 1 << (i % 8)
		if r, content, err := ParseReply(forged); err == nil && r.Signed && v.Verify(content, &r.Proof) {
			t.Errorf("verified with byte %d changed", i)
		}
	}
	p := replies[3].Proof
	for name, x := range map[string]struct {
		v       *Verifier
		content []byte
		p       Proof
	}{
		"other cluster":    {verifier([32]byte{2}), contents[3], p},
		"other replica":    {&Verifier{Cluster: [32]byte{1}, Replica: 3, Key: v.Key}, contents[3], p},
		"other key":        {&Verifier{Cluster: [32]byte{1}, Replica: 4, Key: v.Key[1:]}, contents[3], p},
		"sibling's proof":  {v, contents[3], replies[2].Proof},
		"sibling's reply":  {v, contents[2], p},
		"longer path":      {v, contents[3], Proof{p.Count, p.Index, append(p.Path[:3:3], wire.Digest{}), p.Sig}},
		"shorter path":     {v, contents[3], Proof{p.Count, p.Index, p.Path[:2], p.Sig}},
		"other count":      {v, contents[3], Proof{6, p.Index, p.Path, p.Sig}},
		"other place":      {v, contents[3], Proof{p.Count, 2, p.Path, p.Sig}},
		"place over count": {v, contents[3], Proof{p.Count, 11, p.Path, p.Sig}},
		"count 0":          {v, contents[3], Proof{0, 0, nil, p.Sig}},
		"no signature":     {v, contents[3], Proof{p.Count, p.Index, p.Path, wire.Signature{}}},
	} {
		if x.v.Verify(x.content, &x.p) {
			t.Errorf("%s: verified", name)
		}
	}
}

// TestNodeIsNoLeaf: an inner node cannot be presented as a reply.
func TestNodeIsNoLeaf(t *testing.T) {
	t.Parallel()
	replies, contents := signBatch(t, [32]byte{1}, 4)
	h := newHasher()
	left, right := h.leaf(4, 0, contents[0]), h.leaf(4, 1, contents[1])
	node := append(append([]byte{}, left[:]...), right[:]...)
	for count := uint16(1); count <= 4; count++ {
		if verifier([32]byte{1}).Verify(node, &Proof{count, 0, replies[0].Proof.Path[1:], replies[0].Proof.Sig}) {
			t.Errorf("verified with count %d", count)
		}
	}
}

func BenchmarkSignBatch(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			_, contents := signBatch(b, [32]byte{1}, n)
			var tree Tree
			var p Proof
			var statement, frame []byte
			r := sampleReply()
			b.ReportAllocs()
			for b.Loop() {
				tree.Build(contents)
				statement = AppendStatement(statement[:0], [32]byte{1}, 4, uint16(n), tree.Root())
				copy(p.Sig[:], ed25519.Sign(replicaKey, statement))
				frame = frame[:0]
				for i := range n {
					tree.Prove(i, &p)
					r.Signed, r.Proof = true, p
					frame = AppendReply(frame, &r)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/reply")
		})
	}
}

func BenchmarkVerifyReply(b *testing.B) {
	replies, contents := signBatch(b, [32]byte{1}, 256)
	v := verifier([32]byte{1})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if k := i % 256; !v.Verify(contents[k], &replies[k].Proof) {
			b.Fatal("not verified")
		}
	}
}
