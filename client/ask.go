package client

import (
	"context"
	"time"

	"github.com/primebft/prime/internal/clientwire"
	"github.com/primebft/prime/internal/group"
)

// ask sends an update to the next replica, or an urgent one at first to f+1. If no replica can be asked now, one that
// connects later will be. The caller holds c.mu.
func (c *Client) ask(p *Pending) {
	if p.frame == nil {
		return
	}
	// Each time twice as long: where replicas are slow because there is much to do, asking more of them makes more of it.
	p.retry = time.Now().Add(c.cfg.Retry << min(p.asked.Len(), 4))
	want := 1
	if p.urgent && p.asked.Len() < c.enough() {
		want = c.enough() - p.asked.Len()
	}
	for range want {
		l := c.nextLink(p)
		if l == nil || !l.send(p.frame) {
			return
		}
		if p.unsure.Has(l.id) {
			p.held = p.held.With(l.id)
		}
		p.asked, p.unsure, p.last = p.asked.With(l.id), p.unsure.With(l.id), l.id
	}
}

// nextLink is the first link that is up, round the group from the one after the last that was asked: best one that was never
// asked and has not said anything; else one that was asked but has not replied, unless it just said that it is busy.
func (c *Client) nextLink(p *Pending) *link {
	from := 0
	for i, l := range c.links {
		if l.id == p.last {
			from = i + 1
		}
	}
	silent := p.busy()
	for _, tried := range []group.Set{p.asked.Union(p.voted).Union(silent), p.voted.Union(silent)} {
		for i := range c.links {
			if l := c.links[(from+i)%len(c.links)]; !tried.Has(l.id) && l.ready() {
				return l
			}
		}
	}
	return nil
}

// refused handles a replica's refusal: a verdict if f+1 say the same; otherwise somebody else is asked.
func (c *Client) refused(from group.ID, f clientwire.Refused) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.open[f.Seq]
	if p == nil || p.refusals[f.Why].Has(from) {
		return
	}
	if err := p.refuse(from, f.Why, c.enough()); err != nil {
		if f.Why == clientwire.Expired {
			// Numbers below the clock may be forgotten too: go on at the clock, as after a restart.
			c.seq = max(c.seq, uint64(max(0, time.Now().UnixMicro())))
		}
		c.end(p, Result{}, err)
		return
	}
	switch f.Why {
	case clientwire.Duplicate, clientwire.ResultLost: // it was executed: the others' replies are on their way
	case clientwire.Overloaded, clientwire.Closing:
		p.unsure = p.unsure.Without(from)
		if c.overloaded(p) {
			c.end(p, Result{}, ErrOverloaded)
			return
		}
		c.ask(p)
	default:
		c.ask(p)
	}
}

// overloaded reports whether every replica that can be asked has refused, and everybody who was asked each time: then no
// correct replica has the update.
func (c *Client) overloaded(p *Pending) bool {
	busy := p.busy()
	if busy.Len() < c.enough() || p.unsure.Union(p.held) != 0 {
		return false
	}
	for _, l := range c.links {
		if !busy.Has(l.id) && l.ready() {
			return false
		}
	}
	return true
}

// linkUp asks a replica that has just connected for everything that nobody could be asked for.
func (c *Client) linkUp() {
	c.mu.Lock()
	for p := c.queue.first; p != nil; p = p.next {
		if p.asked == 0 || (p.urgent && p.asked.Len() < c.enough()) {
			c.ask(p)
		}
	}
	c.mu.Unlock()
	signal(c.change)
}

// linkDown asks somebody else for what the lost replica was asked for last. Nobody knows whether it still has what it was asked for, so
// that counts no longer. When all replicas are lost, so may replies be: the first f+1 that are back are asked.
func (c *Client) linkDown(lost group.ID) {
	c.mu.Lock()
	for p := c.queue.first; p != nil; p = p.next {
		p.asked = p.asked.Without(lost)
		if p.last == lost {
			c.ask(p)
		}
		p.urgent = p.urgent || p.asked == 0
	}
	c.mu.Unlock()
	signal(c.change)
}

// askedAll reports whether every replica that is connected has been asked.
func (c *Client) askedAll(p *Pending) bool {
	for _, l := range c.links {
		if !p.asked.Has(l.id) && l.ready() {
			return false
		}
	}
	return true
}

// repeat asks again for what has been waiting too long, and ends what has no time left. It sleeps while nothing is pending.
func (c *Client) repeat(life context.Context) {
	timer := time.NewTimer(c.cfg.Retry)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-c.due:
		case <-life.Done():
			return
		}
		if next, any := c.review(time.Now()); any {
			timer.Reset(time.Until(next))
		}
	}
}

// review looks at every pending update and says when the next is due.
func (c *Client) review(now time.Time) (next time.Time, any bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next = now.Add(min(c.cfg.Retry, c.cfg.Timeout) / 4)
	for p := c.queue.first; p != nil; {
		at := p
		p = p.next // before at is removed
		switch {
		case !at.expires.IsZero() && !now.Before(at.expires):
			c.end(at, Result{}, &OutcomeUnknownError{at.seq, context.DeadlineExceeded})
			continue
		case at.retry.IsZero() || now.Before(at.retry):
		case at.refusals[clientwire.Duplicate].Len() >= c.enough() && at.voted == 0 && c.askedAll(at):
			// A correct replica has executed it, and of all who were asked nobody has had its result in all this time.
			c.end(at, Result{}, ErrResultLost)
			continue
		default:
			at.refusals[clientwire.Overloaded], at.refusals[clientwire.Closing] = 0, 0
			c.ask(at)
		}
		if at.retry.After(now) && at.retry.Before(next) {
			next = at.retry
		}
		if !at.expires.IsZero() && at.expires.Before(next) {
			next = at.expires
		}
	}
	return next, c.queue.first != nil
}
