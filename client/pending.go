package client

import (
	"crypto/sha256"
	"time"

	"github.com/primebft/prime/internal/clientwire"
	"github.com/primebft/prime/internal/group"
)

// Result is what f+1 replicas agree that an update led to.
type Result struct {
	Epoch   uint32 // configuration of the group in which it was ordered
	Ordinal uint64 // its place in the total order …
	Index   uint32 // … and inside the ordinal, from 1
	Seq     uint64 // the client's number for it
	Value   []byte // what the application returned
}

// Pending is an update on its way.
type Pending struct {
	c      *Client
	seq    uint64
	size   int    // of the payload
	frame  []byte // nil until it is made
	urgent bool
	detach func() bool // from the context

	// Written under Client.mu.
	asked    group.Set // replicas that were sent the frame
	last     group.ID  // the last of them
	unsure   group.Set // replicas that have not refused what they were sent last, and may have taken it
	held     group.Set // replicas that were sent it again while unsure: even if they refuse that, they may have the first
	voted    group.Set // replicas whose reply was counted
	votes    []vote
	refusals [8]group.Set // by reason
	retry    time.Time    // when to ask another replica
	expires  time.Time    // zero: the context says
	prev     *Pending     // by number
	next     *Pending

	// Written before done is closed.
	done   chan struct{}
	result Result
	err    error
}

// vote is one result and who says so. Only its digest is kept: liars cannot make the client hold large results.
type vote struct {
	digest [sha256.Size]byte
	count  int
}

// Seq is the update's number. It names the update in this client's session for ever.
func (p *Pending) Seq() uint64 { return p.seq }

// Done is closed when the outcome is known, or known to be unknown.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Result waits for the outcome.
func (p *Pending) Result() (Result, error) {
	<-p.done
	return p.result, p.err
}

// count adds a replica's reply, the first of each, and reports whether it makes f+1.
func (p *Pending) count(from group.ID, digest [sha256.Size]byte, enough int) bool {
	if p.voted.Has(from) {
		return false
	}
	p.voted = p.voted.With(from)
	for i := range p.votes {
		if v := &p.votes[i]; v.digest == digest {
			v.count++
			return v.count >= enough
		}
	}
	p.votes = append(p.votes, vote{digest, 1})
	return enough <= 1
}

// refuse notes a replica's refusal and says what the update failed with, if f+1 replicas say the same: one of them is
// correct. Overloaded and Closing are no such verdict: another replica may take the update.
func (p *Pending) refuse(from group.ID, why clientwire.Why, enough int) error {
	p.refusals[why] = p.refusals[why].With(from)
	if p.refusals[why].Len() < enough {
		return nil
	}
	switch why {
	case clientwire.Expired:
		return ErrSessionExpired
	case clientwire.Oversized:
		return ErrOversized
	case clientwire.BadSignature:
		return ErrBadSignature
	case clientwire.ResultLost:
		return ErrResultLost
	default:
		return nil
	}
}

// busy is the replicas that do not take the update at present.
func (p *Pending) busy() group.Set {
	return p.refusals[clientwire.Overloaded].Union(p.refusals[clientwire.Closing])
}

// queue is the updates without an outcome, by number.
type queue struct{ first, last *Pending }

// insert puts p in its place, which is nearly always the end.
func (q *queue) insert(p *Pending) {
	after := q.last
	for after != nil && after.seq > p.seq {
		after = after.prev
	}
	p.prev = after
	if after == nil {
		p.next, q.first = q.first, p
	} else {
		p.next, after.next = after.next, p
	}
	if p.next == nil {
		q.last = p
	} else {
		p.next.prev = p
	}
}

func (q *queue) remove(p *Pending) {
	if p.prev == nil {
		q.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		q.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.prev, p.next = nil, nil
}
