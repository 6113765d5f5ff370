package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/primebft/prime/internal/blocks"
	"github.com/primebft/prime/internal/wire"
)

// partial is the file of a checkpoint that is being fetched, or was.
type partial struct {
	path     string
	file     File
	manifest blocks.Manifest
	leaves   []wire.Digest
	active   bool // an Incoming has it
	has      bits // blocks that are thought to be there; nil: not known yet
}

func (p *partial) journal() string { return strings.TrimSuffix(p.path, endPartial) + endJournal }

// journalEntry is how many bytes a journal has for a block: its number plus one, so that what was never written is none.
const journalEntry = 4

// longest is how many bytes of a journal are read: blocks that are lost and come again are in it more than once.
func (p *partial) longest() int64 { return 4 * journalEntry * int64(p.manifest.Count()) }

// discard removes the file of a transfer. The caller holds mu, or nobody else has the store.
func (s *Store) discard(p *partial) error {
	s.partial = slices.DeleteFunc(s.partial, func(other *partial) bool { return other == p })
	_ = p.file.Close() // it is not wanted
	return errors.Join(s.remove(p.path), s.remove(p.journal()))
}

// recall finds out which blocks a file has, according to its journal. Nothing of that is believed before it is checked.
func (s *Store) recall(p *partial) {
	if p.has != nil {
		return
	}
	p.has = newBits(p.manifest.Count())
	f, err := s.disk.Open(p.journal())
	if err != nil {
		return // without a journal there is nothing
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return
	}
	b := make([]byte, min(size, p.longest()))
	if n, err := f.ReadAt(b, 0); err != nil {
		b = b[:n]
	}
	for ; len(b) >= journalEntry; b = b[journalEntry:] {
		if i := binary.LittleEndian.Uint32(b); i > 0 && int(i) <= p.manifest.Count() {
			p.has.set(int(i) - 1)
		}
	}
}

// Incoming is a checkpoint that comes from other replicas, block by block. It is for one goroutine.
type Incoming struct {
	store   *Store
	partial *partial
	journal File
	logged  int64 // bytes of the journal
	got     bits
	left    int // blocks that are missing
	begun   int64
	written int64

	// What is looked for in the files of this replica before it is fetched.
	sources []source
	index   map[uint64]place // by the beginning of the leaf
	cursor  int              // blocks before it have been looked for
	copied  int
	buffer  []byte
	ended   bool
}

// source is a file that may have blocks in common with the one that is fetched.
type source struct {
	read func(b []byte, i int) ([]byte, error)
}

// place is a block of a source.
type place struct{ source, block int }

// Resume goes on with a checkpoint that was being fetched before; nil if there is none with this digest.
func (s *Store) Resume(digest wire.Digest) (*Incoming, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.partial {
		if p.manifest.Digest() == digest {
			return s.incoming(p)
		}
	}
	return nil, nil
}

// Incoming begins to fetch a checkpoint, or goes on with it. The leaves must be those that the manifest's root proves. ErrFull, or an
// error of the disk.
func (s *Store) Incoming(m blocks.Manifest, leaves []wire.Digest) (*Incoming, error) {
	digest := m.Digest()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.partial {
		if p.manifest.Digest() == digest {
			return s.incoming(p)
		}
	}
	for len(s.partial) >= maxPartial && !s.partial[0].active {
		if err := s.discard(s.partial[0]); err != nil {
			return nil, err
		}
	}
	p := &partial{path: filepath.Join(s.o.Dir, partialName(&m)), manifest: m, leaves: leaves, has: newBits(m.Count())}
	if err := s.begin(p); err != nil {
		if p.file != nil {
			_ = p.file.Close() // it is not wanted
		}
		err = fmt.Errorf("snapshot: %s: %w", p.path, err)
		return nil, explain(errors.Join(err, s.remove(p.path), s.remove(p.journal())))
	}
	s.partial = append(s.partial, p)
	return s.incoming(p)
}

// begin makes the file of a transfer. It has everything but blocks before it is durable.
func (s *Store) begin(p *partial) (err error) {
	if err := s.remove(p.journal()); err != nil {
		return err
	}
	if p.file, err = s.disk.Create(p.path, fileSize(&p.manifest)); err != nil {
		return err
	}
	if _, err = p.file.WriteAt(header(s.o.Owner, &p.manifest), 0); err != nil {
		return err
	}
	if err := writeLeaves(p.file, &p.manifest, p.leaves); err != nil {
		return err
	}
	return s.disk.SyncDir(s.o.Dir)
}

// incoming takes up a file. The caller holds mu.
func (s *Store) incoming(p *partial) (*Incoming, error) {
	if p.active {
		return nil, ErrBusy
	}
	s.recall(p)
	n := &Incoming{store: s, partial: p, got: newBits(p.manifest.Count()), left: p.manifest.Count()}
	if err := n.open(); err != nil {
		return nil, explain(fmt.Errorf("snapshot: %s: %w", p.journal(), err))
	}
	p.active = true
	n.look()
	return n, nil
}

// open opens the journal, to write at its end.
func (n *Incoming) open() (err error) {
	disk, path := n.store.disk, n.partial.journal()
	if n.journal, err = disk.Open(path); err == nil {
		size, err := n.journal.Size()
		if err != nil {
			return errors.Join(err, n.journal.Close())
		}
		if n.logged = size - size%journalEntry; n.logged < n.partial.longest() {
			return nil
		}
		_ = n.journal.Close() // it has too much of what turned out to be wrong: another one is begun
	}
	n.logged = 0
	n.partial.has = newBits(n.partial.manifest.Count())
	n.journal, err = disk.Create(path, 0)
	return err
}

