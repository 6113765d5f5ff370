package checkpoint

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/trace"
)

// lack is what the owner was told of what this replica lacks.
type lack struct {
	at      clock.Instant // when the owner is to be told, if nothing changes; Never if nothing is lacking
	ordinal uint64        // of the checkpoint that comes first, when the owner was told last; 0: it was not
	second  bool          // it was told of the other one then
}

// patience is for how many intervals something is hoped for from the owner, before it is told again.
const patience = 8

// Deadline is when Advance has something to do although nothing arrived.
func (s *State) Deadline() clock.Instant { return s.lack.at }

// Advance tells the owner that this replica lacks what only a checkpoint has: half an interval after lacks began to say so, again for
// every newer checkpoint, and when nothing came of it for long. executed is the last ordinal that was.
//
// The stable checkpoint comes first, if it is beyond what was executed, and the newer one that f+1 vouch for if nothing came of that,
// in turn. Of those f+1 a single one is correct, and may have crashed: then nobody gives the state; or what led there was executed by that
// one alone, and is needed by others, to whom this replica could neither tell it nor vote for it any more if it had gone past it.
func (s *State) Advance(now clock.Instant, executed uint64, lacks bool, out *effect.Output) {
	l, first := &s.lack, s.stable
	if first.Ordinal <= executed {
		first = s.offered
	}
	if !lacks || first.Ordinal <= executed {
		*l = lack{at: clock.Never}
		return
	}
	if l.at == clock.Never {
		l.at = now.Add(s.cfg.Interval / 2)
	}
	if newer := l.ordinal != 0 && first.Ordinal > l.ordinal; now < l.at && !newer {
		return
	}
	second := s.newest() // shown by a peer, or by votes that came one by one
	l.second = l.ordinal == first.Ordinal && !l.second && second != nil && second.Ordinal > first.Ordinal
	l.at, l.ordinal = now.Add(patience*s.cfg.Interval), first.Ordinal
	if l.second {
		first = effect.Stable{Ordinal: second.Ordinal, Digest: second.Digest, Proof: second}
	}
	out.Lacks = &first
	out.Emit(trace.Event{Kind: trace.Lacking, Ordinal: first.Ordinal})
}
