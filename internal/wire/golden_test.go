package wire

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/primebft/prime/internal/group"
)

var update = flag.Bool("update", false, "write the golden vectors anew")

// Every layout is pinned by a file in testdata, in hex, 32 bytes a line. A change there is a change of the protocol: it needs
// a new Version.
func TestGolden(t *testing.T) {
	t.Parallel()
	all := samples(4, false)
	client := &sampler{n: 4, signed: true}
	all = append(all, sample{"preorder_request_signed", client.seal(1, 3, client.request(5, 0, 200))})
	all = append(all, thresholdSamples(4)...)
	for _, s := range all {
		golden(t, s.name+".hex", s.env.Raw)
		golden(t, s.name+".digest.hex", s.env.Digest[:])
	}
	incarnations := HashIncarnations(3, []uint32{1, 2, 3, 4})
	golden(t, "incarnations.hex", incarnations[:])
	states := &sampler{n: 4}
	resolution, bindings := states.resolution(nil)
	window, digest := bindings.Digest(7, resolution.View, resolution.Base), resolution.Digest()
	golden(t, "window_digest.hex", window[:])
	golden(t, "resolution.hex", digest[:])
	golden(t, "update_statement.hex", UpdateStatement([32]byte{1, 2, 3}, &client.request(20).Updates[0]))
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	var lines strings.Builder
	for rest := got; len(rest) > 0; {
		n := min(32, len(rest))
		lines.WriteString(hex.EncodeToString(rest[:n]) + "\n")
		rest = rest[n:]
	}
	if *update {
		if err := os.WriteFile(path, []byte(lines.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines.String() != string(want) {
		t.Errorf("%s changed; if that is intended, go test ./internal/wire -update\ngot\n%swant\n%s", name, &lines, want)
	}
}

// unhex joins fields written in hex.
func unhex(t *testing.T, fields ...string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(fields, ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Two envelopes written out by hand from docs/wire.md, so that the golden files are not only what the encoder says.
func TestLayoutByHand(t *testing.T) {
	t.Parallel()
	l := limitsFor(4)
	sig := strings.Repeat("5a", 64)
	summary := unhex(t,
		"25000000", // content: 11 + 16 + 1 + 3*2 + 3 = 37 bytes
		"01", "03", "02", "07000000", "09000000",
		"0500000000000000", "feffffffffffffff", // number 5, time -2
		"04",
		"01"+"0a", "02"+"0b", "03"+"8c01", "00"+"00", // 140 is 0x8c, 0x01
		"01", "00", sig,
	)
	e, err := l.Decode(summary)
	if err != nil {
		t.Fatal(err)
	}
	m, ok := e.Msg.(*Summary)
	if !ok || e.Header != (Header{KindSummary, 2, 7, 9}) || m.Number != 5 || m.Time != -2 || len(m.Vector) != 4 ||
		m.Vector[1] != (Position{2, 11}) || m.Vector[2] != (Position{3, 140}) || m.Vector[3] != (Position{}) || e.Proof.Sig[63] != 0x5a {
		t.Errorf("decoded %+v %+v", e.Header, e.Msg)
	}
	ack := unhex(t,
		"54000000", // content: 11 + 32 + 4 + 37 = 84 bytes
		"01", "02", "03", "07000000", "01000000",
		strings.Repeat("aa", 32),
		"01000000",
		"04", "02", "9144", strings.Repeat("bb", 32), "01",
		"02", "01", strings.Repeat("cc", 32), sig,
	)
	if e, err = l.Decode(ack); err != nil {
		t.Fatal(err)
	}
	a, ok := e.Msg.(*PreorderAck)
	if !ok || a.Incarnations[0] != 0xaa || len(a.Parts) != 1 || a.Parts[0].Digest[31] != 0xbb || !a.Parts[0].Certified ||
		a.Parts[0].ID != (PreorderID{4, Position{2, 0x2211}}) || e.Proof.Index != 1 || e.Proof.Path[0][0] != 0xcc {
		t.Errorf("decoded %+v %+v", e.Header, e.Msg)
	}
	if e.Sender != group.ID(3) {
		t.Errorf("sender is %v", e.Sender)
	}
}
