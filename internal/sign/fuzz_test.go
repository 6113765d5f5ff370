package sign

import (
	"bytes"
	"testing"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// samples is one signed message of every kind and some batches.
func (c *cluster) samples() (all []*wire.Envelope) {
	rows := c.rows(3)
	rows[1] = nil
	p := c.one(1, &wire.PrePrepare{View: 1, Ordinal: 3, Base: c.vector(1), Rows: rows})
	vote := c.commit(p).Vote
	id := wire.PreorderID{Origin: 2, Position: wire.Position{Incarnation: 2, Seq: 5}}
	certificate := &wire.Certificate{PrePrepare: p}
	for by := group.ID(2); by <= 4; by++ {
		certificate.Commits = append(certificate.Commits, c.one(by, c.commit(p)))
	}
	all = append(all, p)
	all = append(all, c.sign(3,
		c.request(1),
		&wire.PreorderAck{Parts: []wire.AckPart{{ID: id, Digest: p.Digest}}},
		&wire.SummaryMatrix{View: 1, Rows: rows},
		&wire.Prepare{Vote: vote},
		&wire.Commit{Vote: vote},
		&wire.Fetch{Wants: []wire.Want{{ID: id}}},
		c.status(4),
		certificate,
		&wire.Evidence{First: c.one(2, c.request(8)), Second: c.one(2, c.request(9))},
	)...)
	all = append(all, c.sign(4, c.statuses(2)...)...)
	proof := c.proof(4, 1, 2, 3)
	all = append(all, c.sign(4,
		&wire.NewLeader{View: 2}, c.votes(2, 1, 3, 4), c.report(3, 2), &proof, &wire.Replay{Proof: proof}, c.window(2, 1, 3, 4),
		&wire.Evidence{First: c.one(4, c.replay(4)), Second: c.one(4, &wire.Replay{Proof: proof})},
		&wire.StateShare{Resolution: c.resolution(3)}, &wire.Recall{Digests: []wire.Digest{p.Digest}},
		c.checkpoint(9, 1, 2, 4),
	)...)
	return append(all, certificate.Commits...)
}

// FuzzVerify: who has no key cannot make a message that verifies, however it alters those that it has seen.
func FuzzVerify(f *testing.F) {
	c := newCluster(f, 1, 0, Ed25519{}, func(m *Membership) { m.ClientAuth = true })
	genuine := make(map[string]bool)
	var note func(e *wire.Envelope)
	note = func(e *wire.Envelope) {
		genuine[string(e.Raw)] = true
		switch m := e.Msg.(type) {
		case *wire.PrePrepare:
			for _, row := range m.Rows {
				if row != nil {
					note(row)
				}
			}
		case *wire.Certificate:
			note(m.PrePrepare)
		case *wire.Evidence:
			note(m.First)
			note(m.Second)
		}
		for _, part := range partsOf(e.Msg) {
			note(part)
		}
	}
	v := c.verifier()
	samples := c.samples()
	for i, e := range samples {
		note(e)
		f.Add(uint8(i), uint16(len(e.Raw)/2), []byte{1, 2, 3})
		f.Add(uint8(i), uint16(len(e.Raw)-32), e.Raw[len(e.Raw)-32:])
		if err := v.Verify(e); err != nil {
			f.Fatalf("%v: %v", e.Kind, err)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, at uint16, patch []byte) {
		raw := bytes.Clone(samples[int(which)%len(samples)].Raw)
		at %= uint16(len(raw))
		raw = append(raw, make([]byte, max(0, int(at)+len(patch)-len(raw)))...)
		copy(raw[at:], patch)
		kept := bytes.Clone(raw)
		e, err := c.limits.Decode(raw)
		if err != nil {
			return
		}
		if v.Verify(e) == nil && !genuine[string(raw)] {
			t.Errorf("forged: %x", raw)
		}
		if !bytes.Equal(raw, kept) {
			t.Error("the message was altered")
		}
	})
}

// partsOf is what a message of election or view change embeds.
func partsOf(m wire.Message) (list []*wire.Envelope) {
	switch m := m.(type) {
	case *wire.NewLeaderProof:
		return m.Votes
	case *wire.StateProof:
		return m.Shares
	case *wire.Replay:
		return m.Proof.Shares
	case *wire.Window:
		return m.Commits
	case *wire.CheckpointProof:
		return m.Votes
	case *wire.Report:
		list = append(list, m.Carried.Prepares...)
		for i := range m.Prepared {
			list = append(list, m.Prepared[i].Prepares...)
		}
	}
	return list
}
