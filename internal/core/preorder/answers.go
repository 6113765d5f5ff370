package preorder

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// How many bytes of answers may be under way to one peer: leastAnswers at first, and always one request; twice as many whenever all
// that was under way has arrived by the time that the peer asks for more, up to mostAnswers, or four of the largest requests; half
// as many when it asks again for what is under way, or something is lost. So answers take what the link carries, whatever that is.
// Who never says that anything arrived gets leastAnswers for each time in which answers are taken for lost.
const (
	leastAnswers = 32 << 10
	mostAnswers  = 1 << 20
)

// MaxAnswers is how many requests may be under way to one peer, however small.
const MaxAnswers = 512

// answer is a request that a peer was sent because it asked for it.
type answer struct {
	origin int
	seq    uint64
	bytes  int
	lost   clock.Instant // when it is taken for lost
}

// answers is what is under way to a peer.
type answers struct {
	list   []answer
	bytes  int // of list
	window int // how many may be; 0: leastAnswers
}

// holds reports whether a request is under way.
func (a *answers) holds(origin int, seq uint64) bool {
	for k := range a.list {
		if a.list[k].origin == origin && a.list[k].seq == seq {
			return true
		}
	}
	return false
}

// settle forgets answers that have arrived, and those that are lost, and learns from both.
func (s *State) settle(now clock.Instant, j int) {
	a := &s.peers[j].answers
	kept, arrived, lost := a.list[:0], false, false
	for _, one := range a.list {
		switch {
		case s.arrived(j, one.origin, one.seq):
			arrived, a.bytes = true, a.bytes-one.bytes
		case one.lost <= now:
			lost, a.bytes = true, a.bytes-one.bytes
		default:
			kept = append(kept, one)
		}
	}
	a.list = kept
	switch {
	case lost:
		s.narrow(a)
	case arrived && len(kept) == 0:
		a.window = min(2*max(a.window, leastAnswers), max(mostAnswers, 4*s.cfg.RequestBytes))
	}
}

func (s *State) narrow(a *answers) { a.window = max(a.window/2, leastAnswers) }

// arrived reports whether a peer says that it holds a request: it has acknowledged what is held here, or covers it with its
// summary. What is executed here is not asked for.
func (s *State) arrived(j, i int, seq uint64) bool {
	at := s.lanes[i].slots.At(seq)
	if at == nil || at.request == nil || s.covering(i, seq).Has(group.FromIndex(j)) {
		return true
	}
	for k := range at.tallies {
		if at.tallies[k].digest == at.request.Digest && at.tallies[k].ackers.Has(group.FromIndex(j)) {
			return true
		}
	}
	return false
}

// OnFetch answers a peer with the requests it lacks, and with acks that say which digest is bound, as fast as it takes them.
func (s *State) OnFetch(now clock.Instant, env *wire.Envelope, out *effect.Output) {
	if env.Sender == s.cfg.Self {
		return // our own, which somebody passes on: an answer to ourselves would be a promise that no log has a reason for
	}
	j, to := env.Sender.Index(), group.SetOf(env.Sender)
	s.settle(now, j)
	a := &s.peers[j].answers
	var parts []wire.AckPart
	repeated := false
	for _, w := range env.Msg.(*wire.Fetch).Wants {
		i := w.ID.Origin.Index()
		at := s.lanes[i].slots.At(w.ID.Seq)
		if at == nil || !at.proven() || w.ID.Incarnation != s.cfg.Incarnations[i] {
			continue
		}
		if w.Digest != (wire.Digest{}) && w.Digest != at.request.Digest {
			continue
		}
		if a.holds(i, w.ID.Seq) {
			repeated = true
			continue
		}
		size := len(at.request.Raw)
		if len(a.list) > 0 && a.bytes+size > max(a.window, leastAnswers) || len(a.list) == MaxAnswers {
			drop(out, env.Sender, "fetches faster than is answered")
			break
		}
		a.list, a.bytes = append(a.list, answer{i, w.ID.Seq, size, now.Add(patient * s.cfg.Fetch)}), a.bytes+size
		out.Sends = append(out.Sends, effect.Send{To: to, Class: wire.Recon, Signed: at.request})
		if w.ID.Seq <= s.lanes[i].acked {
			parts = append(parts, s.part(i, w.ID.Seq))
		}
	}
	if repeated {
		s.narrow(a)
	}
	s.emitAcks(to, parts, out)
}
