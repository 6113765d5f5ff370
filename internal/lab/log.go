package lab

import (
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/primebft/prime/internal/bench"
	"github.com/primebft/prime/internal/bench/stall"
	"github.com/primebft/prime/internal/group"
)

// Log is everything that was noted in a run, for whoever judges it. All times are on the clock of package stall.
type Log struct {
	Group      group.Group
	Window     stall.Span   // of the measurement
	Stalls     []stall.Span // in which the machine stood still, sorted and apart from each other
	Samples    []Sample     // acknowledged updates, in the order of their acknowledgement
	Deliveries map[int][]bench.Delivery
	Happened   []Happened // what the script did, in the order in which it did it
	Notes      []Noted    // what replicas noted, in any order
}

// Sample is one acknowledged update.
type Sample struct {
	To   int64  // when it was acknowledged
	Took uint32 // microseconds until then
	Home uint16 // the replica that its client gives its updates to
}

func (s *Sample) from() int64 { return s.To - int64(s.Took)*1000 }

// NewSample makes one of a time of submission and one of acknowledgement.
func NewSample(home int, from, to int64) Sample {
	const most = 1<<32 - 1
	return Sample{To: to, Took: uint32(min(max(0, to-from)/1000, most)), Home: uint16(home)}
}

// Happened is an event as it was carried out.
type Happened struct {
	Event    Event
	At       int64
	Replicas []int   // that it was carried out at; of link, where from
	To       []int   // of link
	Sides    [][]int // of partition
	Returns  []Return
	Problem  string // why it was not carried out, or not everywhere
}

// Return is a replica that an event lets come back: it was started again, goes on, or is connected to a quorum again.
type Return struct {
	Replica int
	At      int64        // when it was back in order: it had executed all but one ordinal window of what others had; 0: never
	Bytes   uint64       // of its peers that it received from the event until then
	By      Way          // how it came to what it had missed; "" if At is 0
	Missed  uint64       // ordinals from its last one before the event to the one that it was back with
	Start   *bench.Start // of its process, if that was started again
	State   uint64       // of Bytes, those of the state of a checkpoint
}

// Way is how a replica that was away comes to what the others executed meanwhile.
type Way string

// The ways, the cheapest first.
const (
	ByCertificates Way = "certificates" // votes, certificates and requests, as if it had only been slow
	BySegments     Way = "segments"     // it was told ranges of ordinals by several others
	ByJump         Way = "jump"         // nobody could tell it: it took over the state of a checkpoint
)

// back is when a replica was back in order after an event; 0 if it was not.
func (h *Happened) back(id int) int64 {
	for i := range h.Returns {
		if h.Returns[i].Replica == id {
			return h.Returns[i].At
		}
	}
	return 0
}

// Text is the event with what its roles meant.
func (h *Happened) Text() string {
	text := h.Event.Text
	for _, side := range []struct {
		targets Targets
		ids     []int
	}{{h.Event.Who, h.Replicas}, {h.Event.To, h.To}} {
		if slices.ContainsFunc(side.targets, func(t Target) bool { return t.ID == 0 && t.Role != All }) {
			text += " (" + Names(side.ids) + ")"
		}
	}
	return text
}

// Names is ids as people read them.
func Names(ids []int) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = "r" + strconv.Itoa(id)
	}
	return strings.Join(words, ", ")
}

// Noted is a note and its author.
type Noted struct {
	By int
	Note
}

// unstalled is how long a span is without the time in which the machine stood still.
func (l *Log) unstalled(s stall.Span) time.Duration {
	if s.From >= s.To {
		return 0
	}
	return time.Duration(s.To-s.From) - stall.Total(l.clip(s))
}

// clip is the stalls inside a span, found without looking at those long before it.
func (l *Log) clip(s stall.Span) []stall.Span {
	first := sort.Search(len(l.Stalls), func(i int) bool { return l.Stalls[i].To > s.From })
	last := first
	for last < len(l.Stalls) && l.Stalls[last].From < s.To {
		last++
	}
	return stall.Clip(l.Stalls[first:last], s)
}

// seconds is a time as reports have it, since the measurement began.
func (l *Log) seconds(t int64) float64 {
	return bench.Round(time.Duration(t-l.Window.From).Seconds(), 3)
}

// union makes spans sorted and apart from each other.
func union(spans []stall.Span) []stall.Span {
	slices.SortFunc(spans, func(a, b stall.Span) int {
		switch {
		case a.From < b.From:
			return -1
		case a.From > b.From:
			return 1
		}
		return 0
	})
	var list []stall.Span
	for _, s := range spans {
		if n := len(list); n > 0 && s.From <= list[n-1].To {
			list[n-1].To = max(list[n-1].To, s.To)
			continue
		}
		list = append(list, s)
	}
	return list
}

// touches reports whether any of the spans, which are sorted and apart, has something in common with one.
func touches(spans []stall.Span, s stall.Span) bool {
	i := sort.Search(len(spans), func(i int) bool { return spans[i].To > s.From })
	return i < len(spans) && spans[i].From < max(s.To, s.From+1)
}

func spanOf(from, to int64) stall.Span { return stall.Span{From: from, To: to} }
