package snapshot

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// TestNameNotDurable: a checkpoint whose name cannot be made durable is none, and leaves nothing behind; one that was fetched can be finished
// again.
func TestNameNotDurable(t *testing.T) {
	t.Parallel()
	head, app := content(1, 300, 5*testBlock)
	d := newFaulty(rand.New(rand.NewPCG(1, 3)))
	s := mustOpen(t, d, Options{})
	d.refuses = 1
	if _, err := write(s, 9, head, app); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if names, _ := d.List("checkpoints"); len(names) > 0 || len(s.List()) > 0 {
		t.Errorf("%q are left, and %v", names, s.List())
	}
	from := origin(t, head, app)
	n, err := s.Incoming(from.Manifest(), from.leaves)
	if err != nil {
		t.Fatal(err)
	}
	d.refuses = 1
	if _, err := fetch(n, from, rand.New(rand.NewPCG(1, 1))); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	n.Close()
	if n, err = s.Resume(from.Digest()); n == nil || err != nil {
		t.Fatal("there is nothing to go on with", err)
	}
	if took, err := fetch(n, from, rand.New(rand.NewPCG(1, 1))); took > 0 || err != nil {
		t.Fatalf("%d blocks were fetched again: %v", took, err)
	}
	if err := same(s.Find(from.Digest()), head, app); err != nil {
		t.Error(err)
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
