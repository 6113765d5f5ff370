package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/core/effect"
)

var (
	// ErrRecordsGone says that records are no longer held; errors.As finds a RecordsGone with the oldest that is.
	ErrRecordsGone = errors.New("records no longer held")
	// ErrClosed says that the replica has been closed, is closing, or has crashed.
	ErrClosed = errors.New("replica is closed")
)

// RecordsGone is ErrRecordsGone with the ordinals.
type RecordsGone struct {
	From   uint64 // what was asked for
	Oldest uint64 // the oldest ordinal held
}

// Error implements error.
func (e *RecordsGone) Error() string {
	return fmt.Sprintf("%v: ordinal %d was asked for and the oldest held is %d; start there", ErrRecordsGone, e.From, e.Oldest)
}

// Unwrap is ErrRecordsGone.
func (e *RecordsGone) Unwrap() error { return ErrRecordsGone }

// The most that is handed over at once, to watchers and to the application: whole ordinals until one of these is reached.
const (
	batchRecords = 1024
	batchBytes   = 1 << 20
)

// behindFactor times Queues.DeliverBytes is how far the application may be behind before it is given up.
const behindFactor = 4

const (
	recordBytes = int(unsafe.Sizeof(app.Record{}))
	entryBytes  = int(unsafe.Sizeof(entry{}))
)

// Records is the newest part of the ordered stream, for watchers and for the application. It keeps what the application has
// not taken yet and, beyond that, as much of the past as its budget allows. Nobody who reads slowly holds up the writer: a
// watcher that is too slow finds its records gone, and an application that is too slow is declared behind.
type Records struct {
	self      int
	epoch     uint32
	keep      int       // bytes kept for watchers
	limit     int       // bytes of backlog at which the application is declared behind
	chain     app.Chain // of the appender alone; readers have the entries' sums
	delivered uint64    // records since ordinal 1; of the appender alone

	mu      sync.Mutex
	entries []entry // consecutive ordinals; entries[head] is the oldest
	head    int
	bytes   int // of all entries
	last    uint64
	tail    uint32 // records of ordinal last
	base    base   // where the stream goes on after a jump, or where it began
	count   uint64 // records since ordinal 1
	changed chan struct{}
	closed  bool
	backlog backlog
}

// entry is one ordinal. Entries and the records in them never change once appended.
type entry struct {
	records []app.Record
	dropped []effect.Refusal
	bytes   int
	own     bool     // has an update that this replica introduced
	sum     [32]byte // digest of the stream up to here
	due     *due     // a checkpoint is to be made after it
}

// backlog is how far the application is.
type backlog struct {
	taken  uint64   // last ordinal that it has dealt with, or whose effect the state has that it waits for
	given  uint64   // last ordinal that it was given
	out    int      // bytes of what it was given and has not dealt with
	open   uint64   // records of that
	own    uint64   // last ordinal with an update that this replica introduced
	bytes  int      // entries after taken that it will be given
	until  uint64   // when behind: last ordinal that it will be given before it goes on elsewhere, if it can; when it waits: that it was given
	behind bool     // it was too slow, and is not given what is after until as it comes
	waits  bool     // for the state as of taken; what is after that is kept for it
	missed uint64   // records that it was not given
	failed bool     // it is never called again
	jump   *landing // it has to follow this before it is given anything
}

// needs reports whether the application will still be given an ordinal that is held.
func (b *backlog) needs(ordinal uint64) bool {
	return ordinal > max(b.taken, b.given) && !(b.behind && ordinal > b.until)
}

// absent reports whether it is not given records as they come, so that it cannot answer.
func (b *backlog) absent() bool { return b.behind || b.waits }

func newRecords(self int, epoch uint32, watchBytes, deliverBytes int) *Records {
	return &Records{self: self, epoch: epoch, keep: watchBytes, limit: behindFactor * deliverBytes}
}

// append adds an executed ordinal. Only one goroutine calls it.
func (r *Records) append(d *effect.Delivery) {
	e := r.newEntry(d)
	for i := range e.records {
		r.chain.Add(e.records[i])
	}
	e.sum = r.chain.Sum
	r.delivered += uint64(len(e.records))
	if d.State != nil {
		e.due = &due{State: d.State, Delivered: r.delivered, Digest: e.sum, Records: uint32(len(e.records))}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, e)
	r.bytes += e.bytes
	r.last, r.tail = d.Ordinal, uint32(len(e.records))
	r.count += uint64(len(e.records))
	r.account(&e)
	r.evict()
	r.wakeAll()
}

