package snapshot

import (
	"path/filepath"
	"testing"
)

// FuzzLoad: any bytes are a checkpoint, or not, and nothing panics.
func FuzzLoad(f *testing.F) {
	d := NewMemory(1 << 20)
	s, err := Open(Options{Dir: "checkpoints", Disk: d, BlockSize: testBlock})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := write(s, 10, []byte("head"), []byte("application")); err != nil {
		f.Fatal(err)
	}
	f.Add(d.files[filepath.Join("checkpoints", completeName(10))].bytes)
	f.Fuzz(func(t *testing.T, b []byte) {
		d := NewMemory(1 << 24)
		file, err := d.Create("x", 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(b, 0); err != nil {
			t.Skip()
		}
		m, leaves, err := load(file, [32]byte{})
		if err == nil && (len(leaves) != m.Count() || int64(len(b)) != fileSize(&m)) {
			t.Fatal("loaded something else")
		}
	})
}
