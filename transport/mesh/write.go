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
	frames [][]byte // taken from the scheduler
	pieces []piece  // taken and not yet in buf
	left   int      // bytes of the frame in hand that are yet to come
	buf    []byte
	count  int // frames that end in buf
}

// run writes to a link until that fails.
func (w *writer) run(link *link) error {
	w.link = link
	w.buf, w.count, w.left = w.buf[:0], 0, 0
	for {
		if alive := w.take(len(w.buf) == 0); !alive {
			return errDead
		}
		if err := w.put(); err != nil {
			return err
		}
	}
}

// take takes what should be written now.
func (w *writer) take(block bool) (alive bool) {
	w.pieces = w.pieces[:0]
	if w.lane.peer.mesh.pumped {
		w.pieces, alive = w.lane.drainTo(w.link, block, w.pieces)
		return alive
	}
	w.frames, alive = w.lane.peer.take(w.lane, w.link, block, w.frames[:0])
	for i, f := range w.frames {
		w.pieces = append(w.pieces, piece{f, len(f)})
		w.frames[i] = nil
	}
	return alive
}

// put writes the pieces that were taken. What does not fill the buffer stays there for as long as more is waiting.
func (w *writer) put() (err error) {
	idle := len(w.pieces) == 0
	if w.left == 0 && w.lane.request.CompareAndSwap(true, false) {
		err = w.add(nil, true)
	}
	for i, x := range w.pieces {
		w.pieces[i] = piece{}
		if x.of > 0 {
			w.left = x.of
		}
		if err != nil || w.left == 0 { // the rest of a frame that began on another link is of no use on this one
			continue
		}
		w.left -= len(x.bytes)
		err = w.add(x.bytes, x.of > 0)
	}
	if err == nil && idle {
		err = w.flush()
	}
	return err
}

// add appends a piece to the buffer, with the length of its frame if it is the first, and writes the buffer whenever it is full.
func (w *writer) add(b []byte, first bool) error {
	if w.buf == nil {
		w.buf = make([]byte, 0, writeSize)
	}
	if first {
		if len(w.buf)+lengthSize > writeSize {
			if err := w.flush(); err != nil {
				return err
			}
		}
		w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(len(b)+w.left))
		if len(b) > 0 {
			w.count++
		}
	}
	for len(b) > 0 {
		n := min(len(b), writeSize-len(w.buf))
		w.buf = append(w.buf, b[:n]...)
		if b = b[n:]; len(b) == 0 {
			break
		}
		if err := w.flush(); err != nil {
			return err
		}
	}
	return nil
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
