package sim

import (
	"errors"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/storage/fault"
)

// point is an end of a replica that is planned by what it does instead of by the time, so that every place where it can fall can be
// tried, one world for each; and its next start.
type point struct {
	input     int           // it falls at its input of this number, counted from 1 over all its lives; 0: not at an input
	before    bool          // it does not live to see the input; otherwise it falls when it has sent what needs no disk
	operation int           // the power goes during the operation of its disk of this number, counted likewise; 0: not there
	back      time.Duration // until it starts again
}

// reached ends a replica at the input that its plan names, and reports whether it did.
func (w *world) reached(n *node, before bool) bool {
	if n.disk == nil || n.crashed != clock.Never {
		return false
	}
	number := n.steps
	if before {
		number++
	}
	points := w.plan.disks[n.id.Index()].points
	for i := range points {
		if p := &points[i]; p.input == number && p.before == before {
			p.input = 0 // once
			w.fallen(n)
			n.disk.fault.PowerOff()
			w.comeBack(n, p.back)
			return true
		}
	}
	return false
}

// powerless ends a replica, or the attempt to start it, if an error is that the power went where its plan wants that.
func (w *world) powerless(n *node, err error) bool {
	d := n.disk
	for _, p := range w.plan.disks[n.id.Index()].points {
		if p.operation == 0 || p.operation != d.fault.PowerFailsAt || !errors.Is(err, fault.ErrPower) {
			continue
		}
		if n.crashed == clock.Never {
			w.fallen(n)
		}
		w.comeBack(n, p.back)
		return true
	}
	return false
}

// comeBack plans the next start of a replica that has just fallen.
func (w *world) comeBack(n *node, after time.Duration) {
	d := &w.plan.disks[n.id.Index()]
	d.falls = append(d.falls, fall{at: w.now, back: w.now.Add(after), power: true})
	w.queue.push(event{at: w.now.Add(after), kind: rise, node: n.id, arg: len(d.falls) - 1})
}

// fuse lets the power of a disk go at the next operation that the plan names.
func (w *world) fuse(n *node) {
	f := n.disk.fault
	for _, p := range w.plan.disks[n.id.Index()].points {
		if p.operation > f.Operations && (f.PowerFailsAt == 0 || p.operation < f.PowerFailsAt) {
			f.PowerFailsAt = p.operation
		}
	}
}
