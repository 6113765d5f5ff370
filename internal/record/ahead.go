package record

import (
	"errors"
	"fmt"
	"sync"

	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/storage"
)

// batchInputs is how many inputs are handed over together, and batchesAhead how many such batches a reader is ahead at most.
const (
	batchInputs  = 256
	batchesAhead = 16
)

// batch is inputs that follow each other in a log; err says why there are no more.
type batch struct {
	entries []Entry
	err     error
}

// ahead reads a log and decodes what it has, beside whoever goes through it.
type ahead struct {
	decode  func([]byte) (*wire.Envelope, error)
	out     chan batch
	stop    chan struct{} // closed when nobody wants more
	reading sync.WaitGroup
	next    []Entry
}

// errEnough ends reading that nobody waits for any more.
var errEnough = errors.New("enough")

// readAhead begins to read from a record on. Whoever called it takes what comes out until that is closed, or closes.
func readAhead(log storage.Log, from uint64, decode func([]byte) (*wire.Envelope, error)) *ahead {
	a := &ahead{decode: decode, out: make(chan batch, batchesAhead), stop: make(chan struct{})}
	a.reading.Go(func() {
		defer close(a.out)
		if err := log.Read(from, a.record); !errors.Is(err, errEnough) {
			_ = a.give(err)
		}
	})
	return a
}

// close ends reading, and waits for that.
func (a *ahead) close() {
	close(a.stop)
	a.reading.Wait()
}

// record decodes the inputs of one record.
func (a *ahead) record(number uint64, r storage.Record) (err error) {
	each := func(e Entry) error {
		e.In = number
		if a.next = append(a.next, e); len(a.next) < batchInputs {
			return nil
		}
		return a.give(nil)
	}
	switch r.Kind {
	case kindInputs:
		err = parseInputs(r.Data, a.decode, each)
	case kindResumed:
		var e Entry
		if e, err = parseResumed(r.Data); err == nil {
			err = each(e)
		}
	case kindImage:
	default:
		err = errBad
	}
	if err != nil && !errors.Is(err, errEnough) {
		return fmt.Errorf("record %d: %w", number, err)
	}
	return err
}

// give hands over what has been decoded.
func (a *ahead) give(err error) error {
	if len(a.next) == 0 && err == nil {
		return nil
	}
	b := batch{a.next, err}
	a.next = make([]Entry, 0, batchInputs)
	select {
	case a.out <- b:
		return nil
	case <-a.stop:
		return errEnough
	}
}
