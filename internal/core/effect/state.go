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

// Append appends the canonical encoding of s: version (u8, 1), ordinal, time, number of origins (u8), their positions (u32, u64) and
// transfer points, chain, and what is left is the session table. Numbers are little-endian.
func (s *State) Append(b []byte) []byte {
	b = append(b, stateVersion)
	b = binary.LittleEndian.AppendUint64(b, s.Ordinal)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.Time))
	b = append(b, byte(len(s.Vector)))
	for i, p := range s.Vector {
		b = binary.LittleEndian.AppendUint32(b, p.Incarnation)
		b = binary.LittleEndian.AppendUint64(b, p.Seq)
		at := int64(0)
		if s.Transfers != nil {
			at = s.Transfers[i]
		}
		b = binary.LittleEndian.AppendUint64(b, uint64(at))
	}
	b = append(b, s.Chain[:]...)
	return append(b, s.Sessions...)
}

const stateVersion = 1

// ParseState reads what Append wrote, of a group of n; 0 is any. Any bytes give a state or an error, a wire.Malformed; the sessions are not
// looked at, and alias b.
func ParseState(b []byte, n int) (*State, error) {
	r := wire.NewReader(b)
	r.Check(r.U8() == stateVersion, "version of the state")
	s := &State{Ordinal: r.U64(), Time: int64(r.U64())}
	r.Check(s.Ordinal >= 1, "ordinal 0")
	count := int(r.U8())
	r.Check(n == 0 || count == n, "state has not one position per replica")
	if r.Err() != nil {
		return nil, r.Err()
	}
	s.Vector, s.Transfers = make(wire.Vector, count), make([]int64, count)
	for i := range s.Vector {
		p := wire.Position{Incarnation: r.U32(), Seq: r.U64()}
		r.Check((p.Seq == 0) == (p.Incarnation == 0), "position")
		s.Vector[i], s.Transfers[i] = p, int64(r.U64())
	}
	s.Chain = r.Digest()
	s.Sessions = r.Bytes(r.Len())
	if err := r.Err(); err != nil {
		return nil, err
	}
	return s, nil
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

// Stable is a checkpoint with what shows it to others. In Output.Stable Q replicas have it, f+1 correct ones among them, so its state
// can be had whatever others do, and what is before it can be forgotten. In Output.Lacks f+1 have it at least: a correct one vouches
// for it, which is enough to go on from (ADR 16).
type Stable struct {
	Ordinal uint64
	Digest  wire.Digest           // of the whole checkpoint: the core's part, the stream's, and the application's
	Proof   *wire.CheckpointProof // shows it to anybody
}

// Divergence is a checkpoint of this replica's own that f+1 others contradict: one of those is correct.
type Divergence struct {
	Ordinal     uint64
	Own, Others wire.Digest
}
