package core

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
)

// A group that has nothing to order still talks: about who leads, how fast, and how far everybody is. A durable replica logs that, and
// only a checkpoint shortens its log. So a replica that has executed nothing for Limits.CheckpointTime introduces a request without
// updates, a beat: it is ordered like any other, its ordinal has a later time, and by that a checkpoint is due.

// beat introduces one if it is time to.
func (r *Replica) beat(now clock.Instant, out *effect.Output) {
	if now >= r.beatAt {
		r.beatAt = r.nextBeat(now)
		r.preorder.Beat(now, out)
	}
}

// nextBeat is when the next beat is due if nothing is executed until then; Never if checkpoints are not due by time.
func (r *Replica) nextBeat(now clock.Instant) clock.Instant {
	if r.cfg.Limits.CheckpointTime == 0 {
		return clock.Never
	}
	return now.Add(r.cfg.Limits.CheckpointTime)
}

// overdue reports whether a checkpoint is due by ordered time alone. The first ordinal that has a time is where that begins.
func (r *Replica) overdue() bool {
	if r.checkpointed == 0 {
		r.checkpointed = r.time
	}
	l := &r.cfg.Limits
	return l.CheckpointTime > 0 && r.time-r.checkpointed >= int64(l.CheckpointTime)
}
