package preorder

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// What reconciliation (5.3) asks of preordering, and tells it.

// Preordered is the request of a position that is preordered here; nil if it is not, or no longer held, or
// has no proof here.
func (s *State) Preordered(origin group.ID, seq uint64) *wire.Envelope {
	l := &s.lanes[origin.Index()]
	if at := l.slots.At(seq); at != nil && seq <= l.preordered && at.proven() {
		return at.request
	}
	return nil
}

// Has reports whether the request with this digest is here, or was executed.
func (s *State) Has(origin group.ID, seq uint64, digest wire.Digest) bool {
	l := &s.lanes[origin.Index()]
	if seq <= l.executed {
		return true
	}
	at := l.slots.At(seq)
	return at != nil && at.request != nil && at.request.Digest == digest
}

// Holders is who is known to hold the request that is preordered at a position: they say so in their newest summaries, or
// acknowledged its digest.
func (s *State) Holders(origin group.ID, seq uint64) group.Set {
	l := &s.lanes[origin.Index()]
	holders := s.covering(origin.Index(), seq)
	if at := l.slots.At(seq); at != nil && at.bound {
		for k := range at.tallies {
			if at.tallies[k].digest == at.digest {
				holders = holders.Union(at.tallies[k].ackers)
			}
		}
	}
	return holders
}

// far is how many requests of a lane somebody is behind who does not follow it: twice as many as its origin has under way as a rule.
const far = 2 * Eager

// Behind is who says that it does not follow more than f+k lanes. Faulty origins can hide theirs from it, but those are not as many:
// it was away, or pretends. Parts would be in vain: somebody who comes back holds what arrives now, and lacks what came before.
func (s *State) Behind() (set group.Set) {
	for j, row := range s.rows {
		lanes := 0
		for i := range s.lanes {
			said := uint64(0)
			if row != nil {
				said = row.Msg.(*wire.Summary).Vector[i].Seq
			}
			if said+far < s.lanes[i].preordered {
				lanes++
			}
		}
		if lanes > s.cfg.Group.F()+s.cfg.Group.K() {
			set = set.With(group.FromIndex(j))
		}
	}
	return set
}

// OnParts takes what a RECON says beside its parts: its sender holds preorder certificates for their digests. While parts come
// a request is not asked for.
func (s *State) OnParts(now clock.Instant, env *wire.Envelope, out *effect.Output) {
	for k := range env.Msg.(*wire.Parts).List {
		s.onPart(now, env, &env.Msg.(*wire.Parts).List[k], out)
	}
}

func (s *State) onPart(now clock.Instant, env *wire.Envelope, m *wire.Part, out *effect.Output) {
	i := m.ID.Origin.Index()
	l := &s.lanes[i]
	if m.ID.Incarnation != s.cfg.Incarnations[i] || m.ID.Seq <= l.executed || m.ID.Seq > s.horizon(l) {
		return
	}
	if at := l.slots.At(m.ID.Seq); at == nil || !at.parted.Has(env.Sender) {
		at = s.touch(l, m.ID.Seq, now)
		at.parted = at.parted.With(env.Sender)
		at.askAt = max(at.askAt, now.Add(s.cfg.Fetch))
		if l.streams == nil {
			l.streams = make([]stream, s.cfg.Group.N())
		}
		if from := &l.streams[env.Sender.Index()]; m.ID.Seq >= from.seq {
			*from = stream{m.ID.Seq, now}
		}
		s.tally(now, i, &wire.AckPart{ID: m.ID, Digest: m.Digest, Certified: true}, env.Sender, out)
	}
}

// waits is for how many Fetch intervals a request is not asked for, at most, because parts of those before it still come.
const waits = 16

// recent is for how many Fetch intervals a replica that sent a part counts as sending them.
const recent = 4

// comes reports whether parts of a request are likely to be on their way: f+1 replicas, so a correct one, sent parts of earlier
// requests of the lane a moment ago, and links keep their order. What is asked for then would only lengthen the queues that the parts
// are in. Whoever lies about it delays nothing for long.
func (s *State) comes(now clock.Instant, l *lane, seq uint64, at *slot) bool {
	if now >= at.seen.Add(waits*s.cfg.Fetch) {
		return false
	}
	senders := 0
	for j, from := range l.streams {
		if at.parted.Has(group.FromIndex(j)) || from.seq > 0 && from.seq < seq && now < from.at.Add(recent*s.cfg.Fetch) {
			senders++
		}
	}
	return senders >= s.cfg.Group.OneCorrect()
}
