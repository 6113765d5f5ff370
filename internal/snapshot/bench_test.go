package snapshot

import (
	"path/filepath"
	"testing"
)

// BenchmarkWrite makes a checkpoint of 256 MiB on the real disk, with and without the time that the disk takes to sync it.
func BenchmarkWrite(b *testing.B) {
	piece := make([]byte, 1<<20)
	for i := range piece {
		piece[i] = byte(i * i >> 3)
	}
	s, err := Open(Options{Dir: filepath.Join(b.TempDir(), "checkpoints")})
	if err != nil {
		b.Fatal(err)
	}
	const pieces = 256
	b.SetBytes(pieces << 20)
	ordinal := uint64(0)
	for b.Loop() {
		ordinal++
		w, err := s.Begin(ordinal)
		if err != nil {
			b.Fatal(err)
		}
		for range pieces {
			if _, err := w.Write(piece); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Commit(); err != nil {
			b.Fatal(err)
		}
		if err := s.Keep(ordinal); err != nil {
			b.Fatal(err)
		}
	}
}
