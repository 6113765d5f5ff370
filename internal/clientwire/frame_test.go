package clientwire

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/primebft/prime/internal/wire"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/golden.txt anew")

// numbered returns n bytes that count up from the first, so that a vector shows which field is where.
func numbered(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

func sampleReply() Reply {
	return Reply{Epoch: 3, Ordinal: 0x1122334455667788, Index: 9, Client: wire.ClientID(numbered(0x40, 32)),
		Seq: 0x0102030405060708, Result: []byte("done")}
}

type sample struct {
	name  string
	frame []byte
}

func samples() []sample {
	signed := sampleReply()
	signed.Signed = true
	signed.Proof = Proof{Count: 3, Index: 2, Path: []wire.Digest{wire.Digest(numbered(0x60, 32)), wire.Digest(numbered(0x80, 32))},
		Sig: wire.Signature(numbered(0xa0, 64))}
	plain := sampleReply()
	return []sample{
		{"hello", AppendHello(nil, Hello{Version: 1, Cluster: [32]byte(numbered(0x20, 32)), Epoch: 3, Signed: true})},
		{"welcome", AppendWelcome(nil, Welcome{Version: 1, Cluster: [32]byte(numbered(0x20, 32)), Epoch: 3, Replica: 4,
			Sizes: [2]uint8{1, 0}, Auth: AuthReplica, Window: 1024, UpdateBytes: 65536})},
		{"reject", AppendReject(nil, Reject{Code: WrongVersion, Version: 1, Text: "no"})},
		{"submit", AppendSubmit(nil, &Submit{Seq: 0x0102030405060708, Payload: []byte("op")})},
		{"submit, empty", AppendSubmit(nil, &Submit{Seq: 1})},
		{"submit, signed", AppendSubmit(nil, &Submit{Seq: 0x0102030405060708, Signed: true,
			Sig: wire.Signature(numbered(0xa0, 64)), Payload: []byte("op")})},
		{"reply", AppendReply(nil, &plain)},
		{"reply, signed", AppendReply(nil, &signed)},
		{"refused", AppendRefused(nil, Refused{Seq: 0x0102030405060708, Why: Overloaded})},
		{"ping", AppendPing(nil, KindPing, 7)},
		{"pong", AppendPing(nil, KindPong, 7)},
	}
}

// again parses a frame and encodes what it read.
func again(frame []byte) ([]byte, error) {
	kind, size, err := ParseHeader(frame[:min(len(frame), HeaderSize)], MaxReply)
	if err != nil {
		return nil, err
	}
	if size != len(frame)-HeaderSize {
		return nil, wire.Truncated
	}
	body := frame[HeaderSize:]
	switch kind {
	case KindHello:
		h, err := ParseHello(body)
		if err == nil && h.Version != Version {
			err = wire.Malformed("another version")
		}
		return AppendHello(nil, h), err
	case KindWelcome:
		w, err := ParseWelcome(body)
		return AppendWelcome(nil, w), err
	case KindReject:
		j, err := ParseReject(body)
		return AppendReject(nil, j), err
	case KindSubmit:
		s, err := ParseSubmit(body)
		return AppendSubmit(nil, &s), err
	case KindReply:
		r, content, err := ParseReply(body)
		if err == nil && !bytes.Equal(content, AppendContent(nil, &r)) {
			err = wire.Malformed("content is not the canonical one")
		}
		return AppendReply(nil, &r), err
	case KindRefused:
		f, err := ParseRefused(body)
		return AppendRefused(nil, f), err
	case KindPing, KindPong:
		n, err := ParsePing(body)
		return AppendPing(nil, kind, n), err
	default:
		return nil, wire.Malformed("unknown kind")
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, s := range samples() {
		b.WriteString(s.name + ": " + hex.EncodeToString(s.frame) + "\n")
	}
	b.WriteString(goldenProof(t))
	const path = "testdata/golden.txt"
	if *rewrite {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the format has changed; have\n%s", b.String())
	}
	doc, err := os.ReadFile("../../docs/client-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(want)) {
		if !strings.Contains(string(doc), line) {
			t.Errorf("docs/client-protocol.md does not have %s", line)
		}
	}
}

func TestRoundTripAndEveryCut(t *testing.T) {
	t.Parallel()
	for _, s := range samples() {
		if b, err := again(s.frame); err != nil || !bytes.Equal(b, s.frame) {
			t.Errorf("%s: %v\n%x", s.name, err, b)
		}
		for n := range s.frame {
			cut := finish(bytes.Clone(s.frame[:max(n, HeaderSize)]), 0) // with a length that fits
			if b, err := again(cut); err == nil && !bytes.Equal(b, cut) {
				t.Errorf("%s cut to %d: accepted and not canonical", s.name, n)
			} else if err == nil && !strings.HasPrefix(s.name, "submit") && s.name != "reply, signed" && len(cut) < len(s.frame) {
				t.Errorf("%s cut to %d was accepted", s.name, n)
			}
		}
		if longer := finish(append(bytes.Clone(s.frame), 0), 0); !strings.HasPrefix(s.name, "submit") {
			if _, err := again(longer); err == nil {
				t.Errorf("%s with a byte more was accepted", s.name)
			}
		}
	}
}

func TestOutOfRange(t *testing.T) {
	t.Parallel()
	change := func(frame []byte, at int, to ...byte) []byte {
		b := bytes.Clone(frame)
		copy(b[at:], to)
		return b
	}
	all := map[string][]byte{}
	for _, s := range samples() {
		all[s.name] = s.frame
	}
	for name, frame := range map[string][]byte{
		"kind 0":               change(all["ping"], 4, 0),
		"hello, flags":         change(all["hello"], 43, 3),
		"welcome, replica 0":   change(all["welcome"], 43, 0),
		"welcome, replica 65":  change(all["welcome"], 43, 65),
		"welcome, auth":        change(all["welcome"], 46, 3),
		"welcome, window 0":    change(all["welcome"], 47, 0, 0),
		"welcome, huge update": change(all["welcome"], 54, 1),
		"reject, code":         change(all["reject"], 5, 99),
		"reject, not UTF-8":    change(all["reject"], 10, 0xff),
		"submit, flags":        change(all["submit"], 13, 2),
		"reply, huge result":   change(all["reply"], 61, 1, 0, 16, 0),
		"reply, count 0":       change(all["reply, signed"], 69, 0),
		"reply, index = count": change(all["reply, signed"], 71, 3),
		"reply, count 257":     change(all["reply, signed"], 69, 1, 1),
		"refused, why 0":       change(all["refused"], 13, 0),
		"refused, why 8":       change(all["refused"], 13, 8),
	} {
		if _, err := again(frame); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, err := ParseSubmit(make([]byte, submitSize+MaxPayload+1)); err == nil {
		t.Error("a payload over the limit was accepted")
	}
	if s, err := ParseSubmit(make([]byte, submitSize+MaxPayload)); err != nil || len(s.Payload) != MaxPayload {
		t.Error("a payload at the limit was refused")
	}
	if j, err := ParseReject(AppendReject(nil, Reject{Code: BadFrame, Text: strings.Repeat("é", 300)})[HeaderSize:]); err != nil || len(j.Text) != MaxText {
		t.Errorf("a long text: %d bytes, %v", len(j.Text), err)
	}
	if j, err := ParseReject(AppendReject(nil, Reject{Code: BadFrame, Text: "x" + strings.Repeat("é", 300)})[HeaderSize:]); err != nil || len(j.Text) != MaxText-1 {
		t.Errorf("a long text cut in a letter: %d bytes, %v", len(j.Text), err)
	}
}

// FuzzFrame: any bytes give a frame or an error, and an accepted frame is the only encoding of what it says.
func FuzzFrame(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if b, err := again(frame); err == nil && !bytes.Equal(b, frame) {
			t.Fatalf("read\n%x\nwrote\n%x", frame, b)
		}
	})
}
