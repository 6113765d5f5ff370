package checkpoint

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

const interval = 100 * time.Millisecond

func digest(b byte) wire.Digest { return wire.Digest{b} }

func vote(from group.ID, ordinal uint64, d wire.Digest) *wire.Envelope {
	return seal(from, &wire.Checkpoint{Ordinal: ordinal, Digest: d})
}

func seal(from group.ID, m wire.Message) *wire.Envelope {
	env := wire.NewEnvelope(wire.Header{Sender: from, Epoch: 1, Incarnation: 1}, m)
	env.Finish(wire.Proof{Count: 1})
	return env
}

// proof is one of these signers, as it comes from a peer.
func proof(by group.ID, ordinal uint64, d wire.Digest, signers ...group.ID) *wire.Envelope {
	m := &wire.CheckpointProof{Checkpoint: wire.Checkpoint{Ordinal: ordinal, Digest: d}}
	for _, id := range signers {
		m.Votes = append(m.Votes, vote(id, ordinal, d))
	}
	return seal(by, m)
}

// first is replica 1 of four.
func first() *State { return New(Config{Self: 1, Group: group.MustNew(1, 0), Interval: interval}) }

// hears gives votes to s and returns what follows.
func hears(s *State, now clock.Instant, votes ...*wire.Envelope) *effect.Output {
	out := new(effect.Output)
	for _, e := range votes {
		s.OnVote(now, e, out)
		s.Check()
	}
	return out
}

// A checkpoint is stable by a quorum of distinct voters for one digest, and not before.
func TestQuorumMakesStable(t *testing.T) {
	t.Parallel()
	s := first()
	a, b := digest(1), digest(2)
	if out := hears(s, 0, vote(2, 10, a), vote(2, 10, a), vote(3, 10, b), vote(3, 20, a), vote(4, 10, a)); out.Stable != nil {
		t.Fatalf("stable by two: %+v", out.Stable)
	}
	out := hears(s, 0, vote(1, 10, a))
	if out.Stable == nil || out.Stable.Ordinal != 10 || out.Stable.Digest != a || len(out.Stable.Proof.Votes) != 3 {
		t.Fatalf("not stable: %+v", out.Stable)
	}
	if out := hears(s, 0, vote(3, 10, a), vote(1, 5, a), vote(2, 5, a), vote(3, 5, a)); out.Stable != nil {
		t.Errorf("stable again, or back: %+v", out.Stable)
	}
	if s.Stable().Ordinal != 10 || s.Votes(3) != 1 {
		t.Errorf("stable %d, %d votes of r3", s.Stable().Ordinal, s.Votes(3))
	}
}

// A sender that votes for many ordinals displaces only its own votes, the oldest first, and never what it said for newer ones.
func TestVotesAreBounded(t *testing.T) {
	t.Parallel()
	s := first()
	for o := uint64(1); o <= 1000; o++ {
		hears(s, 0, vote(4, o*7, digest(1)), vote(3, 10000-o, digest(1)))
	}
	if s.Votes(4) != Kept || s.Votes(3) != Kept {
		t.Errorf("%d and %d votes kept, want %d", s.Votes(4), s.Votes(3), Kept)
	}
	if out := hears(s, 0, vote(1, 6972, digest(1)), vote(2, 6972, digest(1)), vote(4, 6972, digest(1))); out.Stable != nil {
		t.Error("a vote older than those that are kept counts")
	}
	if out := hears(s, 0, vote(1, 9999, digest(1)), vote(2, 9999, digest(1)), vote(3, 9999, digest(1))); out.Stable == nil {
		t.Error("the highest vote of r3 was displaced by lower ones")
	}
}