// newEntry makes the records of a delivery, with payloads of its own so that the stream never keeps messages alive that
// are mostly something else.
func (r *Records) newEntry(d *effect.Delivery) entry {
	n := max(1, len(d.Updates))
	e := entry{records: make([]app.Record, n), dropped: d.Dropped}
	size := 0
	for i := range d.Updates {
		size += len(d.Updates[i].Payload)
	}
	payloads := make([]byte, 0, size)
	e.bytes = entryBytes + n*recordBytes + size + len(d.Dropped)*int(unsafe.Sizeof(effect.Refusal{}))
	if len(d.Updates) == 0 {
		e.records[0] = app.Record{Epoch: r.epoch, Ordinal: d.Ordinal, Index: 1, Total: 1, Time: d.Time}
		return e
	}
	for i := range d.Updates {
		u := &d.Updates[i]
		from := len(payloads)
		payloads = append(payloads, u.Payload...)
		e.records[i] = app.Record{
			Epoch: r.epoch, Ordinal: d.Ordinal, Index: uint32(i + 1), Total: uint32(n), Origin: int(d.Origins[i]),
			Client: u.Client, Seq: u.Seq, Time: d.Time, Payload: payloads[from:len(payloads):len(payloads)],
		}
		e.own = e.own || int(d.Origins[i]) == r.self
	}
	return e
}

// account charges a new entry to the application, and declares it behind when its backlog has become too large.
func (r *Records) account(e *entry) {
	b := &r.backlog
	if e.own {
		b.own = r.last
	}
	switch {
	case b.behind:
		b.missed += uint64(len(e.records))
		if r.bytes > 2*r.limit+r.keep {
			r.cut()
		}
	case b.bytes+e.bytes > r.limit && b.bytes > 0 && b.waits:
		b.behind, b.waits, b.missed, b.bytes = true, false, b.missed+r.between(b.taken, r.last), 0
	case b.bytes+e.bytes > r.limit && b.bytes > 0:
		b.behind, b.until = true, r.last-1
		b.missed += uint64(len(e.records))
	default:
		b.bytes += e.bytes
	}
}

// evict drops the oldest entries that neither the budget nor the application keeps. The newest always stays.
func (r *Records) evict() {
	for len(r.entries)-r.head > 1 && r.bytes > r.keep && !r.backlog.needs(r.oldest()) {
		r.bytes -= r.entries[r.head].bytes
		r.entries[r.head] = entry{}
		r.head++
	}
	if r.head > len(r.entries)/2 {
		n := copy(r.entries, r.entries[r.head:])
		clear(r.entries[n:])
		r.entries, r.head = r.entries[:n], 0
	}
}

// oldest is the oldest ordinal held; last+1 if none is.
func (r *Records) oldest() uint64 { return r.last + 1 - uint64(len(r.entries)-r.head) }

