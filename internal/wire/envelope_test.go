package wire

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"
)

func TestNewEnvelope(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	e := NewEnvelope(Header{Kind: KindCommit, Sender: 3, Epoch: 1, Incarnation: 2}, &Prepare{s.vote()})
	if e.Kind != KindPrepare {
		t.Errorf("kind is %v, not that of the message", e.Kind)
	}
	if e.Raw != nil || e.Proof.Count != 0 {
		t.Errorf("an envelope without a signature has a proof: %+v", e)
	}
	content := slices.Clone(e.Content)
	if e.Digest != Digest(sha256.Sum256(append([]byte("prime-content-v1\x00"), content...))) {
		t.Error("digest is not that of the content")
	}
	e.Finish(s.proof(64))
	if !bytes.Equal(e.Content, content) || !bytes.Equal(e.Raw[lengthSize:lengthSize+len(content)], content) {
		t.Error("Finish changed the content")
	}
}

// A finished envelope is shared: signing its message anew, or appending to its parts, must not reach its bytes.
func TestFinishedBytesStay(t *testing.T) {
	t.Parallel()
	l := limitsFor(4)
	for _, s := range samples(4, false) {
		raw := slices.Clone(s.env.Raw)
		decoded, err := l.Decode(s.env.Raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []*Envelope{decoded, s.env} {
			again := *e
			again.Finish((&sampler{n: 4}).proof(1))
			_ = append(again.Content, 0xff)
			_ = append(e.Content, 0xff)
			_ = append(e.Raw, 0xff)
			if !bytes.Equal(e.Raw, raw) {
				t.Errorf("%s: changed", s.name)
			}
			if !bytes.Equal(again.Content, e.Content) || again.Proof.Count != 1 {
				t.Errorf("%s: signed anew it says something else", s.name)
			}
		}
	}
}

func TestPayloadsAliasTheFrame(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	e, err := limitsFor(4).Decode(s.seal(1, 1, s.request(10)).Raw)
	if err != nil {
		t.Fatal(err)
	}
	payload := e.Msg.(*PreorderRequest).Updates[0].Payload
	at := bytes.Index(e.Raw, payload)
	if len(payload) != 10 || at < 0 || &payload[0] != &e.Raw[at] {
		t.Error("payload was copied")
	}
	if cap(payload) != len(payload) {
		t.Error("appending to a payload would change the frame")
	}
}

func TestEmbeddingUnsignedPanics(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	rows := make(Rows, 4)
	rows[0] = NewEnvelope(Header{Sender: 1}, s.summary())
	defer func() {
		if recover() == nil {
			t.Error("an unsigned row was embedded")
		}
	}()
	NewEnvelope(Header{Sender: 1}, &SummaryMatrix{1, rows})
}

func TestStatements(t *testing.T) {
	t.Parallel()
	base := HashIncarnations(1, []uint32{1, 2})
	for _, other := range []Digest{
		HashIncarnations(2, []uint32{1, 2}), HashIncarnations(1, []uint32{2, 1}), HashIncarnations(1, []uint32{1, 2, 0}),
		HashIncarnations(1, []uint32{1}), HashIncarnations(1, nil),
	} {
		if other == base {
			t.Error("two memberships have one hash")
		}
	}
	u := Update{Client: ClientID{1}, Seq: 2, Payload: []byte("x")}
	said := UpdateStatement([32]byte{9}, &u)
	sum := sha256.Sum256([]byte("x"))
	cluster := [32]byte{9}
	want := slices.Concat([]byte("prime-update-v1\x00"), cluster[:], u.Client[:], []byte{2, 0, 0, 0, 0, 0, 0, 0}, sum[:])
	if !bytes.Equal(said, want) || len(said) != UpdateStatementSize {
		t.Errorf("statement is %x, want %x", said, want)
	}
	u.Sig[0] = 1
	if !bytes.Equal(UpdateStatement(cluster, &u), want) {
		t.Error("the signature is part of what is signed")
	}
}

func TestKindNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for k := range 256 {
		name := Kind(k).String()
		if known := topLevel.has(Kind(k)); known == (name == "unknown") || known && seen[name] {
			t.Errorf("kind %d is %q", k, name)
		}
		seen[name] = true
	}
}
