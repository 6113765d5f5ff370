package checkpoint

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/trace"
)

// lack is what the owner was told of what this replica lacks.
type lack struct {
	at      clock.Instant // when the owner is to be told, if nothing changes; Never if nothing is lacking
	ordinal uint64        // of the checkpoint that the owner was told of; 0: of none
}

// patience is for how many intervals something is hoped for from the owner, before it is told again.
const patience = 8

// Deadline is when Advance has something to do although nothing arrived.
func (s *State) Deadline() clock.Instant { return s.lack.at }

// Advance tells the owner that this replica lacks what only a checkpoint has: half an interval after lacks began to say so, again for
// every newer checkpoint, and when nothing came of it for long. executed is the last ordinal that was.
func (s *State) Advance(now clock.Instant, executed uint64, lacks bool, out *effect.Output) {
	l, target := &s.lack, s.stable
	if s.offered.Ordinal > target.Ordinal {
		target = s.offered
	}
	if !lacks || target.Ordinal <= executed {
		*l = lack{at: clock.Never}
		return
	}
	if l.at == clock.Never {
		l.at = now.Add(s.cfg.Interval / 2)
	}
	if newer := l.ordinal != 0 && target.Ordinal > l.ordinal; now < l.at && !newer {
		return
	}
	l.at, l.ordinal = now.Add(patience*s.cfg.Interval), target.Ordinal
	out.Lacks = &target
	out.Emit(trace.Event{Kind: trace.Lacking, Ordinal: target.Ordinal})
}
