package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Disk is the part of a file system that a log uses. System is the real one; package fault has one that fails.
type Disk interface {
	// MakeDir makes a folder, durably, unless it is there.
	MakeDir(dir string) error
	// List is the names of the files in a folder, ascending.
	List(dir string) ([]string, error)
	// Create makes a new file to write to; it is an error if there is one.
	Create(path string) (File, error)
	// Open opens a file to write at its end.
	Open(path string) (File, error)
	// Read is what a file holds.
	Read(path string) ([]byte, error)
	// Cut makes a file shorter, durably.
	Cut(path string, size int64) error
	// Remove removes a file.
	Remove(path string) error
	// SyncDir makes durable which files a folder has.
	SyncDir(dir string) error
}

// File is a file that is written to at its end.
type File interface {
	Write(b []byte) (int, error)
	// Sync returns when everything that was written is durable.
	Sync() error
	Close() error
}

// System is the disk of the machine.
type System struct{}

var _ Disk = System{}

// MakeDir implements Disk.
func (System) MakeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return System{}.SyncDir(filepath.Dir(dir))
}

// List implements Disk.
func (System) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Create implements Disk.
func (System) Create(path string) (File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
}

// Open implements Disk.
func (System) Open(path string) (File, error) { return os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0) }

// Read implements Disk.
func (System) Read(path string) ([]byte, error) { return os.ReadFile(path) }

// Cut implements Disk.
func (System) Cut(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}

// Remove implements Disk.
func (System) Remove(path string) error { return os.Remove(path) }

// SyncDir implements Disk.
func (System) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
