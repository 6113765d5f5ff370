package datagram

import (
	"bytes"
	"encoding/binary"
	"math"
)

// The records of a body. A segment or padding is the last one: it reaches to the end.
const (
	recordAck     = 1
	recordPing    = 2
	recordPong    = 3
	recordSegment = 4
	recordPadding = 5 // zeros to the end, so that a probe is as large as a datagram may be
)

// The chunks of a segment.
const (
	chunkWhole     = 1 // a message
	chunkFragment  = 2 // a part of one
	chunkAbandoned = 3 // nothing more will come of a message
)

const (
	ackHeader  = 1 + 1 + 4 + 2 + 2 + 8 // record, ranges and busy, upTo, beyond, delay, receipt
	rangeSize  = 2 + 2
	pingSize   = 1 + 8
	ackMaximum = ackHeader + maxRanges*rangeSize
)

// ackBusy is in the byte with the number of ranges; delayUnit is what delays are sent in, microseconds.
const (
	ackBusy   = 0x80
	delayUnit = 32
)

// span is a run of missing segments: the first, counted from upTo+1 as 0, and how many.
type span struct{ first, count uint16 }

// ack says which segments have arrived: all up to upTo, and those up to upTo+beyond that are in no range.
type ack struct {
	busy    bool   // no room: send nothing new
	upTo    uint64 // decoded: the low 32 bits
	beyond  uint16
	delay   uint32 // microseconds since the latest segment arrived
	receipt uint64 // XOR of the secrets of all segments that have arrived
	missing []span // ascending, apart from each other
}

// chunk is a part of a segment's content.
type chunk struct {
	kind         byte
	index, count byte   // of a fragment
	id           uint64 // of the message that a fragment is of: the number of the segment with the first; not sent with fragments
	total        uint32 // bytes of that message
	bytes        []byte
	message      []byte // where bytes were cut from; only where they are sent
}

// extent is where a fragment is in its message: all but the last have the same size.
func (c *chunk) extent() (from, to int) {
	unit := (int(c.total) + int(c.count) - 1) / int(c.count)
	from = int(c.index) * unit
	return from, min(from+unit, int(c.total))
}

// size is what a chunk takes in a body.
func (c *chunk) size() int {
	switch c.kind {
	case chunkWhole:
		return wholeHeader + len(c.bytes)
	case chunkFragment:
		return fragmentHeader + len(c.bytes)
	}
	return abandonedHeader
}

func (a *ack) append(b []byte) []byte {
	count := byte(len(a.missing))
	if a.busy {
		count |= ackBusy
	}
	b = append(b, recordAck, count)
	b = binary.LittleEndian.AppendUint32(b, uint32(a.upTo))
	b = binary.LittleEndian.AppendUint16(b, a.beyond)
	b = binary.LittleEndian.AppendUint16(b, uint16(min(a.delay/delayUnit, math.MaxUint16)))
	b = binary.LittleEndian.AppendUint64(b, a.receipt)
	for _, r := range a.missing {
		b = binary.LittleEndian.AppendUint16(b, r.first)
		b = binary.LittleEndian.AppendUint16(b, r.count)
	}
	return b
}

func (c *chunk) append(b []byte) []byte {
	b = append(b, c.kind)
	switch c.kind {
	case chunkWhole:
		b = binary.LittleEndian.AppendUint16(b, uint16(len(c.bytes)))
	case chunkFragment:
		b = append(b, c.index, c.count, byte(c.total), byte(c.total>>8), byte(c.total>>16))
	case chunkAbandoned:
		return binary.LittleEndian.AppendUint32(b, uint32(c.id))
	}
	return append(b, c.bytes...)
}

// body is what a datagram says. Its memory is used again for the next.
type body struct {
	ack        ack
	hasAck     bool
	ping, pong uint64
	hasPing    bool
	hasPong    bool
	hasSegment bool
	number     uint64 // decoded: the low 32 bits
	secret     uint64
	padding    int     // bytes of padding, its record included
	chunks     []chunk // their bytes are parts of what was decoded
}

