package core

import (
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// TransferPause is how much ordered time has to pass between two transfer points of one origin. A transfer point makes every other
// application take a snapshot, so an origin that lies may not have as many as it likes; earlier ones have no effect.
const TransferPause = 10 * time.Second

// transferRetry is how long this replica waits before it introduces another transfer point in place of one that came too early.
const transferRetry = time.Second

// transfers is what a replica knows of transfer points: marks in the order at which the application of their origin takes over the
// state that the others have (protocol-recovery.md 1.6). They bypass the sessions, for no client submits them.
type transfers struct {
	// last is when the last one of each origin was ordered, Unix nanoseconds; 0 if there was none. It is replicated state.
	last     []int64
	wanted   bool          // the own application waits for one
	underway bool          // it has been introduced, or is about to be, and not been executed yet
	at       clock.Instant // when to introduce it
}

// want notes that the own application waits for a transfer point that is ordered after this. wall is the calendar at Instant 0.
func (t *transfers) want(now clock.Instant, self group.ID, wall int64) {
	if t.wanted {
		return
	}
	t.wanted, t.at = true, now
	if last := t.last[self.Index()]; last != 0 {
		t.at = max(now, clock.Instant(last+int64(TransferPause)-wall))
	}
}

// due reports whether to introduce one now.
func (t *transfers) due(now clock.Instant) bool { return now >= t.deadline() }

// deadline is when to introduce one; Never if none is wanted.
func (t *transfers) deadline() clock.Instant {
	if !t.wanted || t.underway {
		return clock.Never
	}
	return t.at
}

// execute decides whether an ordered transfer point takes effect. now is that of the step, ordered the time of its ordinal.
func (t *transfers) execute(now clock.Instant, origin, self group.ID, ordered int64) bool {
	last := t.last[origin.Index()]
	effective := last == 0 || ordered-last >= int64(TransferPause)
	if effective {
		t.last[origin.Index()] = ordered
	}
	if origin == self {
		t.underway = false
		if effective {
			t.wanted = false
		} else {
			t.at = now.Add(transferRetry)
		}
	}
	return effective
}

// restored goes on after a jump. An own one that was ordered in what the jump left out is of no use, so another follows.
func (t *transfers) restored(last []int64) {
	clear(t.last) // none is as good as zeros
	copy(t.last, last)
	t.underway = false
}

// introduceTransfer introduces a transfer point if the own application waits for one. It goes before clients' updates that wait.
func (r *Replica) introduceTransfer(now clock.Instant) {
	if r.transfers.due(now) {
		r.transfers.underway = true
		r.preorder.First(wire.Update{})
	}
}
