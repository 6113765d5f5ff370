// Package fault is a disk that fails as disks do: it stops in the middle of a write, forgets what was not synced, keeps parts
// of it in any order, and runs full. It is deterministic, in memory, and holds the files of package file.
package fault

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/primebft/prime/storage/file"
)

// Page is how many bytes the disk writes at once; what of a write survives a loss of power is decided page by page.
const Page = 512

var (
	// ErrPower says that the disk has lost its power, until Restart.
	ErrPower = errors.New("the disk has no power")
	// ErrIO says that a write or sync failed as it was told to.
	ErrIO = errors.New("the disk cannot write")
)

// Disk is a disk with files. Make one with New. It is not safe for concurrent use.
type Disk struct {
	rng   *rand.Rand
	files map[string]*inode
	names map[string]*inode // as they are on the platter
	dirs  map[string]bool
	life  int
	off   bool

	// Operations counts the writes, syncs and other changes that the disk was asked for.
	Operations int
	// PowerFailsAt is the number of the operation at which the power goes, 0 for never. It is done in part, or not at all.
	PowerFailsAt int
	// SyncFailsAt is the number of the operation from which on a sync fails, 0 for never.
	SyncFailsAt int
	// Room is how many more bytes fit; -1 is no limit.
	Room int
}

// inode is a file: what programs see, and what is on the platter.
type inode struct {
	seen    []byte
	durable []byte
	dirty   map[int]bool // pages that may differ
}

// write puts b at an offset, behind zeros if the file ends before.
func (f *inode) write(b []byte, offset int) {
	if gap := offset + len(b) - len(f.seen); gap > 0 {
		f.seen = append(f.seen, make([]byte, gap)...)
	}
	copy(f.seen[offset:], b)
	if f.dirty == nil {
		f.dirty = map[int]bool{}
	}
	for page := offset / Page; page*Page < offset+len(b); page++ {
		f.dirty[page] = true
	}
}

// settle makes what is seen durable.
func (f *inode) settle() {
	for page := range f.dirty {
		from, to := min(page*Page, len(f.seen)), min((page+1)*Page, len(f.seen))
		if grow := to - len(f.durable); grow > 0 {
			f.durable = append(f.durable, make([]byte, grow)...)
		}
		copy(f.durable[from:to], f.seen[from:to])
	}
	f.durable, f.dirty = f.durable[:len(f.seen)], nil
}

var _ file.Disk = (*Disk)(nil)

// New returns an empty disk; rng decides what a loss of power leaves.
func New(rng *rand.Rand) *Disk {
	return &Disk{rng: rng, files: map[string]*inode{}, names: map[string]*inode{}, dirs: map[string]bool{}, Room: -1}
}

// step counts an operation; it is false if the power goes during it, or is gone.
func (d *Disk) step() bool {
	if d.off {
		return false
	}
	d.Operations++
	if d.Operations == d.PowerFailsAt {
		d.off = true
	}
	return !d.off
}

// PowerOff lets the power fail between two operations.
func (d *Disk) PowerOff() { d.off = true }

// Restart brings the power back. What was not synced is there, or not, or in part.
func (d *Disk) Restart() {
	d.off, d.PowerFailsAt, d.SyncFailsAt = false, 0, 0
	d.life++
	files := map[string]*inode{}
	for _, name := range d.known() {
		seen, was := d.files[name], d.names[name]
		switch {
		case seen == was && seen != nil:
			files[name] = seen
		case d.rng.IntN(2) == 0 && seen != nil:
			files[name] = seen
		case was != nil:
			files[name] = was
		}
	}
	d.files, d.names = files, map[string]*inode{}
	for _, name := range d.known() {
		f := d.files[name]
		d.names[name] = f
		f.seen = d.survivors(f)
		f.durable, f.dirty = slices.Clone(f.seen), nil
	}
}