// look lists the files that may have blocks of this checkpoint, the newest last so that it wins. The caller holds the store's mu.
func (n *Incoming) look() {
	n.index = map[uint64]place{}
	add := func(leaves []wire.Digest, has bits, read func([]byte, int) ([]byte, error)) {
		n.sources = append(n.sources, source{read})
		for i := range leaves {
			if has == nil || has.has(i) {
				n.index[binary.LittleEndian.Uint64(leaves[i][:])] = place{len(n.sources) - 1, i}
			}
		}
	}
	for _, c := range n.store.kept {
		add(c.leaves, nil, c.read)
	}
	for _, p := range n.store.partial {
		if p != n.partial {
			n.store.recall(p)
			add(p.leaves, p.has, p.read)
		}
	}
}

// read appends block i as it is in the file.
func (p *partial) read(b []byte, i int) ([]byte, error) {
	offset, size := p.manifest.Extent(i)
	n := len(b)
	b = slices.Grow(b, size)[:n+size]
	_, err := p.file.ReadAt(b[n:], pageSize+offset)
	return b, err
}

// Manifest says what is fetched.
func (n *Incoming) Manifest() blocks.Manifest { return n.partial.manifest }

// Has reports whether block i, 0..Count()-1, is there.
func (n *Incoming) Has(i int) bool { return n.got.has(i) }

// Left is how many blocks are missing.
func (n *Incoming) Left() int { return n.left }

// Copied is how many blocks were found in files of this replica.
func (n *Incoming) Copied() int { return n.copied }

// Recover looks for at most limit blocks in the files of this replica: first where the journal says that they are, then in other
// checkpoints. It reports whether all have been looked for. What is found is checked by hash. ErrFull, or an error of the disk.
func (n *Incoming) Recover(limit int) (done bool, err error) {
	p := n.partial
	for ; n.cursor < len(p.leaves) && limit > 0; n.cursor++ {
		i := n.cursor
		if n.got.has(i) {
			continue
		}
		leaf := p.leaves[i]
		if p.has.has(i) {
			limit--
			if n.buffer, err = p.read(n.buffer[:0], i); err == nil && blocks.Leaf(n.buffer) == leaf {
				if err := n.note(i); err != nil {
					return false, err
				}
				n.copied++
				continue
			}
			p.has.clear(i)
		}
		at, found := n.index[binary.LittleEndian.Uint64(leaf[:])]
		if !found {
			continue
		}
		limit--
		if n.buffer, err = n.sources[at.source].read(n.buffer[:0], at.block); err != nil {
			continue // it was removed, or cannot be read: others have it
		}
		right, err := n.Put(i, n.buffer)
		if err != nil {
			return false, err
		}
		if right {
			n.copied++
		}
	}
	if n.cursor < len(p.leaves) {
		return false, nil
	}
	n.index, n.sources, n.buffer = nil, nil, nil
	return true, nil
}

// Put takes a block and reports whether it is right. One that is there already is not looked at: true. ErrFull, or an error of the
// disk.
func (n *Incoming) Put(i int, block []byte) (right bool, err error) {
	p := n.partial
	if n.got.has(i) {
		return true, nil
	}
	offset, size := p.manifest.Extent(i)
	if len(block) != size || blocks.Leaf(block) != p.leaves[i] {
		return false, nil
	}
	if _, err := p.file.WriteAt(block, pageSize+offset); err != nil {
		return true, explain(fmt.Errorf("snapshot: %s: %w", p.path, err))
	}
	if n.written += int64(size); n.written-n.begun >= beginEvery {
		p.file.Begin(0, 0) // blocks come in any order
		n.begun = n.written
	}
	return true, n.note(i)
}

// note counts a block and writes it into the journal, unless it is there.
func (n *Incoming) note(i int) error {
	n.got.set(i)
	n.left--
	if n.partial.has.has(i) {
		return nil
	}
	n.partial.has.set(i)
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, journalEntry), uint32(i)+1)
	if _, err := n.journal.WriteAt(b, n.logged); err != nil {
		return explain(fmt.Errorf("snapshot: %s: %w", n.partial.journal(), err))
	}
	n.logged += journalEntry
	return nil
}

// Finish makes the checkpoint durable once all blocks are there, and takes it up.
func (n *Incoming) Finish() (*Checkpoint, error) {
	p, s := n.partial, n.store
	if n.left > 0 || n.ended {
		return nil, fmt.Errorf("snapshot: %d blocks are missing", n.left)
	}
	if err := p.file.Sync(); err != nil {
		return nil, explain(fmt.Errorf("snapshot: %s: %w", p.path, err))
	}
	c, err := s.install(p.path, p.file, p.manifest, p.leaves)
	if err != nil {
		return nil, explain(err)
	}
	n.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partial = slices.DeleteFunc(s.partial, func(other *partial) bool { return other == p })
	if err := s.remove(p.journal()); err != nil {
		s.o.Note(fmt.Sprintf("%s cannot be removed: %v", p.journal(), err))
	}
	return c, nil
}

// Close ends the transfer. What has been fetched stays for another.
func (n *Incoming) Close() {
	if n.ended {
		return
	}
	n.ended = true
	_ = n.journal.Close() // it is a hint
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	n.partial.active = false
}
