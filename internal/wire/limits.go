package wire

import "github.com/primebft/prime/internal/group"

// Limits bounds what is accepted from peers. All replicas of a cluster have the same.
type Limits struct {
	N              int  // replicas
	UpdateBytes    int  // payload of one update
	RequestBytes   int  // payloads of one PO-REQUEST together
	RequestUpdates int  // updates of one PO-REQUEST
	AckParts       int  // parts of one PO-ACK
	Wants          int  // requests that one FETCH asks for
	SignedUpdates  bool // every update carries its client's signature; otherwise none does
}

var (
	topLevel = kindSet(KindPreorderRequest, KindPreorderAck, KindSummary, KindSummaryMatrix, KindPrePrepare, KindPrepare,
		KindCommit, KindFetch, KindStatus, KindCertificate, KindEvidence)
	convicting = kindSet(KindPreorderRequest, KindSummary, KindPrePrepare)
	proposal   = kindSet(KindPrePrepare)
	commit     = kindSet(KindCommit)
)

// Decode reads one envelope. It checks everything that follows from raw and l alone, and no signature. It is total, and
// canonical: NewEnvelope and Finish of what it returns give raw again. The result aliases raw, which must not change
// afterwards. Errors are Malformed.
func (l Limits) Decode(raw []byte) (*Envelope, error) { return l.decode(raw, topLevel) }

func (l *Limits) member(id group.ID) bool { return id >= 1 && int(id) <= l.N }

// MaxFrame is the length of the largest envelope of kind k that Decode accepts; 0 for an unknown kind.
func (l Limits) MaxFrame(k Kind) int {
	vector := vectorSize(l.N)
	rows := 1 + l.N*(lengthSize+rowSize(l.N))
	switch k {
	case KindPreorderRequest:
		each := updateSize
		if l.SignedUpdates {
			each += len(Signature{})
		}
		return batchSize + requestSize + l.RequestUpdates*each + min(l.RequestBytes, l.RequestUpdates*l.UpdateBytes)
	case KindPreorderAck:
		return batchSize + digestSize + 4 + l.AckParts*ackPartSize
	case KindSummary:
		return rowSize(l.N)
	case KindSummaryMatrix:
		return batchSize + 8 + rows
	case KindPrePrepare:
		return batchSize + 8 + 8 + digestSize + vector + rows
	case KindPrepare, KindCommit:
		return batchSize + voteSize
	case KindFetch:
		return batchSize + 4 + l.Wants*wantSize
	case KindStatus:
		return batchSize + 8 + 8 + 2*vector
	case KindCertificate:
		return batchSize + lengthSize + l.MaxFrame(KindPrePrepare) + 1 + l.N*(lengthSize+l.MaxFrame(KindCommit))
	case KindEvidence:
		largest := max(l.MaxFrame(KindPreorderRequest), l.MaxFrame(KindSummary), l.MaxFrame(KindPrePrepare))
		return batchSize + 2*(lengthSize+largest)
	}
	return 0
}

// MaxTimely is the length of the largest envelope that a correct replica sends in class Timely.
func (l Limits) MaxTimely() int {
	return max(l.MaxFrame(KindSummaryMatrix), l.MaxFrame(KindPrePrepare))
}
