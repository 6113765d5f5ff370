package snapshot

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/primebft/prime/internal/blocks"
)

// beginEvery is after how many bytes the system is told to begin to write them to the disk, so that the sync at the end is short.
const beginEvery = 8 << 20

// Writer makes a checkpoint: Write the head, EndHead, Write the application's bytes, then Commit or Abort.
type Writer struct {
	store   *Store
	path    string
	file    File
	builder *blocks.Builder
	at      int64 // where in the file the next block goes
	begun   int64 // up to where it is being written to the disk
	ended   bool
}

var _ io.Writer = (*Writer)(nil)

// Begin begins the checkpoint that is due after an ordinal. ErrBusy, ErrWaiting, ErrFull, or an error of the disk: then there will
// be no checkpoint of this ordinal.
func (s *Store) Begin(ordinal uint64) (*Writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing {
		return nil, ErrBusy
	}
	waiting := 0
	for _, c := range s.kept {
		if c.manifest.Ordinal > s.stable {
			waiting++
		}
	}
	if waiting >= MaxUnstable {
		return nil, fmt.Errorf("%w: %d, the oldest of ordinal %d", ErrWaiting, waiting, s.kept[len(s.kept)-waiting].manifest.Ordinal)
	}
	w := &Writer{store: s, path: filepath.Join(s.o.Dir, fmt.Sprintf("%020d", ordinal)+endWriting), at: pageSize}
	f, err := s.disk.Create(w.path, 0)
	if err != nil {
		return nil, explain(fmt.Errorf("snapshot: %w", err))
	}
	w.file = f
	w.builder = blocks.NewBuilder(ordinal, s.o.BlockSize, w.put)
	s.writing = true
	return w, nil
}

// put writes a block.
func (w *Writer) put(block []byte) error {
	if _, err := w.file.WriteAt(block, w.at); err != nil {
		return err
	}
	w.at += int64(len(block))
	if w.at-w.begun >= beginEvery {
		w.file.Begin(w.begun, w.at-w.begun)
		w.begun = w.at
	}
	return nil
}

// Write implements io.Writer. ErrFull, or an error of the disk.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.builder.Write(p)
	return n, explain(err)
}

// EndHead ends the engine's part.
func (w *Writer) EndHead() error { return explain(w.builder.EndHead()) }

// Commit makes the checkpoint durable and takes it up. If that fails it is gone.
func (w *Writer) Commit() (blocks.Manifest, error) {
	if w.ended {
		return blocks.Manifest{}, errors.New("snapshot: the checkpoint has ended")
	}
	m, leaves, err := w.builder.Finish()
	if err == nil {
		_, err = w.file.WriteAt(header(w.store.o.Owner, &m), 0)
	}
	if err == nil {
		err = writeLeaves(w.file, &m, leaves)
	}
	if err == nil {
		err = w.file.Sync()
	}
	if err == nil {
		_, err = w.store.install(w.path, w.file, m, leaves)
	}
	if err != nil {
		w.Abort()
		return blocks.Manifest{}, explain(fmt.Errorf("snapshot: %s: %w", w.path, err))
	}
	w.end()
	return m, nil
}

// Abort ends the checkpoint without one. It does nothing after Commit.
func (w *Writer) Abort() {
	if w.ended {
		return
	}
	_ = w.file.Close() // it is not wanted
	if err := w.store.remove(w.path); err != nil {
		w.store.o.Note(fmt.Sprintf("%s cannot be removed: %v", w.path, err))
	}
	w.end()
}

func (w *Writer) end() {
	w.ended = true
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.store.writing = false
}
