package wire

import "encoding/binary"

// Malformed says why bytes are not a message. It is one of a fixed set of constants, so that it can be counted without a
// peer being able to grow the set.
type Malformed string

// Error implements error.
func (m Malformed) Error() string { return "wire: malformed: " + string(m) }

// Reasons that the Reader itself gives.
const (
	Truncated = Malformed("ends too early")
	Trailing  = Malformed("bytes after the end")
)

// Reader takes little-endian fields from the front of a byte slice. Its error is sticky: after the first failure
// every method returns zero values, so callers read on and look at Err or Done once. The zero Reader is empty. It is total:
// no input makes it panic.
type Reader struct {
	rest []byte
	err  error
}

// NewReader returns a Reader of b. What Bytes returns aliases b.
func NewReader(b []byte) Reader { return Reader{rest: b} }

// Len is how many bytes have not been read; 0 after a failure.
func (r *Reader) Len() int { return len(r.rest) }

// Err is the first failure, or nil.
func (r *Reader) Err() error { return r.err }

// Done is the first failure, or Trailing if bytes are left, or nil.
func (r *Reader) Done() error {
	if r.err == nil && len(r.rest) > 0 {
		r.Fail(Trailing)
	}
	return r.err
}

// Fail records a failure unless there is one already, and drops what has not been read.
func (r *Reader) Fail(why Malformed) {
	if r.err == nil {
		r.err = why
	}
	r.rest = nil
}

// Check is Fail(why) unless ok.
func (r *Reader) Check(ok bool, why Malformed) {
	if !ok {
		r.Fail(why)
	}
}

// Bytes reads n bytes without copying them; nil after a failure and for n = 0. The capacity ends with the bytes, so that an
// append by the caller copies.
func (r *Reader) Bytes(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.Fail(Truncated)
		return nil
	}
	if n == 0 {
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// U8 reads one byte.
func (r *Reader) U8() uint8 {
	if len(r.rest) < 1 {
		r.Fail(Truncated)
		return 0
	}
	v := r.rest[0]
	r.rest = r.rest[1:]
	return v
}

// Bool reads one byte, which must be 0 or 1.
func (r *Reader) Bool() bool {
	v := r.U8()
	r.Check(v <= 1, "boolean")
	return v == 1
}

// U16 reads two bytes.
func (r *Reader) U16() uint16 {
	if len(r.rest) < 2 {
		r.Fail(Truncated)
		return 0
	}
	v := binary.LittleEndian.Uint16(r.rest)
	r.rest = r.rest[2:]
	return v
}

// U32 reads four bytes.
func (r *Reader) U32() uint32 {
	if len(r.rest) < 4 {
		r.Fail(Truncated)
		return 0
	}
	v := binary.LittleEndian.Uint32(r.rest)
	r.rest = r.rest[4:]
	return v
}

// U64 reads eight bytes.
func (r *Reader) U64() uint64 {
	if len(r.rest) < 8 {
		r.Fail(Truncated)
		return 0
	}
	v := binary.LittleEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return v
}

// Uvarint reads a number in seven bits a byte, the lowest first. It must be as short as possible.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	switch {
	case n == 0:
		r.Fail(Truncated)
		return 0
	case n < 0 || n > 1 && r.rest[n-1] == 0:
		r.Fail("number")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// Digest reads 32 bytes.
func (r *Reader) Digest() (d Digest) {
	copy(d[:], r.Bytes(len(d)))
	return d
}

// Count reads a u32 count of things of which each takes at least size bytes, and fails unless it is in 1..limit and so many
// can be left: whoever allocates by it allocates no more than the sender sent.
func (r *Reader) Count(limit, size int) int {
	n := int64(r.U32())
	if r.err != nil {
		return 0
	}
	if n < 1 || n > int64(limit) {
		r.Fail("count out of range")
		return 0
	}
	if n > int64(len(r.rest)/size) {
		r.Fail(Truncated)
		return 0
	}
	return int(n)
}

// Count0 is Count for a list that may be empty.
func (r *Reader) Count0(limit, size int) int {
	if ahead := *r; ahead.U32() == 0 && ahead.Err() == nil {
		*r = ahead
		return 0
	}
	return r.Count(limit, size)
}
