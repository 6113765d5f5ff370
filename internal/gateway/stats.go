package gateway

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Stats counts what happened at the gateway since it started, and what is there now.
type Stats struct {
	Accepted    uint64 `json:"accepted"`     // connections
	Evicted     uint64 `json:"evicted"`      // half-open connections that gave way
	Refused     uint64 `json:"refused"`      // connections that did not become a session
	Slow        uint64 `json:"slow"`         // sessions cut off because they did not read
	Malformed   uint64 `json:"malformed"`    // sessions cut off for what they sent
	Submitted   uint64 `json:"submitted"`    // updates that the backend took
	Turned      uint64 `json:"turned"`       // updates refused
	Replies     uint64 `json:"replies"`      // replies queued for clients
	Signatures  uint64 `json:"signatures"`   // made for batches of replies
	HalfOpen    int    `json:"half_open"`    // connections without a handshake
	Connections int    `json:"connections"`  // sessions
	Clients     int    `json:"clients"`      // distinct keys among them
	QueuedBytes int    `json:"queued_bytes"` // updates that wait for the backend
}

type counters struct {
	accepted, evicted, refused, slow, malformed, submitted, turned, replies, signatures atomic.Uint64
}

// Stats returns the counters.
func (g *Gateway) Stats() Stats {
	c := &g.stats
	s := Stats{
		Accepted: c.accepted.Load(), Evicted: c.evicted.Load(), Refused: c.refused.Load(), Slow: c.slow.Load(),
		Malformed: c.malformed.Load(), Submitted: c.submitted.Load(), Turned: c.turned.Load(),
		Replies: c.replies.Load(), Signatures: c.signatures.Load(), HalfOpen: g.waiting.len(),
	}
	s.Connections, s.Clients = g.clients.len()
	s.QueuedBytes = g.fair.queued()
	return s
}

// quiet is how long a kind of line is not repeated.
const quiet = 10 * time.Second

// quietLog logs each kind of event at most once in a while, with how many times it happened since, so that strangers cannot
// make the log grow.
type quietLog struct {
	log  *slog.Logger
	mu   sync.Mutex
	seen map[string]*seen // by message, which is always a constant
}

type seen struct {
	last  time.Time
	count int
}

func newQuietLog(log *slog.Logger) *quietLog { return &quietLog{log: log, seen: map[string]*seen{}} }

func (l *quietLog) warn(msg string, args ...any) {
	now := time.Now()
	l.mu.Lock()
	s := l.seen[msg]
	if s == nil {
		s = &seen{}
		l.seen[msg] = s
	}
	s.count++
	if now.Sub(s.last) < quiet {
		l.mu.Unlock()
		return
	}
	count := s.count
	s.last, s.count = now, 0
	l.mu.Unlock()
	l.log.Warn(msg, append(args, "times", count)...)
}
