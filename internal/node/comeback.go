package node

import (
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/transfer"
)

// How an application goes on that was too slow: with the records that it has not been given, if they are still held once it has dealt with
// those before; otherwise in its way, as if its replica had been away. The replica orders on meanwhile.

// cut takes from an application that is behind what it was still to be given, since it needs longer for that than there is room for what
// others do meanwhile. The caller holds the lock.
func (r *Records) cut() {
	b := &r.backlog
	if from := max(b.taken, b.given); from < b.until {
		b.missed += r.between(from, b.until)
		b.until, b.bytes = from, b.out
	}
}

// between is how many records the ordinals after one and up to another have, all of which are held. The caller holds the lock.
func (r *Records) between(after, to uint64) (count uint64) {
	for o := after + 1; o <= to; o++ {
		count += uint64(len(r.entries[r.head+int(o-r.oldest())].records))
	}
	return count
}

// from lets the application have what comes after an ordinal, if that is held and not too much. The caller holds the lock.
func (r *Records) from(ordinal uint64) bool {
	b := &r.backlog
	if ordinal > r.last || ordinal+1 < r.oldest() {
		return false
	}
	bytes := 0
	for o := ordinal + 1; o <= r.last; o++ {
		bytes += r.entries[r.head+int(o-r.oldest())].bytes
	}
	if bytes > r.limit {
		return false
	}
	if b.waits {
		b.missed += r.between(b.taken, ordinal)
	} else {
		b.missed -= r.between(ordinal, r.last)
	}
	b.taken, b.given, b.bytes, b.out, b.open, b.behind = ordinal, ordinal, bytes, 0, 0, false
	return true
}

// resume lets an application that was too far behind go on with what it has not been given, as if nothing had been; false if that is
// not held, or the application was not behind. Like all of what follows it is called by the application's goroutine, when there is nothing
// else for it.
func (r *Records) resume() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &r.backlog
	if !b.behind || b.failed || b.taken < b.until || !r.from(b.until) {
		return false
	}
	b.until = 0
	return true
}

// rejoin lets an application that was too far behind go on after the last ordinal, although it misses what is before: it follows that
// as any other jump. false if that is not because it was behind.
func (r *Records) rejoin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &r.backlog
	if !b.behind || b.failed || !r.from(r.last) {
		return false
	}
	b.until, b.jump = 0, &landing{at: app.Position{Ordinal: r.last, Index: r.tail}}
	r.evict()
	return true
}

// expect lets an application that is absent wait for the state as of an ordinal, and keeps what is after that for it; false if it has that
// state, or if what is after it is not held any more.
func (r *Records) expect(ordinal uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &r.backlog
	if !b.absent() || b.failed || b.taken < b.until || ordinal <= b.until || b.waits && ordinal < b.taken || !r.from(ordinal) {
		return false
	}
	b.waits = true
	r.evict()
	return true
}

// land gives an application that expects the state as of an ordinal that state; false if it does not any more.
func (r *Records) land(l *landing) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &r.backlog
	if !b.waits || b.taken != l.at.Ordinal {
		return false
	}
	b.waits, b.until, b.jump = false, 0, l
	return true
}

// absence reports whether the application is absent, whether it expects a state, and when that may have changed.
func (r *Records) absence() (absent, waits bool, change <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.backlog.absent(), r.backlog.waits, r.change()
}

// comeBack lets an application go on that was too slow and has been given all that it was to be given; false if it cannot.
func (d *deliverer) comeBack(stop <-chan struct{}) bool {
	if ended(stop) {
		return false
	}
	if d.records.resume() {
		return true
	}
	switch d.calls.way() {
	case app.OwnWay:
		return d.records.rejoin()
	case app.EnginesWay:
		return d.restore(stop)
	}
	return false
}

// askAgain is when a checkpoint that does not come is asked for again: the disk may have been full, or the replica itself may have
// fetched another one.
const askAgain = time.Second

// restore waits for the newest stable checkpoint, and lets the application have its state next; false if there is nothing to wait for. If
// the state takes so long to come that too much would have to be kept for the application meanwhile, it takes a newer one.
func (d *deliverer) restore(stop <-chan struct{}) bool {
	again := time.NewTicker(askAgain)
	defer again.Stop()
	var asked transfer.Target
	d.checkpoints.await(true)
	defer d.checkpoints.await(false)
	for {
		absent, waits, change := d.records.absence()
		if !absent {
			return true // the replica itself lacked a state, which is the application's, too
		}
		newest, here := d.checkpoints.awaited()
		if here != nil && d.records.expect(here.due.State.Ordinal) {
			d.checkpoints.lend(here)
			return d.records.land(&landing{here.due.at(), here.open})
		}
		if newest != asked && (waits || d.records.expect(newest.Ordinal)) {
			asked = newest
			d.checkpoints.agent.Fetch(newest)
		}
		select {
		case <-change:
		case <-d.checkpoints.news:
		case <-again.C:
			asked = transfer.Target{}
		case <-stop:
			return false
		}
	}
}
