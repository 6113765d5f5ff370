package wire

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/primebft/prime/internal/group"
)

// limitsFor are small limits for a group of n.
func limitsFor(n int) Limits {
	return Limits{N: n, UpdateBytes: 300, RequestBytes: 1000, RequestUpdates: 8, AckParts: 6, Wants: 5, Window: 6,
		Recalls: 3, Enough: (n-1)/3 + 1, Lane: 3, Links: 4, SegmentBytes: 100 * n}
}

// sampler makes valid messages of a group of n whose fields are all different, so that no two can be swapped unnoticed.
type sampler struct {
	n       int
	signed  bool
	largest bool // positions take as many bytes as they can
	next    uint64
}

func (s *sampler) number() uint64 {
	s.next += 0x0101
	return s.next
}

func (s *sampler) digest() (d Digest) {
	for i := 0; i < len(d); i += 8 {
		binary.LittleEndian.PutUint64(d[i:], s.number()*0x9e3779b97f4a7c15)
	}
	return d
}

func (s *sampler) proof(count uint8) Proof {
	p := Proof{Count: count, Index: count / 2, Path: nil}
	for range pathLen(count) {
		p.Path = append(p.Path, s.digest())
	}
	for i := 0; i < len(p.Sig); i += 32 {
		d := s.digest()
		copy(p.Sig[i:], d[:])
	}
	return p
}

// seal makes m an envelope of sender.
func (s *sampler) seal(sender group.ID, count uint8, m Message) *Envelope {
	e := NewEnvelope(Header{Sender: sender, Epoch: 7, Incarnation: uint32(s.number())}, m)
	e.Finish(s.proof(count))
	return e
}

func (s *sampler) vector() Vector {
	v := make(Vector, s.n)
	for i := range v {
		v[i] = s.position()
	}
	return v
}

func (s *sampler) id() PreorderID {
	return PreorderID{
		Origin:   group.ID(s.number()%uint64(s.n)) + 1,
		Position: s.position(),
	}
}

func (s *sampler) position() Position {
	p := Position{Incarnation: uint32(s.number()), Seq: s.number()}
	if s.largest {
		return Position{Incarnation: math.MaxUint32, Seq: math.MaxUint64}
	}
	return p
}

func (s *sampler) request(payloads ...int) *PreorderRequest {
	m := &PreorderRequest{Seq: s.number()}
	for _, size := range payloads {
		u := Update{Client: ClientID(s.digest()), Seq: s.number()}
		if size > 0 {
			u.Payload = bytes.Repeat([]byte{byte(s.number() >> 8)}, size)
		}
		if s.signed {
			u.Sig = s.proof(1).Sig
		}
		m.Updates = append(m.Updates, u)
	}
	return m
}

// partOf is a request with so many bytes of payload, and r2's part of it: of a tree that it is not, as the sampler cannot code.
func (s *sampler) partOf(payload int) (*Envelope, *Part) {
	request := s.seal(3, 3, s.request(payload/3, payload/3, payload-2*(payload/3)))
	l := limitsFor(s.n)
	parts := make([][]byte, s.n)
	for i := range parts {
		parts[i] = bytes.Repeat([]byte{byte(s.number() >> 8)}, partSize(len(request.Content), l.Enough))
	}
	m := &Part{
		ID:     PreorderID{3, Position{request.Incarnation, request.Msg.(*PreorderRequest).Seq}},
		Digest: request.Digest, Length: uint32(len(request.Content)), Origin: request.Proof, Bytes: parts[1],
	}
	m.Root, m.Path = PartTree(parts, m.Length, 1)
	return request, m
}

func (s *sampler) summary() *Summary {
	return &Summary{Number: s.number(), Time: -int64(s.number()), Vector: s.vector()}
}

// rows has a summary in every row but the given one.
func (s *sampler) rows(but group.ID) Rows {
	rows := make(Rows, s.n)
	for i := range rows {
		if id := group.FromIndex(i); id != but {
			rows[i] = s.seal(id, 1, s.summary())
		}
	}
	return rows
}

func (s *sampler) prePrepare() *PrePrepare {
	return &PrePrepare{
		View: s.number(), Ordinal: s.number(), Incarnations: s.digest(), Base: s.vector(), Rows: s.rows(2),
	}
}

func (s *sampler) certificate() *Certificate {
	c := &Certificate{PrePrepare: s.seal(1, 5, s.prePrepare())}
	p := c.PrePrepare.Msg.(*PrePrepare)
	for id := group.ID(2); int(id) <= s.n; id++ {
		v := Vote{View: p.View, Ordinal: p.Ordinal, Proposal: c.PrePrepare.Digest, Incarnations: p.Incarnations}
		c.Commits = append(c.Commits, s.seal(id, uint8(id), &Commit{v}))
	}
	return c
}

func (s *sampler) vote() Vote {
	return Vote{View: s.number(), Ordinal: s.number(), Proposal: s.digest(), Incarnations: s.digest()}
}

type sample struct {
	name string
	env  *Envelope
}

// samples has at least one envelope of every kind.
func samples(n int, signed bool) []sample {
	s := &sampler{n: n, signed: signed}
	list := []sample{
		{"preorder_request", s.seal(1, 3, s.request(5, 0, 200))},
		{"preorder_ack", s.seal(2, 64, &PreorderAck{s.digest(), []AckPart{{s.id(), s.digest(), true}, {s.id(), s.digest(), false}}})},
		{"summary", s.seal(3, 1, s.summary())},
		{"summary_matrix", s.seal(4, 2, &SummaryMatrix{View: s.number(), Rows: s.rows(0)})},
		{"summary_matrix_empty", s.seal(4, 2, &SummaryMatrix{View: s.number(), Rows: make(Rows, n)})},
		{"pre_prepare", s.seal(1, 1, s.prePrepare())},
		{"prepare", s.seal(2, 33, &Prepare{s.vote()})},
		{"commit", s.seal(3, 32, &Commit{s.vote()})},
		{"fetch", s.seal(4, 1, &Fetch{[]Want{{s.id(), s.digest()}, {s.id(), Digest{}}}})},
		{"status", s.seal(1, 1, &Status{s.number(), 3, s.number(), 5, 4, true, s.vector(), s.vector()})},
		{"certificate", s.seal(4, 4, s.certificate())},
		{"evidence_request", s.seal(1, 1, &Evidence{s.seal(2, 9, s.request(9)), s.seal(2, 1, s.request(8))})},
		{"evidence_summary", s.seal(1, 1, &Evidence{s.seal(2, 1, s.summary()), s.seal(2, 1, s.summary())})},
		{"evidence_pre_prepare", s.seal(1, 1, &Evidence{s.seal(3, 1, s.prePrepare()), s.seal(3, 1, s.prePrepare())})},
	}
	list = append(list, viewSamples(s)...)
	request, part := s.partOf(700)
	other := *part
	other.ID.Origin = 4
	parts := &Parts{[]Part{*part, other}}
	list = append(list, sample{"recon", s.seal(2, 3, parts)}, sample{"evidence_recon", s.seal(1, 1, &Evidence{s.seal(2, 1, parts), request})})
	list = append(list, catchUpSamples(&sampler{n: n, signed: signed})...)
	return append(list, checkpointSamples(s)...)
}
