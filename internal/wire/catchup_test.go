package wire

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/primebft/prime/internal/group"
)

// content is a request of a replica as a SEGMENT has it.
func (s *sampler) content(sender group.ID, payloads ...int) SegmentRequest {
	e := WithoutProof(s.seal(sender, 1, s.request(payloads...)))
	return SegmentRequest{Digest: e.Digest, Request: e}
}

// segment has two ordinals and a no-op; the second and third of its four requests have their contents.
func (s *sampler) segment() *Segment {
	return &Segment{From: 31, To: 34, Before: s.digest(), Ordinals: []SegmentOrdinal{
		{Time: -5, Eligible: s.vector(), Requests: []SegmentRequest{{Digest: s.digest()}, s.content(2, 9)}},
		{Time: 6, Eligible: s.vector()},
		{Time: 7, Eligible: s.vector(), Requests: []SegmentRequest{s.content(1, 0, 3), {Digest: s.digest()}}},
	}}
}

func catchUpSamples(s *sampler) []sample {
	return []sample{
		{"outline_ask", s.seal(1, 3, &OutlineAsk{5, 70})},
		{"outline", s.seal(2, 3, &Outline{5, 70, []Digest{s.digest(), s.digest(), s.digest()}})},
		{"segment_ask", s.seal(3, 3, &SegmentAsk{32, 64, 3})},
		{"segment", s.seal(4, 3, s.segment())},
		{"segment_noop", s.seal(4, 3, &Segment{From: 0, To: 1, Before: s.digest(), Ordinals: []SegmentOrdinal{{Eligible: s.vector()}}})},
		{"segment_empty", s.seal(4, 3, &Segment{From: 0, To: 1, Before: s.digest(), Ordinals: []SegmentOrdinal{
			{Eligible: s.vector(), Requests: []SegmentRequest{s.content(1), s.content(2), s.content(3)}}}})}, // without updates: shorter than digests
	}
}

// catchUpBombs are short frames of catching up that claim to hold very much.
func catchUpBombs(n int) [][]byte {
	le32, le64 := binary.LittleEndian.AppendUint32, binary.LittleEndian.AppendUint64
	zeros := func(b []byte, k int) []byte { return append(b, make([]byte, k)...) }
	span := func(k Kind, from, to uint64) []byte { return le64(le64(content(k), from), to) }
	segment := func(count uint32, ordinals byte) []byte {
		return append(le32(le32(zeros(span(KindSegment, 0, uint64(ordinals)), 32), 0), count), ordinals)
	}
	one := zeros(append(le64(segment(1, 1), 0), byte(n)), 2*n)
	return [][]byte{
		frame(span(KindOutline, 0, math.MaxUint64)),
		frame(zeros(span(KindOutline, 0, 1<<25), 100)),
		frame(segment(1<<31, Spacing)),
		frame(zeros(segment(1<<31, Spacing), 100)),
		frame(le32(one, 1<<24)),
		frame(zeros(le32(one, 1<<24), 100)),
		frame(le32(le32(one, 1), 1<<32-1)),
	}
}

// The largest messages of catching up are exactly as long as MaxFrame says.
func TestMaxFrameOfCatchUpIsReached(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 4, 7, 64} {
		for _, signed := range []bool{false, true} {
			l := limitsFor(n)
			l.SignedUpdates, l.SegmentBytes = signed, 20*n // less than one content, and than what describes one ordinal
			s := &sampler{n: n, signed: signed, largest: true}
			o := SegmentOrdinal{Eligible: s.vector(), Requests: []SegmentRequest{s.content(1, 300, 300, 300, 100, 0, 0, 0, 0)}}
			for len(o.Requests) < n*l.Lane {
				o.Requests = append(o.Requests, SegmentRequest{Digest: s.digest()})
			}
			if most := l.MaxFrame(KindPreorderRequest); l.SegmentBytes > most {
				t.Fatalf("a request has %d bytes", most)
			}
			for _, m := range []Message{
				&OutlineAsk{1, 2}, &Outline{0, Spacing * uint64(l.Links), make([]Digest, l.Links)}, &SegmentAsk{1, 2, 3},
				&Segment{From: 8, To: 9, Ordinals: []SegmentOrdinal{o}},
			} {
				reaches(t, l, s, m)
			}
		}
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to uint64
		want     int
	}{{0, 1, 1}, {0, 32, 1}, {0, 33, 2}, {31, 32, 1}, {31, 33, 2}, {32, 33, 1}, {32, 64, 1}, {5, 70, 3}} {
		if got := Links(c.from, c.to); got != c.want {
			t.Errorf("%d links after %d up to %d, want %d", got, c.from, c.to, c.want)
		}
	}
}