// known is every name that is or was in use, in order.
func (d *Disk) known() []string {
	var names []string
	for name := range d.files {
		names = append(names, name)
	}
	for name := range d.names {
		if d.files[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// survivors is what a loss of power leaves of a file: all that was synced, and of what was written since then nothing, everything, the
// beginning, or any of its pages; the others are as they were, or zero if they were not there.
func (d *Disk) survivors(f *inode) []byte {
	if len(f.dirty) == 0 {
		return f.durable
	}
	pages := make([]int, 0, len(f.dirty))
	for page := range f.dirty {
		pages = append(pages, page)
	}
	slices.Sort(pages)
	left := slices.Clone(f.durable)
	copied := func(from, to int) {
		if grow := to - len(left); grow > 0 {
			left = append(left, make([]byte, grow)...)
		}
		copy(left[from:to], f.seen[from:to])
	}
	switch d.rng.IntN(4) {
	case 0:
		return left
	case 1:
		return f.seen
	case 2:
		last := pages[d.rng.IntN(len(pages))]
		for _, page := range pages {
			if page < last {
				copied(page*Page, min((page+1)*Page, len(f.seen)))
			}
		}
		from := last * Page
		copied(from, from+d.rng.IntN(min((last+1)*Page, len(f.seen))-from+1))
		return left
	}
	for _, page := range pages {
		if d.rng.IntN(2) == 0 {
			copied(page*Page, min((page+1)*Page, len(f.seen)))
		}
	}
	if grow := len(f.seen) - len(left); grow > 0 {
		left = append(left, make([]byte, grow)...)
	}
	return left
}

// Damage changes one bit of a file, synced or not.
func (d *Disk) Damage(path string, offset int) {
	f := d.files[path]
	f.seen[offset] ^= 1
	f.durable, f.dirty = slices.Clone(f.seen), nil
}

// MakeDir implements file.Disk.
func (d *Disk) MakeDir(dir string) error {
	if d.off {
		return ErrPower
	}
	d.dirs[dir] = true
	return nil
}

// List implements file.Disk.
func (d *Disk) List(dir string) ([]string, error) {
	if d.off {
		return nil, ErrPower
	}
	var names []string
	for _, path := range d.known() {
		if filepath.Dir(path) == dir && d.files[path] != nil {
			names = append(names, strings.TrimPrefix(path, dir+string(filepath.Separator)))
		}
	}
	return names, nil
}

// Create implements file.Disk.
func (d *Disk) Create(path string) (file.File, error) {
	if !d.step() {
		return nil, ErrPower
	}
	if d.files[path] != nil {
		return nil, fs.ErrExist
	}
	d.files[path] = &inode{}
	return &handle{disk: d, inode: d.files[path], life: d.life}, nil
}

// Open implements file.Disk.
func (d *Disk) Open(path string) (file.File, error) {
	if d.off {
		return nil, ErrPower
	}
	if d.files[path] == nil {
		return nil, fs.ErrNotExist
	}
	return &handle{disk: d, inode: d.files[path], life: d.life}, nil
}

// Read implements file.Disk.
func (d *Disk) Read(path string, _ []byte) ([]byte, error) {
	if d.off {
		return nil, ErrPower
	}
	if d.files[path] == nil {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(d.files[path].seen), nil
}

// Cut implements file.Disk.
func (d *Disk) Cut(path string, size int64) error {
	if !d.step() {
		return ErrPower
	}
	f := d.files[path]
	if f == nil {
		return fs.ErrNotExist
	}
	f.seen = f.seen[:min(int(size), len(f.seen))]
	f.durable, f.dirty = slices.Clone(f.seen), nil
	return nil
}

// Reserve implements file.Disk.
func (d *Disk) Reserve(path string, size int64) error {
	if !d.step() {
		return ErrPower
	}
	if d.Room >= 0 && int(size) > d.Room {
		return syscall.ENOSPC
	}
	if d.Room >= 0 {
		d.Room -= int(size)
	}
	f := &inode{}
	f.write(make([]byte, size), 0)
	d.files[path] = f
	if !d.step() {
		return ErrPower
	}
	f.settle()
	return nil
}

// Rename implements file.Disk.
func (d *Disk) Rename(from, to string) error {
	if !d.step() {
		return ErrPower
	}
	if d.files[from] == nil {
		return fs.ErrNotExist
	}
	d.files[to] = d.files[from]
	delete(d.files, from)
	return nil
}

// Remove implements file.Disk.
func (d *Disk) Remove(path string) error {
	if !d.step() {
		return ErrPower
	}
	if d.files[path] == nil {
		return fs.ErrNotExist
	}
	delete(d.files, path)
	return nil
}

// SyncDir implements file.Disk.
func (d *Disk) SyncDir(dir string) error {
	if !d.step() {
		return ErrPower
	}
	for _, path := range d.known() {
		if filepath.Dir(path) != dir {
			continue
		}
		if f := d.files[path]; f != nil {
			d.names[path] = f
		} else {
			delete(d.names, path)
		}
	}
	return nil
}

// handle is an open file.
type handle struct {
	disk  *Disk
	inode *inode
	life  int
}

// WriteAt implements file.File.
func (h *handle) WriteAt(b []byte, offset int64) (int, error) {
	d, at := h.disk, int(offset)
	if h.life != d.life {
		return 0, ErrPower
	}
	if on := d.step(); !on {
		if d.Operations == d.PowerFailsAt && len(b) > 0 { // in the middle of it
			h.inode.write(b[:d.rng.IntN(len(b)+1)], at)
		}
		return 0, ErrPower
	}
	if grow := at + len(b) - len(h.inode.seen); d.Room >= 0 && grow > 0 {
		if grow > d.Room {
			n := max(0, len(b)-(grow-d.Room))
			h.inode.write(b[:n], at)
			d.Room = 0
			return n, syscall.ENOSPC
		}
		d.Room -= grow
	}
	h.inode.write(b, at)
	return len(b), nil
}

// Sync implements file.File.
func (h *handle) Sync() error {
	d := h.disk
	if h.life != d.life || !d.step() {
		return ErrPower
	}
	if d.SyncFailsAt > 0 && d.Operations >= d.SyncFailsAt {
		return ErrIO
	}
	h.inode.settle()
	return nil
}

// Close implements file.File.
func (h *handle) Close() error { return nil }