// Two votes of one replica for one ordinal convict it: whether both came alone or one in a proof, early or late.
func TestContradictionIsEvidence(t *testing.T) {
	t.Parallel()
	a, b := digest(1), digest(2)
	for name, f := range map[string]func(s *State, out *effect.Output){
		"two votes": func(s *State, out *effect.Output) {
			s.OnVote(0, vote(4, 10, a), out)
			s.OnVote(0, vote(4, 10, b), out)
		},
		"vote and newer proof": func(s *State, out *effect.Output) {
			s.OnVote(0, vote(4, 10, b), out)
			s.OnProof(proof(2, 10, a, 2, 3, 4), out)
		},
		"proof and late vote": func(s *State, out *effect.Output) {
			s.OnProof(proof(2, 10, a, 2, 3, 4), out)
			s.OnVote(0, vote(4, 10, b), out)
		},
	} {
		s, out := first(), new(effect.Output)
		f(s, out)
		if len(out.Evidence) != 1 || out.Evidence[0].First.Sender != 4 {
			t.Errorf("%s: evidence %v", name, out.Evidence)
		}
	}
	if out := hears(first(), 0, vote(4, 10, a), vote(4, 20, b), vote(4, 10, a)); len(out.Evidence) != 0 {
		t.Errorf("an honest replica is convicted: %v", out.Evidence)
	}
}

// This replica signs one digest for an ordinal, whatever it is told later, and only for newer ordinals.
func TestOwnVoteIsFinal(t *testing.T) {
	t.Parallel()
	s, out := first(), new(effect.Output)
	for _, m := range []wire.Checkpoint{{Ordinal: 10, Digest: digest(1)}, {Ordinal: 10, Digest: digest(2)}, {Ordinal: 9, Digest: digest(1)},
		{Ordinal: 0}, {Ordinal: 20, Digest: digest(3)}} {
		s.Made(m, out)
	}
	if len(out.Sends) != 2 || *out.Sends[0].Msg.(*wire.Checkpoint) != (wire.Checkpoint{Ordinal: 10, Digest: digest(1)}) ||
		*out.Sends[1].Msg.(*wire.Checkpoint) != (wire.Checkpoint{Ordinal: 20, Digest: digest(3)}) {
		t.Errorf("signs %+v", out.Sends)
	}
}

// f+1 others that agree on another digest than our own are right; f are not. We say so once.
func TestDivergence(t *testing.T) {
	t.Parallel()
	a, b := digest(1), digest(2)
	own := wire.Checkpoint{Ordinal: 10, Digest: a}
	s, out := first(), new(effect.Output)
	s.Made(own, out)
	if out := hears(s, 0, vote(1, 10, a), vote(2, 10, b), vote(3, 20, b)); out.Diverged != nil {
		t.Error("diverged by the word of one")
	}
	if out := hears(s, 0, vote(4, 10, b)); out.Diverged == nil || *out.Diverged != (effect.Divergence{Ordinal: 10, Own: a, Others: b}) {
		t.Errorf("not diverged by two: %+v", out.Diverged)
	}
	if out := hears(s, 0, vote(3, 10, b)); out.Diverged != nil || out.Stable == nil {
		t.Errorf("diverged %+v again, stable %+v", out.Diverged, out.Stable)
	}
	late, out := first(), new(effect.Output)
	late.OnProof(proof(2, 10, b, 2, 3, 4), out)
	if late.Made(own, out); out.Diverged == nil || len(out.Sends) != 0 {
		t.Errorf("made after it was stable: diverged %+v, sends %v", out.Diverged, out.Sends)
	}
	three := first()
	hears(three, 0, vote(2, 10, b), vote(3, 10, b))
	out = new(effect.Output)
	if three.Made(own, out); out.Diverged == nil {
		t.Error("made after two others voted: not diverged")
	}
}

// Old proofs and proofs of too few change nothing.
func TestProofsOnlyRise(t *testing.T) {
	t.Parallel()
	s, out := first(), new(effect.Output)
	s.OnProof(proof(2, 20, digest(1), 2), out)
	s.OnProof(proof(2, 10, digest(1), 2, 3), out)
	if out.Stable != nil || s.offered.Ordinal != 10 {
		t.Fatalf("stable %+v by two signers, f+1 of which vouch for %d", out.Stable, s.offered.Ordinal)
	}
	s.OnProof(proof(2, 10, digest(1), 2, 3, 4), out)
	if out.Stable == nil || out.Stable.Ordinal != 10 {
		t.Fatal("not stable by a proof")
	}
	out = new(effect.Output)
	s.OnProof(proof(3, 5, digest(1), 2, 3, 4), out)
	s.OnProof(proof(3, 10, digest(1), 2, 3, 4), out)
	if out.Stable != nil || !out.Known || s.Stable().Ordinal != 10 {
		t.Errorf("an old proof: stable %+v, known %v", out.Stable, out.Known)
	}
}