func (r *Records) wakeAll() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// change is closed when something changes. The caller holds the lock.
func (r *Records) change() <-chan struct{} {
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

// Next returns records of one or more whole ordinals from the given one on, and waits until there is one. From 0 is the
// first ordinal that is executed after the call. The next call continues at the last record's ordinal plus one. The records
// are shared: nobody may change them. Errors: ErrRecordsGone, ErrClosed, or the context's.
func (r *Records) Next(ctx context.Context, from uint64) ([]app.Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if from == 0 {
		from = r.last + 1
	}
	for {
		if oldest := r.oldest(); from < oldest {
			return nil, &RecordsGone{From: from, Oldest: oldest}
		}
		if from <= r.last {
			span := r.span(from, r.last)
			if len(span) == 1 {
				return span[0].records, nil
			}
			var batch []app.Record
			for i := range span {
				batch = append(batch, span[i].records...)
			}
			return batch, nil
		}
		if r.closed {
			return nil, ErrClosed
		}
		change := r.change()
		r.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
		}
		r.mu.Lock()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// span is the range of entries, as many as go into one batch, that holds ordinals from, from+1, … up to to at most.
func (r *Records) span(from, to uint64) []entry {
	first := r.head + int(from-r.oldest())
	all := r.entries[first : first+int(to-from)+1]
	count, bytes := 0, 0
	for i := range all {
		count += len(all[i].records)
		bytes += all[i].bytes
		if i > 0 && (count > batchRecords || bytes > batchBytes) {
			return all[:i]
		}
		if all[i].due != nil {
			return all[:i+1]
		}
	}
	return all
}

// turn is what the application gets next.
type turn struct {
	jump    *landing         // it has to follow this first; then there is nothing else
	batch   []app.Record     // whole ordinals
	dropped []effect.Refusal // updates that take no effect in the same ordinals
	due     *due             // a checkpoint of the state after them is to be made
}

// nextForApp fills t, whose memory it reuses. It waits until there is anything; false says that there will never be more.
func (r *Records) nextForApp(stop <-chan struct{}, t *turn) bool {
	clear(t.batch)
	*t = turn{batch: t.batch[:0], dropped: t.dropped[:0]}
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		b := &r.backlog
		to := r.last
		if b.behind {
			to = b.until
		}
		if b.jump != nil {
			t.jump, b.jump = b.jump, nil
			return true
		}
		if from := b.taken + 1; from <= to && !b.waits {
			span := r.span(from, to)
			b.given, b.out, b.open = from+uint64(len(span))-1, 0, 0
			for i := range span {
				b.out, b.open = b.out+span[i].bytes, b.open+uint64(len(span[i].records))
				t.batch = append(t.batch, span[i].records...)
				t.dropped = append(t.dropped, span[i].dropped...)
				t.due = span[i].due
			}
			return true
		}
		if b.behind || r.closed {
			return false
		}
		change := r.change()
		r.mu.Unlock()
		select {
		case <-change:
		case <-stop:
			r.mu.Lock()
			return false
		}
		r.mu.Lock()
	}
}

// ack says that the application has dealt with everything up to the last ordinal that it was given, so that nothing of it needs to be kept.
func (r *Records) ack(ordinal uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &r.backlog
	if ordinal <= b.taken {
		return // the stream has jumped over it meanwhile
	}
	b.bytes -= b.out
	b.taken, b.out, b.open = ordinal, 0, 0
	r.evict()
	r.wakeAll()
}

// giveUp says that the application gets nothing more, because it has failed with what it was given last.
func (r *Records) giveUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &r.backlog
	b.failed = true
	given := max(b.taken, b.given)
	switch {
	case !b.behind:
		b.missed += b.open + r.between(given, r.last)
		b.behind, b.until = true, b.taken
	case given <= b.until:
		b.missed += b.open + r.between(given, b.until)
		b.until = b.taken
	}
	b.taken, b.given, b.bytes, b.out, b.open, b.waits = max(b.taken, r.last), r.last, 0, 0, 0, false
	r.evict()
	r.wakeAll()
}

// close ends all waiting once what is held has been read.
func (r *Records) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.wakeAll()
}

// Position is a place in the stream.
type Position struct {
	Ordinal uint64   // last executed
	Count   uint64   // records since ordinal 1 of the epoch, no-ops included
	Digest  [32]byte // app.Chain up to Ordinal
}

// Position is where the stream is.
func (r *Records) Position() Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Position{Ordinal: r.last, Count: r.count, Digest: r.base.sum}
	if n := len(r.entries); n > r.head {
		p.Digest = r.entries[n-1].sum
	}
	return p
}

// Oldest is the oldest ordinal held; one more than the last if none is.
func (r *Records) Oldest() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.oldest()
}

// DigestAt is the digest of the stream up to an ordinal that is held; that of ordinal 0, while it is, is all zero.
func (r *Records) DigestAt(ordinal uint64) ([32]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ordinal == r.base.ordinal {
		return r.base.sum, true
	}
	if ordinal < r.oldest() || ordinal > r.last {
		return [32]byte{}, false
	}
	return r.entries[r.head+int(ordinal-r.oldest())].sum, true
}

// waiting is how many bytes of records the application has not taken and will be given.
func (r *Records) waiting() int {
	b := r.app()
	if b.behind {
		return 0
	}
	return b.bytes
}

// app is how far the application is.
func (r *Records) app() backlog {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.backlog
}
