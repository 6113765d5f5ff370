package node

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/reply"
)

// recorder turns what the core executed into records, on a goroutine of its own: copying and hashing payloads is no part of
// a step. It never waits for the application, and not for the disk of a durable replica either: what was executed was committed by
// a quorum, whose promises are on their disks, so that whatever this replica forgets of it, it will execute the same.
type recorder struct {
	in      *mailbox[effect.Delivery]
	records *Records
	done    func() // something has been recorded
	// jumped goes on after a checkpoint that the core was given.
	jumped    func(*effect.State) error
	restoring func() bool // what the replica was given before its start is being given to it again
	broke     func(error) // the log cannot be used: called once
}

// run records until stop, then what is left.
func (r *recorder) run(stop <-chan struct{}) {
	defer r.records.close()
	var spare []effect.Delivery
	// missing is a checkpoint that the stream would go on after and that is not here. A replica that goes through its log has it only of
	// the last time that it went on after one.
	var missing error
	for {
		live := missing != nil && !r.restoring() // before looking, so that nothing of the log is overlooked
		batch, _ := r.in.take(spare)
		for i := range batch {
			if d := &batch[i]; d.Jump != nil {
				missing = r.jumped(d.Jump)
			} else if missing == nil {
				r.records.append(d)
			}
		}
		spare = batch
		if len(batch) > 0 {
			r.done()
			continue
		}
		if live {
			r.broke(missing)
			return
		}
		select {
		case <-r.in.ready:
		case <-stop:
			if items, _ := r.in.load(); items == 0 {
				return
			}
		}
	}
}

// weigh is what a delivery takes in memory until it is recorded, in bytes.
func weigh(d *effect.Delivery) int {
	size := entryBytes
	for i := range d.Updates {
		size += recordBytes + len(d.Updates[i].Payload)
	}
	return size
}

// deliverer is the goroutine that calls the application.
type deliverer struct {
	app         app.Application
	calls       application // app, as this goroutine sees it
	records     *Records
	replies     *reply.Store
	log         *slog.Logger
	done        func()                   // the application has dealt with something
	missed      func()                   // what was under way has been executed in what the application was not given, or has not
	keep        func(*due, app.Snapshot) // makes a checkpoint; nil: nobody does. The snapshot is nil if there is none
	checkpoints *checkpoints             // where it has the state of others from
	failure     atomic.Pointer[string]   // why the application is not called any more
	ended       chan struct{}            // closed when the application will never be called again
}

// run gives the application its records until there will be no more or stop.
func (d *deliverer) run(stop <-chan struct{}) {
	defer close(d.ended)
	var t turn
	var replies []reply.Reply
	for {
		if ended(stop) {
			return
		}
		if !d.records.nextForApp(stop, &t) {
			d.sayBehind()
			if !d.comeBack(stop) {
				return
			}
			continue
		}
		var results [][]byte
		err := guarded(func() (err error) {
			if t.jump != nil {
				return d.jump(t.jump)
			}
			results, err = d.calls.deliver(t.batch)
			return err
		})
		if err != nil {
			if ended(stop) {
				return // it was interrupted
			}
			d.fail(err, d.records.app().taken)
			return
		}
		if t.jump == nil {
			replies = d.reply(replies[:0], t.batch, results, t.dropped)
			d.records.ack(t.batch[len(t.batch)-1].Ordinal)
		}
		if err := d.checkpoint(t.due); err != nil && !ended(stop) {
			d.fail(err, d.records.app().taken)
			return
		}
		d.done()
	}
}

// jump lets the application follow a jump.
func (d *deliverer) jump(l *landing) error {
	d.missed()
	if err := d.calls.jump(l.at, l.open); err != nil {
		return err
	}
	if d.calls.lost() {
		d.log.Info("the application lacks the records before an ordinal, and waits for a transfer point", "ordinal", l.at.Ordinal+1)
	} else {
		d.log.Info("the application goes on from a checkpoint", "next", l.at.Ordinal+1, "way", d.calls.way().String())
	}
	return nil
}

// checkpoint has a checkpoint made of the state that the application has now, if one is due.
func (d *deliverer) checkpoint(due *due) error {
	if due == nil || d.keep == nil {
		return nil
	}
	var snapshot app.Snapshot
	err := guarded(func() (err error) {
		snapshot, err = d.calls.snapshot()
		return err
	})
	switch {
	case errors.Is(err, app.ErrNoSnapshot):
		d.log.Warn("the application has no snapshot for a checkpoint, which this replica does not make", "ordinal", due.State.Ordinal)
		return nil
	case err != nil:
		return fmt.Errorf("the application cannot make a snapshot: %w", err)
	}
	d.keep(due, snapshot)
	return nil
}

// fail stops calling the application, for good: it has not seen what follows, so it can no longer answer correctly.
func (d *deliverer) fail(err error, delivered uint64) {
	why := err.Error()
	d.log.Error("the application has failed; this replica goes on ordering for the others and refuses its own clients",
		"delivered_up_to", delivered, "error", why)
	d.failure.Store(&why)
	d.records.giveUp()
	d.done()
}

// sayBehind logs that the application has been given all that it will be for now, if that is because it was too slow.
func (d *deliverer) sayBehind() {
	b := d.records.app()
	switch {
	case !b.behind:
	case d.calls.way() == app.NoWay:
		d.log.Error("the application is too far behind and gets no more records, unless they are still held; this replica goes on ordering for "+
			"the others and refuses its own clients", "missed_from", b.until+1)
	default:
		d.log.Warn("the application is too far behind; it goes on as if its replica had been away, and this replica refuses its own clients "+
			"until then", "missed_from", b.until+1, "way", d.calls.way().String())
	}
}

// reply makes the results of a batch known, and what became of updates that took no effect. Results are copied to memory of
// their own: the application may use its buffers again, and a short result that is part of a long payload does not keep that.
func (d *deliverer) reply(replies []reply.Reply, batch []app.Record, results [][]byte, dropped []effect.Refusal) []reply.Reply {
	size := 0
	for i := range results {
		size += len(results[i])
	}
	block := make([]byte, 0, size)
	for i := range batch {
		r := &batch[i]
		if !r.Update() || isUnknown(results[i]) {
			continue
		}
		from := len(block)
		block = append(block, results[i]...)
		replies = append(replies, reply.Reply{
			Key: reply.Key{Client: r.Client, Seq: r.Seq}, Epoch: r.Epoch, Ordinal: r.Ordinal, Index: r.Index,
			Result: block[from:len(block):len(block)],
		})
	}
	if len(replies) > 0 {
		d.replies.Put(replies)
	}
	if len(dropped) > 0 {
		d.replies.Refuse(dropped)
	}
	return replies
}

// ended reports whether a channel is closed.
func ended(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
