package node

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/record"
	"github.com/primebft/prime/storage"
)

const (
	// journalEager is how many bytes of inputs wait for the disk before they are written although nobody waits for them.
	journalEager = 256 << 10
	// journalLimit is how many may wait before the loop takes nothing new.
	journalLimit = 16 << 20
)

// journal makes durable what the core is given. Whatever leaves this replica waits until all that the core had been given before
// is on disk; meanwhile more gathers, so that one sync covers what many wait for, and signing goes on beside it. A nil journal
// remembers nothing and holds up nobody.
type journal struct {
	log   storage.Log
	limit int64 // of the log, in bytes; 0 is none
	say   *slog.Logger
	broke func(error) // the log cannot be written any more: called once
	start record.Began

	// Of whoever commits.
	writer    record.Writer
	spare     []given
	shortened uint64 // records before this have been dropped

	encoding sync.WaitGroup // of images

	mu      sync.Mutex
	inputs  []given // that nobody has taken to commit them
	bytes   int     // of these
	given   uint64  // inputs recorded
	wanted  uint64  // somebody waits for these
	durable uint64
	err     error
	changed chan struct{} // closed when durable or err changes
	ready   chan struct{} // has a token when there may be something to commit
	warned  bool
	images  images
	shares  shares
	length  int64 // of the log, and of the inputs that are being committed

	crowded atomic.Bool // the log is so long that what peers bring is limited
}

// given is an input of the core, as the loop hands it over: the loop only keeps it, and whoever commits writes it down.
type given struct {
	now        clock.Instant
	in         core.Input
	known, own bool
	image      *record.Image // instead of an input: it is of the core as it is here
}

// inputOverhead is what an input counts besides what it carries, in bytes.
const inputOverhead = 16

func newJournal(log storage.Log, limit int64, say *slog.Logger, broke func(error)) *journal {
	return &journal{log: log, limit: limit, say: say, broke: broke, changed: make(chan struct{}), ready: make(chan struct{}, 1)}
}

// input takes what the core has just been given; by is the peer that brought it, 0 if none did. Only the loop calls it.
func (j *journal) input(now clock.Instant, in core.Input, known bool, by group.ID) {
	if j == nil {
		return
	}
	bytes, own := inputOverhead, in.Message != nil && by == 0
	switch { // the loop uses its memory again
	case in.Done != nil:
		done := effect.Done{Job: in.Done.Job}
		in.Done = &done
	case in.Message != nil && !own && (known || record.Inert(in.Message.Kind)):
		in.Message = nil // only its instant is remembered
	case in.Message != nil:
		bytes += len(in.Message.Raw)
	case len(in.Submit) > 0:
		in.Submit = slices.Clone(in.Submit)
		for i := range in.Submit {
			bytes += updateOverhead + len(in.Submit[i].Payload)
		}
	}
	j.mu.Lock()
	j.given++
	j.inputs = append(j.inputs, given{now: now, in: in, known: known, own: own})
	j.bytes += bytes
	j.images.since += int64(bytes)
	if by != 0 {
		j.shares.add(by, bytes)
		j.measure()
	}
	full := j.bytes >= journalEager
	if full {
		j.wanted = j.given
	}
	j.mu.Unlock()
	if full {
		wake(j.ready)
	}
}

// mark is what has been given so far, and asks for it to be made durable.
func (j *journal) mark() uint64 {
	if j == nil {
		return 0
	}
	j.mu.Lock()
	j.wanted = j.given
	mark := j.given
	j.mu.Unlock()
	wake(j.ready)
	return mark
}

// wait returns true once everything up to a mark is durable, and false if that will never be, or at stop.
func (j *journal) wait(mark uint64, stop <-chan struct{}) bool {
	if j == nil {
		return true
	}
	for {
		j.mu.Lock()
		durable, err, changed := j.durable, j.err, j.changed
		j.mu.Unlock()
		switch {
		case durable >= mark:
			return true
		case err != nil:
			return false
		}
		select {
		case <-changed:
		case <-stop:
			return false
		}
	}
}

