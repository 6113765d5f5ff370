package bls

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/primebft/prime/threshold"
)

var update = flag.Bool("update", false, "write the golden vectors anew")

// TestGolden: keys, shares and signatures are the bytes that they always were. A change in testdata is a change of the protocol:
// replicas with another version of this package, or of the curve library, would refuse each other's shares.
func TestGolden(t *testing.T) {
	t.Parallel()
	k, err := DealFrom(bytes.NewReader(bytes.Repeat([]byte("seeds"), 100)), 4, 3)
	if err != nil {
		t.Fatal(err)
	}
	groups := open(t, k, 3)
	message := []byte("what follows")
	var lines []string
	line := func(name string, b []byte) { lines = append(lines, name+" "+hex.EncodeToString(b)) }
	var shares []threshold.Signature
	for i := range groups {
		line("public", k.Public[i])
		line("secret", k.Secrets[i])
		s := groups[i].Sign(message)
		line("share", s[:])
		shares = append(shares, s)
	}
	sig, err := groups[0].Combine([]int{4, 2, 1}, []threshold.Signature{shares[3], shares[1], shares[0]})
	if err != nil {
		t.Fatal(err)
	}
	line("signature", sig[:])
	got := strings.Join(lines, "\n") + "\n"
	path := filepath.Join("testdata", "golden.txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("%v\ngot\n%swant\n%s", err, got, want)
	}
}
