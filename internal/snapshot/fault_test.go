package snapshot

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
)

// faultPage is how many bytes of a write survive a loss of power together.
const faultPage = 512

var errPower = errors.New("the disk has no power")

// faulty is a disk that loses its power: what was not synced is there, or not, or in part, page by page; names likewise.
type faulty struct {
	rng     *rand.Rand
	files   map[string]*faultyFile // as programs see them
	names   map[string]*faultyFile // as they are on the platter
	off     bool
	life    int
	steps   int
	failsAt int // number of the operation at which the power goes; 0: never
	room    int // bytes that still fit; -1: no limit
	refuses int // so many times names cannot be made durable
}

type faultyFile struct{ seen, durable []byte }

func newFaulty(rng *rand.Rand) *faulty {
	return &faulty{rng: rng, files: map[string]*faultyFile{}, names: map[string]*faultyFile{}, room: -1}
}

func (d *faulty) step() error {
	if d.off {
		return errPower
	}
	if d.steps++; d.steps == d.failsAt {
		d.off = true
		return errPower
	}
	return nil
}

// restart brings the power back.
func (d *faulty) restart() {
	d.off, d.failsAt, d.life = false, 0, d.life+1
	files := map[string]*faultyFile{}
	for _, name := range d.known() {
		seen, was := d.files[name], d.names[name]
		pick := was
		if seen != was && d.rng.IntN(2) == 0 {
			pick = seen
		}
		if pick != nil {
			files[name] = pick
		}
	}
	survived := map[*faultyFile]bool{}
	d.files, d.names = files, map[string]*faultyFile{}
	for _, name := range d.known() {
		f := files[name]
		d.names[name] = f
		if !survived[f] {
			survived[f] = true
			f.seen = d.left(f)
			f.durable = slices.Clone(f.seen)
		}
	}
}

// left is what a loss of power leaves of a file.
func (d *faulty) left(f *faultyFile) []byte {
	size := len(f.durable)
	if len(f.seen) > size && d.rng.IntN(2) == 0 {
		size += d.rng.IntN(len(f.seen) - size + 1)
	}
	left := make([]byte, size)
	copy(left, f.durable)
	for at := 0; at < size; at += faultPage {
		if d.rng.IntN(2) == 0 && at < len(f.seen) {
			to := min(at+faultPage, size)
			copy(left[at:to], f.seen[at:])
		}
	}
	return left
}

func (d *faulty) known() []string {
	var all []string
	for name := range d.files {
		all = append(all, name)
	}
	for name := range d.names {
		if d.files[name] == nil {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

func (d *faulty) MakeDir(string) error { return nil }

func (d *faulty) List(dir string) (names []string, err error) {
	if d.off {
		return nil, errPower
	}
	for _, path := range d.known() {
		if filepath.Dir(path) == dir && d.files[path] != nil {
			names = append(names, filepath.Base(path))
		}
	}
	return names, nil
}

func (d *faulty) Create(path string, size int64) (File, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	if d.room >= 0 && int(size) > d.room {
		return nil, syscall.ENOSPC
	}
	d.files[path] = &faultyFile{seen: make([]byte, size)}
	return &faultyHandle{d, d.files[path], d.life}, nil
}

func (d *faulty) Open(path string) (File, error) {
	if d.off {
		return nil, errPower
	}
	if d.files[path] == nil {
		return nil, fs.ErrNotExist
	}
	return &faultyHandle{d, d.files[path], d.life}, nil
}

func (d *faulty) Rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	if d.files[from] == nil {
		return fs.ErrNotExist
	}
	d.files[to] = d.files[from]
	delete(d.files, from)
	return nil
}

func (d *faulty) Remove(path string) error {
	if d.off {
		return errPower
	}
	if d.files[path] == nil {
		return fs.ErrNotExist
	}
	if err := d.step(); err != nil {
		return err
	}
	delete(d.files, path)
	return nil
}

func (d *faulty) SyncDir(dir string) error {
	if err := d.step(); err != nil {
		return err
	}
	if d.refuses > 0 {
		d.refuses--
		return syscall.EIO
	}
	for _, path := range d.known() {
		if f := d.files[path]; filepath.Dir(path) == dir && f != nil {
			d.names[path] = f
		} else if f == nil {
			delete(d.names, path)
		}
	}
	return nil
}

type faultyHandle struct {
	disk *faulty
	file *faultyFile
	life int
}

func (h *faultyHandle) ReadAt(b []byte, offset int64) (int, error) {
	if h.disk.off || h.life != h.disk.life {
		return 0, errPower
	}
	if offset >= int64(len(h.file.seen)) {
		return 0, io.EOF
	}
	n := copy(b, h.file.seen[offset:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (h *faultyHandle) WriteAt(b []byte, offset int64) (int, error) {
	if h.life != h.disk.life {
		return 0, errPower
	}
	was := h.disk.off
	if err := h.disk.step(); err != nil {
		if !was { // in the middle of it
			h.write(b[:h.disk.rng.IntN(len(b)+1)], offset)
		}
		return 0, err
	}
	if grow := int(offset) + len(b) - len(h.file.seen); grow > 0 && h.disk.room >= 0 {
		if grow > h.disk.room {
			return 0, syscall.ENOSPC
		}
		h.disk.room -= grow
	}
	h.write(b, offset)
	return len(b), nil
}

func (h *faultyHandle) write(b []byte, offset int64) {
	if grow := int(offset) + len(b) - len(h.file.seen); grow > 0 {
		h.file.seen = append(h.file.seen, make([]byte, grow)...)
	}
	copy(h.file.seen[offset:], b)
}

func (h *faultyHandle) Size() (int64, error) { return int64(len(h.file.seen)), nil }
func (h *faultyHandle) Begin(int64, int64)   {}
func (h *faultyHandle) Close() error         { return nil }
func (h *faultyHandle) Sync() error {
	if h.life != h.disk.life {
		return errPower
	}
	if err := h.disk.step(); err != nil {
		return err
	}
	h.file.durable = slices.Clone(h.file.seen)
	return nil
}
