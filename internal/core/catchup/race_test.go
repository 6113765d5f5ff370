package catchup

import (
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// race is r4 of four, which catches up, and its helpers.
type race struct {
	t        *testing.T
	limits   wire.Limits
	now      clock.Instant
	r4       *State
	executed uint64
	helpers  map[group.ID]*helper
	mail     []letter
	asked    map[group.ID]int // questions about segments
	most     int              // bytes that waited at most
	frames   int
	bytes    int
}

type helper struct {
	state *State
	past  *past
	does  func(m wire.Message) wire.Message // what it says instead; nil: nothing
	late  time.Duration
}

type letter struct {
	at       clock.Instant
	from, to group.ID
	m        wire.Message
}

// newRace is a replica that has executed nothing, and helpers r1 … r3 with the same past.
func newRace(t *testing.T, p *past) *race {
	t.Helper()
	g := group.MustNew(1, 0)
	r := &race{t: t, helpers: map[group.ID]*helper{}, asked: map[group.ID]int{},
		limits: wire.Limits{N: 4, UpdateBytes: 1 << 20, RequestBytes: 1 << 20, RequestUpdates: 10, Lane: 128, Links: MaxLinks, SegmentBytes: SegmentBytes},
		r4:     New(Config{Self: 4, Group: g, Fetch: fetch, Threshold: 8})}
	for id := group.ID(1); id <= 3; id++ {
		r.helpers[id] = &helper{state: New(Config{Self: id, Group: g, Fetch: fetch, Threshold: 8}), past: p}
		_, last := p.Held()
		r.r4.OnStatus(id, &wire.Status{Executed: last, Oldest: p.first})
	}
	return r
}

// carry puts what a replica sends on its way.
func (r *race) carry(from group.ID, out *effect.Output) {
	for _, s := range out.Sends {
		for to := range s.To.All() {
			m, late := s.Msg, time.Millisecond
			if h := r.helpers[from]; h != nil {
				late += h.late
				if h.does != nil {
					m = h.does(m)
				}
			}
			if m != nil {
				r.mail = append(r.mail, letter{r.now.Add(late), from, to, m})
			}
		}
	}
}

// step lets r4 execute and go on.
func (r *race) step() {
	for o := r.r4.Next(r.executed); o != nil; o = r.r4.Next(r.executed) {
		want := r.helpers[1].past.ordinals[r.executed]
		if len(o.Requests) != len(want.Requests) || o.Time != want.Time {
			r.t.Fatalf("ordinal %d is another", r.executed+1)
		}
		for k := range want.Requests {
			if o.Requests[k].Request.Digest != want.Requests[k].Digest {
				r.t.Fatalf("ordinal %d has another request %d", r.executed+1, k)
			}
		}
		r.executed++
		r.r4.Took()
	}
	var out effect.Output
	r.r4.Advance(r.now, r.executed, false, &out)
	r.r4.Check()
	r.most = max(r.most, r.r4.buffered)
	r.carry(4, &out)
}

// run lets everything happen until r4 has executed an ordinal, or for so long.
func (r *race) run(until uint64, most time.Duration) time.Duration {
	begin := r.now
	for r.step(); r.executed < until && r.now.Sub(begin) < most; r.step() {
		next := r.r4.Deadline()
		for _, l := range r.mail {
			next = min(next, l.at)
		}
		for id := group.ID(1); id <= 3; id++ {
			next = min(next, r.helpers[id].state.Deadline())
		}
		if next == clock.Never {
			r.now = begin.Add(most)
			break
		}
		r.now = max(r.now, next)
		for i := 0; i < len(r.mail); {
			if l := r.mail[i]; l.at <= r.now {
				r.mail = slices.Delete(r.mail, i, i+1)
				r.deliver(l)
				i = 0
				continue
			}
			i++
		}
		for id := group.ID(1); id <= 3; id++ {
			var out effect.Output
			r.helpers[id].state.Serve(r.now, r.helpers[id].past, &out)
			r.carry(id, &out)
		}
	}
	return r.now.Sub(begin)
}

func (r *race) deliver(l letter) {
	r.t.Helper()
	e := say(l.from, l.m)
	e, err := r.limits.Decode(e.Raw)
	if err != nil {
		r.t.Fatalf("%s says something malformed: %v", l.from, err)
	}
	var out effect.Output
	switch e.Msg.(type) {
	case *wire.OutlineAsk:
		r.helpers[l.to].state.OnOutlineAsk(r.now, e, r.helpers[l.to].past, &out)
	case *wire.SegmentAsk:
		r.asked[l.to]++
		r.helpers[l.to].state.OnSegmentAsk(r.now, e, r.helpers[l.to].past, &out)
	case *wire.Status:
		r.r4.OnStatus(l.from, e.Msg.(*wire.Status))
	case *wire.Outline:
		r.r4.OnOutline(r.now, e, &out)
	case *wire.Segment:
		r.frames, r.bytes = r.frames+1, r.bytes+len(e.Raw)
		r.r4.OnSegment(r.now, e, &out)
	}
	r.carry(l.to, &out)
}
