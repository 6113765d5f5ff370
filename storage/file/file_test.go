package file_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/primebft/prime/storage"
	"github.com/primebft/prime/storage/fault"
	"github.com/primebft/prime/storage/file"
	"github.com/primebft/prime/storage/storagetest"
)

func TestContract(t *testing.T) {
	t.Run("System", func(t *testing.T) {
		storagetest.Run(t, func(t *testing.T, s storagetest.Setup) (storagetest.Opener, bool) {
			dir := filepath.Join(t.TempDir(), "log")
			return opener(dir, file.Options{SegmentBytes: s.SegmentBytes, MaxBytes: s.MaxBytes}), true
		})
	})
	t.Run("Fault", func(t *testing.T) {
		storagetest.Run(t, func(_ *testing.T, s storagetest.Setup) (storagetest.Opener, bool) {
			disk := fault.New(rand.New(rand.NewPCG(1, 1)))
			return opener("log", file.Options{SegmentBytes: s.SegmentBytes, MaxBytes: s.MaxBytes, Disk: disk}), true
		})
	})
	t.Run("Prepared", func(t *testing.T) {
		storagetest.Run(t, func(t *testing.T, s storagetest.Setup) (storagetest.Opener, bool) {
			dir := filepath.Join(t.TempDir(), "log")
			return opener(dir, file.Options{SegmentBytes: s.SegmentBytes, MaxBytes: s.MaxBytes, Prepare: func(work func()) { go work() }}), true
		})
	})
}

func opener(dir string, o file.Options) storagetest.Opener {
	return func() (storage.Log, error) { return file.Open(dir, o) }
}

// TestPowerLoss: the power goes at every operation of a history of commits, segments and drops, many times. Every commit that
// returned is there afterwards, of the one under way a prefix, and nothing is called damaged.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	cuts := 0
	for at := 1; ; at++ {
		finished := false
		for seed := range uint64(15) {
			rng := rand.New(rand.NewPCG(seed, uint64(at)))
			disk := fault.New(rng)
			disk.PowerFailsAt = at
			committed, last := history(disk, seed, rng)
			finished = disk.Operations < at
			for again := range 3 { // and again while it starts
				disk.PowerOff()
				disk.Restart()
				if again < 2 {
					disk.PowerFailsAt = disk.Operations + 1 + rng.IntN(6)
				}
				l, err := file.Open("log", powerOptions(disk, seed, func(file.Cut) { cuts++ }))
				if err != nil {
					if again < 2 && errors.Is(err, fault.ErrPower) {
						continue
					}
					t.Fatalf("power lost at operation %d, seed %d, start %d: %v", at, seed, again, err)
				}
				x := l.Extent()
				if x.Next <= committed || x.Next > last+1 {
					t.Fatalf("power lost at operation %d, seed %d: record %d is next, %d were committed and %d given", at, seed, x.Next,
						committed, last)
				}
				storagetest.Check(t, l, x.First, x.Next)
				if again == 2 {
					if err := storagetest.Fill(l, x.Next, x.Next+20, 3); err != nil {
						t.Fatal(err)
					}
					storagetest.Check(t, l, x.First, x.Next+20)
				}
				committed = x.Next - 1
			}
		}
		if finished {
			if at < 30 || cuts == 0 {
				t.Fatalf("a history of %d operations with %d torn ends tests nothing", at, cuts)
			}
			return
		}
	}
}

// powerOptions are those of a log whose segments grow, or are made ready before, as the seed says.
func powerOptions(disk *fault.Disk, seed uint64, note func(file.Cut)) file.Options {
	o := file.Options{SegmentBytes: 2000, Disk: disk, Note: note}
	if seed%2 == 1 {
		o.Prepare = func(work func()) { work() }
	}
	return o
}

// history commits and drops until the power goes, and returns the last record committed and the last given.
func history(disk *fault.Disk, seed uint64, rng *rand.Rand) (committed, last uint64) {
	l, err := file.Open("log", powerOptions(disk, seed, nil))
	if err != nil {
		return 0, 0
	}
	for round := range 12 {
		var batch []storage.Record
		for range 1 + rng.IntN(20) {
			last++
			batch = append(batch, storagetest.Numbered(last))
		}
		if l.Commit(batch) != nil {
			return committed, last
		}
		committed = last
		if round == 8 && l.Drop(committed/2) != nil {
			return committed, last
		}
	}
	return committed, last
}

// TestDamage: whichever byte of a committed record changes, the log is refused by name, as long as anything follows that
// record; the change of the last commit alone is cut off, with a note.
func TestDamage(t *testing.T) {
	t.Parallel()
	fill := func(disk *fault.Disk) {
		l, err := file.Open("log", file.Options{SegmentBytes: 700, Disk: disk})
		if err != nil {
			t.Fatal(err)
		}
		if err := storagetest.Fill(l, 1, 41, 1); err != nil {
			t.Fatal(err)
		}
	}
	disk := fault.New(rand.New(rand.NewPCG(1, 1)))
	fill(disk)
	names, _ := disk.List("log")
	if len(names) < 3 {
		t.Fatalf("segments %v: too few", names)
	}
	final := 25 + len(storagetest.Numbered(40).Data)
	for i, name := range names {
		path := filepath.Join("log", name)
		content, err := disk.Read(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for offset := range content {
			disk := fault.New(rand.New(rand.NewPCG(1, 1)))
			fill(disk)
			disk.Damage(path, offset)
			var notes []file.Cut
			l, err := file.Open("log", file.Options{SegmentBytes: 700, Disk: disk, Note: func(c file.Cut) { notes = append(notes, c) }})
			if i == len(names)-1 && offset >= len(content)-final {
				if err != nil || len(notes) != 1 || notes[0].Number != 40 || notes[0].Path != path {
					t.Fatalf("byte %d of the last record changed: %v, %+v", offset, err, notes)
				}
				storagetest.Check(t, l, 1, 40)
				continue
			}
			if !errors.Is(err, storage.ErrDamaged) && !errors.Is(err, storage.ErrVersion) {
				t.Fatalf("byte %d of %s changed: %v", offset, name, err)
			}
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%v does not name the file", err)
			}
			if len(notes) != 0 {
				t.Fatalf("byte %d of %s changed, and %+v was cut off", offset, name, notes)
			}
		}
	}
}

