package effect

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/primebft/prime/internal/wire"
)

// State is everything that executing ordinals 1..Ordinal leaves behind in the core, and that executing the next ones needs: equal at
// all correct replicas. It is the core's part of a checkpoint (SRDS 2014; protocol-recovery.md 5.3).
type State struct {
	Ordinal uint64
	Time    int64       // ordered time, Unix nanoseconds
	Vector  wire.Vector // execution vector
	Chain   wire.Digest // see Link
	// Transfers is the ordered time of the last transfer point of each origin, Unix nanoseconds, 0 for none; nil is as many zeros as
	// there are origins.
	Transfers []int64
	Sessions  []byte // canonical encoding of the session table
}

// Link extends the digest of what was executed by one ordinal: when it was ordered, what it made eligible, and the digests of the
// requests that it executed, in order. Equal links at one ordinal prove that the same was executed up to there.
func Link(chain wire.Digest, ordinal uint64, time int64, eligible wire.Vector, requests []wire.Digest) wire.Digest {
	b := make([]byte, 0, 64+12*len(eligible)+len(wire.Digest{})*(1+len(requests)))
	b = append(b, "prime-link-v1\x00"...)
	b = append(b, chain[:]...)
	b = binary.LittleEndian.AppendUint64(b, ordinal)
	b = binary.LittleEndian.AppendUint64(b, uint64(time))
	for _, p := range eligible {
		b = binary.LittleEndian.AppendUint32(b, p.Incarnation)
		b = binary.LittleEndian.AppendUint64(b, p.Seq)
	}
	for i := range requests {
		b = append(b, requests[i][:]...)
	}
	return sha256.Sum256(b)
}

// Stable is a checkpoint that Q replicas have: f+1 correct ones among them, so its state can be had whatever others do.
type Stable struct {
	Ordinal uint64
	Digest  wire.Digest    // of the whole checkpoint: the core's part, the stream's, and the application's
	Proof   *wire.Envelope // shows it to anybody
}
