package wire

import (
	"encoding/binary"
	"math/bits"

	"github.com/primebft/prime/internal/group"
)

// Sizes of the parts of an envelope: the length before the content, the header that starts the content, and the proof after it.
const (
	lengthSize = 4
	headerSize = 1 + 1 + 1 + 4 + 4
	digestSize = 32
	proofSize  = 1 + 1 + 64 // without the path

	aloneSize = lengthSize + headerSize + proofSize // an envelope signed alone, without its body
	batchSize = aloneSize + MaxPath*digestSize      // the same in the largest batch
	sealRoom  = proofSize + MaxPath*digestSize      // the largest proof
)

// pathLen is the length of the path in a batch of count messages: the height of the tree over count leaves.
func pathLen(count uint8) int { return bits.Len8(count - 1) }

// NewEnvelope returns m as said by h's sender, without a proof. h.Kind is taken from m. Envelopes inside m must be finished.
// The result has one owner, and is not copied, until Finish.
func NewEnvelope(h Header, m Message) *Envelope {
	h.Kind = m.Kind()
	length, room := headerSize+m.size(), sealRoom
	if h.Kind.Alone() {
		room = proofSize
	}
	b := make([]byte, lengthSize, lengthSize+length+room)
	binary.LittleEndian.PutUint32(b, uint32(length))
	b = append(b, Version, byte(h.Kind), byte(h.Sender))
	b = binary.LittleEndian.AppendUint32(b, h.Epoch)
	b = binary.LittleEndian.AppendUint32(b, h.Incarnation)
	b = m.appendBody(b)
	content := b[lengthSize:len(b):len(b)]
	return &Envelope{Header: h, Msg: m, Content: content, Digest: contentDigest(content), draft: b}
}

// Finish sets the proof and Raw. p.Path must have the length that follows from p.Count. From then on the envelope is
// immutable and may be shared.
func (e *Envelope) Finish(p Proof) {
	b := e.draft
	if b == nil { // decoded, or finished before: its bytes may be shared
		b = make([]byte, lengthSize, lengthSize+len(e.Content)+proofSize+len(p.Path)*digestSize)
		binary.LittleEndian.PutUint32(b, uint32(len(e.Content)))
		b = append(b, e.Content...)
	}
	b = append(b, p.Count, p.Index)
	for i := range p.Path {
		b = append(b, p.Path[i][:]...)
	}
	b = append(b, p.Sig[:]...)
	e.Proof, e.Raw, e.draft = p, b[:len(b):len(b)], nil
	e.Content = b[lengthSize : lengthSize+len(e.Content) : lengthSize+len(e.Content)]
}

// open reads everything of an envelope but its body, which it returns. It fills in all of e but Msg and Digest.
func (l *Limits) open(e *Envelope, raw []byte) Reader {
	r := NewReader(raw)
	n := r.U32()
	if int64(n) > int64(r.Len()) || n < headerSize {
		r.Fail("content length")
		return r
	}
	e.Raw = raw[:len(raw):len(raw)]
	e.Content = r.Bytes(int(n))
	e.Proof.read(&r)
	if r.Err() != nil {
		return r
	}
	body := NewReader(e.Content)
	e.readHeader(&body)
	body.Check(l.member(e.Sender), "sender is not a member")
	return body
}

// readHeader reads what content starts with.
func (e *Envelope) readHeader(r *Reader) {
	r.Check(r.U8() == Version, "version")
	e.Kind = Kind(r.U8())
	e.Sender = group.ID(r.U8())
	e.Epoch = r.U32()
	e.Incarnation = r.U32()
}

// read reads all that follows the content.
func (p *Proof) read(r *Reader) {
	p.Count, p.Index = r.U8(), r.U8()
	if p.Count < 1 || p.Count > MaxBatch || p.Index >= p.Count {
		r.Fail("place in the batch")
		return
	}
	n := pathLen(p.Count)
	if r.Len() != n*digestSize+len(p.Sig) {
		r.Fail("proof length")
		return
	}
	if n > 0 {
		p.Path = make([]Digest, n)
	}
	for i := range p.Path {
		p.Path[i] = r.Digest()
	}
	copy(p.Sig[:], r.Bytes(len(p.Sig)))
}

// decode reads a whole envelope whose kind is in allowed.
func (l *Limits) decode(raw []byte, allowed kinds) (*Envelope, error) {
	e := new(Envelope)
	r := l.open(e, raw)
	r.Check(allowed.has(e.Kind), "kind")
	if r.Err() != nil {
		return nil, r.Err()
	}
	l.body(e, &r)
	if err := r.Done(); err != nil {
		return nil, err
	}
	e.Digest = contentDigest(e.Content)
	return e, nil
}

// body reads the message of e.
func (l *Limits) body(e *Envelope, r *Reader) {
	switch e.Kind {
	case KindPreorderRequest:
		e.Msg = l.preorderRequest(r)
	case KindPreorderAck:
		e.Msg = l.preorderAck(r)
	case KindSummary:
		m := new(Summary)
		l.summary(r, &e.Proof, m, nil)
		e.Msg = m
	case KindSummaryMatrix:
		e.Msg = l.summaryMatrix(r, e.Epoch)
	case KindPrePrepare:
		e.Msg = l.prePrepare(r, e.Epoch)
	case KindPrepare:
		e.Msg = &Prepare{vote(r)}
	case KindCommit:
		e.Msg = &Commit{vote(r)}
	case KindFetch:
		e.Msg = l.fetch(r)
	case KindStatus:
		e.Msg = l.status(r)
	case KindCertificate:
		e.Msg = l.certificate(r)
	case KindEvidence:
		e.Msg = l.evidence(r)
	case KindPart:
		e.Msg = l.recon(r, e.Sender)
	case KindOutlineAsk:
		e.Msg = l.outlineAsk(r)
	case KindOutline:
		e.Msg = l.outline(r)
	case KindSegmentAsk:
		e.Msg = l.segmentAsk(r)
	case KindSegment:
		e.Msg = l.segment(r, e.Epoch)
	default:
		l.viewBody(e, r)
	}
}

// kinds is a set of kinds. What may be inside what is a finite table, so nesting is bounded: EVIDENCE, PRE-PREPARE, PO-SUMMARY.
type kinds uint64

func kindSet(ks ...Kind) (s kinds) {
	for _, k := range ks {
		s |= 1 << k
	}
	return s
}

func (s kinds) has(k Kind) bool { return k < 64 && s&(1<<k) != 0 }

// embed appends an envelope that is part of another with its length before it; nil is length 0.
func embed(b []byte, e *Envelope) []byte {
	if e == nil {
		return binary.LittleEndian.AppendUint32(b, 0)
	}
	if e.Raw == nil {
		panic("wire: an envelope inside another must be signed first")
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(e.Raw)))
	return append(b, e.Raw...)
}

// embedSize is how many bytes embed appends.
func embedSize(e *Envelope) int {
	if e == nil {
		return lengthSize
	}
	return lengthSize + len(e.Raw)
}

// embedded reads an envelope that embed wrote; it may not be nil.
func (l *Limits) embedded(r *Reader, allowed kinds) *Envelope {
	raw := r.Bytes(int(r.U32()))
	if r.Err() != nil {
		return nil
	}
	e, err := l.decode(raw, allowed)
	if err != nil {
		r.Fail(err.(Malformed))
		return nil
	}
	return e
}
