package file

import (
	"bytes"
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
	// Open opens a file to write to.
	Open(path string) (File, error)
	// Reserve makes a file of so many zeros, durably: writing over them later changes nothing but themselves, which makes a sync
	// several times cheaper. A file of that name is replaced.
	Reserve(path string, size int64) error
	// Rename gives a file another name, which no file has.
	Rename(from, to string) error
	// Read is what a file holds, in the memory of into if there is enough.
	Read(path string, into []byte) ([]byte, error)
	// Cut makes a file shorter, durably.
	Cut(path string, size int64) error
	// Remove removes a file.
	Remove(path string) error
	// SyncDir makes durable which files a folder has.
	SyncDir(dir string) error
}

// File is an open file.
type File interface {
	WriteAt(b []byte, offset int64) (int, error)
	// Sync returns when everything that was written is durable, and how long the file is.
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
	return opened(os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600))
}

// Open implements Disk.
func (System) Open(path string) (File, error) { return opened(os.OpenFile(path, os.O_WRONLY, 0)) }

// systemFile is a file whose Sync leaves out what nobody needs after a loss of power, such as when it was written.
type systemFile struct{ *os.File }

func opened(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return systemFile{f}, nil
}

// Sync implements File.
func (f systemFile) Sync() error { return syncData(f.File) }

// reserveStep is how many zeros are written and made durable at once, so that the syncs of others wait for few of them.
const reserveStep = 1 << 20

// Reserve implements Disk.
func (System) Reserve(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	zeros := make([]byte, min(size, reserveStep))
	for at := int64(0); at < size && err == nil; at += int64(len(zeros)) {
		if _, err = f.WriteAt(zeros[:min(size-at, int64(len(zeros)))], at); err == nil {
			err = f.Sync()
		}
	}
	return errors.Join(err, f.Close())
}

// Rename implements Disk.
func (System) Rename(from, to string) error { return os.Rename(from, to) }

// Read implements Disk.
func (System) Read(path string, into []byte) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := bytes.NewBuffer(into[:0])
	b.Grow(int(info.Size()) + bytes.MinRead) // room to see the end of the file in
	_, err = b.ReadFrom(f)
	return b.Bytes(), err
}

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
