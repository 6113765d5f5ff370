package wire

import (
	"encoding/binary"
	"slices"
)

// Spacing is how far apart, in ordinals, the links of an OUTLINE are, and so how many ordinals one SEGMENT-ASK is about at most.
const Spacing = 32

// OutlineAsk is OUTLINE-ASK: the sender has executed From ordinals and asks what the execution of those after it up to To left
// behind: for links that prove what was executed, whoever tells it later.
type OutlineAsk struct {
	From, To uint64 // From < To
}

// Outline is OUTLINE: the links (effect.Link) that executing left at every multiple of Spacing between From and To, and at To. Of
// f+1 replicas that say the same, one is correct.
type Outline struct {
	From, To uint64
	Links    []Digest // as many as Links(From, To)
}

// SegmentAsk is SEGMENT-ASK: the sender asks what the ordinals after From up to To are, and for the contents of their requests from
// number Skip on, counted from 0 in the order of execution.
type SegmentAsk struct {
	From, To uint64 // To is at most Spacing beyond From
	Skip     uint32
}

// Segment is SEGMENT: what the ordinals after From up to To are, the last ones of those that were asked for, with as many contents
// of their requests as fit. Whoever knows the link at To can check all of it, whoever says it: Before is the link at From. Nothing
// inside is signed.
type Segment struct {
	From, To uint64
	Before   Digest
	Ordinals []SegmentOrdinal // From+1 … To
}

// SegmentOrdinal is one executed ordinal: its ordered time, what it and all before it made eligible, and the requests that it
// executed, in order.
type SegmentOrdinal struct {
	Time     int64
	Eligible Vector
	Requests []SegmentRequest
}

// SegmentRequest is one request: its digest, and its content if that is here. The requests of a SEGMENT that have their contents
// follow each other.
type SegmentRequest struct {
	Digest  Digest
	Request *Envelope // PO-REQUEST without a proof, and so without Raw; nil: only the digest is here
}

// Links is how many links an OUTLINE from one ordinal to another has.
func Links(from, to uint64) int { return int((to-1)/Spacing-from/Spacing) + 1 }

// Kind implements Message.
func (*OutlineAsk) Kind() Kind { return KindOutlineAsk }

// Kind implements Message.
func (*Outline) Kind() Kind { return KindOutline }

// Kind implements Message.
func (*SegmentAsk) Kind() Kind { return KindSegmentAsk }

// Kind implements Message.
func (*Segment) Kind() Kind { return KindSegment }

const (
	ordinalSize = 8 + 4                          // of a SegmentOrdinal, without the vector and the requests
	segmentSize = 8 + 8 + digestSize + 4 + 4 + 1 // of a SEGMENT, without its ordinals
)

func (*OutlineAsk) size() int { return 16 }

func (m *OutlineAsk) appendBody(b []byte) []byte { return appendU64s(b, m.From, m.To) }

// span reads where a range begins and ends.
func (l *Limits) span(r *Reader) (from, to uint64) {
	from, to = r.U64(), r.U64()
	r.Check(from < to, "empty range")
	return from, to
}

// links is Links, 0 if they are more than are allowed.
func (l *Limits) links(r *Reader, from, to uint64) int {
	if r.Err() != nil || (to-1)/Spacing-from/Spacing >= uint64(max(0, l.Links)) {
		r.Fail("range too long")
		return 0
	}
	return Links(from, to)
}

func (l *Limits) outlineAsk(r *Reader) *OutlineAsk {
	m := new(OutlineAsk)
	m.From, m.To = l.span(r)
	l.links(r, m.From, m.To)
	return m
}

func (m *Outline) size() int { return 16 + len(m.Links)*digestSize }

func (m *Outline) appendBody(b []byte) []byte {
	b = appendU64s(b, m.From, m.To)
	for i := range m.Links {
		b = append(b, m.Links[i][:]...)
	}
	return b
}

