package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/appsocket"
)

// application is what runs on top of the replica; the socket is not nil if that is another process.
func application(cfg config.Config, log *slog.Logger) (app.Application, *appsocket.Server) {
	switch cfg.Node.App.Kind {
	case "socket":
		s := appsocket.New(appsocket.Info{Replica: cfg.Node.ID, Cluster: cfg.Cluster.ID, Epoch: cfg.Cluster.Epoch,
			Replays: cfg.Node.Storage.Mode == config.StorageDurable}, log)
		return s, s
	case "digest":
		return new(digest), nil
	case "store":
		return newStore(int64(cfg.Node.App.StoreBytes)), nil
	}
	return echo{}, nil
}

// echo is an application whose result is the update. It has no state.
type echo struct{}

// String is for people.
func (echo) String() string { return kindText("echo") }

// kindText is a built-in application as its setting says it.
func kindText(kind string) string { return fmt.Sprintf("app.kind = %q of node.toml", kind) }

// Deliver implements app.Application.
func (echo) Deliver(batch []app.Record) [][]byte {
	return app.Func(func(r app.Record) []byte { return r.Payload }).Deliver(batch)
}

// Snapshot implements app.Snapshotter.
func (echo) Snapshot() (app.Snapshot, error) { return app.Bytes(nil), nil }

// Restore implements app.Snapshotter.
func (echo) Restore(from io.Reader) error {
	if n, err := io.Copy(io.Discard, from); err != nil || n > 0 {
		return errors.Join(err, fmt.Errorf("a snapshot of %d bytes, but echo has no state: run the same application everywhere", n))
	}
	return nil
}

// digest is an application whose result is the SHA-256 of the whole stream up to the record (see app.Chain).
type digest struct{ chain app.Chain }

// String is for people.
func (*digest) String() string { return kindText("digest") }

// Deliver implements app.Application.
func (d *digest) Deliver(batch []app.Record) [][]byte {
	results := make([][]byte, len(batch))
	for i := range batch {
		d.chain.Add(batch[i])
		sum := d.chain.Sum
		results[i] = sum[:]
	}
	return results
}

// Snapshot implements app.Snapshotter.
func (d *digest) Snapshot() (app.Snapshot, error) {
	sum := d.chain.Sum
	return app.Bytes(sum[:]), nil
}

// Restore implements app.Snapshotter.
func (d *digest) Restore(from io.Reader) error {
	_, err := io.ReadFull(from, d.chain.Sum[:])
	return err
}

// storePage is how much of a store one update overwrites at most.
const storePage = 4096

// store is an application with as much state as is wanted, to try state transfer with: an array of pages, of which each update writes
// its payload to one that its number among the updates chooses. The result is that number. At the beginning the array is full of
// pseudo-random bytes that its place determines, so that no two pages are alike; only pages that were written take memory.
type store struct {
	pages  int64
	writes uint64
	dirty  map[int64][]byte // pages that were written; none is changed once it is here
}

func newStore(size int64) *store {
	return &store{pages: max(1, size/storePage), dirty: map[int64][]byte{}}
}

// String is for people.
func (s *store) String() string {
	return fmt.Sprintf("%s with app.store_bytes = %s", kindText("store"), bytesText(int(s.pages*storePage)))
}

// mix is a permutation of the numbers that leaves nothing of their order (splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// pristine fills b, of a page, with what the page is at the beginning.
func pristine(b []byte, page int64) {
	for i := 0; i < storePage; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], mix(uint64(page)<<9|uint64(i/8)))
	}
}

// Deliver implements app.Application.
func (s *store) Deliver(batch []app.Record) [][]byte {
	results := make([][]byte, len(batch))
	for i := range batch {
		if !batch[i].Update() {
			continue
		}
		s.writes++
		page := int64(mix(s.writes) % uint64(s.pages))
		content := make([]byte, storePage)
		if before := s.dirty[page]; before != nil {
			copy(content, before)
		} else {
			pristine(content, page)
		}
		copy(content, batch[i].Payload)
		s.dirty[page] = content
		results[i] = binary.BigEndian.AppendUint64(nil, s.writes)
	}
	return results
}

// Snapshot implements app.Snapshotter. It copies only the list of pages that were written.
func (s *store) Snapshot() (app.Snapshot, error) {
	return &stored{s.pages, s.writes, maps.Clone(s.dirty)}, nil
}

// stored is a snapshot of a store.
type stored struct {
	pages  int64
	writes uint64
	dirty  map[int64][]byte
}

// Release implements app.Snapshot.
func (s *stored) Release() { s.dirty = nil }

// WriteTo implements app.Snapshot: the number of pages, that of writes, and the pages.
func (s *stored) WriteTo(w io.Writer) (written int64, err error) {
	b := bufio.NewWriterSize(w, 1<<20)
	head := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(s.pages)), s.writes)
	n, err := b.Write(head)
	written = int64(n)
	page := make([]byte, storePage)
	for i := int64(0); i < s.pages && err == nil; i++ {
		content := s.dirty[i]
		if content == nil {
			content = page
			pristine(page, i)
		}
		n, err = b.Write(content)
		written += int64(n)
	}
	if err != nil {
		return written, err
	}
	return written, b.Flush()
}

// Restore implements app.Snapshotter.
func (s *store) Restore(from io.Reader) error {
	r := bufio.NewReaderSize(from, 1<<20)
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	pages := int64(binary.LittleEndian.Uint64(head[:]))
	if pages != s.pages {
		return fmt.Errorf("a snapshot of %d bytes, but the store has %d: make app.store_bytes equal everywhere", pages*storePage, s.pages*storePage)
	}
	s.writes, s.dirty = binary.LittleEndian.Uint64(head[8:]), map[int64][]byte{}
	page, fresh := make([]byte, storePage), make([]byte, storePage)
	for i := range pages {
		if _, err := io.ReadFull(r, page); err != nil {
			return err
		}
		if pristine(fresh, i); string(page) != string(fresh) {
			s.dirty[i] = append([]byte(nil), page...)
		}
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.New("a snapshot goes on after its last page")
	}
	return nil
}
