package file_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/primebft/prime/storage"
	"github.com/primebft/prime/storage/file"
	"github.com/primebft/prime/storage/storagetest"
)

// filled is a log in files of the machine with the records 1 … count, so many in each commit; and its last file.
func filled(t *testing.T, count, each int) (dir, last string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "log")
	l, err := file.Open(dir, file.Options{SegmentBytes: 3000, Prepare: func(work func()) { work() }})
	if err != nil {
		t.Fatal(err)
	}
	if err := storagetest.Fill(l, 1, uint64(count)+1, each); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(names) < 3 {
		t.Fatalf("%v: %v", names, err)
	}
	return dir, names[len(names)-1]
}

// TestTornFiles: the last commit in a file of the machine is there up to any byte: what follows is missing, zeros, or what was there before
// in the block that was lost. All commits before it are read, of it whole records or nothing, and the log goes on, also after another start.
func TestTornFiles(t *testing.T) {
	t.Parallel()
	const count, each = 200, 5
	dir, last := filled(t, count, each)
	whole, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	used := len(whole)
	for used > 0 && whole[used-1] == 0 {
		used--
	}
	begins := used
	for number := uint64(count - each + 1); number <= count; number++ {
		begins -= 25 + len(storagetest.Numbered(number).Data)
	}
	for at := begins; at < used; at += 7 {
		for name, torn := range map[string][]byte{
			"missing":    whole[:at],
			"zeros":      append(append([]byte(nil), whole[:at]...), make([]byte, len(whole)-at)...),
			"lost block": append(append([]byte(nil), whole[:at]...), whole[begins:min(begins+60, used)]...),
		} {
			if err := os.WriteFile(last, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				cuts := 0
				l, err := file.Open(dir, file.Options{SegmentBytes: 3000, Note: func(file.Cut) { cuts++ }})
				if err != nil {
					t.Fatalf("%s from byte %d of %d: %v", name, at, used, err)
				}
				next := l.Extent().Next
				if next < count-each+1 || next > count+1 || cuts > 1 {
					t.Fatalf("%s from byte %d: record %d is next, %d cuts", name, at, next, cuts)
				}
				storagetest.Check(t, l, 1, next)
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
			l, err := file.Open(dir, file.Options{SegmentBytes: 3000})
			if err != nil {
				t.Fatal(err)
			}
			next := l.Extent().Next
			if err := storagetest.Fill(l, next, next+3, 1); err != nil {
				t.Fatal(err)
			}
			storagetest.Check(t, l, 1, next+3)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// narrow is the disk of the machine with little room: like a real one it takes what fits, and then no more.
type narrow struct {
	file.System
	room *int64
}

type narrowFile struct {
	file.File
	disk narrow
	path string
}

// grow takes the room for what lies beyond the end of a file, and returns how many of its bytes fit.
func (d narrow) grow(path string, end int64) (missing int64) {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	more := end - info.Size()
	if more <= 0 {
		return 0
	}
	fits := min(more, *d.room)
	*d.room -= fits
	return more - fits
}

func (d narrow) wrap(path string, f file.File, err error) (file.File, error) {
	if err != nil {
		return nil, err
	}
	return narrowFile{f, d, path}, nil
}

func (d narrow) Create(path string) (file.File, error) {
	f, err := d.System.Create(path)
	return d.wrap(path, f, err)
}

func (d narrow) Open(path string) (file.File, error) {
	f, err := d.System.Open(path)
	return d.wrap(path, f, err)
}

func (d narrow) Reserve(path string, size int64) error {
	fits := min(size, *d.room)
	*d.room -= fits
	if err := d.System.Reserve(path, fits); err != nil || fits == size {
		return err
	}
	return syscall.ENOSPC
}

func (d narrow) Remove(path string) error {
	if info, err := os.Stat(path); err == nil {
		*d.room += info.Size()
	}
	return d.System.Remove(path)
}

func (f narrowFile) WriteAt(b []byte, offset int64) (int, error) {
	if missing := f.disk.grow(f.path, offset+int64(len(b))); missing > 0 {
		n, _ := f.File.WriteAt(b[:int64(len(b))-missing], offset)
		return n, syscall.ENOSPC
	}
	return f.File.WriteAt(b, offset)
}

// TestNarrowDisk: in files of the machine, too, a full disk is an error that says so, and costs nothing that was committed. A segment that
// could not be made ready takes no room from those that are needed.
func TestNarrowDisk(t *testing.T) {
	t.Parallel()
	for room := int64(200); room < 9000; room += 391 {
		dir, left := filepath.Join(t.TempDir(), "log"), room
		o := file.Options{SegmentBytes: 2000, Disk: narrow{room: &left}, Prepare: func(work func()) { work() }}
		l, err := file.Open(dir, o)
		if err == nil {
			err = storagetest.Fill(l, 1, 1000, 1)
		}
		if !errors.Is(err, storage.ErrFull) {
			t.Fatalf("room for %d bytes: %v", room, err)
		}
		committed := uint64(1)
		if l != nil {
			committed = l.Extent().Next
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			names, _ := os.ReadDir(dir)
			for _, name := range names {
				if info, err := name.Info(); err != nil || filepath.Ext(name.Name()) != ".log" && info.Size() < o.SegmentBytes {
					t.Errorf("room for %d bytes, and %s takes %d of them for nothing", room, name.Name(), info.Size())
				}
			}
		}
		left = 1 << 30
		if l, err = file.Open(dir, o); err != nil {
			t.Fatalf("room for %d bytes, then more: %v", room, err)
		}
		goesOn(t, l, committed)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
