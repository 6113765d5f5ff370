package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Outcome is what the replicas made of all load of a session.
type Outcome struct {
	Agreed      bool
	Lost        int            // acknowledged updates that some running replica has not delivered
	Delivered   map[int]uint64 // records, by running replica
	Digest      string         // of the stream of every running replica, if they agree
	View        uint64
	Leader      int
	ViewChanges uint64
	Why         string // not agreed, or lost
}

// How long replicas may take to come to one end after the load, and how often they are asked.
const (
	settleLimit  = 60 * time.Second
	settlePeriod = 20 * time.Millisecond
)

// Settle waits until every running replica has delivered everything, which it can do because a cluster with nothing to order
// creates no ordinals, and compares them: that is the lowest delivered ordinal of all, and the highest.
func (s *Session) Settle(ctx context.Context) (Outcome, error) {
	limit := time.Now().Add(settleLimit)
	for last := uint64(0); ; {
		list, err := s.Statuses(ctx)
		if err != nil {
			return Outcome{}, err
		}
		if len(list) == 0 {
			return Outcome{}, fmt.Errorf("no replica is running any more")
		}
		low, high := list[0].Ordinal, list[0].Ordinal
		for i := range list {
			low, high = min(low, list[i].Ordinal), max(high, list[i].Ordinal)
		}
		followed, err := s.followed(high)
		if err != nil {
			return Outcome{}, err
		}
		// Twice the same: an ordinal that was under way at the first look would have been delivered before the second.
		if low == high && followed && last == high || time.Now().After(limit) {
			return s.compare(list, low, high), nil
		}
		last = high
		wait(ctx, settlePeriod)
		if err := ctx.Err(); err != nil {
			return Outcome{}, context.Cause(ctx)
		}
	}
}

// followed reports whether the stream of every running replica has come to an ordinal.
func (s *Session) followed(ordinal uint64) (bool, error) {
	for _, f := range s.streams {
		r := s.Cluster.Replica(f.id)
		at, err := f.position()
		if !s.counts(f.id) {
			continue
		}
		if err != nil {
			select {
			case <-r.Ended(): // that is why
				continue
			case <-time.After(time.Second):
				return false, fmt.Errorf("the stream of r%d ended: %w", f.id, err)
			}
		}
		if at < ordinal {
			return false, nil
		}
	}
	return true, nil
}

// compare judges the replicas at the end.
func (s *Session) compare(list []Status, low, high uint64) Outcome {
	o := Outcome{Agreed: low == high, Delivered: map[int]uint64{}, Digest: list[0].StreamDigest}
	if !o.Agreed {
		o.Why = fmt.Sprintf("after %s some replica is at ordinal %d, another at %d", settleLimit, low, high)
	}
	for i := range list {
		r := &list[i]
		o.Delivered[r.Replica] = r.Delivered
		if r.View >= o.View {
			o.View, o.Leader = r.View, r.Leader
		}
		if r.Ordinal == list[0].Ordinal && r.StreamDigest != list[0].StreamDigest {
			o.Agreed = false
			o.Why = fmt.Sprintf("r%d and r%d delivered different streams up to ordinal %d", list[0].Replica, r.Replica, r.Ordinal)
		}
	}
	if !o.Agreed {
		o.Digest = ""
	}
	o.ViewChanges = o.View - min(o.View, s.firstView)
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	whole := slices.ContainsFunc(s.streams, func(f *stream) bool { return o.Delivered[f.id] > 0 && f.whole() })
	for _, f := range s.streams {
		if _, running := o.Delivered[f.id]; !running {
			continue
		}
		if o.Agreed && whole && !f.whole() { // its digest is that of a stream that was seen from the beginning to the end
			continue
		}
		if n := f.missing(s.recorder.acknowledged); n > o.Lost {
			o.Lost = n
			o.Why = fmt.Sprintf("r%d has not delivered %d acknowledged updates", f.id, n)
		}
	}
	return o
}
