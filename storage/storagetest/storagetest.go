// Package storagetest is the contract of storage.Log as a test. Every implementation runs it.
package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/primebft/prime/storage"
)

// Setup is the log that a test needs.
type Setup struct {
	MaxBytes     int64 // 0 is no limit
	SegmentBytes int64 // about as many bytes are dropped together; for logs that have segments
}

// Opener opens the log of a test. Called again after a Close it opens the same log; nil if it keeps nothing.
type Opener func() (storage.Log, error)

// Factory makes a new log, not opened; again says whether it keeps its records when it is closed.
type Factory func(t *testing.T, s Setup) (open Opener, again bool)

// Run tests an implementation.
func Run(t *testing.T, f Factory) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Factory)
	}{
		{"Empty", testEmpty},
		{"CommitAndRead", testCommitAndRead},
		{"Reopen", testReopen},
		{"MemoryIsTheCallers", testMemory},
		{"ReadStops", testReadStops},
		{"Drop", testDrop},
		{"Limit", testLimit},
		{"Oversized", testOversized},
		{"Closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, f)
		})
	}
}

// Numbered is a record that shows its number: what tests write.
func Numbered(number uint64) storage.Record {
	return storage.Record{Kind: uint8(number), Data: bytes.Repeat([]byte(fmt.Sprintf("%d.", number)), int(number%97))}
}

// Fill commits the records from, …, to-1, so many at a time.
func Fill(l storage.Log, from, to uint64, each int) error {
	for from < to {
		var batch []storage.Record
		for ; from < to && len(batch) < each; from++ {
			batch = append(batch, Numbered(from))
		}
		if err := l.Commit(batch); err != nil {
			return err
		}
	}
	return nil
}

// Check reads the log from a number on and demands the records up to next-1.
func Check(t *testing.T, l storage.Log, from, next uint64) {
	t.Helper()
	at := from
	err := l.Read(from, func(number uint64, r storage.Record) error {
		if want := Numbered(at); number != at || r.Kind != want.Kind || !bytes.Equal(r.Data, want.Data) {
			return fmt.Errorf("record %d is %d %q where %d belongs", number, r.Kind, r.Data, at)
		}
		at++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if at != next {
		t.Fatalf("read up to record %d, want up to %d", at-1, next-1)
	}
	if x := l.Extent(); x.Next != next || x.First > from {
		t.Fatalf("the extent is %+v after reading %d to %d", x, from, next-1)
	}
}

func open(t *testing.T, o Opener) storage.Log {
	t.Helper()
	l, err := o()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testEmpty(t *testing.T, f Factory) {
	o, _ := f(t, Setup{})
	l := open(t, o)
	Check(t, l, 1, 1)
	must(t, l.Commit(nil))
	must(t, l.Drop(10))
	Check(t, l, 1, 1)
}

func testCommitAndRead(t *testing.T, f Factory) {
	o, _ := f(t, Setup{SegmentBytes: 1000})
	l := open(t, o)
	must(t, Fill(l, 1, 50, 1))
	must(t, Fill(l, 50, 300, 17))
	for _, from := range []uint64{1, 2, 49, 50, 299} {
		Check(t, l, from, 300)
	}
	if l.Extent().Bytes < 300 {
		t.Errorf("%d bytes for 299 records", l.Extent().Bytes)
	}
}

func testReopen(t *testing.T, f Factory) {
	o, again := f(t, Setup{SegmentBytes: 700})
	if !again {
		t.Skip("it keeps nothing")
	}
	next := uint64(1)
	for round := range 5 {
		l := open(t, o)
		Check(t, l, 1, next)
		must(t, Fill(l, next, next+40, 1+7*round))
		next += 40
		bytes := l.Extent().Bytes
		must(t, l.Close())
		l = open(t, o)
		if l.Extent().Bytes != bytes {
			t.Fatalf("%d bytes, and %d when opened again", bytes, l.Extent().Bytes)
		}
		Check(t, l, 1, next)
		must(t, l.Close())
	}
}

func testMemory(t *testing.T, f Factory) {
	o, _ := f(t, Setup{})
	l := open(t, o)
	r := Numbered(1)
	r.Data = append([]byte(nil), r.Data...)
	must(t, l.Commit([]storage.Record{r}))
	clear(r.Data)
	Check(t, l, 1, 2)
}

func testReadStops(t *testing.T, f Factory) {
	o, _ := f(t, Setup{})
	l := open(t, o)
	must(t, Fill(l, 1, 10, 3))
	enough, seen := errors.New("enough"), 0
	err := l.Read(4, func(uint64, storage.Record) error {
		if seen++; seen == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || seen != 3 {
		t.Errorf("%v after %d records", err, seen)
	}
}

func testDrop(t *testing.T, f Factory) {
	o, again := f(t, Setup{SegmentBytes: 500})
	l := open(t, o)
	must(t, Fill(l, 1, 200, 5))
	before := l.Extent()
	must(t, l.Drop(120))
	x := l.Extent()
	if x.First <= 1 || x.First > 120 || x.Bytes >= before.Bytes {
		t.Fatalf("dropped below 120: %+v was %+v", x, before)
	}
	Check(t, l, 120, 200)
	if err := l.Read(1, func(uint64, storage.Record) error { return nil }); err == nil {
		t.Error("reads what it has dropped")
	}
	must(t, l.Drop(1_000_000))
	Check(t, l, 199, 200)
	must(t, Fill(l, 200, 230, 4))
	Check(t, l, 199, 230)
	if !again {
		return
	}
	x = l.Extent()
	must(t, l.Close())
	l = open(t, o)
	if l.Extent() != x {
		t.Errorf("%+v, and %+v when opened again", x, l.Extent())
	}
	Check(t, l, 199, 230)
}

func testLimit(t *testing.T, f Factory) {
	o, _ := f(t, Setup{MaxBytes: 4000, SegmentBytes: 500})
	l := open(t, o)
	next := uint64(1)
	for ; next < 1000; next++ {
		if err := l.Commit([]storage.Record{Numbered(next)}); err != nil {
			if !errors.Is(err, storage.ErrFull) {
				t.Fatal(err)
			}
			break
		}
	}
	if next == 1000 || next < 10 {
		t.Fatalf("full at record %d", next)
	}
	Check(t, l, 1, next)
	// Room is made by dropping, and nothing is broken.
	must(t, l.Drop(next))
	must(t, Fill(l, next, next+3, 1))
	Check(t, l, next, next+3)
}

func testOversized(t *testing.T, f Factory) {
	o, _ := f(t, Setup{})
	l := open(t, o)
	if err := l.Commit([]storage.Record{Numbered(1), {Data: make([]byte, storage.MaxRecord+1)}}); err == nil {
		t.Error("takes a record that is too large")
	}
	Check(t, l, 1, 1)
	must(t, Fill(l, 1, 3, 1))
	Check(t, l, 1, 3)
}

func testClosed(t *testing.T, f Factory) {
	o, _ := f(t, Setup{})
	l := open(t, o)
	must(t, Fill(l, 1, 3, 1))
	must(t, l.Close())
	must(t, l.Close())
	if err := l.Commit([]storage.Record{Numbered(3)}); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("commit after the end: %v", err)
	}
	if err := l.Read(1, func(uint64, storage.Record) error { return nil }); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("read after the end: %v", err)
	}
}
