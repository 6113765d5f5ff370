// Package storage is what a replica remembers when its process or its machine stops: a log of records that only grows at its
// end and is forgotten from its beginning.
//
// Package file keeps it on disk, package memory does not; package storagetest is the contract of both as a test, and package
// fault a disk that forgets, tears and fills up, for tests and simulated worlds.
package storage

import "errors"

// MaxRecord is the most bytes that the data of one record may have.
const MaxRecord = 64 << 20

// Errors that callers tell apart. Texts carry the place and the remedy.
var (
	// ErrFull says that the disk, or the limit that was set for the log, has no room for a commit.
	ErrFull = errors.New("log is full")
	// ErrDamaged says that records that had been committed are not there as they were written.
	ErrDamaged = errors.New("log is damaged")
	// ErrVersion says that a log was written in another format.
	ErrVersion = errors.New("log has another format")
	// ErrForeign says that a log belongs to somebody else.
	ErrForeign = errors.New("log belongs to another replica")
	// ErrBroken says that an earlier commit failed, so that nobody knows what the log holds until it is opened again.
	ErrBroken = errors.New("log is broken")
	// ErrClosed says that the log has been closed.
	ErrClosed = errors.New("log is closed")
)

// Record is one entry of a log. What Kind and Data mean is the user's affair.
type Record struct {
	Kind uint8
	Data []byte
}

// Extent is what a log holds: the records First up to, but not including, Next. They are numbered from 1; a log that holds
// none has First equal to Next.
type Extent struct {
	First, Next uint64
	Bytes       int64 // that the log takes
}

// Log is a log of records. Commit and Drop have one caller at a time; Extent may be asked by anybody.
type Log interface {
	// Commit appends records and returns when all of them would survive a loss of power: one sync for all, so who has several
	// gives them together. An error means that a prefix of them may or may not be there after the next start, and that
	// this log takes no more (ErrBroken); only ErrFull for the log's own limit leaves it as it was. The caller may use
	// the memory of records again.
	Commit(records []Record) error
	// Read gives every record from a number on to each, in order, until that returns an error. A record's data is valid until
	// each returns. It is an error if the record with that number has been dropped.
	Read(from uint64, each func(number uint64, r Record) error) error
	// Drop forgets records below a number. Some of them may be kept: whole segments go. The last record always stays.
	Drop(below uint64) error
	// Extent is what the log holds.
	Extent() Extent
	// Close gives back what the log uses.
	Close() error
}
