package gateway

import (
	"fmt"
	"slices"
	"sync"

	"github.com/primebft/prime/internal/clientwire"
	"github.com/primebft/prime/internal/wire"
)

// clients is the sessions by client.
type clients struct {
	mu      sync.Mutex
	most    int // sessions in all
	each    int // sessions of one client
	count   int
	closed  bool
	byOwner map[wire.ClientID][]*session // the oldest first
}

func (c *clients) init(most, each int) {
	c.most, c.each, c.byOwner = most, each, map[wire.ClientID][]*session{}
}

// add notes a session. Perhaps another has to give way: the client's oldest if it has as many as it may, or if all places
// are taken the oldest of the client that has most, provided that it keeps more than the newcomer has. Otherwise the
// newcomer is rejected.
func (c *clients) add(s *session) (gone *session, j *clientwire.Reject) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.byOwner[s.client]
	switch {
	case c.closed:
		return nil, &clientwire.Reject{Code: clientwire.Stopping, Version: clientwire.Version, Text: "the replica is stopping"}
	case len(own) >= c.each:
		gone = own[0]
	case c.count >= c.most:
		if gone = c.crowd(len(own) + 1); gone == nil {
			return nil, &clientwire.Reject{Code: clientwire.TooMany, Version: clientwire.Version,
				Text: fmt.Sprintf("all %d client connections of this replica are taken: close some, or raise client_conns", c.most)}
		}
	}
	if gone != nil {
		c.drop(gone)
	}
	c.byOwner[s.client] = append(c.byOwner[s.client], s)
	c.count++
	return gone, nil
}

// crowd is the oldest session of the client that has most, if it has more than least.
func (c *clients) crowd(least int) (oldest *session) {
	for _, all := range c.byOwner {
		if len(all) > least {
			oldest, least = all[0], len(all)
		}
	}
	return oldest
}

func (c *clients) drop(s *session) {
	own := c.byOwner[s.client]
	i := slices.Index(own, s)
	if i < 0 {
		return
	}
	c.count--
	if len(own) == 1 {
		delete(c.byOwner, s.client)
		return
	}
	c.byOwner[s.client] = slices.Delete(own, i, i+1)
}

// remove forgets a session that has ended.
func (c *clients) remove(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(s)
}

func (c *clients) len() (sessions, owners int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count, len(c.byOwner)
}

// close lets nobody in any more and returns who is there.
func (c *clients) close() []*session {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	return c.all()
}

// all is every session.
func (c *clients) all() (all []*session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, own := range c.byOwner {
		all = append(all, own...)
	}
	return all
}
