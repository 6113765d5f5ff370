package mesh

import (
	"encoding/binary"
	"errors"
	"time"
)

// writeSize is about how many bytes are written at once.
const writeSize = 64 << 10

// lengthSize is the size of a frame's length word.
const lengthSize = 4

// errDead ends a writer whose link the reader has found dead.
var errDead = errors.New("closed")

func (l *lane) writeLoop() {
	var last *link
	w := &writer{lane: l}
	for {
		link := l.await(last)
		if link == nil {
			return
		}
		l.lost(link, w.run(link))
		last = link
	}
}

// writer puts many frames into one write, so that they share records and system calls.
type writer struct {
	lane   *lane
	link   *link
	frames [][]byte // taken and not yet in buf
	buf    []byte
	count  int // frames that end in buf
}

// run writes to a link until that fails.
func (w *writer) run(link *link) error {
	w.link = link
	w.buf, w.count = w.buf[:0], 0
	for {
		var alive bool
		w.frames, alive = w.lane.peer.take(w.lane, link, len(w.buf) == 0, w.frames[:0])
		if !alive {
			return errDead
		}
		if err := w.put(); err != nil {
			return err
		}
	}
}

// put writes the frames that were taken. What does not fill the buffer stays there for as long as more frames are waiting.
func (w *writer) put() (err error) {
	idle := len(w.frames) == 0
	if w.lane.request.CompareAndSwap(true, false) {
		err = w.add(nil)
	}
	for i, f := range w.frames {
		w.frames[i] = nil
		if err == nil {
			err = w.add(f)
			w.count++
		}
	}
	if err == nil && idle {
		err = w.flush()
	}
	return err
}

// add appends a frame to the buffer and writes the buffer whenever it is full.
func (w *writer) add(f []byte) error {
	if w.buf == nil {
		w.buf = make([]byte, 0, writeSize)
	}
	if len(w.buf)+lengthSize > writeSize {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(len(f)))
	for {
		n := min(len(f), writeSize-len(w.buf))
		w.buf = append(w.buf, f[:n]...)
		if f = f[n:]; len(f) == 0 {
			return nil
		}
		if err := w.flush(); err != nil {
			return err
		}
	}
}

// flush writes the buffer.
func (w *writer) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	if err := w.link.raw.SetWriteDeadline(time.Now().Add(w.lane.peer.mesh.o.WriteTimeout)); err != nil {
		return err
	}
	if _, err := w.link.conn.Write(w.buf); err != nil {
		return err
	}
	w.lane.sentBytes.Add(uint64(len(w.buf)))
	w.lane.sentCount.Add(uint64(w.count))
	w.buf, w.count = w.buf[:0], 0
	return nil
}
