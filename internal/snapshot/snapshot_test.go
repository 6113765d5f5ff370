package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/primebft/prime/internal/blocks"
	"github.com/primebft/prime/internal/wire"
)

const testBlock = blocks.MinSize

// content is the head and application of a test checkpoint; the same seed gives the same.
func content(seed uint64, head, app int) (h, a []byte) {
	rng := rand.New(rand.NewPCG(seed, 7))
	b := make([]byte, head+app)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b[:head], b[head:]
}

func mustOpen(t *testing.T, d Disk, o Options) *Store {
	t.Helper()
	o.Dir, o.Disk, o.BlockSize = "checkpoints", d, testBlock
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// write makes a checkpoint.
func write(s *Store, ordinal uint64, head, app []byte) (blocks.Manifest, error) {
	w, err := s.Begin(ordinal)
	if err != nil {
		return blocks.Manifest{}, err
	}
	defer w.Abort()
	if _, err := w.Write(head); err != nil {
		return blocks.Manifest{}, err
	}
	if err := w.EndHead(); err != nil {
		return blocks.Manifest{}, err
	}
	if _, err := w.Write(app); err != nil {
		return blocks.Manifest{}, err
	}
	return w.Commit()
}

// same checks that a checkpoint has what was written.
func same(c *Checkpoint, head, app []byte) error {
	h, err := c.Head()
	if err != nil {
		return err
	}
	a, err := io.ReadAll(c.Application())
	if err != nil {
		return err
	}
	if !bytes.Equal(h, head) || !bytes.Equal(a, app) {
		return errors.New("it is not what was written")
	}
	return nil
}

func ordinals(s *Store) (all []uint64) {
	for _, m := range s.List() {
		all = append(all, m.Ordinal)
	}
	return all
}

// TestStore: on the real disk and in memory, checkpoints are there again after a restart, old ones go, pinned ones stay.
func TestStore(t *testing.T) {
	t.Parallel()
	for name, disk := range map[string]Disk{"files": System{}, "memory": NewMemory(1 << 20)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Options{Dir: filepath.Join(t.TempDir(), "checkpoints"), Owner: [32]byte{1}, Disk: disk, BlockSize: testBlock}
			s, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			for i := range uint64(4) {
				head, app := content(i, 700, 5000+int(i))
				m, err := write(s, 10*i+10, head, app)
				if err != nil {
					t.Fatal(err)
				}
				c := s.Find(m.Digest())
				if c == nil || c.Digest() != m.Digest() {
					t.Fatal("it is not found by its digest")
				}
				if err := same(c, head, app); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.Begin(50); !errors.Is(err, ErrWaiting) {
				t.Errorf("a fifth one that is not stable: %v", err)
			}
			old, err := s.Get(10)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Keep(30, 20); err != nil {
				t.Fatal(err)
			}
			if got := ordinals(s); !slices.Equal(got, []uint64{20, 30, 40}) {
				t.Errorf("kept %v", got)
			}
			if _, err := old.Head(); !errors.Is(err, ErrGone) {
				t.Errorf("a removed one: %v", err)
			}
			if s, err = Open(o); err != nil {
				t.Fatal(err)
			}
			if got := ordinals(s); !slices.Equal(got, []uint64{20, 30, 40}) {
				t.Fatalf("after a restart: %v", got)
			}
			head, app := content(2, 700, 5002)
			c, err := s.Get(30)
			if err != nil {
				t.Fatal(err)
			}
			if err := same(c, head, app); err != nil {
				t.Error(err)
			}
			if _, err := s.Get(10); !errors.Is(err, ErrMissing) {
				t.Errorf("what is not there: %v", err)
			}
			if err := s.Keep(35); err != nil { // it was skipped here
				t.Fatal(err)
			}
			if got := ordinals(s); !slices.Equal(got, []uint64{30, 40}) {
				t.Errorf("kept %v", got)
			}
		})
	}
}

// TestPins: however many old checkpoints are wanted, only the newest few of them stay.
func TestPins(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, NewMemory(1<<20), Options{})
	var pinned []uint64
	for i := uint64(1); i <= 8; i++ {
		head, app := content(i, 10, 100)
		if _, err := write(s, i, head, app); err != nil {
			t.Fatal(err)
		}
		if err := s.Keep(i, pinned...); err != nil {
			t.Fatal(err)
		}
		pinned = append(pinned, i)
	}
	if got := ordinals(s); !slices.Equal(got, []uint64{5, 6, 7, 8}) {
		t.Errorf("kept %v", got)
	}
}

