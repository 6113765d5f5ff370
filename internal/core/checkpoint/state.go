package checkpoint

import (
	"slices"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/invariant"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// Kept is of how many ordinals the votes of each replica are kept, and for how many this replica repeats its own: the newest. Who
// takes part in ordering is no more than a window of ordinals behind, so of Q votes for one ordinal the first are still there when
// the last comes.
const Kept = 4

// Config is what checkpoints have to know.
type Config struct {
	Self     group.ID
	Group    group.Group
	Interval time.Duration // between repetitions, and before nothing more is hoped for from others
}

// State is what one replica knows of checkpoints.
type State struct {
	cfg    Config
	votes  [][]*wire.Envelope // CHECKPOINTs by sender, those for the newest ordinals, ascending; all beyond stable
	made   []wire.Checkpoint  // by this replica, the newest, ascending; all beyond stable
	stable effect.Stable      // Proof is nil while there is none
	// offered is the newest checkpoint beyond stable that a peer has shown to be a correct one, by f+1 votes; zero if there is none.
	offered effect.Stable

	passed   []uint64        // by sender: the ordinal, not beyond stable, of the last vote that came when it was of no more use
	answerAt []clock.Instant // by peer: when it may be sent a proof again
	alarmed  uint64          // highest ordinal at which this replica was found to have diverged

	lack lack
}

// New returns the state of a replica that knows of no checkpoint.
func New(cfg Config) *State {
	n := cfg.Group.N()
	return &State{
		cfg: cfg, votes: make([][]*wire.Envelope, n), passed: make([]uint64, n), answerAt: make([]clock.Instant, n),
		lack: lack{at: clock.Never},
	}
}

// Resume goes on with another interval, after this replica was away.
func (s *State) Resume(interval time.Duration) { s.cfg.Interval = interval }

// Stable is the newest stable checkpoint that is known; its ordinal is 0 if none is.
func (s *State) Stable() effect.Stable { return s.stable }

// Proven is the ordinal of the newest checkpoint that is known to be a correct one, by f+1 votes at least; 0 if none is.
func (s *State) Proven() uint64 { return max(s.stable.Ordinal, s.offered.Ordinal) }

// Votes is how many votes of a replica are kept, for limits.
func (s *State) Votes(id group.ID) int { return len(s.votes[id.Index()]) }

// Made says that this replica has made the checkpoint of an ordinal: it votes for it, once. A second one of the same ordinal, and
// one that comes after a later one, is not looked at: what was signed stays signed.
func (s *State) Made(m wire.Checkpoint, out *effect.Output) {
	if n := len(s.made); m.Ordinal == 0 || n > 0 && m.Ordinal <= s.made[n-1].Ordinal {
		return
	}
	switch {
	case m.Ordinal > s.stable.Ordinal:
		s.made = append(s.made, m)
		s.made = s.made[max(0, len(s.made)-Kept):]
		out.Sends = append(out.Sends, effect.Send{To: s.cfg.Group.All(), Class: wire.Bounded, Msg: &m})
		s.compare(m, out)
	case m.Ordinal == s.stable.Ordinal && m.Digest != s.stable.Digest:
		s.alarm(m, s.stable.Digest, out)
	}
}

// OnVote handles a CHECKPOINT: that for the newest ordinals count, one for each. A second one for an ordinal with another digest is
// evidence. A sender that repeats one that is of no more use has missed that, and is sent the proof.
func (s *State) OnVote(now clock.Instant, env *wire.Envelope, out *effect.Output) {
	m, i := env.Msg.(*wire.Checkpoint), env.Sender.Index()
	if m.Ordinal <= s.stable.Ordinal {
		out.Known = true
		s.contradicted(env, out)
		if s.passed[i] == m.Ordinal && env.Sender != s.cfg.Self {
			s.Help(now, env.Sender, out)
		}
		s.passed[i] = m.Ordinal
		return
	}
	if s.enter(env, out) {
		s.settle(m, out)
	}
	for _, own := range s.made {
		if own.Ordinal == m.Ordinal {
			s.compare(own, out)
		}
	}
}

// contradicted finds out that a vote which comes late contradicts the one that its sender has in the proof.
func (s *State) contradicted(env *wire.Envelope, out *effect.Output) {
	if env.Msg.(*wire.Checkpoint).Ordinal != s.stable.Ordinal {
		return
	}
	for _, v := range s.stable.Proof.Votes {
		if v.Sender == env.Sender && v.Digest != env.Digest {
			out.Evidence = append(out.Evidence, wire.Evidence{First: v, Second: env})
		}
	}
}

// enter keeps a vote, and reports whether it was new.
func (s *State) enter(env *wire.Envelope, out *effect.Output) bool {
	m, i := env.Msg.(*wire.Checkpoint), env.Sender.Index()
	at, found := slices.BinarySearchFunc(s.votes[i], m.Ordinal, func(e *wire.Envelope, ordinal uint64) int {
		if o := e.Msg.(*wire.Checkpoint).Ordinal; o < ordinal {
			return -1
		} else if o > ordinal {
			return 1
		}
		return 0
	})
	switch {
	case found:
		if old := s.votes[i][at]; old.Digest == env.Digest {
			out.Known = true
		} else {
			out.Evidence = append(out.Evidence, wire.Evidence{First: old, Second: env})
		}
		return false
	case at == 0 && len(s.votes[i]) == Kept:
		out.Emit(trace.Event{Kind: trace.Dropped, Peer: env.Sender, Ordinal: m.Ordinal, Reason: "older than the checkpoints that are kept"})
		return false
	}
	list := slices.Insert(s.votes[i], at, env)
	s.votes[i] = list[max(0, len(list)-Kept):]
	return true
}

// settle makes a checkpoint stable if a quorum has voted for it.
func (s *State) settle(m *wire.Checkpoint, out *effect.Output) {
	if list := s.votesFor(m, s.cfg.Group.Quorum()); len(list) == s.cfg.Group.Quorum() {
		s.rise(&wire.CheckpointProof{Checkpoint: *m, Votes: list}, out)
	}
}

// votesFor is the first votes for a checkpoint, at most most, by sender.
func (s *State) votesFor(m *wire.Checkpoint, most int) (list []*wire.Envelope) {
	for i := range s.votes {
		for _, e := range s.votes[i] {
			if *e.Msg.(*wire.Checkpoint) == *m && len(list) < most {
				list = append(list, e)
			}
		}
	}
	return list
}

// OnProof handles a CHECKPOINT-PROOF, whose signatures and distinct signers have been checked. One that is not beyond the stable
// checkpoint is of no use.
func (s *State) OnProof(env *wire.Envelope, out *effect.Output) {
	m := env.Msg.(*wire.CheckpointProof)
	if env.Sender == s.cfg.Self {
		return
	}
	if len(m.Votes) < s.cfg.Group.OneCorrect() {
		out.Emit(trace.Event{Kind: trace.Dropped, Peer: env.Sender, Ordinal: m.Ordinal, Reason: "proof of a checkpoint with too few votes"})
		return
	}
	for _, e := range m.Votes {
		if m.Ordinal > s.stable.Ordinal {
			s.enter(e, out)
		} else {
			s.contradicted(e, out)
		}
	}
	switch {
	case m.Ordinal <= s.stable.Ordinal:
		out.Known = true
	case len(m.Votes) >= s.cfg.Group.Quorum():
		s.rise(m, out)
	default:
		if m.Ordinal > s.offered.Ordinal {
			s.offered = effect.Stable{Ordinal: m.Ordinal, Digest: m.Digest, Proof: m}
		}
		s.settle(&m.Checkpoint, out)
	}
}

// rise takes a newer stable checkpoint, and forgets what it makes useless.
func (s *State) rise(proof *wire.CheckpointProof, out *effect.Output) {
	invariant.Assert(proof.Ordinal > s.stable.Ordinal, "stable checkpoint %d after %d", proof.Ordinal, s.stable.Ordinal)
	s.stable = effect.Stable{Ordinal: proof.Ordinal, Digest: proof.Digest, Proof: proof}
	for i := range s.votes {
		s.votes[i] = slices.DeleteFunc(s.votes[i], func(e *wire.Envelope) bool {
			return e.Msg.(*wire.Checkpoint).Ordinal <= proof.Ordinal
		})
	}
	for _, own := range s.made {
		if own.Ordinal == proof.Ordinal && own.Digest != proof.Digest {
			s.alarm(own, proof.Digest, out)
		}
	}
	if s.offered.Ordinal <= proof.Ordinal {
		s.offered = effect.Stable{}
	}
	s.made = slices.DeleteFunc(s.made, func(own wire.Checkpoint) bool { return own.Ordinal <= proof.Ordinal })
	stable := s.stable
	out.Stable = &stable
	out.Known = false
	out.Emit(trace.Event{Kind: trace.Stable, Ordinal: proof.Ordinal})
}

// compare compares what this replica made with what others say: f+1 of them that agree hold a correct one.
func (s *State) compare(own wire.Checkpoint, out *effect.Output) {
	for i := range s.votes {
		for _, e := range s.votes[i] {
			m := e.Msg.(*wire.Checkpoint)
			if m.Ordinal != own.Ordinal || m.Digest == own.Digest {
				continue
			}
			if s.voters(m).Without(s.cfg.Self).Len() >= s.cfg.Group.OneCorrect() {
				s.alarm(own, m.Digest, out)
				return
			}
		}
	}
}

// voters is who has voted for a checkpoint.
func (s *State) voters(m *wire.Checkpoint) (set group.Set) {
	for i := range s.votes {
		for _, e := range s.votes[i] {
			if *e.Msg.(*wire.Checkpoint) == *m {
				set = set.With(group.FromIndex(i))
			}
		}
	}
	return set
}

// alarm says, once for each ordinal, that this replica has diverged.
func (s *State) alarm(own wire.Checkpoint, others wire.Digest, out *effect.Output) {
	if own.Ordinal <= s.alarmed {
		return
	}
	s.alarmed = own.Ordinal
	out.Diverged = &effect.Divergence{Ordinal: own.Ordinal, Own: own.Digest, Others: others}
	out.Emit(trace.Event{Kind: trace.Diverged, Ordinal: own.Ordinal})
}

// Repeat sends our votes again that others may lack.
func (s *State) Repeat(out *effect.Output) {
	for _, e := range s.votes[s.cfg.Self.Index()] {
		out.Sends = append(out.Sends, effect.Send{To: s.cfg.Group.Others(s.cfg.Self), Class: wire.Bounded, Signed: e})
	}
}

// Help sends a peer the proof of the stable checkpoint, once in an interval.
func (s *State) Help(now clock.Instant, to group.ID, out *effect.Output) {
	s.show(now, to, s.stable.Proof, out)
}

// Lift sends a peer that has executed less than others the proof of a checkpoint that it may have to go on from: the stable one, which
// it may know, if what comes after that is held here, or else the newest that f+1 have voted for. collected is the last ordinal that is
// not held here.
func (s *State) Lift(now clock.Instant, to group.ID, m *wire.Status, collected uint64, out *effect.Output) {
	proof := s.stable.Proof
	if s.stable.Ordinal <= m.Executed || s.stable.Ordinal < collected {
		proof = s.newest()
	} else if m.Stable >= s.stable.Ordinal {
		return
	}
	if proof != nil && proof.Ordinal > m.Executed {
		s.show(now, to, proof, out)
	}
}

// newest is a proof of the newest checkpoint that f+1 have voted for, nil if that is not beyond the stable one.
func (s *State) newest() *wire.CheckpointProof {
	proof := s.offered.Proof // of its signers f may vote for more, so that these votes are not kept
	for i := range s.votes {
		for _, e := range s.votes[i] {
			m := e.Msg.(*wire.Checkpoint)
			if proof != nil && m.Ordinal <= proof.Ordinal || s.voters(m).Len() < s.cfg.Group.OneCorrect() {
				continue
			}
			proof = &wire.CheckpointProof{Checkpoint: *m, Votes: s.votesFor(m, s.cfg.Group.N())}
		}
	}
	return proof
}

func (s *State) show(now clock.Instant, to group.ID, proof *wire.CheckpointProof, out *effect.Output) {
	if i := to.Index(); proof != nil && now >= s.answerAt[i] {
		s.answerAt[i] = now.Add(s.cfg.Interval / 2)
		out.Sends = append(out.Sends, effect.Send{To: group.SetOf(to), Class: wire.Bounded, Msg: proof})
	}
}

// Check verifies invariants that cost too much for every step in production.
func (s *State) Check() {
	for i, list := range s.votes {
		invariant.Assert(len(list) <= Kept, "%d votes of %s are kept", len(list), group.FromIndex(i))
		last := s.stable.Ordinal
		for _, e := range list {
			o := e.Msg.(*wire.Checkpoint).Ordinal
			invariant.Assert(e.Sender == group.FromIndex(i) && o > last, "vote of %s for %d, after %d", e.Sender, o, last)
			last = o
		}
	}
	if p := s.stable.Proof; p != nil {
		var signers group.Set
		for _, e := range p.Votes {
			invariant.Assert(!signers.Has(e.Sender) && *e.Msg.(*wire.Checkpoint) == p.Checkpoint, "vote of %s in the proof", e.Sender)
			signers = signers.With(e.Sender)
		}
		invariant.Assert(signers.Len() >= s.cfg.Group.Quorum(), "stable by %d votes", signers.Len())
	}
}
