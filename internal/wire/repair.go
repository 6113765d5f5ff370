package wire

import "encoding/binary"

const (
	minWant = 1 + minPosition + digestSize
	maxWant = 1 + maxPosition + digestSize

	statusSize = 5*8 + 1 // without the vectors
)

func (m *Fetch) size() int {
	n := 4
	for i := range m.Wants {
		n += m.Wants[i].ID.size() + digestSize
	}
	return n
}

func (m *Fetch) appendBody(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Wants)))
	for i := range m.Wants {
		b = appendID(b, m.Wants[i].ID)
		b = append(b, m.Wants[i].Digest[:]...)
	}
	return b
}

func (l *Limits) fetch(r *Reader) *Fetch {
	m := &Fetch{Wants: make([]Want, r.Count(l.Wants, minWant))}
	for i := range m.Wants {
		m.Wants[i] = Want{ID: l.preorderID(r), Digest: r.Digest()}
	}
	return m
}

func (m *Status) size() int {
	return statusSize + m.Preorders.size() + m.Held.size()
}

func (m *Status) appendBody(b []byte) []byte {
	b = appendBool(appendU64s(b, m.View, m.Installed, m.Executed, m.Oldest, m.Stable), m.Help)
	return appendVector(appendVector(b, m.Preorders), m.Held)
}

func (l *Limits) status(r *Reader) *Status {
	return &Status{
		View: r.U64(), Installed: r.U64(), Executed: r.U64(), Oldest: r.U64(), Stable: r.U64(), Help: r.Bool(),
		Preorders: l.vector(r, nil), Held: l.vector(r, nil),
	}
}

func (m *Certificate) size() int {
	n := embedSize(m.PrePrepare) + 1
	for _, e := range m.Commits {
		n += embedSize(e)
	}
	return n
}

func (m *Certificate) appendBody(b []byte) []byte {
	b = embed(b, m.PrePrepare)
	b = append(b, byte(len(m.Commits)))
	for _, e := range m.Commits {
		b = embed(b, e)
	}
	return b
}

func (l *Limits) certificate(r *Reader) *Certificate {
	m := &Certificate{PrePrepare: l.embedded(r, proposal)}
	n := int(r.U8())
	r.Check(n >= 1 && n <= l.N, "number of commits")
	if r.Err() != nil || n > r.Len()/(lengthSize+aloneSize+voteSize) {
		r.Fail(Truncated)
		return m
	}
	p := m.PrePrepare.Msg.(*PrePrepare)
	want := Vote{View: p.View, Ordinal: p.Ordinal, Proposal: m.PrePrepare.Digest, Incarnations: p.Incarnations}
	m.Commits = make([]*Envelope, n)
	for i := range m.Commits {
		e := l.embedded(r, commit)
		if e == nil {
			return m
		}
		r.Check(e.Msg.(*Commit).Vote == want && e.Epoch == m.PrePrepare.Epoch, "commit is not for the proposal")
		r.Check(i == 0 || e.Sender > m.Commits[i-1].Sender, "signers do not ascend")
		if r.Err() != nil {
			return m
		}
		m.Commits[i] = e
	}
	return m
}

func (m *Evidence) size() int { return embedSize(m.First) + embedSize(m.Second) }

func (m *Evidence) appendBody(b []byte) []byte { return embed(embed(b, m.First), m.Second) }

func (l *Limits) evidence(r *Reader) *Evidence {
	m := &Evidence{First: l.embedded(r, convicting), Second: l.embedded(r, convicting)}
	if r.Err() != nil {
		return m
	}
	if parts, ok := m.First.Msg.(*Parts); ok {
		r.Check(parts.Of(m.Second) != nil, "not a request of the parts")
		return m
	}
	r.Check(m.First.Sender == m.Second.Sender, "signers differ")
	r.Check(m.First.Kind == m.Second.Kind, "kinds differ")
	r.Check(m.First.Digest != m.Second.Digest, "the same message twice")
	return m
}
