package transfer

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
)

// ask gives helpers that have room something to do, everybody one thing in turn.
func (f *Fetcher) ask(now clock.Instant) {
	for more := true; more; {
		more = false
		for k := range f.helpers {
			i := (f.turn + k) % len(f.helpers)
			h, id := &f.helpers[i], group.ID(i+1)
			if id == f.o.Self || !h.usable(now) || h.busy() >= h.window() {
				continue
			}
			if number, ok := f.choose(now, id); ok {
				f.give(now, id, number)
				more = true
			}
		}
		f.turn = (f.turn + 1) % len(f.helpers)
	}
}

// choose is what a helper is asked for next: what has failed elsewhere, then what nobody was asked for, then what others are slow with.
func (f *Fetcher) choose(now clock.Instant, id group.ID) (number int, ok bool) {
	for k, number := range f.again {
		x := f.items[number]
		if x == nil { // it came after all
			f.again = append(f.again[:k:k], f.again[k+1:]...)
			return f.choose(now, id)
		}
		if x.tried.Has(id) && f.untried(now, x) {
			continue
		}
		f.again = append(f.again[:k:k], f.again[k+1:]...)
		x.queued = false
		return number, true
	}
	for ; f.cursor < f.count; f.cursor++ {
		if !f.has(f.cursor) && f.items[f.cursor] == nil {
			f.cursor++
			return f.cursor - 1, true
		}
	}
	return f.late(now, id)
}

// untried reports whether somebody who may be asked has not been asked for an item.
func (f *Fetcher) untried(now clock.Instant, x *item) bool {
	for i := range f.helpers {
		if id := group.ID(i + 1); id != f.o.Self && !x.tried.Has(id) && f.helpers[i].usable(now) {
			return true
		}
	}
	return false
}

// late is the oldest item that others have been asked for so long ago that a helper with nothing to do may help them out.
func (f *Fetcher) late(now clock.Instant, id group.ID) (number int, ok bool) {
	after := f.helpers[id.Index()].late()
	kept := f.order[:0]
	for _, n := range f.order {
		x := f.items[n]
		if x == nil {
			continue
		}
		kept = append(kept, n)
		if !ok && f.helpable(x, id) && now.Sub(x.since) >= after {
			number, ok = n, true
		}
	}
	f.order = kept
	return number, ok
}

// give asks a helper for an item, and others at the same time if the strategy says so.
func (f *Fetcher) give(now clock.Instant, id group.ID, number int) {
	x := f.items[number]
	first := x == nil
	if first {
		x = &item{}
		f.items[number] = x
	}
	if x.askers == 0 {
		x.since = now
		f.order = append(f.order, number)
	}
	f.request(now, id, number, x, false)
	more, spare := 0, false
	switch {
	case f.phase != fetching:
		more = f.o.F // these are small: whoever is silent or lies must not cost time here
	case f.o.Strategy == Latency:
		more, spare = f.o.F, true
	case f.o.Variant == 2 && x.fails > 0:
		more = f.o.F - 1
	}
	more -= x.askers.Union(x.spares).Len() - 1
	for ; more > 0; more-- {
		other, ok := f.another(now, x)
		if !ok {
			return
		}
		f.request(now, other, number, x, spare)
	}
}

// another is who is asked for an item besides those who are already: who has least to do.
func (f *Fetcher) another(now clock.Instant, x *item) (best group.ID, ok bool) {
	for k := range f.helpers {
		i := (f.turn + 1 + k) % len(f.helpers)
		h, id := &f.helpers[i], group.ID(i+1)
		if id == f.o.Self || !h.usable(now) || x.askers.Union(x.spares).Has(id) || len(h.asks) >= 2*f.o.Window {
			continue
		}
		if !ok || len(h.asks) < len(f.helpers[best.Index()].asks) {
			best, ok = id, true
		}
	}
	return best, ok
}

// request notes that a helper is asked for an item.
func (f *Fetcher) request(now clock.Instant, id group.ID, number int, x *item, spare bool) {
	h := &f.helpers[id.Index()]
	if h.drop(number) { // it had it as a spare
		h.drops = append(h.drops, uint32(number))
	}
	x.spares = x.spares.Without(id)
	x.tried = x.tried.With(id)
	h.asks = append(h.asks, ask{number, now, spare})
	if spare {
		x.spares = x.spares.With(id)
		h.spares = append(h.spares, uint32(number))
		return
	}
	x.askers = x.askers.With(id)
	h.wants = append(h.wants, uint32(number))
}

// flush makes frames of what helpers are to be told.
func (f *Fetcher) flush() {
	k := blockAsk
	switch f.phase {
	case manifests:
		k = manifestAsk
	case leaves:
		k = leavesAsk
	case recovering, fetching:
	default:
		return
	}
	for i := range f.helpers {
		h := &f.helpers[i]
		for len(h.wants)+len(h.spares)+len(h.drops) > 0 || h.owes && len(h.asks) > 0 {
			a := frame{kind: k, session: h.session, digest: f.target.Digest, received: h.received,
				wants: cut(&h.wants), spares: cut(&h.spares), drops: cut(&h.drops)}
			f.out = append(f.out, outgoing{group.ID(i + 1), a.append(make([]byte, 0, 128))})
			h.owes = false
		}
	}
}

// cut takes as many numbers as fit into a frame.
func cut(list *[]uint32) (first []uint32) {
	n := min(len(*list), maxNumbers)
	first, *list = (*list)[:n], (*list)[n:]
	return first
}

// Deadline is when Tick has something to do; Never if nothing.
func (f *Fetcher) Deadline() clock.Instant {
	now := f.stepped
	switch f.phase {
	case recovering:
		return now
	case manifests, leaves, fetching:
	default:
		return clock.Never
	}
	first := f.patience()
	if first <= now || f.next.Ordinal == 0 {
		first = clock.Never
	}
	for i := range f.helpers {
		h, id := &f.helpers[i], group.ID(i+1)
		if id == f.o.Self || h.liar {
			continue
		}
		first = min(first, h.expires())
		switch {
		case !h.usable(now):
			first = min(first, max(h.away, h.rest))
		case h.busy() < h.window():
			first = min(first, f.lateAt(now, id))
		}
	}
	return max(first, now)
}

// lateAt is when a helper with nothing to do may help others out; Never if that is not to be expected.
func (f *Fetcher) lateAt(now clock.Instant, id group.ID) clock.Instant {
	first, after := clock.Never, f.helpers[id.Index()].late()
	for _, n := range f.order {
		if x := f.items[n]; x != nil && f.helpable(x, id) {
			if at := x.since.Add(after); at > now {
				first = min(first, at)
			}
		}
	}
	return first
}

// helpable reports whether a helper may be asked for an item that others have been asked for: no more than f+2 are.
func (f *Fetcher) helpable(x *item, id group.ID) bool {
	return !x.queued && !x.askers.Has(id) && x.askers.Len() < f.o.F+2
}