func TestRefusesCatchUp(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	raw := func(m Message) []byte { return s.seal(1, 1, m).Raw }
	segment := func(f func(m *Segment)) []byte {
		m := s.segment()
		f(m)
		return raw(m)
	}
	many := make([]SegmentRequest, 13)
	many[0] = s.content(1, 1)
	request := s.content(2, 9).Request
	foreign := func(f func(h *Header)) SegmentRequest {
		h := request.Header
		f(&h)
		e := NewEnvelope(h, request.Msg)
		return SegmentRequest{Digest: e.Digest, Request: e}
	}
	vote := NewEnvelope(Header{Sender: 1, Epoch: 7}, &Commit{s.vote()})
	// header, from, to, before; then which requests have their contents
	counts := func(first, count uint32) []byte {
		return changed(s.seal(1, 1, &Segment{From: 1, To: 2, Ordinals: []SegmentOrdinal{{Eligible: s.vector()}}}), func(c []byte) {
			binary.LittleEndian.PutUint32(c[headerSize+48:], first)
			binary.LittleEndian.PutUint32(c[headerSize+52:], count)
		})
	}
	with := func(r SegmentRequest) []byte { return segment(func(m *Segment) { m.Ordinals[0].Requests[1] = r }) }
	l := limitsFor(4)
	refuseAll(t, l, []refusal{
		{"outline of nothing", raw(&OutlineAsk{5, 5}), "empty range"},
		{"outline that goes back", raw(&OutlineAsk{5, 4}), "empty range"},
		{"outline of too much", raw(&OutlineAsk{0, 129}), "range too long"},
		{"outline without a link", raw(&Outline{0, 33, make([]Digest, 1)}), Truncated},
		{"outline with one link more", raw(&Outline{0, 32, make([]Digest, 2)}), Trailing},
		{"segment of nothing", raw(&SegmentAsk{5, 5, 0}), "empty range"},
		{"segment of 33 ordinals", raw(&SegmentAsk{5, 38, 0}), "range too long"},
		{"ordinals that are not in the range", segment(func(m *Segment) { m.To++ }), "number of ordinals"},
		{"no ordinals", raw(&Segment{From: 1, To: 1}), "empty range"},
		{"requests of more lanes than there are", segment(func(m *Segment) { m.Ordinals[2].Requests = many }), "count out of range"},
		{"short vector", segment(func(m *Segment) { m.Ordinals[0].Eligible = m.Ordinals[0].Eligible[1:] }),
			"vector has not one entry per replica"},
		{"no content", segment(func(m *Segment) {
			m.Ordinals[0].Requests[1].Request, m.Ordinals[2].Requests[0].Request = nil, nil
		}), "no content"},
		{"content of no request", counts(0, 1), "contents of no request"},
		{"contents far after the last", counts(1<<32-1, 1<<32-1), "contents of no request"},
		{"contents that begin after the last", counts(1, 0), "contents of no request"},
		{"request of another epoch", with(foreign(func(h *Header) { h.Epoch++ })), "request of another epoch"},
		{"request of a stranger", with(foreign(func(h *Header) { h.Sender = 5 })), "sender is not a member"},
		{"content that is a vote", with(SegmentRequest{Request: vote}), "kind"},
		{"contents of 400 bytes", segment(func(m *Segment) { m.Ordinals[2].Requests[0] = s.content(1, 300) }), "too many contents"},
		{"long description", segment(func(m *Segment) {
			for len(m.Ordinals[1].Requests) < 10 {
				m.Ordinals[1].Requests = append(m.Ordinals[1].Requests, SegmentRequest{Digest: s.digest()})
			}
			m.Ordinals[0].Requests[1].Request = nil
		}), "too many requests"},
	})
}

