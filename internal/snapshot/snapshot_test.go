package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
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

// fetch fills an incoming checkpoint from one that is complete, in an order of its own, and returns how many blocks it took.
func fetch(n *Incoming, from *Checkpoint, rng *rand.Rand) (took int, err error) {
	for done := false; !done; {
		if done, err = n.Recover(3); err != nil {
			return took, err
		}
	}
	m := n.Manifest()
	for _, i := range rng.Perm(m.Count()) {
		if n.Has(i) {
			continue
		}
		b, err := from.AppendBlock(nil, i)
		if err != nil {
			return took, err
		}
		if right, err := n.Put(i, b); err != nil || !right {
			return took, errors.Join(err, fmt.Errorf("block %d: %v", i, right))
		}
		took++
	}
	_, err = n.Finish()
	return took, err
}

// origin is a complete checkpoint in memory.
func origin(t *testing.T, head, app []byte) *Checkpoint {
	t.Helper()
	s := mustOpen(t, NewMemory(1<<30), Options{})
	m, err := write(s, 10, head, app)
	if err != nil {
		t.Fatal(err)
	}
	return s.Find(m.Digest())
}

// TestIncomingPowerLoss: a transfer goes on after a loss of power at any operation, with most of what it had.
func TestIncomingPowerLoss(t *testing.T) {
	t.Parallel()
	head, app := content(1, 900, 12*testBlock+100)
	from := origin(t, head, app)
	for failsAt := 1; ; failsAt++ {
		rng := rand.New(rand.NewPCG(uint64(failsAt), 3))
		d := newFaulty(rng)
		s := mustOpen(t, d, Options{})
		d.failsAt = d.steps + failsAt
		for {
			n, err := s.Resume(from.Digest())
			if n == nil && err == nil {
				n, err = s.Incoming(from.Manifest(), from.leaves)
			}
			if err == nil {
				_, err = fetch(n, from, rng)
			}
			if err == nil {
				break
			}
			if !errors.Is(err, errPower) {
				t.Fatalf("power fails at %d: %v", failsAt, err)
			}
			d.restart()
			s = mustOpen(t, d, Options{})
			if s.Find(from.Digest()) != nil {
				break // all but the last sync of the folder had been done
			}
		}
		failed := d.life > 0
		d.restart()
		s = mustOpen(t, d, Options{})
		c := s.Find(from.Digest())
		if c == nil {
			if failed {
				continue // it broke off there without having been told that it had ended
			}
			t.Fatal("what was finished is gone")
		}
		if err := same(c, head, app); err != nil {
			t.Fatalf("power fails at %d: %v", failsAt, err)
		}
		if names, _ := d.List("checkpoints"); len(names) > 1 {
			t.Fatalf("power fails at %d: %q are left", failsAt, names)
		}
		if !failed {
			break
		}
	}
}

// TestKill: a process that is killed loses nothing that it has written; the transfer fetches only what is missing, and no block is
// believed because the journal has it.
func TestKill(t *testing.T) {
	t.Parallel()
	head, app := content(1, 900, 30*testBlock+100)
	from := origin(t, head, app)
	d := NewMemory(1 << 20)
	s := mustOpen(t, d, Options{})
	n, err := s.Incoming(from.Manifest(), from.leaves)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		b, _ := from.AppendBlock(nil, i)
		if right, err := n.Put(i, b); err != nil || !right {
			t.Fatal(right, err)
		}
	}
	wrong := make([]byte, testBlock)
	if right, err := n.Put(25, wrong); right || err != nil {
		t.Fatal("a wrong block is taken")
	}
	if right, err := n.Put(25, wrong[1:]); right || err != nil {
		t.Fatal("a short block is taken")
	}
	part := d.files[filepath.Join("checkpoints", partialName(&n.partial.manifest))]
	part.bytes[pageSize+5*testBlock] ^= 1
	s = mustOpen(t, d, Options{}) // the other store just ends
	if n, err = s.Resume(from.Digest()); n == nil || err != nil {
		t.Fatal("there is nothing to go on with", err)
	}
	if other, err := s.Resume(from.Digest()); other != nil || !errors.Is(err, ErrBusy) {
		t.Error("one transfer has two heads")
	}
	took, err := fetch(n, from, rand.New(rand.NewPCG(1, 1)))
	if err != nil || took != from.manifest.Count()-19 || n.Copied() != 19 {
		t.Errorf("fetched %d of %d blocks, copied %d: %v", took, from.manifest.Count(), n.Copied(), err)
	}
	if err := same(s.Find(from.Digest()), head, app); err != nil {
		t.Error(err)
	}
}

// TestOnlyWhatDiffers: blocks of older checkpoints, and of transfers that were given up, are copied.
func TestOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	head, app := content(1, 900, 40*testBlock)
	s := mustOpen(t, NewMemory(1<<20), Options{})
	if _, err := write(s, 5, head, app); err != nil {
		t.Fatal(err)
	}
	newer := slices.Clone(app)
	for _, i := range []int{3, 17, 18} {
		newer[i*testBlock] ^= 1
	}
	newer = append(newer, head...) // one block and a part of one more
	from := origin(t, head, newer)
	n, err := s.Incoming(from.Manifest(), from.leaves)
	if err != nil {
		t.Fatal(err)
	}
	if took, err := fetch(n, from, rand.New(rand.NewPCG(1, 1))); took != 4 || err != nil {
		t.Errorf("fetched %d blocks, want 4: %v", took, err)
	}
	if err := same(s.Find(from.Digest()), head, newer); err != nil {
		t.Error(err)
	}
	other := mustOpen(t, NewMemory(1<<20), Options{})
	half, err := other.Incoming(from.Manifest(), from.leaves)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		b, _ := from.AppendBlock(nil, i)
		if _, err := half.Put(i, b); err != nil {
			t.Fatal(err)
		}
	}
	half.Close()
	newest := slices.Clone(newer)
	newest[0] ^= 1
	last := origin(t, head, newest)
	if n, err = other.Incoming(last.Manifest(), last.leaves); err != nil {
		t.Fatal(err)
	}
	if took, err := fetch(n, last, rand.New(rand.NewPCG(1, 1))); took != last.manifest.Count()-20 || err != nil {
		t.Errorf("fetched %d blocks of %d: %v", took, last.manifest.Count(), err)
	}
	if names, _ := other.disk.List("checkpoints"); len(names) != 3 {
		t.Errorf("%q are left", names)
	}
	if err := other.Keep(11); err != nil {
		t.Fatal(err)
	}
	if names, _ := other.disk.List("checkpoints"); !slices.Equal(names, []string{completeName(10)}) {
		t.Errorf("%q are left", names)
	}
}