// TestMissing: a segment that is gone from the middle, and a file that does not belong there, are refused by name.
func TestMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := file.Open(dir, file.Options{SegmentBytes: 500})
	if err != nil {
		t.Fatal(err)
	}
	if err := storagetest.Fill(l, 1, 100, 3); err != nil {
		t.Fatal(err)
	}
	l.Close()
	stranger := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(stranger, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Open(dir, file.Options{}); !errors.Is(err, storage.ErrDamaged) || !strings.Contains(err.Error(), stranger) {
		t.Errorf("with a stranger's file: %v", err)
	}
	os.Remove(stranger)
	entries, _ := os.ReadDir(dir)
	gone := filepath.Join(dir, entries[2].Name())
	os.Remove(gone)
	if _, err := file.Open(dir, file.Options{}); !errors.Is(err, storage.ErrDamaged) || !strings.Contains(err.Error(), entries[3].Name()) {
		t.Errorf("without %s: %v", gone, err)
	}
}

// TestOwnerAndFormat: a log of somebody else, and one of another format, are refused by name and left alone.
func TestOwnerAndFormat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := file.Open(dir, file.Options{Owner: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := storagetest.Fill(l, 1, 10, 3); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := file.Open(dir, file.Options{Owner: [32]byte{2}}); !errors.Is(err, storage.ErrForeign) {
		t.Errorf("another owner: %v", err)
	}
	entries, _ := os.ReadDir(dir)
	path := filepath.Join(dir, entries[0].Name())
	before, _ := os.ReadFile(path)
	newer := bytes.Clone(before)
	binary.LittleEndian.PutUint32(newer[8:], file.Format+1)
	if err := os.WriteFile(path, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Open(dir, file.Options{Owner: [32]byte{1}}); !errors.Is(err, storage.ErrVersion) || !strings.Contains(err.Error(), path) {
		t.Errorf("another format: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(after, newer) {
		t.Error("a log of another format was changed")
	}
}

// TestFullDisk: a full disk is an error that says so; the log takes nothing more, and after a start with room it goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for room := 0; room < 3000; room += 7 {
		disk := fault.New(rand.New(rand.NewPCG(uint64(room), 1)))
		disk.Room = room
		open := func() (*file.Log, error) { return file.Open("log", file.Options{SegmentBytes: 600, Disk: disk}) }
		l, err := open()
		if err != nil {
			if !errors.Is(err, storage.ErrFull) {
				t.Fatalf("room for %d bytes: %v", room, err)
			}
			continue
		}
		err = storagetest.Fill(l, 1, 100, 3)
		if !errors.Is(err, storage.ErrFull) {
			t.Fatalf("room for %d bytes: %v", room, err)
		}
		committed := l.Extent().Next
		disk.Room = -1
		if err := l.Commit([]storage.Record{storagetest.Numbered(committed)}); !errors.Is(err, storage.ErrBroken) {
			t.Fatalf("a commit after a failed one: %v", err)
		}
		l.Close()
		if l, err = open(); err != nil {
			t.Fatalf("room for %d bytes, then more: %v", room, err)
		}
		goesOn(t, l, committed)
	}
}

// goesOn expects that a log that was opened again has lost nothing that was committed, and takes more.
func goesOn(t *testing.T, l *file.Log, committed uint64) {
	t.Helper()
	next := l.Extent().Next
	if next < committed {
		t.Fatalf("record %d is next and %d was", next, committed)
	}
	if err := storagetest.Fill(l, next, next+30, 4); err != nil {
		t.Fatal(err)
	}
	storagetest.Check(t, l, 1, next+30)
}

// TestSyncFails: a sync that failed is not tried again.
func TestSyncFails(t *testing.T) {
	t.Parallel()
	disk := fault.New(rand.New(rand.NewPCG(1, 1)))
	l, err := file.Open("log", file.Options{Disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	disk.SyncFailsAt = disk.Operations + 1
	if err := l.Commit([]storage.Record{storagetest.Numbered(1)}); !errors.Is(err, fault.ErrIO) {
		t.Fatalf("%v", err)
	}
	disk.SyncFailsAt = 0
	operations := disk.Operations
	if err := l.Commit([]storage.Record{storagetest.Numbered(1)}); !errors.Is(err, storage.ErrBroken) || !errors.Is(err, fault.ErrIO) {
		t.Fatalf("%v", err)
	}
	if disk.Operations != operations {
		t.Error("it tried again")
	}
}

// TestReaderAndWriter: what has been committed can be read, and the extent asked for, while the next commit is under way.
func TestReaderAndWriter(t *testing.T) {
	t.Parallel()
	l, err := file.Open(t.TempDir(), file.Options{SegmentBytes: 900})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error)
	go func() { done <- storagetest.Fill(l, 1, 400, 3) }()
	for finished := false; !finished; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			finished = true
		default:
		}
		next, at := l.Extent().Next, uint64(1)
		err := l.Read(1, func(number uint64, r storage.Record) error {
			if number != at || r.Kind != uint8(number) {
				t.Errorf("record %d is %d", at, number)
			}
			at++
			return nil
		})
		if err != nil || at < next {
			t.Fatalf("%v; read up to %d of %d", err, at, next)
		}
	}
}
