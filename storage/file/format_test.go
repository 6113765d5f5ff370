package file

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/primebft/prime/storage"
)

// FuzzRecord: any bytes give a record or an error, and what is a record encodes to the same bytes.
func FuzzRecord(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendRecord(nil, storage.Record{Kind: 3, Data: []byte("data")}, 7, 5))
	f.Add(appendRecord(appendRecord(nil, storage.Record{}, 1, 0), storage.Record{Data: make([]byte, 600)}, 2, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseRecord(b)
		if err != nil {
			return
		}
		if again := appendRecord(nil, e.Record, e.number, e.durable); !bytes.Equal(again, b[:e.size]) {
			t.Errorf("%x is read and written as %x", b[:e.size], again)
		}
	})
}

// memoryDisk holds one segment: what FuzzOpen reads.
type memoryDisk struct {
	System
	content []byte
}

func (m *memoryDisk) MakeDir(string) error { return nil }
func (m *memoryDisk) List(string) ([]string, error) {
	return []string{fmt.Sprintf("%020d.log", 1)}, nil
}
func (m *memoryDisk) Read(string, []byte) ([]byte, error) { return m.content, nil }
func (m *memoryDisk) SyncDir(string) error                { return nil }
func (m *memoryDisk) Remove(string) error                 { m.content = nil; return nil }
func (m *memoryDisk) Create(string) (File, error)         { return m, nil }
func (m *memoryDisk) Open(string) (File, error)           { return m, nil }
func (m *memoryDisk) Sync() error                         { return nil }
func (m *memoryDisk) Close() error                        { return nil }
func (m *memoryDisk) Cut(_ string, size int64) error {
	m.content = m.content[:size]
	return nil
}

func (m *memoryDisk) WriteAt(b []byte, offset int64) (int, error) {
	m.content = append(m.content[:offset], b...) // nothing but zeros is behind
	return len(b), nil
}

// FuzzOpen: a segment of any bytes is opened or refused; what is opened has what it says, and takes more.
func FuzzOpen(f *testing.F) {
	whole := header([32]byte{}, 1)
	for number := range uint64(5) {
		whole = appendRecord(whole, storage.Record{Kind: 1, Data: make([]byte, 40*number)}, number+1, number)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-9])
	f.Add(whole[:20])
	f.Fuzz(func(t *testing.T, b []byte) {
		d := &memoryDisk{content: bytes.Clone(b)}
		l, err := Open("log", Options{Disk: d})
		if err != nil {
			for _, known := range []error{storage.ErrDamaged, storage.ErrVersion, storage.ErrForeign} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("refused for no reason that has a name: %v", err)
		}
		next := l.Extent().Next
		if err := l.Commit([]storage.Record{{Kind: 9}}); err != nil {
			t.Fatal(err)
		}
		read := uint64(0)
		if err := l.Read(1, func(uint64, storage.Record) error { read++; return nil }); err != nil || read != next {
			t.Errorf("%v; %d records of %d", err, read, next)
		}
	})
}

// BenchmarkCommit is commits of so many records of 512 bytes, and for comparison one plain write and sync of the same bytes.
func BenchmarkCommit(b *testing.B) {
	for _, records := range []int{1, 16, 256} {
		batch := make([]storage.Record, records)
		for i := range batch {
			batch[i] = storage.Record{Kind: 1, Data: make([]byte, 512)}
		}
		b.Run(fmt.Sprintf("log/records=%d", records), func(b *testing.B) {
			l, err := Open(filepath.Join(b.TempDir(), "log"), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			b.SetBytes(int64(records * (recordSize + 512)))
			for b.Loop() {
				if err := l.Commit(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("plain/records=%d", records), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "plain"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			content := make([]byte, records*(recordSize+512))
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				if _, err := f.Write(content); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
