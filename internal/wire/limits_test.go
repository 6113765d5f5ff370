package wire

import (
	"encoding/binary"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/primebft/prime/internal/group"
)

// The largest message of every kind is accepted and exactly as long as MaxFrame says.
func TestMaxFrameIsReached(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 4, 7, 64} {
		for _, signed := range []bool{false, true} {
			l := limitsFor(n)
			l.SignedUpdates = signed
			s := &sampler{n: n, signed: signed, largest: true}
			request := s.request(300, 300, 300, 100, 0, 0, 0, 0)
			largest := s.seal(1, 64, request)
			proposal := s.seal(1, 64, &PrePrepare{1, 1, s.digest(), s.vector(), s.rows(0)})
			proof := &Certificate{PrePrepare: proposal}
			vote := Vote{1, 1, proposal.Digest, proposal.Msg.(*PrePrepare).Incarnations}
			for i := range n {
				proof.Commits = append(proof.Commits, s.seal(group.FromIndex(i), 64, &Commit{vote}))
			}
			if other := s.seal(1, 64, &PrePrepare{1, 2, s.digest(), s.vector(), s.rows(0)}); len(other.Raw) > len(largest.Raw) {
				largest = other
			}
			another := NewEnvelope(Header{Sender: 1, Epoch: 9}, largest.Msg)
			if largest.Kind == KindPrePrepare { // its rows are of epoch 7, as it has to be
				another = NewEnvelope(Header{Sender: 1, Epoch: 7, Incarnation: 99}, largest.Msg)
			}
			another.Finish(s.proof(64))
			acks, wants := &PreorderAck{}, &Fetch{}
			for range l.AckParts {
				acks.Parts = append(acks.Parts, AckPart{ID: s.id()})
			}
			for range l.Wants {
				wants.Wants = append(wants.Wants, Want{ID: s.id()})
			}
			for _, m := range []Message{
				request, acks, s.summary(), &SummaryMatrix{1, s.rows(0)}, proposal.Msg, &Prepare{vote}, &Commit{vote}, wants,
				&Status{1, 1, 1, 1, 1, true, s.vector(), s.vector()}, proof, s.largestRecon(s.named(request), l), s.largestEvidence(largest, another, request, l),
			} {
				reaches(t, l, s, m)
			}
			if want := l.MaxFrame(KindPrePrepare); l.MaxTimely() != want {
				t.Errorf("n=%d: MaxTimely %d, a proposal has %d", n, l.MaxTimely(), want)
			}
		}
	}
	if got := limitsFor(4).MaxFrame(99); got != 0 {
		t.Errorf("MaxFrame of an unknown kind is %d", got)
	}
}

// largestRecon is r1's part of a request in the largest batch, with as many others before it as go together.
func (s *sampler) largestRecon(request *Envelope, l Limits) *Parts {
	m, last := &Parts{}, s.part(request, l)
	if rest := ReconBytes - last.Size(); rest > 0 {
		for number := 1 + rest/(last.Size()-maxPosition); number > 0; number-- {
			next := *last
			next.ID.Seq, next.Bytes = uint64(len(m.List)+1), nil
			next.Bytes = make([]byte, rest/number-next.Size())
			next.Length = uint32(len(next.Bytes) * l.Enough)
			m.List, rest = append(m.List, next), rest-rest/number
		}
	}
	m.List = append(m.List, *last)
	return m
}

// named is a request like this, with the longest name.
func (s *sampler) named(request *PreorderRequest) *Envelope {
	m := *request
	m.Seq = math.MaxUint64
	e := NewEnvelope(Header{Sender: 1, Epoch: 7, Incarnation: math.MaxUint32}, &m)
	e.Finish(s.proof(64))
	return e
}

func (s *sampler) part(e *Envelope, l Limits) *Part {
	request := e.Msg.(*PreorderRequest)
	return &Part{
		ID: PreorderID{1, Position{e.Incarnation, request.Seq}}, Digest: e.Digest, Length: uint32(len(e.Content)), Origin: e.Proof,
		Path: make([]Digest, partPathLen(l.N)), Bytes: make([]byte, partSize(len(e.Content), l.Enough)),
	}
}

// largestEvidence is two messages of one kind, or a part and its request if these are larger.
func (s *sampler) largestEvidence(first, second *Envelope, request *PreorderRequest, l Limits) *Evidence {
	e := s.named(request)
	if part := s.seal(1, 64, s.largestRecon(e, l)); len(part.Raw)+len(e.Raw) > len(first.Raw)+len(second.Raw) {
		return &Evidence{part, e}
	}
	return &Evidence{first, second}
}

