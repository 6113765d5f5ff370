package wire

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"
)

func (s *sampler) threshold() *Threshold {
	t := new(Threshold)
	a, b := s.digest(), s.digest()
	copy(t[copy(t[:], a[:]):], b[:])
	return t
}

// thresholdSamples has what is different in a cluster whose proofs are threshold signatures.
func thresholdSamples(n int) []sample {
	s := &sampler{n: n}
	proof := func() StateProof {
		r, _ := s.resolution(nil)
		return StateProof{Resolution: r, Sig: s.threshold()}
	}
	share, alone := StateShare{Share: s.threshold()}, proof()
	share.Resolution, _ = s.resolution(nil)
	return []sample{
		{"vc_partial_sig_threshold", s.seal(4, 1, &share)},
		{"vc_proof_threshold", s.seal(1, 1, &alone)},
		{"replay_threshold", s.seal(2, 2, &Replay{proof()})},
		{"evidence_replay_threshold", s.seal(1, 1, &Evidence{s.seal(2, 1, &Replay{proof()}), s.seal(2, 3, &Replay{proof()})})},
	}
}

// Proofs of both forms have the same constant size in every group, and one encoding, in clusters of their own kind only.
func TestThresholdForms(t *testing.T) {
	t.Parallel()
	for _, n := range []int{4, 7, 64} {
		lists, thresholds := limitsFor(n), limitsFor(n)
		thresholds.Threshold = true
		for _, s := range thresholdSamples(n) {
			e, err := thresholds.Decode(s.env.Raw)
			if err != nil {
				t.Fatalf("n=%d %s: %v", n, s.name, err)
			}
			if !reflect.DeepEqual(e, s.env) {
				t.Errorf("n=%d %s: decoded\n%+v\nwant\n%+v", n, s.name, e, s.env)
			}
			if again := reencode(e); !bytes.Equal(again.Raw, s.env.Raw) {
				t.Errorf("n=%d %s: encoded again it differs", n, s.name)
			}
			if _, err := lists.Decode(s.env.Raw); err == nil {
				t.Errorf("n=%d %s: accepted where proofs are lists", n, s.name)
			}
			for cut := 1; cut <= thresholdSize; cut++ {
				c := s.env.Content
				if checkDecoded(t, thresholds, frame(c[:len(c)-cut])) {
					t.Errorf("n=%d %s: accepted with %d bytes less", n, s.name, cut)
				}
			}
		}
		s := &sampler{n: n}
		list := s.stateProof(1)
		for _, m := range []Message{&StateShare{Resolution: list.Resolution}, &list, &Replay{list}} {
			if _, err := thresholds.Decode(s.seal(1, 1, m).Raw); err == nil {
				t.Errorf("n=%d: %v is accepted without a threshold signature", n, m.Kind())
			}
		}
		for _, m := range []Message{
			&StateShare{list.Resolution, s.threshold()}, &StateProof{Resolution: list.Resolution, Sig: s.threshold()},
			&Replay{StateProof{Resolution: list.Resolution, Sig: s.threshold()}},
		} {
			reaches(t, thresholds, s, m)
		}
	}
}

// Whatever is changed in a threshold form, what is accepted has one encoding.
func TestMutatedThresholdForms(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	l := limitsFor(4)
	l.Threshold = true
	all := thresholdSamples(4)
	accepted := 0
	for range 5000 {
		if checkDecoded(t, l, mutate(r, all[r.IntN(len(all))].env.Raw, all[r.IntN(len(all))].env.Raw)) {
			accepted++
		}
	}
	if accepted < 500 {
		t.Errorf("%d accepted: the mutations test nothing", accepted)
	}
}
