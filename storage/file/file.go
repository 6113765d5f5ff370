// Package file is a storage.Log in files: segments of records, each with a checksum, written at the end and synced once for
// every commit.
//
// After a loss of power the end of the last segment may be anything: what was written and not synced is there, partly there,
// or replaced by zeros. Open cuts that off and says so. Everything else that is not as it was written is damage, and is
// refused: a log that guesses makes a replica contradict what it has signed. The two are told apart by what follows: every
// record says up to where the log was durable when it was written, so a record behind the bad place, or a later segment, proves
// that the bad place once was good. Damage to the last commit alone looks like a commit that did not end, and is cut off:
// no log of its own can know better.
package file

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/primebft/prime/storage"
)

// Options are how a log is kept.
type Options struct {
	Owner        [32]byte // whom it belongs to; a log of another owner is refused
	SegmentBytes int64    // a segment that has as many is not written to any more; 0 is 16 MiB
	MaxBytes     int64    // of all segments; 0 is no limit
	Disk         Disk     // nil is System
	// Prepare does the work that it is given, which makes the next segment ready before it is needed, beside commits or at once.
	// nil: segments grow as they are written, which makes commits slower.
	Prepare func(work func())
	// Note is told what Open cut off; may be nil.
	Note func(Cut)
}

// Cut is the end of a log that a loss of power left half-written.
type Cut struct {
	Path   string
	Offset int64  // where it began
	Bytes  int64  // how many were cut off
	Number uint64 // of the first record that is not there
}

// Log is a log in the files of one folder.
type Log struct {
	dir  string
	opts Options
	disk Disk

	mu       sync.Mutex // of what follows; not held while the disk works, but for Close
	segments []segment
	next     uint64
	bytes    int64
	spare    bool // a segment has been made ready

	preparing sync.WaitGroup

	// Of whoever commits.
	file   File
	buffer []byte
	failed error
}

// segment is one file.
type segment struct {
	path  string
	first uint64
	bytes int64
}

var _ storage.Log = (*Log)(nil)

// Open opens the log in a folder, which it makes if it is not there. Nobody else may use the folder. Every record is
// checked, so that Read finds what was committed. Errors: storage.ErrDamaged, ErrVersion, ErrForeign, or of the disk.
func Open(dir string, o Options) (*Log, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 16 << 20
	}
	if o.Disk == nil {
		o.Disk = System{}
	}
	if o.Note == nil {
		o.Note = func(Cut) {}
	}
	l := &Log{dir: dir, opts: o, disk: o.Disk, next: 1}
	if err := l.disk.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("log: %w; the folder around it must be there and writable", err)
	}
	if err := l.load(); err != nil {
		return nil, err
	}
	if len(l.segments) == 0 {
		if o.Prepare != nil {
			if l.spare = l.disk.Reserve(l.sparePath(), o.SegmentBytes) == nil; !l.spare {
				_ = l.disk.Remove(l.sparePath()) // it may be there in part
			}
		}
		if err := l.roll(); err != nil {
			return nil, err
		}
		l.prepare()
		return l, nil
	}
	l.prepare()
	var err error
	if l.file, err = l.disk.Open(l.last().path); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	// A process that was killed may have left what it wrote in the system's memory only.
	if err := errors.Join(l.file.Sync(), l.disk.SyncDir(dir)); err != nil {
		return nil, errors.Join(fmt.Errorf("log: %s cannot be made durable: %w", l.last().path, err), l.file.Close())
	}
	return l, nil
}

func (l *Log) last() *segment { return &l.segments[len(l.segments)-1] }

// sparePath is where the next segment is made ready.
func (l *Log) sparePath() string { return filepath.Join(l.dir, spareName) }

// prepare makes the next segment ready. If that fails, the next one grows; what there is of this one must not take its room.
func (l *Log) prepare() {
	if l.opts.Prepare == nil {
		return
	}
	l.preparing.Add(1)
	l.opts.Prepare(func() {
		defer l.preparing.Done()
		if l.disk.Reserve(l.sparePath(), l.opts.SegmentBytes) != nil {
			_ = l.disk.Remove(l.sparePath()) // a start removes it, too
			return
		}
		l.mu.Lock()
		l.spare = true
		l.mu.Unlock()
	})
}

// roll begins a new segment. It is durable before anything is written to it, and so is all before it.
func (l *Log) roll() error {
	path := filepath.Join(l.dir, fmt.Sprintf("%020d.log", l.next))
	l.mu.Lock()
	spare := l.spare
	l.spare = false
	l.mu.Unlock()
	f, err := l.begin(path, spare)
	if err != nil {
		return l.explain(fmt.Errorf("new segment %s: %w", path, err))
	}
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			return errors.Join(fmt.Errorf("log: %w", err), f.Close())
		}
	}
	l.mu.Lock()
	l.file = f
	l.segments = append(l.segments, segment{path: path, first: l.next, bytes: int64(headerSize)})
	l.bytes += int64(headerSize)
	l.mu.Unlock()
	if spare && len(l.segments) > 1 {
		l.prepare()
	}
	return nil
}

