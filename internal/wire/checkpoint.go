package wire

const checkpointSize = 8 + digestSize

// Checkpoint is CHECKPOINT: executing ordinals 1..Ordinal has left its sender with a state of this digest, and it keeps that
// state for a while (SRDS 2014; protocol-recovery.md 5.3).
type Checkpoint struct {
	Ordinal uint64
	Digest  Digest // of the whole checkpoint: the core's part, the stream's, and the application's
}

// CheckpointProof is CHECKPOINT-PROOF: the CHECKPOINTs of distinct replicas in ascending order, all for this ordinal and
// digest. With f+1 of them it is one that a correct replica has made, with Q it is stable, and anybody can check that.
type CheckpointProof struct {
	Checkpoint
	Votes []*Envelope
}

// Kind implements Message.
func (*Checkpoint) Kind() Kind { return KindCheckpoint }

// Kind implements Message.
func (*CheckpointProof) Kind() Kind { return KindCheckpointProof }

func (*Checkpoint) size() int { return checkpointSize }

func (m *Checkpoint) appendBody(b []byte) []byte {
	return append(appendU64s(b, m.Ordinal), m.Digest[:]...)
}

func checkpoint(r *Reader) Checkpoint {
	m := Checkpoint{Ordinal: r.U64(), Digest: r.Digest()}
	r.Check(m.Ordinal >= 1, "ordinal 0")
	return m
}

func (m *CheckpointProof) size() int { return checkpointSize + signersSize(m.Votes) }

func (m *CheckpointProof) appendBody(b []byte) []byte {
	return appendSigners(m.Checkpoint.appendBody(b), m.Votes)
}

func (l *Limits) checkpointProof(r *Reader, epoch uint32) *CheckpointProof {
	m := &CheckpointProof{Checkpoint: checkpoint(r)}
	m.Votes = l.signers(r, kindSet(KindCheckpoint), aloneSize+checkpointSize, func(e *Envelope) bool {
		return *e.Msg.(*Checkpoint) == m.Checkpoint && e.Epoch == epoch
	})
	return m
}
