package node

import (
	"errors"
	"slices"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/record"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/storage"
)

// unfinished is what the loop of a durable replica knows of what its core has asked for and not got back: it belongs into an image of the
// core.
type unfinished struct {
	replica *core.Replica
	header  wire.Header
	awaited record.Awaited[wire.Message] // by the message as the core gave it
	jobs    []effect.Job
	failed  bool // an image was not possible
}

// asked notes what leaves the loop.
func (m *unfinished) asked(out *effect.Output) {
	for i := range out.Sends {
		if s := &out.Sends[i]; s.Msg != nil && s.To.Has(m.header.Sender) {
			m.awaited.Add(s.Msg, s)
		}
	}
	m.jobs = append(m.jobs, out.Jobs...)
}

// did forgets a job that has been done.
func (m *unfinished) did(j *effect.Job) {
	m.jobs = slices.DeleteFunc(m.jobs, func(k effect.Job) bool {
		return k.ID == j.ID && k.To == j.To && k.Request == j.Request && slices.Equal(k.Parts, j.Parts)
	})
}

// keep takes an image of the core after a step in which a checkpoint became due, if the journal has use for one.
func (l *loop) keep() {
	m := l.unfinished
	if m == nil || m.failed || !l.journal.wantsImage() {
		return
	}
	unsaid := m.awaited.Sends()
	for i := range l.out.Sends {
		if s := &l.out.Sends[i]; s.Msg != nil && s.To.Has(m.header.Sender) {
			unsaid = append(unsaid, *s)
		}
	}
	taken, ok, err := record.Take(l.journal.start, m.replica, m.header, l.now, unsaid, append(slices.Clone(m.jobs), l.out.Jobs...))
	switch {
	case err != nil:
		m.failed = true
		l.journal.say.Error("no image of the core can be taken, so the log is not shortened; please report this", "error", err)
	case ok:
		l.journal.image(l.now, taken)
	}
}

// images is the journal's part that writes images of the core between the inputs, and drops what is before them. The journal's lock
// guards it.
type images struct {
	taken   *record.Image            // that is being written; nil if none is
	brought [group.MaxReplicas]int64 // shares.total when that was taken
	parts   []storage.Record         // of it, that have not been committed
	whole   []whole                  // on disk: the one that the log begins with, if it does, and perhaps a newer one
	kept    []uint64                 // the last ordinals that the application can go on from
	has     func(uint64) bool        // whether the application's state as of an ordinal is on disk; nil: what was kept is
	since   int64                    // bytes of inputs since the last image was taken
	size    int64                    // of that image
	dropped uint64                   // what is before this record is not needed
	passed  int                      // checkpoints that became due since the newest image was taken
}

// whole is an image that is on disk.
type whole struct {
	ordinal, from uint64
	brought       [group.MaxReplicas]int64 // shares.total when it was taken
}

// partBytes is how much of an image is one record: little enough that inputs which wait for the same commit do not wait for long.
const partBytes = 512 << 10

// mostKept is how many ordinals that an application can go on from are remembered: of the others there is no image, or there will
// be a newer one.
const mostKept = 16