// TestTrim: what is left of a segment is accepted, is the end of it, begins with the requests that were asked for, and going on where it
// ends gives all.
func TestTrim(t *testing.T) {
	t.Parallel()
	l, s := limitsFor(4), &sampler{n: 4}
	links := map[uint64]Digest{}
	whole := &Segment{From: 10, To: 15, Before: s.digest()}
	for o := uint64(10); o < 15; o++ {
		links[o] = s.digest()
		at := SegmentOrdinal{Time: int64(o), Eligible: s.vector()}
		for range o % 5 * 2 {
			at.Requests = append(at.Requests, s.content(1, 70))
		}
		whole.Ordinals = append(whole.Ordinals, at)
	}
	got, to := map[Digest]bool{}, whole.To
	for frames := 0; to > whole.From; frames++ {
		if frames > 100 {
			t.Fatal("it does not end")
		}
		from, skip := whole.From, uint32(0)
		for {
			m := &Segment{From: from, To: to, Before: links[from]}
			for _, o := range whole.Ordinals[from-10 : to-10] {
				o.Requests = append([]SegmentRequest(nil), o.Requests...)
				m.Ordinals = append(m.Ordinals, o)
			}
			m.Trim(skip, l.SegmentBytes, func(o uint64) Digest { return links[o] })
			e, err := l.Decode(s.seal(1, 1, m).Raw)
			if err != nil {
				t.Fatal(err)
			}
			m = e.Msg.(*Segment)
			if m.To != to || m.Before != links[m.From] || skip > 0 && m.From != from {
				t.Fatalf("asked for %d to %d from %d on: %d to %d", from, to, skip, m.From, m.To)
			}
			first, count := m.contents()
			if count > 0 && first != int(skip) {
				t.Fatalf("asked for contents from %d on, got %d", skip, first)
			}
			total := uint32(0)
			for _, o := range m.Ordinals {
				total += uint32(len(o.Requests))
				for _, r := range o.Requests {
					if r.Request != nil {
						got[r.Digest] = true
					}
				}
			}
			from, skip = m.From, skip+uint32(count)
			if skip == total {
				break
			}
		}
		to = from
	}
	want := 0
	for _, o := range whole.Ordinals {
		want += len(o.Requests)
		for _, r := range o.Requests {
			if !got[r.Digest] {
				t.Errorf("a request of %d updates never came", len(r.Request.Msg.(*PreorderRequest).Updates))
			}
		}
	}
	if len(got) != want {
		t.Errorf("%d requests came of %d", len(got), want)
	}
}

// TestTrimSkipsNotAll: whoever asks for contents beyond the last request is told something that is well-formed.
func TestTrimSkipsNotAll(t *testing.T) {
	t.Parallel()
	l, s := limitsFor(4), &sampler{n: 4}
	for skip := range uint32(5) {
		m := &Segment{From: 3, To: 4, Ordinals: []SegmentOrdinal{{Eligible: s.vector(), Requests: []SegmentRequest{s.content(1, 5), s.content(2, 5)}}}}
		m.Trim(skip, l.SegmentBytes, func(uint64) Digest { return Digest{} })
		if _, err := l.Decode(s.seal(1, 1, m).Raw); err != nil {
			t.Errorf("skip %d: %v", skip, err)
		}
	}
}