// begin makes the file of a new segment, of the one that was made ready if there is one.
func (l *Log) begin(path string, spare bool) (f File, err error) {
	if spare {
		f, err = l.disk.Open(l.sparePath())
	} else {
		f, err = l.disk.Create(path)
	}
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteAt(header(l.opts.Owner, l.next), 0); err == nil {
		err = f.Sync()
	}
	if err == nil && spare { // a segment that was made ready has its header before it has its name
		err = l.disk.Rename(l.sparePath(), path)
	}
	if err == nil {
		err = l.disk.SyncDir(l.dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Commit implements storage.Log.
func (l *Log) Commit(records []storage.Record) error {
	if l.failed != nil {
		return fmt.Errorf("%w: %w", storage.ErrBroken, l.failed)
	}
	if l.file == nil {
		return storage.ErrClosed
	}
	if len(records) == 0 {
		return nil
	}
	l.buffer = l.buffer[:0]
	number, durable := l.next, l.next-1
	for _, r := range records {
		if len(r.Data) > storage.MaxRecord {
			return fmt.Errorf("log: a record of %d bytes: at most %d", len(r.Data), storage.MaxRecord)
		}
		l.buffer = appendRecord(l.buffer, r, number, durable)
		number++
	}
	if limit := l.opts.MaxBytes; limit > 0 && l.bytes+int64(headerSize+len(l.buffer)) > limit {
		return fmt.Errorf("%w: %s may take %d bytes", storage.ErrFull, l.dir, limit)
	}
	if err := l.write(); err != nil {
		l.failed = l.explain(err)
		return l.failed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = number
	l.last().bytes += int64(len(l.buffer))
	l.bytes += int64(len(l.buffer))
	if cap(l.buffer) > 4<<20 {
		l.buffer = nil
	}
	return nil
}

// write puts the buffer on disk. A sync that fails is never tried again: the system may have dropped what it could not write,
// and say the next time that all is well.
func (l *Log) write() error {
	if l.last().bytes >= l.opts.SegmentBytes {
		if err := l.roll(); err != nil {
			return err
		}
	}
	if _, err := l.file.WriteAt(l.buffer, l.last().bytes); err != nil {
		return err
	}
	return l.file.Sync()
}

// explain adds the place to an error, and says what a full disk is.
func (l *Log) explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: the disk of %s has no room left: %w", storage.ErrFull, l.dir, err)
	}
	return fmt.Errorf("log: %s cannot be written: %w", l.dir, err)
}

// Read implements storage.Log.
func (l *Log) Read(from uint64, each func(number uint64, r storage.Record) error) error {
	l.mu.Lock()
	segments, next := append([]segment(nil), l.segments...), l.next
	l.mu.Unlock()
	if len(segments) == 0 {
		return storage.ErrClosed
	}
	if from < segments[0].first {
		return fmt.Errorf("log: record %d has been dropped: the first is %d", from, segments[0].first)
	}
	var memory []byte
	for i, s := range segments {
		if i+1 < len(segments) && segments[i+1].first <= from {
			continue
		}
		b, err := l.disk.Read(s.path, memory)
		if err != nil {
			return fmt.Errorf("log: %w", err)
		}
		memory, b = b, b[min(headerSize, len(b)):]
		for number := s.first; number < next && (i+1 == len(segments) || number < segments[i+1].first); number++ {
			e, err := parseRecord(b)
			if err != nil || e.number != number {
				return damaged(s.path, number, "it was good when the log was opened")
			}
			b = b[e.size:]
			if number < from {
				continue
			}
			if err := each(number, e.Record); err != nil {
				return err
			}
		}
	}
	return nil
}

// Drop implements storage.Log.
func (l *Log) Drop(below uint64) error {
	for {
		l.mu.Lock()
		if len(l.segments) < 2 || l.segments[1].first > below {
			l.mu.Unlock()
			return nil
		}
		gone := l.segments[0]
		l.mu.Unlock()
		// The oldest first, each durably, so that a crash leaves no hole.
		if err := l.disk.Remove(gone.path); err != nil {
			return fmt.Errorf("log: %w", err)
		}
		if err := l.disk.SyncDir(l.dir); err != nil {
			return fmt.Errorf("log: %w", err)
		}
		l.mu.Lock()
		l.segments = l.segments[1:]
		l.bytes -= gone.bytes
		l.mu.Unlock()
	}
}

// Extent implements storage.Log.
func (l *Log) Extent() storage.Extent {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := storage.Extent{First: l.next, Next: l.next, Bytes: l.bytes}
	if len(l.segments) > 0 {
		x.First = l.segments[0].first
	}
	return x
}

// Close implements storage.Log.
func (l *Log) Close() error {
	l.preparing.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file, l.segments = nil, nil
	return f.Close()
}
