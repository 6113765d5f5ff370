package sim

import (
	"time"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// sessions is the dumb twin of the core's session table: the rules of package session in the fewest lines, without a bitmap
// or a limit on memory.
type sessions struct {
	most, window uint64 // limits: sessions, and numbers that each remembers
	floor        uint64
	byUse        []*clientSession // the one unused for longest first
}

// clientSession is what is remembered of one client.
type clientSession struct {
	client      wire.ClientID
	floor, high uint64
	executed    map[uint64]bool
}

// ahead is how far a sequence number, in microseconds, may be beyond the ordered time.
const ahead = uint64(10 * time.Minute / time.Microsecond)

func (s *sessions) find(client wire.ClientID) int {
	for i, c := range s.byUse {
		if c.client == client {
			return i
		}
	}
	return -1
}

// execute decides what becomes of an ordered update: zero if it takes effect.
func (s *sessions) execute(client wire.ClientID, seq uint64, orderedTime int64) effect.Why {
	if seq > uint64(max(orderedTime, 0))/1000+ahead {
		return effect.Expired
	}
	i := s.find(client)
	c := &clientSession{client: client, floor: s.floor, executed: map[uint64]bool{}}
	if i >= 0 {
		c = s.byUse[i]
	}
	switch {
	case seq <= c.floor || c.high >= s.window && seq <= c.high-s.window:
		return effect.Expired
	case c.executed[seq]:
		return effect.Duplicate
	}
	if i >= 0 {
		s.byUse = append(s.byUse[:i], s.byUse[i+1:]...)
	} else if uint64(len(s.byUse)) >= s.most {
		s.floor = max(s.floor, s.byUse[0].high)
		s.byUse = s.byUse[1:]
		c.floor = s.floor
	}
	c.executed[seq] = true
	c.high = max(c.high, seq)
	s.byUse = append(s.byUse, c)
	return 0
}
