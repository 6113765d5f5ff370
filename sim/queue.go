package sim

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// eventKind says what an event does when its time has come.
type eventKind uint8

const (
	arrive       eventKind = iota + 1 // env reaches node, from from, unless from crashed before departs
	wake                              // node's machine asked to be woken
	submit                            // client submission number arg
	crash                             // node stops for ever
	quieten                           // the storm is over
	inspect                           // the checkers look at the whole world
	probe                             // load number arg of the quiet phase is submitted
	strike                            // the leader stops for ever
	freeze                            // a replica stands still, number arg of those that the quiet phase has
	depart                            // env comes to the link from from to node; its class is arg
	transit                           // something happens at the links of from
	finish                            // in an experiment: a processor of node has done job number arg
	opened                            // in an experiment: a datagram, number arg, reaches node from from
	complete                          // a job that the core of node handed out has been done
	synced                            // commit number arg of node's disk ends
	tumble                            // node ends, its fall number arg
	rise                              // and starts again
	checkpointed                      // node has made the checkpoint of ordinal arg
	fetched                           // a transfer of a state to node has ended, one way or the other
)

// event is one thing that will happen. Two events at one instant happen in the order in which they were scheduled.
type event struct {
	at      clock.Instant
	order   uint64
	env     *wire.Envelope
	done    *effect.Done
	departs clock.Instant
	arg     int
	life    int // of from, in which env departs
	kind    eventKind
	node    group.ID
	from    group.ID
}

func (e *event) before(f *event) bool { return e.at < f.at || (e.at == f.at && e.order < f.order) }

// eventQueue is a binary heap of events, the earliest first.
type eventQueue struct {
	heap  []event
	order uint64
}

// push schedules e after everything that was scheduled before for the same instant.
func (q *eventQueue) push(e event) {
	q.order++
	e.order = q.order
	q.insert(e)
}

// insert schedules e in the place that its order gives it.
func (q *eventQueue) insert(e event) {
	q.heap = append(q.heap, e)
	i := len(q.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !e.before(&q.heap[parent]) {
			break
		}
		q.heap[i] = q.heap[parent]
		i = parent
	}
	q.heap[i] = e
}

// pop takes the earliest event; false if there is none.
func (q *eventQueue) pop() (event, bool) {
	if len(q.heap) == 0 {
		return event{}, false
	}
	first := q.heap[0]
	last := len(q.heap) - 1
	e := q.heap[last]
	q.heap[last] = event{}
	q.heap = q.heap[:last]
	if last > 0 {
		q.sink(e)
	}
	return first, true
}

// sink puts e where it belongs, from the root down.
func (q *eventQueue) sink(e event) {
	i, n := 0, len(q.heap)
	for {
		child := 2*i + 1
		if child >= n {
			break
		}
		if child+1 < n && q.heap[child+1].before(&q.heap[child]) {
			child++
		}
		if !q.heap[child].before(&e) {
			break
		}
		q.heap[i] = q.heap[child]
		i = child
	}
	q.heap[i] = e
}
