// Package marker makes the start of a replica safe. It keeps two files in the replica's folder: a lock that one process
// holds while it runs, and a start marker that is durable before the replica's first signature.
//
// A replica that starts again without remembering what it signed would reuse sequence numbers, and its peers would convict
// it of equivocation, rightly. So a folder with a marker is not started again, unless the marker says that the replica has
// remembered everything since its first start.
package marker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Format is the version of the marker file that this package writes.
const Format = 1

// The names of the files in a replica's folder.
const (
	MarkerFile = "started"
	LockFile   = "lock"
)

var (
	// ErrUsed says that a replica has run in the folder before.
	ErrUsed = errors.New("folder has been used")
	// ErrInUse says that another process holds the folder.
	ErrInUse = errors.New("folder in use")
)

// Info is what a marker records.
type Info struct {
	Format      int       `json:"format"`
	Cluster     string    `json:"cluster"` // cluster id in hex
	Replica     int       `json:"replica"`
	Incarnation uint32    `json:"incarnation"`
	Started     time.Time `json:"started"`
	Durable     bool      `json:"durable,omitempty"` // everything has been remembered since then
}

// Folder is a replica's folder that this process has locked.
type Folder struct {
	dir  string
	lock *os.File
	used bool
}

// Used reports whether a replica that remembers everything has run in the folder before.
func (f *Folder) Used() bool { return f.used }

// Lock takes the folder for this process until Release. It returns ErrInUse, with the holder's process id, if another
// process (or another replica of this one) has it, and ErrUsed, with the remedy, if the folder has a marker.
func Lock(dir string) (*Folder, error) { return lockFor(dir, false) }

// LockDurable is Lock for a replica that remembers everything: it may have run in the folder before, if it always did so.
func LockDurable(dir string) (*Folder, error) { return lockFor(dir, true) }

func lockFor(dir string, durable bool) (*Folder, error) {
	lock, err := os.OpenFile(filepath.Join(dir, LockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the replica's folder: %w; give --dir a folder that exists and is writable", err)
	}
	f := &Folder{dir: dir, lock: lock}
	if err := flock(lock); err != nil {
		defer lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is held by %s; stop it first", ErrInUse, dir, holder(lock))
		}
		return nil, fmt.Errorf("cannot lock %s: %w; the folder must be on a file system that can lock files", lock.Name(), err)
	}
	if err := f.check(durable); err != nil {
		f.Release()
		return nil, err
	}
	if err := writePID(lock); err != nil {
		f.Release()
		return nil, fmt.Errorf("cannot write %s: %w", lock.Name(), err)
	}
	return f, nil
}

// check refuses a folder that has a marker, readable or not: an unreadable one may stand for signatures too. Only a replica that
// has remembered everything since its first start, and still does, may start again.
func (f *Folder) check(durable bool) error {
	path := filepath.Join(f.dir, MarkerFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	when := "before"
	var info Info
	readable := err == nil && json.Unmarshal(b, &info) == nil && !info.Started.IsZero()
	if readable {
		when = "on " + info.Started.UTC().Format(time.RFC3339)
	}
	switch {
	case readable && info.Format != Format: // what it promises may mean something else
		return fmt.Errorf("%w: a replica was started in %s %s, and %s is of format %d, which this version of Prime does not know: it knows "+
			"format %d. Start the replica with the version that wrote it. Do not delete the file", ErrUsed, f.dir, when, path, info.Format, Format)
	case durable && info.Durable:
		f.used = true
		return nil
	case info.Durable:
		return fmt.Errorf("%w: a replica was started in %s %s and has remembered everything since; let it: set storage.mode to "+
			"\"durable\" in node.toml", ErrUsed, f.dir, when)
	case durable:
		return fmt.Errorf("%w: a replica was started in %s %s and did not remember what it signed, so it cannot begin to do so now: its "+
			"peers would convict it of equivocation. Make a new cluster with `prime init`, or wait for the version that can "+
			"recover. Do not delete %s", ErrUsed, f.dir, when, path)
	}
	return fmt.Errorf("%w: a replica was started in %s %s, and it did not remember what it signed then; if it started "+
		"again its peers would convict it of equivocation. Make a new cluster with `prime init` (with storage.mode = \"durable\" in "+
		"node.toml replicas can start again), or wait for the version that can recover. Do not delete %s", ErrUsed, f.dir, when, path)
}

// Mark records durably that a replica has started here. It must return before the replica signs anything.
func (f *Folder) Mark(info Info) error {
	info.Format = Format
	b, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return fmt.Errorf("start marker: %w", err)
	}
	if err := f.writeDurably(append(b, '\n')); err != nil {
		return fmt.Errorf("cannot write the start marker: %w; the replica's folder must be writable and have room", err)
	}
	return nil
}

// writeDurably puts the marker in place whole or not at all, and returns when it would survive a loss of power.
func (f *Folder) writeDurably(b []byte) (err error) {
	temp, err := os.CreateTemp(f.dir, MarkerFile+".tmp*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			temp.Close()
			os.Remove(temp.Name())
		}
	}()
	if _, err = temp.Write(b); err != nil {
		return err
	}
	if err = temp.Sync(); err != nil {
		return err
	}
	if err = temp.Close(); err != nil {
		return err
	}
	if err = os.Rename(temp.Name(), filepath.Join(f.dir, MarkerFile)); err != nil {
		return err
	}
	dir, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// Release gives the folder back. The lock file stays: removing it would let two processes lock two files of one name.
func (f *Folder) Release() error {
	return f.lock.Close()
}

// flock takes an exclusive lock that the system gives back when the process ends, however it ends.
func flock(file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// writePID leaves this process's id for whoever finds the folder locked.
func writePID(lock *os.File) error {
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// holder names the process that wrote the lock file, for people.
func holder(lock *os.File) string {
	b := make([]byte, 32)
	n, _ := lock.ReadAt(b, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return "another process"
	}
	return "process " + strconv.Itoa(pid)
}
