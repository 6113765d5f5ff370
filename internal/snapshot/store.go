package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/primebft/prime/internal/blocks"
	"github.com/primebft/prime/internal/wire"
)

// Limits of a store.
const (
	// MaxUnstable is how many checkpoints may wait to be known as stable. The next ones are skipped: the oldest of those that
	// wait is the next to become stable.
	MaxUnstable = 4
	// maxPinned is how many older ones are kept because somebody is fetching them, or a start would need them.
	maxPinned = 3
	// maxPartial is how many transfers that have not ended are kept, for what they have in common with others.
	maxPartial = 2
)

// Errors of a store.
var (
	// ErrFull is a disk without room for another checkpoint. Whoever gets it goes on without that checkpoint.
	ErrFull = errors.New("snapshot: no room for a checkpoint")
	// ErrWaiting is a checkpoint that is not made because too many others are not stable yet.
	ErrWaiting = errors.New("snapshot: too many checkpoints are not stable yet")
	// ErrBusy is a checkpoint that is not made because another one is being made.
	ErrBusy = errors.New("snapshot: another checkpoint is being written")
	// ErrMissing is a checkpoint that the store does not have.
	ErrMissing = errors.New("snapshot: there is no such checkpoint")
)

// Options are how checkpoints are kept.
type Options struct {
	Dir   string       // folder; it is made if it is not there, and nobody else may use it
	Owner [32]byte     // whose checkpoints they are; those of others are refused
	Disk  Disk         // nil: System
	Note  func(string) // is told, for the log, what was removed because it was damaged; nil: nobody is
	// BlockSize is the size of the blocks of new checkpoints, bytes; 0 is blocks.Size. It has to be the same at all replicas.
	BlockSize int
}

// Store is the checkpoints of one replica. It is safe for concurrent use.
type Store struct {
	o    Options
	disk Disk

	mu      sync.Mutex
	stable  uint64        // the ordinal that Keep was given last
	kept    []*Checkpoint // by ascending ordinal, one for each
	partial []*partial    // the newest last
	writing bool
}

// Endings of names.
const (
	endComplete = ".ckpt"    // a checkpoint
	endWriting  = ".writing" // one that is being made
	endPartial  = ".part"    // one that is being fetched
	endJournal  = ".have"    // which blocks of it are there
)