func (l *Limits) outline(r *Reader) *Outline {
	m := new(Outline)
	m.From, m.To = l.span(r)
	n := l.links(r, m.From, m.To)
	if r.Err() != nil || r.Len() < n*digestSize {
		r.Fail(Truncated)
		return m
	}
	m.Links = make([]Digest, n)
	for i := range m.Links {
		m.Links[i] = r.Digest()
	}
	return m
}

func (*SegmentAsk) size() int { return 8 + 8 + 4 }

func (m *SegmentAsk) appendBody(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(appendU64s(b, m.From, m.To), m.Skip)
}

func (l *Limits) segmentAsk(r *Reader) *SegmentAsk {
	m := new(SegmentAsk)
	m.From, m.To = l.span(r)
	m.Skip = r.U32()
	r.Check(m.To-m.From <= Spacing, "range too long")
	return m
}

// contents is where the contents of a segment begin and how many there are, counted in requests.
func (m *Segment) contents() (first, count int) {
	at := 0
	for i := range m.Ordinals {
		for k := range m.Ordinals[i].Requests {
			if m.Ordinals[i].Requests[k].Request != nil {
				if count++; count == 1 {
					first = at
				}
			}
			at++
		}
	}
	return first, count
}

func (m *Segment) size() int {
	n := segmentSize
	for i := range m.Ordinals {
		o := &m.Ordinals[i]
		n += ordinalSize + o.Eligible.size()
		for k := range o.Requests {
			if e := o.Requests[k].Request; e != nil {
				n += lengthSize + len(e.Content)
			} else {
				n += digestSize
			}
		}
	}
	return n
}

func (m *Segment) appendBody(b []byte) []byte {
	first, count := m.contents()
	b = appendU64s(b, m.From, m.To)
	b = append(b, m.Before[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(first))
	b = binary.LittleEndian.AppendUint32(b, uint32(count))
	b = append(b, byte(len(m.Ordinals)))
	for i := range m.Ordinals {
		o := &m.Ordinals[i]
		b = binary.LittleEndian.AppendUint64(b, uint64(o.Time))
		b = appendVector(b, o.Eligible)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(o.Requests)))
		for k := range o.Requests {
			if e := o.Requests[k].Request; e != nil {
				b = binary.LittleEndian.AppendUint32(b, uint32(len(e.Content)))
				b = append(b, e.Content...)
			} else {
				b = append(b, o.Requests[k].Digest[:]...)
			}
		}
	}
	return b
}

// segment reads a SEGMENT. What describes its ordinals has at most SegmentBytes, and so have all contents together; but a single
// ordinal, and a single content, may be as large as it can be.
func (l *Limits) segment(r *Reader, epoch uint32) *Segment {
	m := new(Segment)
	m.From, m.To = l.span(r)
	m.Before = r.Digest()
	s := segmentReader{limits: l, epoch: epoch, first: r.U32(), count: r.U32()}
	n := int(r.U8())
	r.Check(m.To-m.From <= Spacing && uint64(n) == m.To-m.From, "number of ordinals")
	if r.Err() != nil || r.Len() < n*(ordinalSize+1+l.N*minPosition) {
		r.Fail(Truncated)
		return m
	}
	m.Ordinals = make([]SegmentOrdinal, n)
	positions := make([]Position, n*l.N)
	for i := range m.Ordinals {
		s.ordinal(r, &m.Ordinals[i], positions[i*l.N:(i+1)*l.N:(i+1)*l.N])
	}
	r.Check(n == 1 || s.skeleton <= l.SegmentBytes, "too many requests")
	r.Check(s.count <= 1 || s.bytes <= l.SegmentBytes, "too many contents")
	r.Check(uint64(s.first)+uint64(s.count) <= uint64(s.at), "contents of no request")
	r.Check(s.count > 0 || s.first == 0 && s.at == 0, "no content")
	return m
}

// minSegmentRequest is how many bytes a request has in a SEGMENT at least: with its content, if it has no updates, that is less than a digest.
const minSegmentRequest = min(digestSize, lengthSize+headerSize+requestSize)

