package wire

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

func TestReaderFields(t *testing.T) {
	t.Parallel()
	b := slices.Concat([]byte{1, 1, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0x80}, bytes.Repeat([]byte{5}, 32), []byte{6, 7})
	r := NewReader(b)
	if v := r.U8(); v != 1 {
		t.Errorf("U8 %d", v)
	}
	if v := r.Bool(); !v {
		t.Errorf("Bool %v", v)
	}
	if v := r.U16(); v != 2 {
		t.Errorf("U16 %d", v)
	}
	if v := r.U32(); v != 3 {
		t.Errorf("U32 %d", v)
	}
	if v := r.U64(); v != 4|0x80<<56 {
		t.Errorf("U64 %x", v)
	}
	if v := r.Digest(); v[0] != 5 || v[31] != 5 {
		t.Errorf("Digest %v", v)
	}
	if v := r.Bytes(0); v != nil || r.Len() != 2 {
		t.Errorf("Bytes(0) %v, %d left", v, r.Len())
	}
	if v := r.Bytes(2); !bytes.Equal(v, []byte{6, 7}) || &v[0] != &b[len(b)-2] {
		t.Errorf("Bytes %v", v)
	}
	if err := r.Done(); err != nil {
		t.Error(err)
	}
}

// After one failure nothing is read any more and the first reason stays.
func TestReaderErrorIsSticky(t *testing.T) {
	t.Parallel()
	reads := map[string]func(r *Reader) bool{
		"U8":     func(r *Reader) bool { return r.U8() == 0 },
		"U16":    func(r *Reader) bool { return r.U16() == 0 },
		"U32":    func(r *Reader) bool { return r.U32() == 0 },
		"U64":    func(r *Reader) bool { return r.U64() == 0 },
		"number": func(r *Reader) bool { return r.Uvarint() == 0 },
		"Bool":   func(r *Reader) bool { return !r.Bool() },
		"Digest": func(r *Reader) bool { return r.Digest() == Digest{} },
		"Bytes":  func(r *Reader) bool { return r.Bytes(40) == nil },
		"below":  func(r *Reader) bool { return r.Bytes(-1) == nil },
		"Count":  func(r *Reader) bool { return r.Count(10, 1) == 0 },
	}
	for name, read := range reads {
		r := NewReader(nil)
		if !read(&r) || r.Err() != Truncated {
			t.Errorf("%s of nothing: error %v", name, r.Err())
		}
		r = NewReader(bytes.Repeat([]byte{1}, 64))
		r.Fail("first")
		r.Fail("second")
		if !read(&r) || r.Err() != Malformed("first") || r.Done() != Malformed("first") || r.Len() != 0 {
			t.Errorf("%s after a failure: error %v", name, r.Err())
		}
	}
	r := NewReader([]byte{0})
	if r.Done() != Trailing || r.Err() != Trailing {
		t.Errorf("left-over byte: %v", r.Err())
	}
}

func TestReaderCount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		count       byte
		left        int
		limit, size int
		want        int
		err         error
	}{
		{3, 30, 3, 10, 3, nil},
		{0, 30, 3, 10, 0, Malformed("count out of range")},
		{4, 40, 3, 10, 0, Malformed("count out of range")},
		{3, 29, 3, 10, 0, Truncated},
		{1, 0, 3, 10, 0, Truncated},
		{1, 10, 0, 10, 0, Malformed("count out of range")},
		{1, 10, -1, 10, 0, Malformed("count out of range")},
	} {
		r := NewReader(append([]byte{c.count, 0, 0, 0}, make([]byte, c.left)...))
		if got := r.Count(c.limit, c.size); got != c.want || r.Err() != c.err {
			t.Errorf("%+v: got %d, %v", c, got, r.Err())
		}
	}
}

// A number has one encoding, the shortest.
func TestUvarint(t *testing.T) {
	t.Parallel()
	for _, v := range []uint64{0, 1, 127, 128, 300, 1<<32 - 1, 1 << 63, 1<<64 - 1} {
		b := binary.AppendUvarint(nil, v)
		r := NewReader(append(slices.Clone(b), 9))
		if got := r.Uvarint(); got != v || r.Len() != 1 || len(b) != uvarintSize(v) {
			t.Errorf("%d is read as %d, %d bytes left; it takes %d, not %d", v, got, r.Len(), len(b), uvarintSize(v))
		}
	}
	for name, b := range map[string][]byte{
		"longer than it must be": {0x80, 0}, "and longer": {0xff, 0x80, 0}, "too large": bytes.Repeat([]byte{0xff}, 11),
		"65 bits": append(bytes.Repeat([]byte{0xff}, 9), 2),
	} {
		r := NewReader(b)
		if v := r.Uvarint(); v != 0 || r.Err() != Malformed("number") {
			t.Errorf("%s: %d, %v", name, v, r.Err())
		}
	}
}
