package wire

import (
	"encoding/binary"

	"github.com/primebft/prime/internal/group"
)

const voteSize = 8 + 8 + digestSize + digestSize

func (rows Rows) size() int {
	n := 1
	for _, e := range rows {
		n += embedSize(e)
	}
	return n
}

func appendRows(b []byte, rows Rows) []byte {
	b = append(b, byte(len(rows)))
	for _, e := range rows {
		b = embed(b, e)
	}
	return b
}

// row is the memory of one decoded summary.
type row struct {
	envelope Envelope
	summary  Summary
}

// rows reads a summary matrix that is part of a message of this epoch. That the bytes of all rows are there, each with as many as a
// summary has at least, is known before memory for them is allocated.
func (l *Limits) rows(r *Reader, epoch uint32) Rows {
	r.Check(int(r.U8()) == l.N, "matrix has not one row per replica")
	present, ahead := 0, *r
	for i := 0; i < l.N && ahead.Err() == nil; i++ {
		if n := ahead.U32(); n != 0 {
			ahead.Check(int64(n) >= int64(minRow(l.N)) && int64(n) <= int64(maxRow(l.N)), "row size")
			ahead.Bytes(int(n))
			present++
		}
	}
	if ahead.Err() != nil {
		*r = ahead
		return nil
	}
	rows, memory, positions := make(Rows, l.N), make([]row, present), make([]Position, present*l.N)
	for i := range rows {
		size := r.U32()
		if size == 0 {
			continue
		}
		to := &memory[0]
		err := l.row(to, r.Bytes(int(size)), positions[:l.N:l.N])
		r.Check(err == nil && to.envelope.Sender == group.FromIndex(i) && to.envelope.Epoch == epoch,
			"row is not a summary of its replica")
		if r.Err() != nil {
			return nil
		}
		rows[i], memory, positions = &to.envelope, memory[1:], positions[l.N:]
	}
	return rows
}

// row reads the summary envelope in raw.
func (l *Limits) row(to *row, raw []byte, positions []Position) error {
	e := &to.envelope
	r := l.open(e, raw)
	r.Check(e.Kind == KindSummary, "kind")
	l.summary(&r, &e.Proof, &to.summary, positions)
	if err := r.Done(); err != nil {
		return err
	}
	e.Msg, e.Digest = &to.summary, contentDigest(e.Content)
	return nil
}

func (m *SummaryMatrix) size() int { return 8 + m.Rows.size() }

func (m *SummaryMatrix) appendBody(b []byte) []byte {
	return appendRows(binary.LittleEndian.AppendUint64(b, m.View), m.Rows)
}

func (l *Limits) summaryMatrix(r *Reader, epoch uint32) *SummaryMatrix {
	m := &SummaryMatrix{View: r.U64()}
	r.Check(m.View >= 1, "view 0")
	m.Rows = l.rows(r, epoch)
	return m
}

func (m *PrePrepare) size() int { return 8 + 8 + digestSize + m.Base.size() + m.Rows.size() }

func (m *PrePrepare) appendBody(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, m.View)
	b = binary.LittleEndian.AppendUint64(b, m.Ordinal)
	b = append(b, m.Incarnations[:]...)
	return appendRows(appendVector(b, m.Base), m.Rows)
}

func (l *Limits) prePrepare(r *Reader, epoch uint32) *PrePrepare {
	m := &PrePrepare{View: r.U64(), Ordinal: r.U64(), Incarnations: r.Digest()}
	r.Check(m.View >= 1, "view 0")
	r.Check(m.Ordinal >= 1, "ordinal 0")
	m.Base = l.vector(r, nil)
	m.Rows = l.rows(r, epoch)
	return m
}

func (*Vote) size() int { return voteSize }

func (v *Vote) appendBody(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, v.View)
	b = binary.LittleEndian.AppendUint64(b, v.Ordinal)
	b = append(b, v.Proposal[:]...)
	return append(b, v.Incarnations[:]...)
}

func vote(r *Reader) Vote {
	v := Vote{View: r.U64(), Ordinal: r.U64(), Proposal: r.Digest(), Incarnations: r.Digest()}
	r.Check(v.View >= 1, "view 0")
	r.Check(v.Ordinal >= 1, "ordinal 0")
	return v
}