// segmentReader counts what has been read of a SEGMENT.
type segmentReader struct {
	limits       *Limits
	epoch        uint32
	first, count uint32 // which requests have their contents
	at           uint32 // requests so far
	skeleton     int    // bytes of all but the contents, with a digest for each request
	bytes        int    // of the contents
}

func (s *segmentReader) ordinal(r *Reader, o *SegmentOrdinal, memory []Position) {
	l := s.limits
	o.Time, o.Eligible = int64(r.U64()), l.vector(r, memory)
	n := r.Count0(l.N*l.Lane, minSegmentRequest)
	if r.Err() != nil {
		return
	}
	s.skeleton += ordinalSize + o.Eligible.size() + n*digestSize
	if n > 0 {
		o.Requests = make([]SegmentRequest, n)
	}
	for k := range o.Requests {
		if s.at >= s.first && s.at-s.first < s.count {
			o.Requests[k] = s.content(r)
		} else {
			o.Requests[k].Digest = r.Digest()
		}
		if s.at++; r.Err() != nil {
			return
		}
	}
}

// content reads a request that has its content.
func (s *segmentReader) content(r *Reader) SegmentRequest {
	content := r.Bytes(int(r.U32()))
	s.bytes += len(content)
	if r.Err() != nil {
		return SegmentRequest{}
	}
	e, err := s.limits.Unproven(content)
	if err != nil {
		r.Fail(err.(Malformed))
		return SegmentRequest{}
	}
	r.Check(e.Epoch == s.epoch, "request of another epoch")
	return SegmentRequest{Digest: e.Digest, Request: e}
}

// Unproven reads the content of a PO-REQUEST, as an envelope that has no proof and no Raw. Errors are Malformed.
func (l Limits) Unproven(content []byte) (*Envelope, error) {
	body := NewReader(content)
	e := &Envelope{Content: content[:len(content):len(content)]}
	e.readHeader(&body)
	body.Check(e.Kind == KindPreorderRequest, "kind")
	body.Check(l.member(e.Sender), "sender is not a member")
	if body.Err() == nil {
		e.Msg = l.preorderRequest(&body)
	}
	if err := body.Done(); err != nil {
		return nil, err
	}
	e.Digest = contentDigest(e.Content)
	return e, nil
}

// WithoutProof is a PO-REQUEST as Unproven gives it.
func WithoutProof(e *Envelope) *Envelope {
	if e.Raw == nil {
		return e
	}
	return &Envelope{Header: e.Header, Msg: e.Msg, Content: e.Content, Digest: e.Digest}
}

// Trim keeps of a SEGMENT, which has the contents of all requests from number skip on, what one message may hold: the last
// ordinals, at least one, and the first contents, at least one: at most most bytes of each. links gives the link of an ordinal. It returns
// how many bytes are left, about.
func (m *Segment) Trim(skip uint32, most int, links func(ordinal uint64) Digest) int {
	size, first := 0, len(m.Ordinals)
	for ; first > 0; first-- {
		o := &m.Ordinals[first-1]
		more := ordinalSize + o.Eligible.size() + len(o.Requests)*digestSize
		if size > 0 && size+more > most {
			break
		}
		size += more
	}
	if first > 0 { // numbers of requests were counted from the ordinals that are cut off
		skip, m.From = 0, m.From+uint64(first)
		m.Ordinals, m.Before = slices.Clone(m.Ordinals[first:]), links(m.From)
	}
	total := uint32(0)
	for i := range m.Ordinals {
		total += uint32(len(m.Ordinals[i].Requests))
	}
	if skip >= total {
		skip = 0 // whoever asks for none gets the first
	}
	bytes, at := 0, uint32(0)
	full := false
	for i := range m.Ordinals {
		for k := range m.Ordinals[i].Requests {
			q := &m.Ordinals[i].Requests[k]
			if at >= skip && !full && (bytes == 0 || bytes+len(q.Request.Content) <= most) {
				bytes += len(q.Request.Content)
			} else {
				full = full || at >= skip
				q.Request = nil
			}
			at++
		}
	}
	return size + bytes
}
