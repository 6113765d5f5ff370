package wire

import (
	"encoding/binary"
	"slices"
	"testing"
)

// The largest message of every kind of monitoring, election and view change is exactly as long as MaxFrame says.
func TestMaxFrameOfViewMessagesIsReached(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 4, 7, 64} {
		l := limitsFor(n)
		s := &sampler{n: n}
		bindings := make(Bindings, l.Window)
		for i := range bindings {
			bindings[i] = s.digest()
		}
		report := &Report{View: 1 << 40, Executed: 5, Carried: s.carried(64, 1, bindings)}
		for i := range l.Window {
			v := Vote{1 << 39, 6 + uint64(i), s.digest(), s.digest()}
			report.Prepared = append(report.Prepared, Prepared{v, s.each(1, 64, &Prepare{v})})
		}
		proof := s.stateProof(1)
		recall := &Recall{make([]Digest, l.Recalls)}
		for _, m := range []Message{
			&Ping{1, 1}, &Pong{1, 1, 1}, &RoundTrip{1, 1, 1}, &Bound{1, 1}, &Turnaround{1, 1, 1}, &NewLeader{1}, s.votes(64), report,
			&Echo{s.receipt()}, &Ready{s.receipt()}, &StateList{1, 1}, &StateShare{Resolution: proof.Resolution}, &proof, &Replay{proof},
			&ReplayPrepare{s.replayVote()}, &ReplayCommit{s.replayVote()}, s.window(64, 1, bindings), recall,
		} {
			reaches(t, l, s, m)
		}
	}
}

// viewBombs are short frames of monitoring, election and view change that claim to hold very much.
func viewBombs(n int) [][]byte {
	s := &sampler{n: n}
	le32, le64 := binary.LittleEndian.AppendUint32, binary.LittleEndian.AppendUint64
	zeros := func(b []byte, k int) []byte { return append(b, make([]byte, k)...) }
	wide, _ := s.resolution(nil)
	wide.Start = wide.Base + 1<<29
	all := func(k Kind) []byte { return le64(wide.append(content(k)), ^uint64(0)) } // a proof that all have signed
	vote := (&Vote{1, 2, s.digest(), s.digest()}).appendBody(nil)
	report := func(prepared uint32) []byte { return le32(append(le64(le64(content(KindReport), 9), 1), 0), prepared) }
	return [][]byte{
		frame(append(le64(content(KindNewLeaderProof), 1), byte(n))),
		frame(zeros(append(le64(content(KindNewLeaderProof), 1), byte(n)), 100)),
		frame(report(1 << 29)),
		frame(zeros(report(1<<29), 200)),
		frame(append(append(report(1), vote...), byte(n))),
		frame(zeros(append(append(report(1), vote...), byte(n)), 160)),
		frame(le32(wide.append(append(le64(le64(content(KindReport), 1<<40), 1), 1)), 1<<29-1)),
		frame(all(KindStateProof)),
		frame(zeros(all(KindReplay), 67)),
		frame(le32(wide.append(content(KindWindow)), 1<<29-1)),
		frame(zeros(le32(wide.append(content(KindWindow)), 1<<29-1), 500)),
		frame(le32(content(KindRecall), 1<<29)),
		frame(zeros(le32(content(KindRecall), 1<<30), 31)),
		frame(append(zeros(le64(content(KindCheckpointProof), 1), 32), byte(n))),
		frame(zeros(append(zeros(le64(content(KindCheckpointProof), 1), 32), byte(n)), 100)),
	}
}

// A report or a proof is expanded when it is decoded: what it takes stays a small multiple of its own length.
func TestAllocationFollowsLength(t *testing.T) {
	for _, n := range []int{4, 64} {
		l := limitsFor(n)
		for _, s := range samples(n, false) {
			each := allocated(5, func() {
				if _, err := l.Decode(s.env.Raw); err != nil {
					t.Fatal(err)
				}
			})
			if most := uint64(1024 + 8*len(s.env.Raw)); each > most {
				t.Errorf("n=%d %s: %d bytes make %d allocated, at most %d are right", n, s.name, len(s.env.Raw), each, most)
			}
		}
	}
}

// Who passes a proof on cannot give the same shares another form: they are rebuilt from what was signed.
func TestSharesAreRebuilt(t *testing.T) {
	t.Parallel()
	l, s := limitsFor(4), &sampler{n: 4}
	proof := s.stateProof(2)
	e, err := l.Decode(s.seal(1, 1, &proof).Raw)
	if err != nil {
		t.Fatal(err)
	}
	got := e.Msg.(*StateProof).Shares
	if len(got) != len(proof.Shares) {
		t.Fatalf("%d shares, want %d", len(got), len(proof.Shares))
	}
	for i, share := range got {
		if want := proof.Shares[i]; share.Digest != want.Digest || !slices.Equal(share.Raw, want.Raw) || share.Sender != want.Sender {
			t.Errorf("share %d is %+v, want %+v", i, share, want)
		}
		if again, err := l.Decode(share.Raw); err != nil || again.Digest != share.Digest {
			t.Errorf("share %d alone: %v", i, err)
		}
	}
}
