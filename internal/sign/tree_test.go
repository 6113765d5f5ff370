package sign

import (
	"crypto/ed25519"
	"crypto/sha256"
	"slices"
	"testing"

	"github.com/primebft/prime/internal/wire"
)

// What is signed is what the package comment says, byte for byte: the tree of three messages, written out.
func TestLayoutOfWhatIsSigned(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, Ed25519{}, nil)
	hash := func(parts ...[]byte) []byte { h := sha256.Sum256(slices.Concat(parts...)); return h[:] }
	text := func(s string) []byte { return []byte(s) }
	batch := c.sign(3, c.statuses(3)...)
	leaf := func(i int) []byte { return hash(text("prime-leaf-v1\x00"), []byte{byte(i)}, batch[i].Digest[:]) }
	node := func(left, right []byte) []byte { return hash(text("prime-node-v1\x00"), left, right) }
	right := node(leaf(2), hash(text("prime-pad-v1\x00")))
	root := node(node(leaf(0), leaf(1)), right)
	cluster, config := make([]byte, 32), make([]byte, 32)
	cluster[0], config[0] = 1, 2 // as newCluster has them
	statement := slices.Concat(text("prime-batch-v1\x00"), cluster, config, []byte{3, 3}, root)
	for i, e := range batch {
		if !ed25519.Verify(c.keyring.PublicKey(3), statement, e.Proof.Sig[:]) {
			t.Errorf("message %d: the signature is not over the statement", i)
		}
	}
	if want := []wire.Digest{wire.Digest(leaf(0)), wire.Digest(right)}; !slices.Equal(batch[1].Proof.Path, want) {
		t.Errorf("path of message 1: %v, want %v", batch[1].Proof.Path, want)
	}
}

func TestImpossibleProofs(t *testing.T) {
	t.Parallel()
	path := make([]wire.Digest, 7)
	for name, tt := range map[string]struct {
		p    wire.Proof
		want bool
	}{
		"alone":           {wire.Proof{Count: 1}, true},
		"last of 64":      {wire.Proof{Count: 64, Index: 63, Path: path[:6]}, true},
		"fifth of 5":      {wire.Proof{Count: 5, Index: 4, Path: path[:3]}, true},
		"of none":         {wire.Proof{}, false},
		"of 65":           {wire.Proof{Count: 65, Path: path[:7]}, false},
		"beyond the last": {wire.Proof{Count: 5, Index: 5, Path: path[:3]}, false},
		"path too short":  {wire.Proof{Count: 5, Index: 4, Path: path[:2]}, false},
		"path too long":   {wire.Proof{Count: 4, Index: 3, Path: path[:3]}, false},
	} {
		if _, got := rootOf(&wire.Digest{}, &tt.p); got != tt.want {
			t.Errorf("%s: possible = %v, want %v", name, got, tt.want)
		}
	}
}