// Who repeats a vote that is of no more use is sent the proof, once in an interval.
func TestProofForWhoMissedIt(t *testing.T) {
	t.Parallel()
	s := first()
	hears(s, 1, vote(2, 10, digest(1)), vote(3, 10, digest(1)), vote(1, 10, digest(1)))
	if out := hears(s, 1, vote(4, 10, digest(1))); len(out.Sends) != 0 {
		t.Fatal("a vote that only comes late is answered")
	}
	out := hears(s, 2, vote(4, 10, digest(1)), vote(4, 10, digest(1)))
	if len(out.Sends) != 1 || out.Sends[0].To != group.SetOf(4) || out.Sends[0].Msg.Kind() != wire.KindCheckpointProof {
		t.Fatalf("a repeated vote is answered with %+v", out.Sends)
	}
}

// The owner is told what this replica lacks after a while, again of every newer stable checkpoint, and when nothing came of it, then also of
// the newer one that f+1 vouch for; nothing happens while no checkpoint is known that would help.
func TestLacking(t *testing.T) {
	t.Parallel()
	half := clock.Instant(0).Add(interval / 2)
	s := first()
	lacks := func(now clock.Instant, executed uint64, lacks bool) uint64 {
		out := new(effect.Output)
		if s.Advance(now, executed, lacks, out); out.Lacks == nil {
			return 0
		}
		if out.Lacks.Proof.Ordinal != out.Lacks.Ordinal {
			t.Errorf("the proof is of ordinal %d", out.Lacks.Proof.Ordinal)
		}
		return out.Lacks.Ordinal
	}
	if lacks(1, 5, true) != 0 || s.Deadline() != clock.Never {
		t.Fatal("lacks a checkpoint that is not known")
	}
	s.OnProof(proof(2, 8, digest(8), 2, 3), new(effect.Output))
	if lacks(1, 5, true) != 0 || s.Deadline() != 1+half {
		t.Fatal("at once")
	}
	if got := lacks(1+half, 5, true); got != 8 {
		t.Fatalf("f+1 vouch for the only one: lacks %d", got)
	}
	s.OnProof(proof(2, 10, digest(1), 2, 3, 4), new(effect.Output))
	if got := lacks(2+half, 5, true); got != 10 {
		t.Fatalf("one is stable: lacks %d", got)
	}
	s.OnProof(proof(4, 20, digest(2), 2, 3), new(effect.Output))
	if got := lacks(3+half, 5, true); got != 0 {
		t.Fatalf("f+1 vouch for a newer one, and it is told of %d at once", got)
	}
	if s.Deadline() > 3+half.Add(patience*interval) {
		t.Fatalf("again at %d", s.Deadline())
	}
	for k, want := range []uint64{20, 10, 20, 10} {
		if got := lacks(s.Deadline(), 5, true); got != want {
			t.Fatalf("again, %d: lacks %d, want %d: who has the state of either may have crashed, so both have their turn", k, got, want)
		}
	}
	hears(s, 5, vote(2, 30, digest(3)), vote(3, 30, digest(3)), vote(2, 40, digest(4)))
	for k, want := range []uint64{30, 10, 30} {
		if got := lacks(s.Deadline(), 5, true); got != want {
			t.Fatalf("again, %d: lacks %d, want %d: nobody shows a proof of the one that f+1 voted for, but their votes do", k, got, want)
		}
	}
	if got := lacks(s.Deadline(), 10, true); got != 20 || s.Stable().Ordinal != 10 {
		t.Fatalf("beyond the stable one: lacks %d", got)
	}
	for _, executed := range []uint64{5, 20} {
		if lacks(s.Deadline(), executed, executed == 20) != 0 || s.Deadline() != clock.Never {
			t.Fatal("lacks what is there")
		}
	}
}

