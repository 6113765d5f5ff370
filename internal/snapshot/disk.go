package snapshot

import (
	"errors"
	"io"
	"os"

	"github.com/primebft/prime/storage/file"
)

// Disk is the part of a file system that a store uses. System is the real one; Memory keeps files in memory.
type Disk interface {
	// MakeDir makes a folder, durably, unless it is there.
	MakeDir(dir string) error
	// List is the names of the files in a folder, ascending.
	List(dir string) ([]string, error)
	// Create makes a new file, instead of one of that name if there is one. A size that is not 0 is reserved and reads as zeros.
	Create(path string, size int64) (File, error)
	// Open opens a file for reading and writing.
	Open(path string) (File, error)
	// Rename gives a file another name, instead of one that had it.
	Rename(from, to string) error
	// Remove removes a file. Who has it open may still use it.
	Remove(path string) error
	// SyncDir makes durable which files a folder has.
	SyncDir(dir string) error
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Size is its length, bytes.
	Size() (int64, error)
	// Begin lets the system begin to write a part to the disk, without waiting: a hint.
	Begin(offset, size int64)
	// Sync returns when everything that was written is durable.
	Sync() error
	Close() error
}

// System is the disk of the machine: as a log uses it (package file), with files that are also read, and have a size.
type System struct{ file.System }

var _ Disk = System{}

// Create implements Disk.
func (System) Create(path string, size int64) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if size > 0 {
		if err := reserve(f, size); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return systemFile{f}, nil
}

// Open implements Disk.
func (System) Open(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return systemFile{f}, nil
}

// systemFile is a file of the machine.
type systemFile struct{ *os.File }

// Size implements File.
func (f systemFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Begin implements File.
func (f systemFile) Begin(offset, size int64) { writeOut(f.File, offset, size) }
