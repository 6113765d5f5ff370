package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// checkDecoded fails unless decoding raw is canonical and within its limits; it reports whether raw is a message.
func checkDecoded(t *testing.T, l Limits, raw []byte) bool {
	t.Helper()
	before := slices.Clone(raw)
	e, err := l.Decode(raw)
	if !bytes.Equal(before, raw) {
		t.Fatal("decoding changed its input")
	}
	if err != nil {
		if _, ok := err.(Malformed); !ok || e != nil {
			t.Fatalf("error %T %v with envelope %v", err, err, e)
		}
		return false
	}
	again := reencode(e)
	if !bytes.Equal(again.Raw, raw) {
		t.Fatalf("not canonical:\ngot  %x\nfrom %x", again.Raw, raw)
	}
	if again.Digest != e.Digest || !bytes.Equal(again.Content, e.Content) || !bytes.Equal(e.Raw, raw) {
		t.Fatal("content, digest or raw bytes differ")
	}
	if Digest(sha256.Sum256(slices.Concat([]byte("prime-content-v1\x00"), e.Content))) != e.Digest {
		t.Fatal("digest is not that of the content")
	}
	if len(raw) > l.MaxFrame(e.Kind) {
		t.Fatalf("%v of %d bytes, MaxFrame says %d", e.Kind, len(raw), l.MaxFrame(e.Kind))
	}
	return true
}

// mutate changes raw in one to three places, keeping the length of the content right more often than not.
func mutate(r *rand.Rand, raw, other []byte) []byte {
	b := slices.Clone(raw)
	for range 1 + r.IntN(3) {
		if len(b) < 8 {
			return b
		}
		at := r.IntN(len(b))
		switch r.IntN(8) {
		case 0, 1, 2:
			b[at] ^= 1 << r.IntN(8)
		case 3:
			b[at] = [...]byte{0, 1, 2, 0x7f, 0x80, 0xff}[r.IntN(6)]
		case 4: // a count
			binary.LittleEndian.PutUint32(b[min(at, len(b)-4):], [...]uint32{0, 1, 4, 1 << 16, 1 << 31, 1<<32 - 1}[r.IntN(6)])
		case 5: // cut out
			b = slices.Delete(b, at, min(len(b), at+1+r.IntN(50)))
		case 6: // put in
			b = slices.Insert(b, at, other[r.IntN(len(other)):]...)
		case 7: // exchange
			copy(b[at:], other[r.IntN(len(other)):])
		}
	}
	if proof := proofSize; len(b) > lengthSize+proof && r.IntN(2) == 0 {
		binary.LittleEndian.PutUint32(b, uint32(len(b)-lengthSize-proof))
	}
	return b
}

func TestMutatedInputsAreCanonical(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	l := limitsFor(4)
	l.AckParts, l.Wants, l.UpdateBytes, l.RequestBytes = 50, 50, 1000, 5000
	all := samples(4, false)
	accepted, refused := 0, 0
	for range 20_000 {
		from, other := all[r.IntN(len(all))].env.Raw, all[r.IntN(len(all))].env.Raw
		if checkDecoded(t, l, mutate(r, from, other)) {
			accepted++
		} else {
			refused++
		}
	}
	if accepted < 2000 || refused < 2000 {
		t.Errorf("%d accepted, %d refused: the mutations test nothing", accepted, refused)
	}
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	l := limitsFor(4)
	for _, s := range samples(4, false) {
		for n := range len(s.env.Raw) {
			if _, err := l.Decode(s.env.Raw[:n:n]); err == nil {
				t.Fatalf("%s: %d of %d bytes are accepted", s.name, n, len(s.env.Raw))
			}
		}
		// The same inside: the content ends early, and its length says so.
		for n := range s.env.Content {
			if raw := frame(s.env.Content[:n]); checkDecoded(t, l, raw) {
				t.Fatalf("%s: %d of %d bytes of content are accepted", s.name, n, len(s.env.Content))
			}
		}
		if _, err := l.Decode(append(slices.Clone(s.env.Raw), 0)); err == nil {
			t.Errorf("%s: one byte more is accepted", s.name)
		}
		if _, err := l.Decode(frame(append(slices.Clone(s.env.Content), 0))); err == nil {
			t.Errorf("%s: one byte more of content is accepted", s.name)
		}
	}
}

// frame makes an envelope signed alone of any content.
func frame(content []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(content)))
	b = append(b, content...)
	return append(b, append([]byte{1, 0}, make([]byte, 64)...)...)
}

func FuzzDecode(f *testing.F) {
	for _, n := range []uint8{4, 6} {
		for _, signed := range []bool{false, true} {
			for _, s := range samples(int(n), signed) {
				f.Add(s.env.Raw, n, signed, false)
			}
		}
		for _, s := range thresholdSamples(int(n)) {
			f.Add(s.env.Raw, n, false, true)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, n uint8, signed, threshold bool) {
		l := limitsFor(int(n))
		l.SignedUpdates, l.Threshold = signed, threshold
		checkDecoded(t, l, raw)
	})
}