// A peer that is behind is shown the stable checkpoint if it does not know it; the newest that f+1 vouch for if that is not enough; and
// nothing that does not help.
func TestLift(t *testing.T) {
	t.Parallel()
	s := first()
	hears(s, 1, vote(1, 10, digest(1)), vote(2, 10, digest(1)), vote(3, 10, digest(1)), vote(2, 30, digest(3)), vote(3, 30, digest(3)))
	for _, c := range []struct {
		executed, stable, collected, want uint64
	}{{5, 0, 7, 10}, {5, 10, 7, 0}, {5, 10, 12, 30}, {5, 0, 12, 30}, {15, 10, 20, 30}, {30, 10, 31, 0}} {
		out := new(effect.Output)
		s.answerAt[3] = 0
		s.Lift(1, 4, &wire.Status{Executed: c.executed, Stable: c.stable}, c.collected, out)
		got := uint64(0)
		if len(out.Sends) > 0 {
			got = out.Sends[0].Msg.(*wire.CheckpointProof).Ordinal
		}
		if got != c.want {
			t.Errorf("executed %d, knows %d, held from %d: shown %d, want %d", c.executed, c.stable, c.collected+1, got, c.want)
		}
	}
}

// Whatever votes and proofs come, in whatever order: the stable ordinal only rises, no replica counts twice, and only who signed
// two digests for an ordinal is convicted.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, last := first(), uint64(0)
		said := map[group.ID]map[uint64]wire.Digest{}
		liars := group.Set(0)
		say := func(from group.ID, o uint64, d wire.Digest) {
			if said[from] == nil {
				said[from] = map[uint64]wire.Digest{}
			}
			if old, ok := said[from][o]; ok && old != d {
				liars = liars.With(from)
			}
			said[from][o] = d
		}
		for range rapid.IntRange(1, 60).Draw(t, "messages") {
			out := new(effect.Output)
			o, d := 10*rapid.Uint64Range(1, 8).Draw(t, "ordinal"), digest(byte(rapid.IntRange(1, 2).Draw(t, "digest")))
			if rapid.IntRange(0, 9).Draw(t, "proof") == 0 {
				for _, id := range []group.ID{2, 3, 4} {
					say(id, o, d)
				}
				s.OnProof(proof(2, o, d, 2, 3, 4), out)
			} else {
				from := group.ID(rapid.IntRange(1, 4).Draw(t, "from"))
				say(from, o, d)
				s.OnVote(0, vote(from, o, d), out)
			}
			s.Check()
			if s.Stable().Ordinal < last || (out.Stable != nil) != (s.Stable().Ordinal > last) {
				t.Fatalf("stable %d after %d", s.Stable().Ordinal, last)
			}
			last = s.Stable().Ordinal
			for _, e := range out.Evidence {
				if !liars.Has(e.First.Sender) {
					t.Fatalf("%s is convicted", e.First.Sender)
				}
			}
		}
	})
}

// A proof by f+1 that was shown can be shown on, although its signers vote for so much afterwards that these votes are not kept.
func TestProofIsKept(t *testing.T) {
	t.Parallel()
	s := first()
	s.OnProof(proof(4, 10, digest(1), 3, 4), new(effect.Output))
	for o := uint64(11); o < 20; o++ {
		hears(s, 0, vote(4, o, digest(9)))
	}
	out := new(effect.Output)
	s.Lift(0, 2, &wire.Status{Executed: 5}, 10, out)
	if len(out.Sends) != 1 || out.Sends[0].Msg.(*wire.CheckpointProof).Ordinal != 10 || s.Proven() != 10 {
		t.Errorf("%d messages, proven to %d", len(out.Sends), s.Proven())
	}
}

// A proof whose votes are all here says something new all the same: that a checkpoint is a correct one. It must not be left out of the log.
func TestProofOfKnownVotesIsNew(t *testing.T) {
	t.Parallel()
	s := first()
	hears(s, 0, vote(3, 10, digest(1)), vote(4, 10, digest(1)))
	for _, known := range []bool{false, true} {
		out := new(effect.Output)
		if s.OnProof(proof(4, 10, digest(1), 3, 4), out); out.Known != known || s.Proven() != 10 {
			t.Errorf("known: %v, want %v, proven to %d", out.Known, known, s.Proven())
		}
	}
}