// TestDamage: a bit that changed anywhere in a file is found, before or when the block is read, and the checkpoint is dropped.
func TestDamage(t *testing.T) {
	t.Parallel()
	head, app := content(1, 600, 3*testBlock+17)
	for at := 0; ; at += 97 {
		d := newFaulty(rand.New(rand.NewPCG(uint64(at), 1)))
		s := mustOpen(t, d, Options{})
		m, err := write(s, 10, head, app)
		if err != nil {
			t.Fatal(err)
		}
		f := d.files[filepath.Join("checkpoints", completeName(10))]
		if at >= len(f.seen) {
			break
		}
		f.seen[at] ^= 1
		var notes []string
		s, err = Open(Options{Dir: "checkpoints", Disk: d, BlockSize: testBlock, Note: func(n string) { notes = append(notes, n) }})
		if at >= headerSize && at < pageSize {
			continue // nothing is there
		}
		if len(magic) <= at && at < len(magic)+4 {
			if !errors.Is(err, ErrVersion) {
				t.Errorf("byte %d: %v", at, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		if c := s.Find(m.Digest()); c != nil {
			if at >= pageSize+int(m.TotalBytes) {
				t.Errorf("byte %d: others would be given leaves that are wrong, and take this replica for a liar", at)
			}
			if err := same(c, head, app); !errors.Is(err, ErrDamaged) {
				t.Errorf("byte %d: %v", at, err)
			}
		}
		if len(s.List()) != 0 || len(notes) != 1 {
			t.Errorf("byte %d: %d checkpoints are left, %q", at, len(s.List()), notes)
		}
		if names, _ := d.List("checkpoints"); len(names) != 0 {
			t.Errorf("byte %d: %q are left", at, names)
		}
	}
}

// TestRefusals: files of another version or replica stop the replica, and say why.
func TestRefusals(t *testing.T) {
	t.Parallel()
	d := newFaulty(rand.New(rand.NewPCG(1, 1)))
	s := mustOpen(t, d, Options{Owner: [32]byte{1}})
	if _, err := write(s, 10, []byte("head"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: "checkpoints", Disk: d, Owner: [32]byte{2}}); !errors.Is(err, ErrForeign) {
		t.Errorf("another replica: %v", err)
	}
	f := d.files[filepath.Join("checkpoints", completeName(10))]
	binary.LittleEndian.PutUint32(f.seen[len(magic):], Format+1)
	if _, err := Open(Options{Dir: "checkpoints", Disk: d, Owner: [32]byte{1}}); !errors.Is(err, ErrVersion) ||
		!strings.Contains(err.Error(), "format 2") || !strings.Contains(err.Error(), completeName(10)) {
		t.Errorf("another version: %v", err)
	}
	d = newFaulty(rand.New(rand.NewPCG(1, 1)))
	if _, err := d.Create("checkpoints/notes.txt", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: "checkpoints", Disk: d}); err == nil {
		t.Error("a folder with something else in it is fine")
	}
}

// TestFull: a full disk is named, leaves nothing behind, and the next checkpoint works when there is room again.
func TestFull(t *testing.T) {
	t.Parallel()
	head, app := content(1, 600, 20*testBlock)
	for room := 0; room < 16000; room += 611 {
		d := newFaulty(rand.New(rand.NewPCG(1, uint64(room))))
		s := mustOpen(t, d, Options{})
		d.room = room
		if _, err := write(s, 10, head, app); !errors.Is(err, ErrFull) {
			t.Fatalf("room for %d bytes: %v", room, err)
		}
		if names, _ := d.List("checkpoints"); len(names) != 0 {
			t.Fatalf("room for %d bytes: %q are left", room, names)
		}
		m := blocks.Manifest{Ordinal: 1, BlockSize: testBlock, TotalBytes: 40 * testBlock, Root: wire.Digest{1}}
		if _, err := s.Incoming(m, make([]wire.Digest, 40)); !errors.Is(err, ErrFull) {
			t.Fatalf("incoming, room for %d bytes: %v", room, err)
		}
		d.room = -1
		if _, err := write(s, 20, head, app); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPowerLoss: at every operation of the disk the power goes; whatever was committed is there and right, and nothing else is given out.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	for failsAt := 1; ; failsAt++ {
		d := newFaulty(rand.New(rand.NewPCG(uint64(failsAt), 3)))
		s := mustOpen(t, d, Options{})
		d.failsAt = d.steps + failsAt
		committed := map[uint64]bool{}
		kept := uint64(0)
		for i := uint64(1); i <= 3 && !d.off; i++ {
			head, app := content(i, 300, 2*testBlock+int(i))
			if _, err := write(s, i, head, app); err == nil {
				committed[i] = true
				kept = i
				_ = s.Keep(i) // the power may go
			}
		}
		done := !d.off
		d.restart()
		s = mustOpen(t, d, Options{})
		for _, m := range s.List() {
			head, app := content(m.Ordinal, 300, 2*testBlock+int(m.Ordinal))
			c, err := s.Get(m.Ordinal)
			if err != nil {
				t.Fatal(err)
			}
			err = same(c, head, app)
			if err != nil && (committed[m.Ordinal] || !errors.Is(err, ErrDamaged)) {
				t.Fatalf("power fails at %d: ordinal %d: %v", failsAt, m.Ordinal, err)
			}
		}
		if kept > 0 && !slices.Contains(ordinals(s), kept) {
			t.Fatalf("power fails at %d: ordinal %d was committed and is gone: %v", failsAt, kept, ordinals(s))
		}
		names, _ := d.List("checkpoints")
		if len(names) != len(s.List()) {
			t.Fatalf("power fails at %d: %q are left", failsAt, names)
		}
		if done {
			break
		}
	}
}
