package snapshot

import (
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// Memory is a disk in memory, for replicas that keep nothing over a restart and whose checkpoints are small. It is safe for
// concurrent use.
type Memory struct {
	mu    sync.Mutex
	room  int64 // bytes that still fit
	files map[string]*memoryFile
}

var _ Disk = (*Memory)(nil)

// NewMemory returns an empty disk with room for so many bytes.
func NewMemory(room int64) *Memory { return &Memory{room: room, files: map[string]*memoryFile{}} }

// memoryFile is a file of a Memory.
type memoryFile struct {
	disk    *Memory
	bytes   []byte
	removed bool
}

// MakeDir implements Disk.
func (d *Memory) MakeDir(string) error { return nil }

// List implements Disk.
func (d *Memory) List(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for path := range d.files {
		if filepath.Dir(path) == filepath.Clean(dir) {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return names, nil
}

// Create implements Disk.
func (d *Memory) Create(path string, size int64) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(path)
	if size > d.room {
		return nil, syscall.ENOSPC
	}
	d.room -= size
	f := &memoryFile{disk: d, bytes: make([]byte, size)}
	d.files[path] = f
	return f, nil
}

// forget gives back the room of a file. The caller holds mu.
func (d *Memory) forget(path string) {
	if f := d.files[path]; f != nil {
		d.room += int64(len(f.bytes))
		f.removed = true
		delete(d.files, path)
	}
}

// Open implements Disk.
func (d *Memory) Open(path string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.files[path]; f != nil {
		return f, nil
	}
	return nil, fs.ErrNotExist
}

// Rename implements Disk.
func (d *Memory) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[from]
	if f == nil {
		return fs.ErrNotExist
	}
	if from != to {
		d.forget(to)
		delete(d.files, from)
		d.files[to] = f
	}
	return nil
}

// Remove implements Disk.
func (d *Memory) Remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[path] == nil {
		return fs.ErrNotExist
	}
	d.forget(path)
	return nil
}

// SyncDir implements Disk.
func (d *Memory) SyncDir(string) error { return nil }

// ReadAt implements io.ReaderAt.
func (f *memoryFile) ReadAt(b []byte, offset int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if offset > int64(len(f.bytes)) {
		return 0, io.EOF
	}
	n := copy(b, f.bytes[offset:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (f *memoryFile) WriteAt(b []byte, offset int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if grow := offset + int64(len(b)) - int64(len(f.bytes)); grow > 0 {
		if !f.removed {
			if grow > f.disk.room {
				return 0, syscall.ENOSPC
			}
			f.disk.room -= grow
		}
		f.bytes = slices.Grow(f.bytes, int(grow))[:len(f.bytes)+int(grow)]
	}
	return copy(f.bytes[offset:], b), nil
}

// Size implements File.
func (f *memoryFile) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.bytes)), nil
}

// Begin implements File.
func (f *memoryFile) Begin(int64, int64) {}

// Sync implements File.
func (f *memoryFile) Sync() error { return nil }

// Close implements File.
func (f *memoryFile) Close() error { return nil }