// reached is up to where everything is durable.
func (j *journal) reached() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.durable
}

// congested reports whether the disk is so far behind that nothing new should be taken.
func (j *journal) congested() bool {
	if j == nil {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bytes > journalLimit
}

// After a commit the next waits for twice as long as it took, and for commitGap at most: on a busy machine a commit costs more than the
// wait for more to commit with it.
const commitGap = 5 * time.Millisecond

// run commits until stop, and then what is left.
func (j *journal) run(stop <-chan struct{}) {
	gap := time.NewTimer(0)
	defer gap.Stop()
	for {
		select {
		case <-j.ready:
			select {
			case <-gap.C:
			case <-stop:
			}
			began := time.Now()
			j.commit()
			gap.Reset(min(commitGap, 2*time.Since(began)))
		case <-stop:
			j.mark()
			j.commit()
			j.encoding.Wait()
			if err := j.log.Close(); err != nil {
				j.say.Error("the log could not be closed", "error", err)
			}
			return
		}
	}
}

// commit makes durable all that was given, if anybody waits for any of it, and a part of an image, if one is being written.
func (j *journal) commit() {
	j.mu.Lock()
	part := j.part()
	if j.err != nil || j.wanted <= j.durable && part == nil {
		j.mu.Unlock()
		j.shorten()
		return
	}
	inputs, mark := j.inputs, j.given
	j.length += int64(j.bytes)
	j.inputs, j.bytes = j.spare[:0], 0
	j.mu.Unlock()
	for i := range inputs {
		if g := &inputs[i]; g.image != nil {
			j.cut(g.image)
		} else {
			j.writer.Input(g.now, g.in, g.known, g.own)
		}
	}
	clear(inputs)
	j.spare = inputs
	records := append(j.writer.Take(), part...)
	err := j.log.Commit(records)
	j.writer.Reuse(records)
	j.mu.Lock()
	if j.err = err; err == nil {
		j.durable = mark
		if part != nil {
			j.committed()
		}
	}
	more := len(j.images.parts) > 0
	close(j.changed)
	j.changed = make(chan struct{})
	j.mu.Unlock()
	if err != nil {
		j.broke(err)
		return
	}
	if more {
		wake(j.ready)
	}
	j.shorten()
	j.remeasure()
	j.warn()
}

// warn tells people, once, that the log is nearly full.
func (j *journal) warn() {
	if bytes := j.log.Extent().Bytes; !j.warned && j.limit > 0 && bytes > j.limit/5*4 {
		j.warned = true
		j.say.Warn("the log has reached four fifths of storage.max_bytes; when it is full this replica stops. Raise the limit, if the disk "+
			"has the room", "bytes", bytes, "max_bytes", j.limit)
	}
}

// size is how many bytes the log has; 0 if there is none.
func (j *journal) size() int64 {
	if j == nil {
		return 0
	}
	return j.log.Extent().Bytes
}

// begin finds where a replica can begin in its log, and makes durable what its core is made with if the log is new. used says that the
// log cannot be new; usable, of an ordinal, whether the application can go on from there.
func begin(log storage.Log, cfg core.Config, used bool, usable func(uint64) bool) (start record.Start, begun bool, err error) {
	if start, begun, err = record.Find(log, usable); err != nil || begun {
		return start, begun, err
	}
	if used {
		return start, false, fmt.Errorf("its log is not in folder %q, although a replica has run here: without it nobody knows what that has "+
			"signed", LogFolder)
	}
	start.Began = record.Began{Behaviour: core.Behaviour, Wall: cfg.Wall, Seed: cfg.Seed, Limits: cfg.Limits, Timing: cfg.Timing}
	if err := log.Commit([]storage.Record{start.Began.Record()}); err != nil {
		return start, false, fmt.Errorf("the log cannot be begun: %w", err)
	}
	return start, false, nil
}

// close closes a log that nothing was committed to by run.
func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return j.log.Close()
}
