package preorder

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// Learn takes requests that others told, in the order of execution: the next of each lane after what is executed. That they were ordered
// is known, so they are bound; but they have no proofs. One that is here with its proof stays. They need no acknowledgement: whoever
// executed them has acknowledged them.
func (s *State) Learn(requests []*wire.Envelope, out *effect.Output) {
	for _, e := range requests {
		i, seq := e.Sender.Index(), e.Msg.(*wire.PreorderRequest).Seq
		l := &s.lanes[i]
		at := l.slots.Make(seq)
		if at == nil {
			continue
		}
		l.top = max(l.top, seq)
		if at.request != nil && at.request.Digest != e.Digest {
			out.Emit(trace.Event{Kind: trace.Healed, Origin: e.Sender, Seq: seq})
			at.request = nil
		}
		if at.request == nil {
			at.request = e
		}
		at.bound, at.digest = true, e.Digest
		s.rise(i, out)
		l.acked = max(l.acked, seq)
		if e.Sender == s.cfg.Self {
			s.sent = max(s.sent, seq)
		}
	}
}

// proven reports whether the request that is here can be passed on: it has its origin's proof.
func (at *slot) proven() bool { return at.request != nil && at.request.Raw != nil }
