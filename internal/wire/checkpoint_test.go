package wire

import (
	"math"
	"slices"
	"testing"

	"github.com/primebft/prime/internal/group"
)

// checkpointProof is one of every replica from first on.
func (s *sampler) checkpointProof(count uint8, first group.ID) *CheckpointProof {
	m := &CheckpointProof{Checkpoint: Checkpoint{s.number(), s.digest()}}
	m.Votes = s.each(first, count, &Checkpoint{m.Ordinal, m.Digest})
	return m
}

// checkpointSamples has the messages about checkpoints.
func checkpointSamples(s *sampler) []sample {
	one, other := s.seal(2, 1, &Checkpoint{9, s.digest()}), s.seal(2, 3, &Checkpoint{9, s.digest()})
	return []sample{
		{"checkpoint", s.seal(2, 3, &Checkpoint{s.number(), s.digest()})},
		{"checkpoint_proof", s.seal(3, 1, s.checkpointProof(3, 2))},
		{"evidence_checkpoint", s.seal(1, 1, &Evidence{one, other})},
	}
}

func TestRefusesCheckpoints(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	with := func(f func(m *CheckpointProof)) []byte {
		m := s.checkpointProof(1, 1)
		f(m)
		return s.seal(1, 1, m).Raw
	}
	zero := s.seal(1, 1, &Checkpoint{0, s.digest()})
	refuseAll(t, limitsFor(4), []refusal{
		{"checkpoint of nothing", zero.Raw, "ordinal 0"},
		{"cut checkpoint", changed(zero, func(c []byte) { c[headerSize] = 1 })[:40], "content length"},
		{"proof of nothing", with(func(m *CheckpointProof) { m.Ordinal = 0 }), "ordinal 0"},
		{"no votes", with(func(m *CheckpointProof) { m.Votes = nil }), "number of signers"},
		{"five votes", with(func(m *CheckpointProof) { m.Votes = append(m.Votes, m.Votes[0]) }), "number of signers"},
		{"one voter twice", with(func(m *CheckpointProof) { m.Votes[2] = m.Votes[1] }), "signers do not ascend"},
		{"voters descend", with(func(m *CheckpointProof) { slices.Reverse(m.Votes) }), "signers do not ascend"},
		{"votes for another ordinal", with(func(m *CheckpointProof) { m.Ordinal++ }), notFor},
		{"votes for another digest", with(func(m *CheckpointProof) { m.Digest[31] ^= 1 }), notFor},
		{"one vote for another digest", with(func(m *CheckpointProof) {
			m.Votes[3] = s.seal(4, 1, &Checkpoint{m.Ordinal, s.digest()})
		}), notFor},
		{"vote of another epoch", with(func(m *CheckpointProof) { m.Votes[0] = s.elsewhere(1, &m.Checkpoint) }), notFor},
		{"a proof among votes", with(func(m *CheckpointProof) { m.Votes[0] = s.seal(1, 1, s.checkpointProof(1, 1)) }), "kind"},
		{"nil vote", with(func(m *CheckpointProof) { m.Votes[0] = nil }), Truncated},
		{"evidence of a proof", s.seal(1, 1, &Evidence{s.seal(2, 1, s.checkpointProof(1, 1)), s.seal(2, 1, s.checkpointProof(1, 1))}).Raw,
			"kind"},
	})
	highest := s.seal(1, 1, &Checkpoint{math.MaxUint64, s.digest()})
	if _, err := limitsFor(4).Decode(highest.Raw); err != nil {
		t.Errorf("a checkpoint of the highest ordinal: %v", err)
	}
}

// The largest messages about checkpoints are exactly as long as MaxFrame says.
func TestMaxFrameOfCheckpointsIsReached(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 4, 7, 64} {
		s := &sampler{n: n}
		reaches(t, limitsFor(n), s, &Checkpoint{1, s.digest()})
		reaches(t, limitsFor(n), s, s.checkpointProof(64, 1))
	}
}
