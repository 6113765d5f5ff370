package wire

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/primebft/prime/internal/group"
)

// refusal is one rule that a decoder enforces, and a message that breaks only that one.
type refusal struct {
	name string
	raw  []byte
	want Malformed
}

// refuseAll decodes each message and expects the reason that its rule gives.
func refuseAll(t *testing.T, l Limits, all []refusal) {
	t.Helper()
	for _, c := range all {
		if _, err := l.Decode(c.raw); err != c.want {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

// changed is the content of e with f applied to a copy, as an envelope signed alone.
func changed(e *Envelope, f func(content []byte)) []byte {
	content := slices.Clone(e.Content)
	f(content)
	return frame(content)
}

func TestRefusesEnvelopes(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	e := s.seal(2, 1, &Commit{s.vote()})
	proof := func(count, index uint8, path int) []byte {
		b := slices.Clone(e.Raw[:lengthSize+len(e.Content)])
		b = append(b, count, index)
		return append(b, make([]byte, path*digestSize+64)...)
	}
	length := func(n uint32) []byte {
		b := slices.Clone(e.Raw)
		binary.LittleEndian.PutUint32(b, n)
		return b
	}
	set := func(at int, v byte) []byte { return changed(e, func(c []byte) { c[at] = v }) }
	refuseAll(t, limitsFor(4), []refusal{
		{"nothing", nil, Truncated},
		{"longest content", length(1<<32 - 1), "content length"},
		{"content without header", length(headerSize - 1), "content length"},
		{"version 0", set(0, 0), "version"},
		{"version 2", set(0, 2), "version"},
		{"kind 0", set(1, 0), "kind"},
		{"kind after the last", set(1, byte(LastKind)+1), "kind"},
		{"kind 255", set(1, 255), "kind"},
		{"kind whose bit would be that of another", set(1, 64+byte(KindCommit)), "kind"},
		{"sender 0", set(2, 0), "sender is not a member"},
		{"sender 5 of 4", set(2, 5), "sender is not a member"},
		{"batch of none", proof(0, 0, 0), "place in the batch"},
		{"batch of 65", proof(65, 0, 7), "place in the batch"},
		{"second of one", proof(1, 1, 0), "place in the batch"},
		{"tenth of nine", proof(9, 9, 4), "place in the batch"},
		{"path too short", proof(9, 8, 3), "proof length"},
		{"path too long", proof(8, 7, 4), "proof length"},
		{"path of a lone message", proof(1, 0, 1), "proof length"},
	})
	for count := uint8(1); count <= MaxBatch; count++ {
		height := 0
		for 1<<height < int(count) {
			height++
		}
		if _, err := limitsFor(4).Decode(proof(count, count-1, height)); err != nil {
			t.Errorf("batch of %d with a path of %d: %v", count, height, err)
		}
	}
}

func TestRefusesPreorderMessages(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	request := func(f func(m *PreorderRequest), payloads ...int) []byte {
		m := s.request(payloads...)
		if f != nil {
			f(m)
		}
		return s.seal(1, 1, m).Raw
	}
	ack := func(parts ...AckPart) []byte { return s.seal(1, 1, &PreorderAck{s.digest(), parts}).Raw }
	with := func(id PreorderID) []byte { return ack(AckPart{ID: id}) }
	summary := func(count uint8, f func(m *Summary)) []byte {
		m := s.summary()
		f(m)
		return s.seal(1, count, m).Raw
	}
	oneAck := s.seal(1, 1, &PreorderAck{s.digest(), []AckPart{{ID: s.id()}}})
	refuseAll(t, limitsFor(4), []refusal{
		{"request 0", request(func(m *PreorderRequest) { m.Seq = 0 }, 1), "sequence number 0"},
		{"no updates that are signed", changed(s.seal(1, 1, s.request()), func(c []byte) { c[headerSize+8] = 1 }),
			"client signatures missing or not wanted"},
		{"nine updates of eight", request(nil, 1, 1, 1, 1, 1, 1, 1, 1, 1), "count out of range"},
		{"payload of 301 of 300", request(nil, 301), "payload too long"},
		{"payloads of 1001 of 1000", request(nil, 300, 300, 300, 101), "payload too long"},
		{"client signature not wanted", request(func(m *PreorderRequest) { m.Updates[0].Sig[0] = 1 }, 1),
			"client signatures missing or not wanted"},
		{"transfer point with a payload", request(func(m *PreorderRequest) { m.Updates[0].Client = ClientID{} }, 1),
			"transfer point with more than its client"},
		{"transfer point with a number", request(func(m *PreorderRequest) { m.Updates[0] = Update{Seq: 1} }, 1),
			"transfer point with more than its client"},
		{"signed is 2", changed(s.seal(1, 1, s.request(1)), func(c []byte) { c[headerSize+8] = 2 }), "boolean"},
		{"no parts", ack(), "count out of range"},
		{"seven parts of six", ack(make([]AckPart, 7)...), "count out of range"},
		{"origin 0", with(PreorderID{0, Position{1, 1}}), "origin is not a member"},
		{"origin 5 of 4", with(PreorderID{5, Position{1, 1}}), "origin is not a member"},
		{"part for request 0", with(PreorderID{1, Position{1, 0}}), "sequence number 0"},
		{"certified is 255", changed(oneAck, func(c []byte) { c[len(c)-1] = 255 }), "boolean"},
		{"summary 0", summary(1, func(m *Summary) { m.Number = 0 }), "summary number 0"},
		{"summary in a batch", summary(2, func(*Summary) {}), "summary is not signed alone"},
		{"short vector", summary(1, func(m *Summary) { m.Vector = m.Vector[1:] }), "vector has not one entry per replica"},
		{"long vector", summary(1, func(m *Summary) { m.Vector = append(m.Vector, Position{}) }),
			"vector has not one entry per replica"},
	})
	l := limitsFor(4)
	l.SignedUpdates = true
	s.signed = true
	refuseAll(t, l, []refusal{
		{"no client signature", s.seal(1, 1, (&sampler{n: 4}).request(1)).Raw, "client signatures missing or not wanted"},
		{"one of two unsigned", request(func(m *PreorderRequest) { m.Updates[1].Sig = Signature{} }, 1, 1),
			"client signature is zero"},
		{"signed transfer point", request(func(m *PreorderRequest) { m.Updates[1] = Update{Sig: m.Updates[1].Sig} }, 1, 1),
			"transfer point with more than its client"},
	})
}

// TestTransferPoints: they stand in requests alone and among clients' updates, in clusters with client signatures and without.
func TestTransferPoints(t *testing.T) {
	t.Parallel()
	for _, signed := range []bool{false, true} {
		s := &sampler{n: 4, signed: signed}
		l := limitsFor(4)
		l.SignedUpdates = signed
		mixed := s.request(3, 4)
		mixed.Updates = append(mixed.Updates, Update{})
		for _, m := range []*PreorderRequest{{Seq: 1, Updates: []Update{{}}}, {Seq: 1, Updates: []Update{{}, {}}}, mixed} {
			raw := s.seal(1, 1, m).Raw
			env, err := l.Decode(raw)
			if err != nil {
				t.Fatalf("signed %v: %d updates: %v", signed, len(m.Updates), err)
			}
			if got := env.Msg.(*PreorderRequest).Updates; !got[len(got)-1].TransferPoint() {
				t.Errorf("the last of %d updates is no transfer point", len(got))
			}
		}
	}
}

func TestRefusesOrderMessages(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	matrix := func(f func(m *SummaryMatrix)) []byte {
		m := &SummaryMatrix{View: 1, Rows: s.rows(3)}
		f(m)
		return s.seal(2, 1, m).Raw
	}
	first := func(e *Envelope) []byte { return matrix(func(m *SummaryMatrix) { m.Rows[0] = e }) }
	prePrepare := func(f func(m *PrePrepare)) []byte {
		m := s.prePrepare()
		f(m)
		return s.seal(2, 1, m).Raw
	}
	other := &sampler{n: 5}
	stranger := NewEnvelope(Header{Sender: 1, Epoch: 8}, s.summary())
	stranger.Finish(s.proof(1))
	// As long as a summary: only its kind gives it away.
	disguised := s.summaryAs(KindCommit)
	refuseAll(t, limitsFor(4), []refusal{
		{"matrix of view 0", matrix(func(m *SummaryMatrix) { m.View = 0 }), "view 0"},
		{"three rows", matrix(func(m *SummaryMatrix) { m.Rows = m.Rows[:3] }), "matrix has not one row per replica"},
		{"five rows", matrix(func(m *SummaryMatrix) { m.Rows = append(m.Rows, nil) }), "matrix has not one row per replica"},
		{"row of another replica", first(s.seal(2, 1, s.summary())), "row is not a summary of its replica"},
		{"row of another epoch", first(stranger), "row is not a summary of its replica"},
		{"row of another kind", first(disguised), "row is not a summary of its replica"},
		{"row with another vector", first(other.seal(1, 1, other.summary())), "row is not a summary of its replica"},
		{"row signed in a batch", first(s.seal(1, 2, s.summary())), "row is not a summary of its replica"},
		{"row that is a vote", first(s.seal(1, 1, &Commit{s.vote()})), "row size"},
		{"proposal of view 0", prePrepare(func(m *PrePrepare) { m.View = 0 }), "view 0"},
		{"proposal of ordinal 0", prePrepare(func(m *PrePrepare) { m.Ordinal = 0 }), "ordinal 0"},
		{"short base", prePrepare(func(m *PrePrepare) { m.Base = m.Base[1:] }), "vector has not one entry per replica"},
		{"proposal with a row too few", prePrepare(func(m *PrePrepare) { m.Rows = m.Rows[1:] }),
			"matrix has not one row per replica"},
		{"prepare of view 0", s.seal(1, 1, &Prepare{Vote{Ordinal: 1}}).Raw, "view 0"},
		{"commit of ordinal 0", s.seal(1, 1, &Commit{Vote{View: 1}}).Raw, "ordinal 0"},
	})
}

// summaryAs is a well-formed summary of r1 with another kind in its header.
func (s *sampler) summaryAs(k Kind) *Envelope {
	e := s.seal(1, 1, s.summary())
	e.Raw = slices.Clone(e.Raw)
	e.Raw[lengthSize+1] = byte(k)
	return e
}

func TestRefusesCertificates(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	with := func(f func(c *Certificate)) []byte {
		c := s.certificate()
		f(c)
		return s.seal(1, 1, c).Raw
	}
	vote := func(f func(v *Vote)) []byte {
		return with(func(c *Certificate) {
			v := c.Commits[1].Msg.(*Commit).Vote
			f(&v)
			c.Commits[1] = s.seal(c.Commits[1].Sender, 1, &Commit{v})
		})
	}
	const differs = Malformed("commit is not for the proposal")
	refuseAll(t, limitsFor(4), []refusal{
		{"no commits", with(func(c *Certificate) { c.Commits = nil }), "number of commits"},
		{"five commits", with(func(c *Certificate) {
			c.Commits = append(c.Commits, c.Commits[0], c.Commits[0])
		}), "number of commits"},
		{"one signer twice", with(func(c *Certificate) { c.Commits[1] = c.Commits[0] }), "signers do not ascend"},
		{"signers descend", with(func(c *Certificate) {
			c.Commits[0], c.Commits[1] = c.Commits[1], c.Commits[0]
		}), "signers do not ascend"},
		{"prepare among commits", with(func(c *Certificate) {
			c.Commits[0] = s.seal(2, 1, &Prepare{c.Commits[0].Msg.(*Commit).Vote})
		}), "kind"},
		{"commit without a proposal", with(func(c *Certificate) { c.PrePrepare = nil }), Truncated},
		{"proposal is a commit", with(func(c *Certificate) { c.PrePrepare = c.Commits[0] }), "kind"},
		{"nil commit", with(func(c *Certificate) { c.Commits[0] = nil }), Truncated},
		{"commit of another view", vote(func(v *Vote) { v.View++ }), differs},
		{"commit of another ordinal", vote(func(v *Vote) { v.Ordinal++ }), differs},
		{"commit of another proposal", vote(func(v *Vote) { v.Proposal[31] ^= 1 }), differs},
		{"commit of another membership", vote(func(v *Vote) { v.Incarnations[31] ^= 1 }), differs},
		{"commit of another epoch", with(func(c *Certificate) {
			e := NewEnvelope(Header{Sender: 2, Epoch: 8}, c.Commits[0].Msg)
			e.Finish(s.proof(1))
			c.Commits[0] = e
		}), differs},
	})
}

func TestRefusesRepairMessages(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	fetch := func(wants ...Want) []byte { return s.seal(1, 1, &Fetch{wants}).Raw }
	status := func(preorders, held Vector) []byte {
		return s.seal(1, 1, &Status{1, 1, 1, 1, 0, true, preorders, held}).Raw
	}
	evidence := func(first, second *Envelope) []byte { return s.seal(4, 1, &Evidence{first, second}).Raw }
	summary := func(sender group.ID) *Envelope { return s.seal(sender, 1, s.summary()) }
	lone := summary(1)
	again := NewEnvelope(lone.Header, lone.Msg)
	again.Finish(s.proof(1))
	refuseAll(t, limitsFor(4), []refusal{
		{"no wants", fetch(), "count out of range"},
		{"six wants of five", fetch(make([]Want, 6)...), "count out of range"},
		{"wants of nobody", fetch(Want{ID: PreorderID{0, Position{1, 1}}}), "origin is not a member"},
		{"wants request 0", fetch(Want{ID: PreorderID{1, Position{1, 0}}}), "sequence number 0"},
		{"status with a short vector", status(s.vector()[1:], s.vector()), "vector has not one entry per replica"},
		{"status with a long vector", status(s.vector(), append(s.vector(), Position{})), "vector has not one entry per replica"},
		{"evidence against two", evidence(summary(1), summary(2)), "signers differ"},
		{"evidence of two kinds", evidence(summary(1), s.seal(1, 1, s.request(1))), "kinds differ"},
		{"evidence that is one message", evidence(lone, lone), "the same message twice"},
		{"evidence that is one message signed twice", evidence(lone, again), "the same message twice"},
		{"evidence of commits", evidence(s.seal(1, 1, &Commit{s.vote()}), s.seal(1, 1, &Commit{s.vote()})), "kind"},
		{"evidence within evidence", evidence(s.seal(1, 1, &Evidence{lone, summary(1)}), lone), "kind"},
		{"half of evidence", evidence(lone, nil), Truncated},
	})
}
