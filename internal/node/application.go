package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/group"
)

// application is what the deliverer sees of an app.Application: the same calls whatever way that has to state that it lacks. Only the
// deliverer's goroutine calls it, but for lost.
type application interface {
	// deliver is app.Application's Deliver, and everything else that the records demand.
	deliver(batch []app.Record) ([][]byte, error)
	// jump goes on after a record although what was before it was not delivered. open is a snapshot as of it; nil if there is none.
	jump(at app.Position, open func() (io.ReadCloser, error)) error
	// snapshot is the state after what was delivered; nil if it is not this replica's to keep. app.ErrNoSnapshot: not this time.
	snapshot() (app.Snapshot, error)
	// way is how it comes to state that it lacks.
	way() app.Way
	// lost reports whether it is given nothing before a transfer point of its own.
	lost() bool
}

// follower is an application that does all of that itself: a process of its own, which may live on while its replica does not.
type follower interface {
	app.Application
	// Snapshot is app.Snapshotter's, if its way is the engine's.
	Snapshot() (app.Snapshot, error)
	Attend(request func())
	Jump(at app.Position, open func() (io.ReadCloser, error)) error
	Way() app.Way
	Lost() bool
	// Unknown reports whether a result of Deliver is none: the process was not given the record.
	Unknown(result []byte) bool
}

// unknown is the result of a record that the application was not given.
var unknown = []byte{0}

// isUnknown reports whether it is that very result.
func isUnknown(result []byte) bool { return len(result) == 1 && &result[0] == &unknown[0] }

// newApplication is a as the deliverer sees it. request asks for a transfer point; it does not wait.
func newApplication(a app.Application, self group.ID, epoch uint32, request func()) application {
	if f, ok := a.(follower); ok {
		f.Attend(request)
		return &following{f}
	}
	switch app.WayOf(a) {
	case app.EnginesWay:
		return &restorable{a.(app.Snapshotter)}
	case app.OwnWay:
		return &transferring{app: a.(app.Transferrer), self: int(self), epoch: epoch, request: request}
	}
	return &plain{a}
}

// deliver is one call of an application's Deliver.
func deliver(a app.Application, batch []app.Record) ([][]byte, error) {
	results := a.Deliver(batch)
	if len(results) != len(batch) {
		return nil, fmt.Errorf("the application returned %d results for %d records; it must return one for each, in order",
			len(results), len(batch))
	}
	return results, nil
}

// guarded calls f. A panic in it is an error.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the application panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// plain is an application that has no way to state that it lacks.
type plain struct{ app app.Application }

func (p *plain) deliver(batch []app.Record) ([][]byte, error) { return deliver(p.app, batch) }
func (p *plain) jump(at app.Position, _ func() (io.ReadCloser, error)) error {
	return fmt.Errorf("the records up to %s are held by no replica any more, and the application has no way to get the state without them: "+
		"implement app.Snapshotter, or app.Transferrer, or raise the limits of what is kept ([limits] in cluster.toml)", at)
}
func (p *plain) snapshot() (app.Snapshot, error) { return nil, nil }
func (p *plain) way() app.Way                    { return app.NoWay }
func (p *plain) lost() bool                      { return false }

// restorable is an application whose state the replicas transfer.
type restorable struct{ app app.Snapshotter }

func (r *restorable) deliver(batch []app.Record) ([][]byte, error) { return deliver(r.app, batch) }
func (r *restorable) snapshot() (app.Snapshot, error)              { return r.app.Snapshot() }
func (r *restorable) way() app.Way                                 { return app.EnginesWay }
func (r *restorable) lost() bool                                   { return false }

func (r *restorable) jump(at app.Position, open func() (io.ReadCloser, error)) error {
	if open == nil {
		return errors.New("the other replicas' applications do not write snapshots, but this replica's wants to restore one: run the same " +
			"application everywhere")
	}
	from, err := open()
	if err != nil {
		return fmt.Errorf("snapshot as of %s: %w", at, err)
	}
	defer func() { _ = from.Close() }()
	if err := r.app.Restore(from); err != nil {
		return fmt.Errorf("the application cannot restore the snapshot as of %s: %w", at, err)
	}
	return nil
}

// following is a process of its own.
type following struct{ app follower }

func (f *following) deliver(batch []app.Record) ([][]byte, error) {
	results, err := deliver(f.app, batch)
	for i := range results {
		if f.app.Unknown(results[i]) {
			results[i] = unknown
		}
	}
	return results, err
}
func (f *following) jump(at app.Position, open func() (io.ReadCloser, error)) error {
	return f.app.Jump(at, open)
}
func (f *following) way() app.Way { return f.app.Way() }
func (f *following) lost() bool   { return f.app.Lost() }
func (f *following) snapshot() (app.Snapshot, error) {
	if f.app.Way() != app.EnginesWay {
		return nil, nil
	}
	return f.app.Snapshot()
}

// transferring is an application that takes over state in its own way. While it is lost it is given nothing: what it lacks would make
// the records before its transfer point useless to it.
type transferring struct {
	app     app.Transferrer
	self    int
	epoch   uint32
	request func() // asks for a transfer point

	begun   bool         // it has been told the epoch
	has     app.Position // last record whose effect its state has
	waiting atomic.Bool  // for its transfer point
}

func (t *transferring) snapshot() (app.Snapshot, error) { return nil, nil }
func (t *transferring) way() app.Way                    { return app.OwnWay }
func (t *transferring) lost() bool                      { return t.waiting.Load() }

// begin tells it the epoch, once.
func (t *transferring) begin() {
	if !t.begun {
		t.begun = true
		t.app.Reset(t.epoch)
	}
}

// jump tells it of the gap and has a transfer point ordered. What the snapshot of a checkpoint holds is not its business.
func (t *transferring) jump(at app.Position, _ func() (io.ReadCloser, error)) error {
	t.begin()
	t.waiting.Store(true) // before it knows: what is submitted because of that is refused
	t.app.Gap(t.has, app.Position{Ordinal: at.Ordinal + 1, Index: 1})
	t.request()
	return nil
}

// deliver gives it the records in pieces that end with transfer points.
func (t *transferring) deliver(batch []app.Record) ([][]byte, error) {
	t.begin()
	results := make([][]byte, 0, len(batch))
	for len(batch) > 0 {
		size := 1
		for !batch[size-1].TransferPoint() && size < len(batch) {
			size++
		}
		piece := batch[:size]
		batch = batch[size:]
		point := &piece[size-1]
		own := point.TransferPoint() && point.Origin == t.self
		switch {
		case t.waiting.Load():
			results = append(results, slices.Repeat([][]byte{unknown}, size)...)
			if !own {
				continue
			}
		default:
			got, err := deliver(t.app, piece)
			if err != nil {
				return nil, err
			}
			for i := range got {
				if len(batch) > 0 { // the next call may use the memory again
					got[i] = bytes.Clone(got[i])
				}
			}
			results = append(results, got...)
			t.has = point.Position()
		}
		if !point.TransferPoint() {
			continue
		}
		if err := t.point(point, own); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// point lets it deal with a transfer point: take over state, or hand it to the requester.
func (t *transferring) point(r *app.Record, own bool) error {
	err := t.app.TransferPoint(r.Position(), r.Origin)
	switch {
	case own && err == nil:
		t.has = r.Position()
		t.waiting.Store(false)
	case own:
		t.waiting.Store(true)
		t.request()
	case err != nil:
		return fmt.Errorf("the application failed at the transfer point of r%d at %s: %w", r.Origin, r.Position(), err)
	}
	return nil
}