// wantsImage reports whether the core should have an image taken when the next checkpoint is due: not while one is being written, and not
// before there are as many inputs as the last one had bytes, so that images are at most half of what is written.
func (j *journal) wantsImage() bool {
	if j == nil {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	m := &j.images
	if n := len(m.whole); n > 0 && m.whole[n-1].from > m.dropped && m.passed < mostPassed {
		m.passed++ // its checkpoint may still be made
		return false
	}
	return j.err == nil && m.taken == nil && m.since >= m.size
}

// mostPassed is how many checkpoints may become due until an image is given up whose own has not been made.
const mostPassed = 8

// image takes an image of the core, as it is after the last input. Only the loop calls it.
func (j *journal) image(now clock.Instant, taken *record.Image) {
	j.mu.Lock()
	m := &j.images
	m.taken, m.since, m.size, m.passed, m.brought = taken, 0, int64(taken.Size()), 0, j.shares.total
	if n := len(m.whole); n > 0 && m.whole[n-1].from > m.dropped { // its checkpoint was never made, and need not be kept for it
		m.whole = m.whole[:n-1]
	}
	j.inputs = append(j.inputs, given{now: now, image: taken})
	j.given++
	j.wanted = j.given
	j.mu.Unlock()
	wake(j.ready)
}

// cut is where an image lies among the inputs: what follows begins a new record. Encoding is done elsewhere, beside the commits.
func (j *journal) cut(taken *record.Image) {
	taken.From = j.log.Extent().Next + uint64(j.writer.Cut())
	j.encoding.Go(func() {
		parts := taken.Parts(partBytes)
		j.mu.Lock()
		j.images.parts = parts
		j.mu.Unlock()
		wake(j.ready)
	})
}

// part is the next part of an image to be committed, nil if there is none. The caller holds the lock.
func (j *journal) part() []storage.Record {
	m := &j.images
	if len(m.parts) == 0 {
		return nil
	}
	if j.limit > 0 && j.log.Extent().Bytes+int64(len(m.parts[0].Data)) > j.limit/10*9 { // what room there is belongs to inputs
		m.taken, m.parts = nil, nil
		j.say.Warn("the log is nearly full, so an image of the core is not written: the application's checkpoints are slower than the "+
			"log grows, or there are none", "bytes", j.log.Extent().Bytes, "max_bytes", j.limit)
		return nil
	}
	return m.parts[:1]
}

// committed notes that a part is on disk. The caller holds the lock.
func (j *journal) committed() {
	m := &j.images
	if m.parts = m.parts[1:]; len(m.parts) == 0 {
		m.whole = append(m.whole, whole{m.taken.Ordinal, m.taken.From, m.brought})
		m.taken, m.parts = nil, nil
		j.choose()
	}
}

// choose lets the log begin with the newest image if a start can go on from it: what is before it is of no use any more. The caller holds
// the lock.
func (j *journal) choose() {
	m := &j.images
	last := len(m.whole) - 1
	if last < 0 || !slices.Contains(m.kept, m.whole[last].ordinal) || m.whole[last].from <= m.dropped {
		return
	}
	if ordinal := m.whole[last].ordinal; m.has != nil && !m.has(ordinal) {
		return // the checkpoint is gone again
	}
	m.whole = m.whole[last:]
	m.dropped, j.shares.before = m.whole[0].from, m.whole[0].brought
}

// kept says that the application's state as of an ordinal at which a checkpoint was due is on disk, or that it has none: a start may go
// on from there, so that the log may begin with the image of the core as of it, once that is on disk. Any goroutine may call it.
func (j *journal) kept(ordinal uint64) {
	if j == nil {
		return
	}
	j.mu.Lock()
	m := &j.images
	if m.kept = append(m.kept, ordinal); len(m.kept) > mostKept {
		m.kept = slices.Delete(m.kept, 0, 1)
	}
	j.choose()
	j.mu.Unlock()
	wake(j.ready)
}

// pinned is the ordinals of the images that a start might go on from, at most two: the one that the log begins with, and the newest.
// The application's states as of them are still of use.
func (j *journal) pinned() (ordinals []uint64) {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, w := range j.images.whole {
		ordinals = append(ordinals, w.ordinal)
	}
	if j.images.taken != nil {
		ordinals = append(ordinals, j.images.taken.Ordinal)
	}
	return ordinals
}

// began says which image this start goes on from.
func (j *journal) began(s *record.Start) {
	if s.Ordinal > 0 {
		j.images.whole = []whole{{ordinal: s.Ordinal, from: s.From}}
		j.images.kept = []uint64{s.Ordinal}
		j.choose()
	}
}

// shorten drops what is of no use.
func (j *journal) shorten() {
	j.mu.Lock()
	below := j.images.dropped
	j.mu.Unlock()
	if below <= j.shortened {
		return
	}
	j.shortened = below
	if err := j.log.Drop(below); err != nil && !errors.Is(err, storage.ErrClosed) {
		j.say.Error("the log cannot be shortened; it goes on", "error", err)
	}
}
