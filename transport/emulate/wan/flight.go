package wan

import "github.com/primebft/prime/internal/clock"

// landing is a packet that has departed.
type landing[P any] struct {
	due   clock.Instant
	order uint64 // of departure
	frame frame[P]
}

func (l *landing[P]) before(m *landing[P]) bool {
	return l.due < m.due || l.due == m.due && l.order < m.order
}

// flights is a binary heap of packets that are under way, the next to arrive first. While delays are constant they come in
// order, and pushing costs nothing.
type flights[P any] struct {
	heap  []landing[P]
	order uint64
}

func (h *flights[P]) next() clock.Instant {
	if len(h.heap) == 0 {
		return clock.Never
	}
	return h.heap[0].due
}

func (h *flights[P]) push(due clock.Instant, f frame[P]) {
	h.order++
	l := landing[P]{due, h.order, f}
	h.heap = append(h.heap, l)
	i := len(h.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !l.before(&h.heap[parent]) {
			break
		}
		h.heap[i] = h.heap[parent]
		i = parent
	}
	h.heap[i] = l
}

// pop takes the first; there must be one.
func (h *flights[P]) pop() landing[P] {
	first := h.heap[0]
	last := len(h.heap) - 1
	l := h.heap[last]
	h.heap[last] = landing[P]{}
	h.heap = h.heap[:last]
	if last == 0 {
		return first
	}
	i := 0
	for {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && h.heap[child+1].before(&h.heap[child]) {
			child++
		}
		if !h.heap[child].before(&l) {
			break
		}
		h.heap[i] = h.heap[child]
		i = child
	}
	h.heap[i] = l
	return first
}