// Open opens the checkpoints in a folder. Files of other replicas or versions are refused, damaged ones removed, and so is what was
// being written when the replica fell.
func Open(o Options) (*Store, error) {
	if o.Disk == nil {
		o.Disk = System{}
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	if o.BlockSize == 0 {
		o.BlockSize = blocks.Size
	}
	if o.BlockSize < blocks.MinSize || o.BlockSize > blocks.MaxSize {
		return nil, fmt.Errorf("snapshot: blocks of %d bytes: from %d to %d are possible", o.BlockSize, blocks.MinSize, blocks.MaxSize)
	}
	s := &Store{o: o, disk: o.Disk}
	if err := s.disk.MakeDir(o.Dir); err != nil {
		return nil, fmt.Errorf("snapshot: %w; the folder around it must be there and writable", err)
	}
	names, err := s.disk.List(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	for _, name := range names {
		if err := s.find(name, names); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(s.kept, func(a, b *Checkpoint) int { return cmp.Compare(a.manifest.Ordinal, b.manifest.Ordinal) })
	slices.SortFunc(s.partial, func(a, b *partial) int { return cmp.Compare(a.manifest.Ordinal, b.manifest.Ordinal) })
	for len(s.partial) > maxPartial {
		s.discard(s.partial[0])
	}
	return s, nil
}

// find takes up a file of the folder, or removes it.
func (s *Store) find(name string, names []string) error {
	path := filepath.Join(s.o.Dir, name)
	switch filepath.Ext(name) {
	case endWriting:
		return s.remove(path)
	case endJournal:
		if slices.Contains(names, strings.TrimSuffix(name, endJournal)+endPartial) {
			return nil
		}
		return s.remove(path)
	case endComplete, endPartial:
	default:
		return fmt.Errorf("snapshot: %s is not a checkpoint; move what does not belong there out of the folder", path)
	}
	f, err := s.disk.Open(path)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	m, leaves, err := load(f, s.o.Owner)
	if err != nil {
		_ = f.Close() // nothing was written to it
		if !errors.Is(err, ErrDamaged) {
			return fmt.Errorf("%s: %w", path, err)
		}
		s.o.Note(fmt.Sprintf("removed %s: %v", path, err))
		return s.remove(path)
	}
	if filepath.Ext(name) == endPartial {
		s.partial = append(s.partial, &partial{path: path, file: f, manifest: m, leaves: leaves})
		return nil
	}
	if name != completeName(m.Ordinal) {
		_ = f.Close() // nothing was written to it
		s.o.Note(fmt.Sprintf("removed %s: it has the checkpoint of ordinal %d", path, m.Ordinal))
		return s.remove(path)
	}
	s.kept = append(s.kept, newCheckpoint(s, path, f, m, leaves, newBits(m.Count())))
	return nil
}

func completeName(ordinal uint64) string { return fmt.Sprintf("%020d", ordinal) + endComplete }

func partialName(m *blocks.Manifest) string {
	return fmt.Sprintf("%020d-%v", m.Ordinal, m.Digest()) + endPartial
}

// remove removes a file that may be gone already.
func (s *Store) remove(path string) error {
	if err := s.disk.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

// List is the manifests of all checkpoints, by ascending ordinal.
func (s *Store) List() []blocks.Manifest {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]blocks.Manifest, len(s.kept))
	for i, c := range s.kept {
		list[i] = c.manifest
	}
	return list
}

// Get is the checkpoint of an ordinal; ErrMissing if there is none.
func (s *Store) Get(ordinal uint64) (*Checkpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.kept {
		if c.manifest.Ordinal == ordinal {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%w: ordinal %d", ErrMissing, ordinal)
}

// Find is the checkpoint with a digest; nil if there is none.
func (s *Store) Find(digest wire.Digest) *Checkpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.kept {
		if c.digest == digest {
			return c
		}
	}
	return nil
}

// Keep says that the checkpoint of an ordinal is stable. Of those up to there the newest stays, which is not that one if it was
// skipped; older ones are removed, but for the newest few of those that are pinned because somebody is fetching them.
func (s *Store) Keep(stable uint64, pinned ...uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stable = max(s.stable, stable)
	base := s.stable
	for _, c := range slices.Backward(s.kept) {
		if c.manifest.Ordinal <= s.stable {
			base = c.manifest.Ordinal
			break
		}
	}
	pins := 0
	var failed error
	for i := len(s.kept) - 1; i >= 0; i-- {
		c := s.kept[i]
		if c.manifest.Ordinal >= base {
			continue
		}
		if slices.Contains(pinned, c.manifest.Ordinal) && pins < maxPinned {
			pins++
			continue
		}
		failed = errors.Join(failed, s.forget(c))
	}
	for i := len(s.partial) - 1; i >= 0; i-- {
		if p := s.partial[i]; p.manifest.Ordinal < s.stable && !p.active {
			failed = errors.Join(failed, s.discard(p))
		}
	}
	return failed
}

// forget removes a checkpoint. The caller holds mu.
func (s *Store) forget(c *Checkpoint) error {
	s.kept = slices.DeleteFunc(s.kept, func(other *Checkpoint) bool { return other == c })
	c.close()
	return s.remove(c.path)
}

// drop removes a checkpoint that is damaged.
func (s *Store) drop(c *Checkpoint, block int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.kept, c) {
		s.o.Note(fmt.Sprintf("removed %s: block %d is not as it was written", c.path, block))
		if err := s.forget(c); err != nil {
			s.o.Note(fmt.Sprintf("%s cannot be removed: %v", c.path, err))
		}
	}
}

// install takes up a checkpoint whose file is durable under a temporary name, in the place of one of its ordinal.
func (s *Store) install(from string, f File, m blocks.Manifest, leaves []wire.Digest) (*Checkpoint, error) {
	path := filepath.Join(s.o.Dir, completeName(m.Ordinal))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.disk.Rename(from, path); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if err := s.disk.SyncDir(s.o.Dir); err != nil {
		// Whoever wrote it removes it, or tries again, by the name that it knows.
		return nil, errors.Join(fmt.Errorf("snapshot: %w", err), s.disk.Rename(path, from))
	}
	c := newCheckpoint(s, path, f, m, leaves, newBits(m.Count()).all(m.Count()))
	for _, other := range s.kept {
		if other.manifest.Ordinal == m.Ordinal {
			other.close() // its name is taken
		}
	}
	s.kept = slices.DeleteFunc(s.kept, func(other *Checkpoint) bool { return other.manifest.Ordinal == m.Ordinal })
	s.kept = append(s.kept, c)
	slices.SortFunc(s.kept, func(a, b *Checkpoint) int { return cmp.Compare(a.manifest.Ordinal, b.manifest.Ordinal) })
	return c, nil
}

// explain names a full disk.
func explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
