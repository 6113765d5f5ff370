package transfer

import (
	"slices"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
)

// Times of a helper.
const (
	awayFor    = 5 * time.Second        // who does not have a checkpoint is asked again after that
	firstLimit = 2 * time.Second        // how long one may be silent of whom nothing is known yet
	leastLimit = 500 * time.Millisecond // and at least, of whom much is known
	mostLimit  = 10 * time.Second       //
	mostRest   = time.Minute            // how long one who was silent is left alone at most
	ahead      = 20 * time.Millisecond  // how much should be under way beyond what the distance needs
	firstAsks  = 2                      // blocks that one is asked for of whom nothing is known yet
	tailLeast  = 10 * time.Millisecond  // what is under way for less than that is not late
)

// helper is a replica that is asked.
type helper struct {
	liar bool          // it has been proven in this transfer; never asked again
	away clock.Instant // it does not have the checkpoint; asked again then
	rest clock.Instant // it was silent; asked again then

	session  uint64
	received uint64 // bytes of answers in this session
	owes     bool   // some of that has not been acknowledged
	asks     []ask  // under way
	drops    []uint32
	wants    []uint32
	spares   []uint32

	heard clock.Instant // when it answered usefully last
	fails int           // how many times in a row it was silent
	best  time.Duration // the shortest time from ask to answer; 0: not known
	pace  time.Duration // from one block to the next, smoothed; 0: not known
	share int           // blocks that it may be asked for at once

	useful, wasted uint64 // bytes
}

// ask is something that a helper has been asked for.
type ask struct {
	number int
	at     clock.Instant
	spare  bool
}

// usable reports whether a helper may be asked.
func (h *helper) usable(now clock.Instant) bool { return !h.liar && now >= h.away && now >= h.rest }

// window is how many items it may be asked for at once.
func (h *helper) window() int {
	if h.share == 0 {
		return firstAsks
	}
	return h.share
}

// busy is how many items it has been asked for, spares apart.
func (h *helper) busy() (n int) {
	for i := range h.asks {
		if !h.asks[i].spare {
			n++
		}
	}
	return n
}

// asked is when it was asked for an item that it has just sent; Never if it was given up meanwhile.
func (h *helper) asked(number int) clock.Instant {
	for i := range h.asks {
		if h.asks[i].number == number {
			return h.asks[i].at
		}
	}
	return clock.Never
}

// drop forgets that it was asked for an item, and reports whether it was.
func (h *helper) drop(number int) bool {
	for i := range h.asks {
		if h.asks[i].number == number {
			h.asks = slices.Delete(h.asks, i, i+1)
			return true
		}
	}
	return false
}

// learn takes the time that a block took.
func (h *helper) learn(now, at clock.Instant, most int) {
	if at == clock.Never { // it was given up, and came all the same
		h.pace = max(2*h.pace, leastLimit)
		return
	}
	if took := max(now.Sub(at), 1); h.best == 0 || took < h.best {
		h.best = took
	}
	gap := max(now.Sub(max(at, h.heard)), time.Microsecond)
	if h.pace == 0 {
		h.pace = gap
	} else {
		h.pace += (gap - h.pace) / 8
	}
	h.share = min(int((h.best+ahead)/max(h.pace, 1))+1, most)
}

// limit is how long it may be silent while something is asked of it.
func (h *helper) limit() time.Duration {
	limit := firstLimit
	if h.pace > 0 {
		limit = min(max(16*h.pace+4*h.best, leastLimit), mostLimit)
	}
	return min(limit<<min(h.fails, 6), mostRest)
}

// expires is when it has been silent for too long; Never if nothing is asked of it.
func (h *helper) expires() clock.Instant {
	for i := range h.asks {
		if !h.asks[i].spare { // the oldest; spares may wait
			return max(h.asks[i].at, h.heard).Add(h.limit())
		}
	}
	return clock.Never
}

// late is how old something has to be that another was asked for so that this helper is asked for it, too.
func (h *helper) late() time.Duration { return max(2*h.best, 2*h.pace, tailLeast) }

// shift moves its times.
func (h *helper) shift(gap time.Duration) {
	for i := range h.asks {
		h.asks[i].at = h.asks[i].at.Add(gap)
	}
	h.heard = h.heard.Add(gap)
}

// renew gives a helper another session: what it was asked for is forgotten on both sides.
func (f *Fetcher) renew(h *helper) {
	f.session++
	h.session, h.received, h.owes = f.session, 0, false
	h.asks, h.wants, h.spares, h.drops = h.asks[:0], nil, nil, nil
}

// release takes back all that a helper was asked for.
func (f *Fetcher) release(h *helper, id group.ID) {
	asks := slices.Clone(h.asks)
	f.renew(h)
	for _, a := range asks {
		if x := f.items[a.number]; x != nil {
			x.fails++
			x.askers, x.spares = x.askers.Without(id), x.spares.Without(id)
			f.orphaned(a.number, x)
		}
	}
}

// orphaned finds somebody for an item that nobody is asked for as a share: one who is asked for it as a spare, or whoever is next.
func (f *Fetcher) orphaned(number int, x *item) {
	if x.askers != 0 || x.queued {
		return
	}
	for id := range x.spares.All() {
		h := &f.helpers[id.Index()]
		x.spares, x.askers = x.spares.Without(id), x.askers.With(id)
		for i := range h.asks {
			if h.asks[i].number == number {
				h.asks[i].spare = false
			}
		}
		h.drops, h.wants = append(h.drops, uint32(number)), append(h.wants, uint32(number))
		return
	}
	x.queued = true
	f.again = append(f.again, number)
}

// expire takes back what silent helpers were asked for, and leaves them alone for a while.
func (f *Fetcher) expire(now clock.Instant) {
	for i := range f.helpers {
		h := &f.helpers[i]
		if h.expires() > now {
			continue
		}
		h.rest = now.Add(h.limit())
		h.fails++
		h.share = 1
		f.stats.silences++
		f.release(h, group.ID(i+1))
	}
}
