// Package memory is a storage.Log that forgets everything when its process ends: for tests, and for whoever can do without.
package memory

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/primebft/prime/storage"
)

// Log is a log in memory. Make one with New. It is safe for use by many goroutines.
type Log struct {
	limit int64

	mu      sync.Mutex
	first   uint64
	records []storage.Record
	bytes   int64
	closed  bool
}

var _ storage.Log = (*Log)(nil)

// overhead is what a record counts besides its data, in bytes.
const overhead = 32

// New returns an empty log that takes at most limit bytes; 0 is no limit.
func New(limit int64) *Log { return &Log{limit: limit, first: 1} }

// Commit implements storage.Log.
func (l *Log) Commit(records []storage.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return storage.ErrClosed
	}
	size := int64(0)
	for _, r := range records {
		if len(r.Data) > storage.MaxRecord {
			return fmt.Errorf("a record of %d bytes: at most %d", len(r.Data), storage.MaxRecord)
		}
		size += overhead + int64(len(r.Data))
	}
	if l.limit > 0 && l.bytes+size > l.limit {
		return fmt.Errorf("%w: it may take %d bytes", storage.ErrFull, l.limit)
	}
	l.bytes += size
	for _, r := range records {
		l.records = append(l.records, storage.Record{Kind: r.Kind, Data: bytes.Clone(r.Data)})
	}
	return nil
}

// Read implements storage.Log.
func (l *Log) Read(from uint64, each func(number uint64, r storage.Record) error) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return storage.ErrClosed
	}
	if from < l.first {
		l.mu.Unlock()
		return fmt.Errorf("record %d has been dropped: the first is %d", from, l.first)
	}
	records := l.records[min(from-l.first, uint64(len(l.records))):]
	l.mu.Unlock()
	for i := range records {
		if err := each(from+uint64(i), records[i]); err != nil {
			return err
		}
	}
	return nil
}

// Drop implements storage.Log.
func (l *Log) Drop(below uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return storage.ErrClosed
	}
	for l.first < below && len(l.records) > 1 {
		l.bytes -= overhead + int64(len(l.records[0].Data))
		l.records = l.records[1:]
		l.first++
	}
	return nil
}

// Extent implements storage.Log.
func (l *Log) Extent() storage.Extent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return storage.Extent{First: l.first, Next: l.first + uint64(len(l.records)), Bytes: l.bytes}
}

// Close implements storage.Log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}
