package localframe

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/iotest"

	"github.com/primebft/prime/app"
)

func sample() []app.Record {
	return []app.Record{
		{Epoch: 1, Ordinal: 7, Index: 1, Total: 2, Origin: 3, Client: [32]byte{9, 31: 8}, Seq: 5, Time: -4, Payload: []byte("hello")},
		{Epoch: 1, Ordinal: 7, Index: 2, Total: 2, Origin: 64, Seq: 1 << 63, Payload: bytes.Repeat([]byte{0xff}, 300)},
		{Epoch: 1, Ordinal: 8, Index: 1, Total: 1},
	}
}

func frame(kind byte, body []byte) []byte {
	b, start := Begin([]byte("before"), kind)
	return End(append(b, body...), start)[len("before"):]
}

func TestFrames(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("0123456789"), 30_000)
	stream := append(append(frame(1, nil), frame(2, []byte("x"))...), frame(3, large)...)
	for name, in := range map[string]io.Reader{
		"whole": bytes.NewReader(stream), "bytewise": iotest.OneByteReader(bytes.NewReader(stream)),
	} {
		r := NewReader(in, len(large)+1)
		for want, body := range [][]byte{nil, []byte("x"), large} {
			kind, got, err := r.Next()
			if err != nil || int(kind) != want+1 || !bytes.Equal(got, body) {
				t.Fatalf("%s: frame %d: kind %d, %d bytes, %v", name, want+1, kind, len(got), err)
			}
		}
		if _, _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("%s: after the last: %v", name, err)
		}
	}
}

func TestBadFrames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stream []byte
		want   error
	}{
		"cut in the length": {[]byte{5, 0}, io.ErrUnexpectedEOF},
		"cut in the body":   {[]byte{5, 0, 0, 0, 1, 2}, io.ErrUnexpectedEOF},
		"cut before body":   {[]byte{5, 0, 0, 0}, io.ErrUnexpectedEOF},
		"too long":          {[]byte{11, 0, 0, 0, 1}, ErrTooLong},
		"longest":           {[]byte{0xff, 0xff, 0xff, 0xff, 1}, ErrTooLong},
	} {
		if _, _, err := NewReader(bytes.NewReader(c.stream), 10).Next(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := NewReader(bytes.NewReader(make([]byte, 4)), 10).Next(); err == nil {
		t.Error("a frame without a kind was taken")
	}
}

// TestAnnouncedIsNotAllocated: a length alone takes no memory to speak of.
func TestAnnouncedIsNotAllocated(t *testing.T) {
	t.Parallel()
	r := NewReader(bytes.NewReader([]byte{0, 0, 0, 0x40, 1, 2, 3}), 1<<31-1)
	if _, _, err := r.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if cap(r.buf) > 2*step {
		t.Fatalf("took %d bytes", cap(r.buf))
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	b := AppendRecords(nil, sample())
	c := Read(b)
	got := c.Records(nil)
	if err := c.Done(); err != nil || !reflect.DeepEqual(normal(got), normal(sample())) {
		t.Fatalf("%v\n%v", err, got)
	}
	for n := range len(b) {
		c := Read(b[:n])
		c.Records(nil)
		if c.Done() == nil {
			t.Fatalf("the first %d of %d bytes were taken for the whole", n, len(b))
		}
	}
	c = Read([]byte{0xff, 0xff, 0xff, 0xff, 1, 2, 3})
	if got := c.Records(nil); len(got) != 0 || !c.Short() {
		t.Fatalf("4 billion records in 3 bytes: %d, %v", len(got), c.Done())
	}
}

func normal(records []app.Record) []app.Record {
	out := make([]app.Record, len(records))
	for i, r := range records {
		r.Payload = append([]byte{}, r.Payload...)
		out[i] = r
	}
	return out
}

func TestChunk(t *testing.T) {
	t.Parallel()
	records := sample()
	first := RecordBytes + len(records[0].Payload)
	second := RecordBytes + len(records[1].Payload)
	for _, c := range []struct{ size, want int }{
		{0, 1}, {first, 1}, {first + second - 1, 1}, {first + second, 2}, {first + second + RecordBytes, 3}, {1 << 30, 3},
	} {
		if got := Chunk(records, c.size); got != c.want {
			t.Errorf("Chunk(%d) = %d, want %d", c.size, got, c.want)
		}
	}
	if RecordBytes != len(app.Record{}.AppendCanonical(nil)) {
		t.Error("RecordBytes is not the length of an empty record")
	}
}

func FuzzRecords(f *testing.F) {
	f.Add(AppendRecords(nil, sample()))
	f.Add([]byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		c := Read(b)
		records := c.Records(nil)
		if c.Done() == nil && !bytes.Equal(AppendRecords(nil, records), b) {
			t.Fatal("the encoding is not canonical")
		}
	})
}

func FuzzReader(f *testing.F) {
	f.Add(frame(1, []byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		r := NewReader(bytes.NewReader(b), 1<<10)
		for {
			kind, body, err := r.Next()
			if err != nil {
				break
			}
			again = append(again, frame(kind, body)...)
		}
		if !bytes.HasPrefix(b, again) {
			t.Fatal("frames are not what was read")
		}
	})
}
