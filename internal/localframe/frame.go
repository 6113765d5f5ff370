// Package localframe is the form of what travels over the sockets in a replica's folder: frames of a kind and a body, with
// their length before them, and inside a body integers in little-endian order.
//
// Nothing here believes a length: a frame longer than the reader's limit ends the conversation, memory is taken as bytes
// arrive and not as they are announced, and a Cursor gives zero values and remembers the fault when a body is too short.
package localframe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/primebft/prime/app"
)

// What is wrong with a frame's length.
var (
	ErrTooLong = errors.New("frame is too long") // longer than its reader accepts
	ErrNoKind  = errors.New("frame without a kind")
)

const (
	lengthBytes = 4
	step        = 64 << 10 // memory is taken in steps of this size while a frame arrives
)

// Begin appends the start of a frame and returns where it starts. The body is appended after it, then End completes it.
func Begin(b []byte, kind byte) ([]byte, int) {
	start := len(b)
	return append(b, 0, 0, 0, 0, kind), start
}

// End completes the frame that starts at start.
func End(b []byte, start int) []byte {
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-lengthBytes))
	return b
}

// Reader takes frames from a stream.
type Reader struct {
	r     io.Reader
	limit int
	head  [lengthBytes]byte
	buf   []byte
}

// NewReader returns a reader of frames whose kind and body have at most limit bytes together.
func NewReader(r io.Reader, limit int) *Reader { return &Reader{r: r, limit: limit} }

// Next returns the next frame. body is valid until Next is called again. io.EOF means that the stream ended between two
// frames; io.ErrUnexpectedEOF, that it ended inside one.
func (r *Reader) Next() (kind byte, body []byte, err error) {
	if _, err := io.ReadFull(r.r, r.head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint32(r.head[:])
	if n < 1 {
		return 0, nil, ErrNoKind
	}
	if uint64(n) > uint64(r.limit) {
		return 0, nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTooLong, n, r.limit)
	}
	size := int(n)
	r.buf = r.buf[:0]
	for len(r.buf) < size {
		have := len(r.buf)
		want := min(size, have+step)
		if cap(r.buf) < want {
			grown := make([]byte, have, max(want, min(size, 2*cap(r.buf))))
			copy(grown, r.buf)
			r.buf = grown
		}
		r.buf = r.buf[:want]
		if _, err := io.ReadFull(r.r, r.buf[have:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, nil, err
		}
	}
	return r.buf[0], r.buf[1:], nil
}

// Cursor takes a body apart. Taking more than there is gives zero values and makes Done report the fault.
type Cursor struct {
	rest  []byte
	short bool
}

// Read returns a cursor at the start of b.
func Read(b []byte) Cursor { return Cursor{rest: b} }

// Bytes takes n bytes, which belong to the body.
func (c *Cursor) Bytes(n int) []byte {
	if n < 0 || n > len(c.rest) {
		c.rest, c.short = nil, true
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

// Rest takes everything that is left.
func (c *Cursor) Rest() []byte { return c.Bytes(len(c.rest)) }

// Len is how many bytes are left.
func (c *Cursor) Len() int { return len(c.rest) }

// U8 takes a byte.
func (c *Cursor) U8() byte {
	if b := c.Bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 takes two bytes.
func (c *Cursor) U16() uint16 {
	if b := c.Bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// U32 takes four bytes.
func (c *Cursor) U32() uint32 {
	if b := c.Bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// U64 takes eight bytes.
func (c *Cursor) U64() uint64 {
	if b := c.Bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Key takes 32 bytes.
func (c *Cursor) Key() (k [32]byte) {
	copy(k[:], c.Bytes(len(k)))
	return k
}

// Short reports whether more was taken than there was.
func (c *Cursor) Short() bool { return c.short }

// Done is the error of a body that was too short, or that has bytes left over.
func (c *Cursor) Done() error {
	if c.short {
		return errors.New("frame ends too early")
	}
	if len(c.rest) > 0 {
		return fmt.Errorf("frame has %d bytes too many", len(c.rest))
	}
	return nil
}

// RecordBytes is the length of a record without its payload, in the form of app.Record.AppendCanonical.
const RecordBytes = 4 + 8 + 4 + 4 + 1 + 32 + 8 + 8 + 4

// Record takes a record in the form of app.Record.AppendCanonical. Its payload belongs to the body.
func (c *Cursor) Record() app.Record {
	r := app.Record{Epoch: c.U32(), Ordinal: c.U64(), Index: c.U32(), Total: c.U32(), Origin: int(c.U8()),
		Client: c.Key(), Seq: c.U64(), Time: int64(c.U64())}
	if n := c.U32(); uint64(n) > uint64(len(c.rest)) {
		c.rest, c.short = nil, true
	} else {
		r.Payload = c.Bytes(int(n))
	}
	return r
}

// Chunk is how many of the records fit into a frame of about size bytes: at least one.
func Chunk(records []app.Record, size int) int {
	bytes := 0
	for i := range records {
		bytes += RecordBytes + len(records[i].Payload)
		if i > 0 && bytes > size {
			return i
		}
	}
	return len(records)
}

// AppendRecords appends a count and the records.
func AppendRecords(b []byte, records []app.Record) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(records)))
	for i := range records {
		b = records[i].AppendCanonical(b)
	}
	return b
}

// Records takes a count and that many records, whose payloads belong to the body. Memory is taken for no more records
// than can be there.
func (c *Cursor) Records(into []app.Record) []app.Record {
	n := c.U32()
	if uint64(n)*RecordBytes > uint64(len(c.rest)) {
		c.rest, c.short = nil, true
		return into
	}
	for range n {
		into = append(into, c.Record())
	}
	return into
}
