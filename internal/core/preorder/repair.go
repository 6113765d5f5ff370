package preorder

import (
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// Repeat sends again what is not superseded and has waited for half an interval: own requests, to those who have not
// acknowledged them and have acknowledged none of ours for as long; acks of what is not preordered here; our newest summary.
// Acknowledgements are contiguous, so whoever makes progress has lost nothing so far: what it lacks is still on its way, through
// queues that more copies would only lengthen. Repetitions of one request back off for the same reason (the original repeats
// everything every 2 s).
func (s *State) Repeat(now clock.Instant, interval time.Duration, out *effect.Output) {
	self := s.cfg.Self.Index()
	var moving group.Set
	for j := range s.peers {
		if p := &s.peers[j]; p.acked > 0 && now < p.acked.Add(interval/2) {
			moving = moving.With(group.FromIndex(j))
		}
	}
	for seq := s.lanes[self].executed + 1; seq <= s.sent; seq++ {
		at := s.lanes[self].slots.At(seq)
		if at == nil || !at.proven() {
			continue
		}
		to := s.cfg.Group.Others(s.cfg.Self).Minus(at.voted).Minus(s.covering(self, seq)).Minus(moving)
		if to != 0 && at.resend.due(now, at.seen, interval) {
			out.Sends = append(out.Sends, effect.Send{To: to, Class: wire.Bounded, Signed: at.request})
		}
	}
	var parts []wire.AckPart
	for i := range s.lanes {
		l := &s.lanes[i]
		for seq := l.preordered + 1; seq <= l.acked; seq++ {
			if at := l.slots.At(seq); at.reack.due(now, at.seen, interval) {
				parts = append(parts, s.part(i, seq))
			}
		}
	}
	s.emitAcks(s.cfg.Group.All(), parts, out)
	if own := s.rows[self]; own != nil {
		out.Sends = append(out.Sends, effect.Send{To: s.cfg.Group.Others(s.cfg.Self), Class: wire.Bounded, Signed: own})
	}
}

// backoff spaces the repetitions of one thing.
type backoff struct {
	quiet clock.Instant // until when it is not repeated
	times uint8         // how often it was, as far as it matters
}

// due reports whether something that began at since is to be repeated now, and counts it if so: first after half an interval,
// then after one, two and at most four more.
func (b *backoff) due(now, since clock.Instant, interval time.Duration) bool {
	if now < max(b.quiet, since.Add(interval/2)) {
		return false
	}
	b.quiet = now.Add(interval<<b.times - interval/2)
	b.times = min(b.times+1, 2)
	return true
}

// covering is who says in its newest summary that it has preordered a request.
func (s *State) covering(i int, seq uint64) group.Set {
	var set group.Set
	for j, row := range s.rows {
		if row != nil && row.Msg.(*wire.Summary).Vector[i].Seq >= seq {
			set = set.With(group.FromIndex(j))
		}
	}
	return set
}

// missing reports whether the request of a slot is lacking here although it surely exists (some correct replica vouches for
// it), and which digest is wanted, zero for any. While nothing is bound, another digest that some correct replica acknowledged
// is wanted too: together with the request held here it proves that the origin is faulty.
func (s *State) missing(l *lane, seq uint64, at *slot) (digest wire.Digest, missing bool) {
	switch {
	case at.bound:
		return at.digest, at.request == nil || at.request.Digest != at.digest
	case at.request != nil:
		for k := range at.tallies {
			if t := &at.tallies[k]; t.digest != at.request.Digest && t.ackers.Len() >= s.cfg.Group.OneCorrect() {
				return t.digest, !s.blacklist.Has(at.request.Sender)
			}
		}
		return wire.Digest{}, false
	default:
		return wire.Digest{}, seq <= l.needed || at.voted.Len() >= s.cfg.Group.OneCorrect()
	}
}

// patient is how often a request is asked for at Fetch intervals: f+1 holders at a time, so that a correct one with nothing else to do
// is among them. Whoever still lacks it then has too much to do, or its peers have, and asks half as often each time, up to an eighth.
const patient = 4

// fetchMissing asks for requests that are missing for at least the Fetch interval: each from one holder at first, from up to
// f+1 at a time when that did not help, in turn.
func (s *State) fetchMissing(now clock.Instant, out *effect.Output) {
	s.fetchAt = clock.Never
	wants := make([][]wire.Want, len(s.peers))
	for i := range s.lanes {
		l := &s.lanes[i]
		for seq := l.preordered + 1; seq <= l.top; seq++ {
			at := l.slots.At(seq)
			if at == nil {
				continue
			}
			digest, missing := s.missing(l, seq, at)
			if !missing {
				continue
			}
			if at.askAt <= now && s.comes(now, l, seq, at) {
				at.askAt = now.Add(s.cfg.Fetch)
			} else if at.askAt <= now {
				s.ask(wants, i, seq, at, digest)
				at.askAt = now.Add(s.cfg.Fetch << max(0, int(at.asks)-patient))
				at.asks = min(at.asks+1, patient+3)
			}
			s.fetchAt = min(s.fetchAt, at.askAt)
		}
	}
	for j := range wants {
		if len(wants[j]) == 0 {
			continue
		}
		to := group.SetOf(group.FromIndex(j))
		out.Sends = append(out.Sends, effect.Send{To: to, Class: wire.Bounded, Msg: &wire.Fetch{Wants: wants[j]}})
		for _, w := range wants[j] {
			out.Emit(trace.Event{Kind: trace.Fetched, Origin: w.ID.Origin, Seq: w.ID.Seq, Peer: group.FromIndex(j)})
		}
	}
}

// ask adds a missing request to the lists of the holders whose turn it is.
func (s *State) ask(wants [][]wire.Want, i int, seq uint64, at *slot, digest wire.Digest) {
	holders := s.covering(i, seq).With(group.FromIndex(i))
	for _, t := range at.tallies {
		if digest == (wire.Digest{}) || t.digest == digest {
			holders = holders.Union(t.ackers)
		}
	}
	holders = holders.Without(s.cfg.Self)
	number := holders.Len()
	if number == 0 {
		return
	}
	turn, k := int(at.asked)%number, 0
	ask := min(int(at.asked)+1, s.cfg.Group.OneCorrect(), number)
	for id := range holders.All() {
		if (k-turn+number)%number < ask && len(wants[id.Index()]) < MaxWants {
			wants[id.Index()] = append(wants[id.Index()], wire.Want{ID: s.id(i, seq), Digest: digest})
		}
		k++
	}
	at.asked = (at.asked + uint8(ask)) & 0x7f
}

// Help answers a peer whose Status shows that it has preordered less than this replica: acks of what it lacks, which say
// that we hold certificates.
func (s *State) Help(from group.ID, preordered wire.Vector, out *effect.Output) {
	var parts []wire.AckPart
	for i := range s.lanes {
		l := &s.lanes[i]
		last := min(l.preordered, preordered[i].Seq+uint64(s.cfg.Ahead))
		for seq := max(preordered[i].Seq, l.slots.Base()) + 1; seq <= last && len(parts) < MaxAckParts; seq++ {
			parts = append(parts, s.part(i, seq))
		}
	}
	s.emitAcks(group.SetOf(from), parts, out)
}
