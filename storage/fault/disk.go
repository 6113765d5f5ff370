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
	durable []byte // what is safe: a prefix of seen
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
		f.durable = slices.Clone(f.seen)
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

// survivors is what a loss of power leaves of a file: all that was synced, and of the rest nothing, everything, a prefix, or
// any of its pages, the others zero.
func (d *Disk) survivors(f *inode) []byte {
	left := slices.Clone(f.durable)
	rest := f.seen[min(len(f.durable), len(f.seen)):]
	if len(rest) == 0 {
		return left
	}
	switch d.rng.IntN(4) {
	case 0:
		return left
	case 1:
		return append(left, rest...)
	case 2:
		return append(left, rest[:d.rng.IntN(len(rest))]...)
	}
	from := len(left)
	left = append(left, rest...)
	for page := from / Page; page*Page < len(left); page++ {
		if d.rng.IntN(2) == 0 {
			clear(left[max(from, page*Page):min(len(left), (page+1)*Page)])
		}
	}
	return left
}

// Damage changes one bit of a file, synced or not.
func (d *Disk) Damage(path string, offset int) {
	f := d.files[path]
	f.seen[offset] ^= 1
	f.durable = slices.Clone(f.seen)
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
func (d *Disk) Read(path string) ([]byte, error) {
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
	f.durable = slices.Clone(f.seen)
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

// Write implements file.File.
func (h *handle) Write(b []byte) (int, error) {
	d := h.disk
	if h.life != d.life {
		return 0, ErrPower
	}
	if on := d.step(); !on {
		if d.Operations == d.PowerFailsAt && len(b) > 0 { // in the middle of it
			h.inode.seen = append(h.inode.seen, b[:d.rng.IntN(len(b)+1)]...)
		}
		return 0, ErrPower
	}
	if d.Room >= 0 && len(b) > d.Room {
		n := d.Room
		h.inode.seen = append(h.inode.seen, b[:n]...)
		d.Room = 0
		return n, syscall.ENOSPC
	}
	if d.Room >= 0 {
		d.Room -= len(b)
	}
	h.inode.seen = append(h.inode.seen, b...)
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
	h.inode.durable = append(h.inode.durable, h.inode.seen[len(h.inode.durable):]...)
	return nil
}

// Close implements file.File.
func (h *handle) Close() error { return nil }
