package mesh

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A peer gets no second line in the log for the same reason within quietFor. While the reason goes on that doubles, up to quietMost,
// so that a peer that is down for a day is not most of the log; once it has been away for quietEnd, it is news again.
const (
	quietFor  = 10 * time.Second
	quietMost = 10 * time.Minute
	quietEnd  = time.Minute
)

// quiet is a logger that nobody can make talk much: one line per peer and reason in quietFor, with a count of those left out.
// Reasons are constants of this package and peers are few, so its memory is bounded as well.
type quiet struct {
	out  *slog.Logger
	now  func() time.Time
	mu   sync.Mutex
	said map[topic]*silence
}

type topic struct {
	peer   int // 0: nobody that is known
	reason string
}

type silence struct {
	until time.Time     // no line before
	pause time.Duration // that follows the next line
	last  time.Time     // when there was something to say
	left  int
}

func newQuiet(out *slog.Logger) *quiet {
	return &quiet{out: out, now: time.Now, said: map[topic]*silence{}}
}

// say logs one line about a peer, unless it said the same of it a moment ago.
func (q *quiet) say(level slog.Level, peer int, reason string, attrs ...slog.Attr) {
	if left, ok := q.due(topic{peer, reason}); ok {
		q.write(level, topic{peer, reason}, left, attrs...)
	}
}

// write logs a line that is due. Callers that often have nothing to say ask due first and spare the attributes.
func (q *quiet) write(level slog.Level, t topic, left int, attrs ...slog.Attr) {
	if t.peer != 0 {
		attrs = append(attrs, slog.Int("peer", t.peer))
	}
	if left > 0 {
		attrs = append(attrs, slog.Int("suppressed", left))
	}
	q.out.LogAttrs(context.Background(), level, t.reason, attrs...)
}

// due reports whether a line may be logged now, and how many were left out since the last.
func (q *quiet) due(t topic) (left int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	s := q.said[t]
	if s == nil {
		s = &silence{}
		q.said[t] = s
	}
	if now.Sub(s.last) >= quietEnd {
		s.pause, s.until = quietFor, now
	}
	s.last = now
	if now.Before(s.until) {
		s.left++
		return 0, false
	}
	left, s.left, s.until = s.left, 0, now.Add(s.pause)
	s.pause = min(2*s.pause, quietMost)
	return left, true
}

// clip keeps a text that a stranger had a hand in to a length that a log line can bear.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