// reaches fails unless m is accepted and as long as MaxFrame says in the largest batch that it can be in.
func reaches(t *testing.T, l Limits, s *sampler, m Message) {
	t.Helper()
	count := uint8(64)
	if m.Kind().Alone() {
		count = 1
	}
	e := s.seal(1, count, m)
	if _, err := l.Decode(e.Raw); err != nil {
		t.Errorf("n=%d %v: %v", l.N, m.Kind(), err)
	}
	if len(e.Raw) != l.MaxFrame(m.Kind()) {
		t.Errorf("n=%d %v: %d bytes, MaxFrame says %d", l.N, m.Kind(), len(e.Raw), l.MaxFrame(m.Kind()))
	}
}

// content starts the content of an envelope of r1.
func content(k Kind) []byte { return []byte{Version, byte(k), 1, 7, 0, 0, 0, 0, 0, 0, 0} }

// bombs are short frames that claim to hold very much.
func bombs(n int) [][]byte {
	le32, many := binary.LittleEndian.AppendUint32, uint32(1<<20)
	zeros := func(b []byte, k int) []byte { return append(b, make([]byte, k)...) }
	one := binary.LittleEndian.AppendUint64(nil, 1)
	matrix := append(append(content(KindSummaryMatrix), one...), byte(n))
	full := slices.Clone(matrix)
	for range n { // every row is there, by its length
		full = le32(full, uint32(maxRow(n)))
	}
	s := &sampler{n: n}
	e := s.seal(1, 1, &PrePrepare{1, 1, s.digest(), s.vector(), make(Rows, n)})
	return append(append(viewBombs(n), catchUpBombs(n)...), [][]byte{
		frame(le32(append(append(content(KindPreorderRequest), one...), 0), many)),
		frame(zeros(le32(append(append(content(KindPreorderRequest), one...), 0), 1<<32-1), 100)),
		frame(le32(append(le32(append(append(content(KindPreorderRequest), one...), 0), 1), make([]byte, 40)...), 1<<32-1)),
		frame(zeros(le32(zeros(content(KindPreorderAck), 32), many), 100)),
		frame(zeros(le32(content(KindFetch), many), 100)),
		frame(matrix),
		frame(le32(matrix, 1<<32-1)),
		frame(full),
		frame(zeros(full, 100)),
		frame(append(embed(content(KindCertificate), e), byte(n))),
		frame(zeros(append(embed(content(KindCertificate), e), byte(n)), 100)),
		frame(le32(content(KindEvidence), 1<<32-1)),
		le32(nil, 1<<32-1),
		append(le32(nil, 11), append(content(KindCommit), 64, 63)...),
	}...)
}

// allocated is how many bytes a call of f allocates, on average.
func allocated(rounds int, f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / uint64(rounds)
}

// What is allocated is in proportion to what was sent, whatever it claims. Not parallel: it measures the whole process.
func TestCountBombsDoNotAllocate(t *testing.T) {
	const n = 64
	l := Limits{N: n, UpdateBytes: 1 << 30, RequestBytes: 1 << 30, RequestUpdates: 1 << 30, AckParts: 1 << 30, Wants: 1 << 30,
		Window: 1 << 30, Recalls: 1 << 30, Lane: 1 << 24, Links: 1 << 30, SegmentBytes: 1 << 30}
	for i, raw := range bombs(n) {
		if _, err := l.Decode(raw); err == nil {
			t.Fatalf("bomb %d is accepted", i)
		}
		each := allocated(100, func() { l.Decode(raw) })
		if most := uint64(4096 + 4*len(raw)); each > most {
			t.Errorf("bomb %d: %d bytes make %d allocated, at most %d are right", i, len(raw), each, most)
		}
	}
}

// The figures of docs/performance.md rest on few allocations per message; a change shows here and not only in a benchmark.
func TestAllocations(t *testing.T) {
	l, all := benchmarks()
	for i, most := range []float64{6, 4, 3} {
		s := all[i]
		if got := testing.AllocsPerRun(100, func() { l.Decode(s.env.Raw) }); got > most {
			t.Errorf("decoding %s allocates %v times, want at most %v", s.name, got, most)
		}
		if got := testing.AllocsPerRun(100, func() { reencode(s.env) }); got > 2 {
			t.Errorf("encoding %s allocates %v times, want at most 2", s.name, got)
		}
	}
}
