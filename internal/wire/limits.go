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
	Window         int  // ordinals that a view change can bind, and prepare certificates that a REPORT can hold
	Recalls        int  // messages that one RECALL asks for
	Enough         int  // parts of a request that give it back, f+1
	Lane           int  // requests of one origin that one ordinal can execute
	Links          int  // links of an OUTLINE
	SegmentBytes   int  // contents of one SEGMENT, and what describes its ordinals; of a single one may be more
	Threshold      bool // what challenges a new leader is a threshold signature; otherwise a list of signatures
	SignedUpdates  bool // every update carries its client's signature; otherwise none does
}

var (
	topLevel = kindSet(KindPreorderRequest, KindPreorderAck, KindSummary, KindSummaryMatrix, KindPrePrepare, KindPrepare,
		KindCommit, KindFetch, KindStatus, KindCertificate, KindEvidence, KindPing, KindPong, KindRoundTrip, KindBound,
		KindTurnaround, KindNewLeader, KindNewLeaderProof, KindReport, KindEcho, KindReady, KindStateList, KindStateShare,
		KindStateProof, KindReplay, KindReplayPrepare, KindReplayCommit, KindWindow, KindRecall, KindPart, KindCheckpoint,
		KindCheckpointProof, KindOutlineAsk, KindOutline, KindSegmentAsk, KindSegment)
	convicting = kindSet(KindPreorderRequest, KindSummary, KindPrePrepare, KindReplay, KindPart, KindCheckpoint)
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
	vector := maxVector(l.N)
	rows := 1 + l.N*(lengthSize+maxRow(l.N))
	switch k {
	case KindPreorderRequest:
		each := updateSize
		if l.SignedUpdates {
			each += len(Signature{})
		}
		return batchSize + requestSize + l.RequestUpdates*each + min(l.RequestBytes, l.RequestUpdates*l.UpdateBytes)
	case KindPreorderAck:
		return batchSize + digestSize + 4 + l.AckParts*maxAckPart
	case KindSummary:
		return maxRow(l.N)
	case KindSummaryMatrix:
		return batchSize + 8 + rows
	case KindPrePrepare:
		return batchSize + 8 + 8 + digestSize + vector + rows
	case KindPrepare, KindCommit:
		return batchSize + voteSize
	case KindFetch:
		return batchSize + 4 + l.Wants*maxWant
	case KindStatus:
		return batchSize + statusSize + 2*vector
	case KindCertificate:
		return batchSize + lengthSize + l.MaxFrame(KindPrePrepare) + 1 + l.N*(lengthSize+l.MaxFrame(KindCommit))
	case KindEvidence:
		largest := max(l.MaxFrame(KindPreorderRequest), l.MaxFrame(KindSummary), l.MaxFrame(KindPrePrepare))
		pair := max(2*largest, l.MaxFrame(KindPart)+l.MaxFrame(KindPreorderRequest))
		return batchSize + 2*lengthSize + pair
	case KindPart:
		content := l.MaxFrame(KindPreorderRequest) - batchSize + headerSize
		one := 1 + maxPosition + reconSize + sealRoom + partPathLen(l.N)*digestSize + partSize(content, l.Enough)
		return batchSize + 1 + max(one, ReconBytes)
	}
	return l.maxCatchUp(k)
}

// maxCatchUp is MaxFrame for the messages of catching up.
func (l Limits) maxCatchUp(k Kind) int {
	switch k {
	case KindOutlineAsk:
		return batchSize + 16
	case KindOutline:
		return batchSize + 16 + l.Links*digestSize
	case KindSegmentAsk:
		return batchSize + 20
	case KindSegment:
		skeleton := max(l.SegmentBytes, ordinalSize+maxVector(l.N)+l.N*l.Lane*digestSize)
		contents := max(l.SegmentBytes, l.MaxFrame(KindPreorderRequest)-batchSize+headerSize)
		return batchSize + segmentSize + skeleton + contents + lengthSize - digestSize
	}
	return l.maxView(k)
}

// maxView is MaxFrame for the messages of monitoring, election and view change.
func (l Limits) maxView(k Kind) int {
	signers := func(body int) int { return 1 + l.N*(lengthSize+batchSize+body) }
	bindings := 4 + l.Window*digestSize
	share, proof := resolutionSize, resolutionSize+8+l.N*shareSize
	if l.Threshold {
		share, proof = resolutionSize+thresholdSize, resolutionSize+thresholdSize
	}
	switch k {
	case KindPing, KindBound, KindStateList:
		return batchSize + 16
	case KindTurnaround:
		return batchSize + 24
	case KindPong, KindRoundTrip:
		return batchSize + 17
	case KindNewLeader:
		return batchSize + 8
	case KindNewLeaderProof:
		return batchSize + 8 + signers(8)
	case KindReport:
		carried := resolutionSize + bindings + signers(replayVoteSize)
		return batchSize + 8 + 8 + 1 + carried + 4 + l.Window*(voteSize+signers(voteSize))
	case KindEcho, KindReady:
		return batchSize + receiptSize
	case KindStateShare:
		return aloneSize + share
	case KindStateProof, KindReplay:
		return batchSize + proof
	case KindReplayPrepare, KindReplayCommit:
		return batchSize + replayVoteSize
	case KindWindow:
		return batchSize + resolutionSize + bindings + signers(replayVoteSize)
	case KindRecall:
		return batchSize + 4 + l.Recalls*digestSize
	case KindCheckpoint:
		return batchSize + checkpointSize
	case KindCheckpointProof:
		return batchSize + checkpointSize + signers(checkpointSize)
	}
	return 0
}

// MaxTimely is the length of the largest envelope that a correct replica sends in class Timely.
func (l Limits) MaxTimely() int {
	return max(l.MaxFrame(KindSummaryMatrix), l.MaxFrame(KindPrePrepare), l.MaxFrame(KindReplay))
}