// decode reads a body. Every byte counts: what no correct replica sends is ErrBroken.
func (d *body) decode(b []byte) error {
	*d = body{ack: ack{missing: d.ack.missing[:0]}, chunks: d.chunks[:0]}
	if len(b) == 0 || len(b) > BodySize {
		return ErrBroken
	}
	last := byte(0)
	for len(b) > 0 {
		kind := b[0]
		if kind <= last { // each at most once, in this order
			return ErrBroken
		}
		last = kind
		var ok bool
		switch kind {
		case recordAck:
			d.hasAck = true
			b, ok = d.ack.decode(b)
		case recordPing:
			d.hasPing = true
			d.ping, b, ok = nonce(b)
		case recordPong:
			d.hasPong = true
			d.pong, b, ok = nonce(b)
		case recordSegment:
			d.hasSegment = true
			b, ok = nil, d.segment(b)
		case recordPadding:
			d.padding = len(b)
			b, ok = nil, !d.hasSegment && len(bytes.TrimLeft(b[1:], "\x00")) == 0
		}
		if !ok {
			return ErrBroken
		}
	}
	return nil
}

func nonce(b []byte) (uint64, []byte, bool) {
	if len(b) < pingSize {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint64(b[1:]), b[pingSize:], true
}

func (a *ack) decode(b []byte) ([]byte, bool) {
	if len(b) < ackHeader {
		return nil, false
	}
	a.busy = b[1]&ackBusy != 0
	a.upTo = uint64(binary.LittleEndian.Uint32(b[2:]))
	a.beyond = binary.LittleEndian.Uint16(b[6:])
	a.delay = uint32(binary.LittleEndian.Uint16(b[8:])) * delayUnit
	a.receipt = binary.LittleEndian.Uint64(b[10:])
	n := int(b[1] &^ ackBusy)
	b = b[ackHeader:]
	if a.beyond > Window || n > maxRanges || len(b) < n*rangeSize {
		return nil, false
	}
	next := 0 // where the next range may begin
	for range n {
		r := span{binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:])}
		b = b[rangeSize:]
		if int(r.first) < next || r.count == 0 || int(r.first)+int(r.count) > int(a.beyond) {
			return nil, false
		}
		next = int(r.first) + int(r.count) + 1
		a.missing = append(a.missing, r)
	}
	return b, true
}

func (d *body) segment(b []byte) bool {
	if len(b) < segmentHeader {
		return false
	}
	d.number, d.secret = uint64(binary.LittleEndian.Uint32(b[1:])), binary.LittleEndian.Uint64(b[5:])
	for b = b[segmentHeader:]; len(b) > 0; {
		c, n := decodeChunk(b)
		if n == 0 {
			return false
		}
		d.chunks = append(d.chunks, c)
		b = b[n:]
	}
	return true
}

// decodeChunk reads a chunk and its length in b; 0 if it is none.
func decodeChunk(b []byte) (c chunk, n int) {
	c.kind = b[0]
	switch {
	case c.kind == chunkWhole && len(b) > wholeHeader:
		n = wholeHeader + int(binary.LittleEndian.Uint16(b[1:]))
		if n == wholeHeader || n > len(b) {
			return c, 0
		}
		c.bytes = b[wholeHeader:n:n]
	case c.kind == chunkFragment && len(b) > fragmentHeader:
		c.index, c.count = b[1], b[2]
		c.total = uint32(b[3]) | uint32(b[4])<<8 | uint32(b[5])<<16
		if c.count < 2 || c.count > MaxFragments || c.index >= c.count || c.total > MaxMessage {
			return c, 0
		}
		from, to := c.extent()
		if n = fragmentHeader + to - from; to <= from || n > len(b) {
			return c, 0
		}
		tail := chunk{index: c.count - 1, count: c.count, total: c.total}
		if from, to = tail.extent(); to <= from {
			return c, 0 // the last fragment would be empty: nobody cuts like that
		}
		c.bytes = b[fragmentHeader:n:n]
	case c.kind == chunkAbandoned && len(b) >= abandonedHeader:
		c.id, n = uint64(binary.LittleEndian.Uint32(b[1:])), abandonedHeader
	}
	return c, n
}
