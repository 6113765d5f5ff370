package node

import (
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
)

// viewLog tells people how leaders are judged and replaced, and when this replica stood still for long: ten lines of each kind,
// then one a minute, which says how many were left out. The zero viewLog tells nothing.
type viewLog struct {
	log    *slog.Logger
	group  group.Group
	topics map[trace.Kind]*topic
}

// topic is one kind of line.
type topic struct {
	limit   *rate.Limiter
	skipped int // lines left out since the last one
}

// longStall is the shortest standstill that is worth a line, in milliseconds. Status adds up all of them.
const longStall = 100

func newViewLog(log *slog.Logger, g group.Group) viewLog {
	v := viewLog{log: log, group: g, topics: map[trace.Kind]*topic{}}
	for _, kind := range []trace.Kind{trace.Suspected, trace.Preinstalled, trace.Installed, trace.Stalled} {
		v.topics[kind] = &topic{limit: rate.NewLimiter(rate.Every(time.Minute), 10)}
	}
	return v
}

// note tells of e if it is of one of the kinds.
func (v *viewLog) note(e *trace.Event) {
	t := v.topics[e.Kind]
	if t == nil || (e.Kind == trace.Stalled && e.Seq < longStall) {
		return
	}
	if !t.limit.Allow() {
		t.skipped++
		return
	}
	log := v.log
	if t.skipped > 0 {
		log = log.With("left_out", t.skipped)
		t.skipped = 0
	}
	switch e.Kind {
	case trace.Suspected:
		log.Warn("the leader is slower than a correct one would be, or proven faulty: this replica votes to replace it",
			"view", e.View, "leader", e.Peer.String())
	case trace.Preinstalled:
		log.Info("a quorum voted to replace the leader; the view is being changed", "view", e.View,
			"leader", v.group.Leader(e.View).String())
	case trace.Installed:
		log.Info("the view is installed", "view", e.View, "leader", v.group.Leader(e.View).String(), "from_ordinal", e.Ordinal)
	case trace.Stalled:
		log.Info("this replica stood still; the time is taken out of what it measures of the leader", "ms", e.Seq)
	}
}
