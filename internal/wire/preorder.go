package wire

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/primebft/prime/internal/group"
)

// Sizes of the fixed parts of the preorder messages.
const (
	minPosition = 1 + 1
	maxPosition = binary.MaxVarintLen32 + binary.MaxVarintLen64
	minAckPart  = 1 + minPosition + digestSize + 1
	maxAckPart  = 1 + maxPosition + digestSize + 1
	requestSize = 8 + 1 + 4  // without updates
	updateSize  = 32 + 8 + 4 // without payload and signature
	summarySize = 8 + 8      // without the vector
)

func maxVector(n int) int { return 1 + n*maxPosition }

// minRow and maxRow are the lengths between which PO-SUMMARY envelopes of a group of n are: they are always signed alone.
func minRow(n int) int { return aloneSize + summarySize + 1 + n*minPosition }
func maxRow(n int) int { return aloneSize + summarySize + maxVector(n) }

func (v Vector) size() int {
	n := 1
	for _, p := range v {
		n += p.size()
	}
	return n
}

func (p Position) size() int { return uvarintSize(uint64(p.Incarnation)) + uvarintSize(p.Seq) }

func (id PreorderID) size() int { return 1 + id.Position.size() }

// uvarintSize is how many bytes AppendUvarint appends.
func uvarintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func appendVector(b []byte, v Vector) []byte {
	b = append(b, byte(len(v)))
	for i := range v {
		b = appendPosition(b, v[i])
	}
	return b
}

func appendPosition(b []byte, p Position) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(p.Incarnation)), p.Seq)
}

func appendID(b []byte, id PreorderID) []byte {
	return appendPosition(append(b, byte(id.Origin)), id.Position)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// vector reads a Vector into memory, or into a new slice if memory is nil.
func (l *Limits) vector(r *Reader, memory []Position) Vector {
	r.Check(int(r.U8()) == l.N, "vector has not one entry per replica")
	if r.Err() != nil || r.Len() < l.N*minPosition {
		r.Fail(Truncated)
		return nil
	}
	if memory == nil {
		memory = make([]Position, l.N)
	}
	for i := range memory {
		memory[i] = position(r)
	}
	return memory
}

func position(r *Reader) Position {
	incarnation := r.Uvarint()
	r.Check(incarnation <= math.MaxUint32, "incarnation")
	return Position{Incarnation: uint32(incarnation), Seq: r.Uvarint()}
}

// preorderID reads the name of a request.
func (l *Limits) preorderID(r *Reader) (id PreorderID) {
	id.Origin = group.ID(r.U8())
	id.Position = position(r)
	r.Check(l.member(id.Origin), "origin is not a member")
	r.Check(id.Seq >= 1, "sequence number 0")
	return id
}

// signed reports whether the updates are written with signatures: all are if any has one. Only that of a transfer point is zero then.
func (m *PreorderRequest) signed() bool {
	for i := range m.Updates {
		if m.Updates[i].Sig != (Signature{}) {
			return true
		}
	}
	return false
}

func (m *PreorderRequest) size() int {
	n := requestSize + len(m.Updates)*updateSize
	if m.signed() {
		n += len(m.Updates) * len(Signature{})
	}
	for i := range m.Updates {
		n += len(m.Updates[i].Payload)
	}
	return n
}

func (m *PreorderRequest) appendBody(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, m.Seq)
	signed := m.signed()
	b = appendBool(b, signed)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Updates)))
	for i := range m.Updates {
		u := &m.Updates[i]
		b = append(b, u.Client[:]...)
		b = binary.LittleEndian.AppendUint64(b, u.Seq)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(u.Payload)))
		b = append(b, u.Payload...)
		if signed {
			b = append(b, u.Sig[:]...)
		}
	}
	return b
}

func (l *Limits) preorderRequest(r *Reader) *PreorderRequest {
	m := &PreorderRequest{Seq: r.U64()}
	r.Check(m.Seq >= 1, "sequence number 0")
	each, signed := updateSize, r.Bool()
	if signed {
		each += len(Signature{})
	}
	r.Check(l.SignedUpdates || !signed, "client signatures missing or not wanted")
	n := r.Count0(l.RequestUpdates, each)
	if n == 0 { // it only lets something be ordered
		r.Check(!signed, "client signatures missing or not wanted")
		return m
	}
	m.Updates = make([]Update, n)
	total, clients := 0, false
	for i := range m.Updates {
		u := &m.Updates[i]
		copy(u.Client[:], r.Bytes(len(u.Client)))
		u.Seq = r.U64()
		length := r.U32()
		if int64(length) > int64(l.UpdateBytes) || int64(length) > int64(l.RequestBytes-total) {
			r.Fail("payload too long")
			return m
		}
		total += int(length)
		u.Payload = r.Bytes(int(length))
		if signed {
			copy(u.Sig[:], r.Bytes(len(u.Sig)))
		}
		if u.TransferPoint() {
			r.Check(u.bare(), "transfer point with more than its client")
			continue
		}
		clients = true
		r.Check(!signed || u.Sig != (Signature{}), "client signature is zero")
	}
	r.Check(signed == (clients && l.SignedUpdates), "client signatures missing or not wanted")
	return m
}

func (m *PreorderAck) size() int {
	n := digestSize + 4
	for i := range m.Parts {
		n += m.Parts[i].ID.size() + digestSize + 1
	}
	return n
}

func (m *PreorderAck) appendBody(b []byte) []byte {
	b = append(b, m.Incarnations[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Parts)))
	for i := range m.Parts {
		b = appendID(b, m.Parts[i].ID)
		b = append(b, m.Parts[i].Digest[:]...)
		b = appendBool(b, m.Parts[i].Certified)
	}
	return b
}

func (l *Limits) preorderAck(r *Reader) *PreorderAck {
	m := &PreorderAck{Incarnations: r.Digest()}
	m.Parts = make([]AckPart, r.Count(l.AckParts, minAckPart))
	for i := range m.Parts {
		m.Parts[i] = AckPart{ID: l.preorderID(r), Digest: r.Digest(), Certified: r.Bool()}
	}
	return m
}

func (m *Summary) size() int { return summarySize + m.Vector.size() }

func (m *Summary) appendBody(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, m.Number)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.Time))
	return appendVector(b, m.Vector)
}

// summary reads a PO-SUMMARY whose proof is p into m. One that shares a signature is refused everywhere: a replica that took
// it could not embed it, and its own messages would be refused in turn.
func (l *Limits) summary(r *Reader, p *Proof, m *Summary, memory []Position) {
	r.Check(p.Count == 1, "summary is not signed alone")
	m.Number, m.Time = r.U64(), int64(r.U64())
	r.Check(m.Number >= 1, "summary number 0")
	m.Vector = l.vector(r, memory)
}
