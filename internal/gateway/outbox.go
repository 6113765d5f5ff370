package gateway

import (
	"errors"
	"os"
	"sync"
	"time"
)

// keepBytes is how large a buffer an outbox keeps when it is empty.
const keepBytes = 64 << 10

// outbox is what one connection has still to be sent. Whoever has something for the client appends it and goes on; a writer
// sends what has gathered while it sent the last. A client that lets more gather than it may is cut off.
type outbox struct {
	s     *session
	limit int
	wake  chan struct{} // holds a token when there is something to do

	mu      sync.Mutex
	buf     []byte
	charged int  // bytes in buf, being written, or reserved
	stopped bool // nothing more is sent
	ending  bool // stop when buf is written
}

func (o *outbox) init(s *session) {
	o.s, o.limit, o.wake = s, s.g.cfg.QueueBytes, make(chan struct{}, 1)
}

// append adds what fn appends. Refusals and pongs count like replies: a client can ask for them as fast as it likes.
func (o *outbox) append(fn func([]byte) []byte) {
	if o.put(0, fn) {
		o.signal()
	}
}

func (o *outbox) put(reserved int, fn func([]byte) []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.charged -= reserved
	if o.stopped || o.ending {
		return false
	}
	before := len(o.buf)
	o.buf = fn(o.buf)
	o.charged += len(o.buf) - before
	return o.within()
}

// within cuts the client off if it has let too much gather. Closing the connection below TLS does not block.
func (o *outbox) within() bool {
	if o.charged <= o.limit {
		return true
	}
	o.stopped, o.buf = true, nil
	o.s.raw.Close()
	o.s.g.stats.slow.Add(1)
	o.signal()
	return false
}

// reserve charges the outbox for a frame that is still being signed, and reports whether the frame is wanted.
func (o *outbox) reserve(size int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped || o.ending {
		return false
	}
	o.charged += size
	return o.within()
}

// fulfil appends a frame for which size was reserved.
func (o *outbox) fulfil(size int, fn func([]byte) []byte) {
	if o.put(size, fn) {
		o.signal()
	}
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// finish appends a last frame and has the writer say goodbye after it, by the deadline at the latest.
func (o *outbox) finish(deadline time.Time, fn func([]byte) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped || o.ending {
		return
	}
	o.buf = fn(o.buf)
	o.ending = true
	_ = o.s.raw.SetDeadline(deadline) // fails if the connection is gone: so be it
	o.signal()
}

// moveDeadline sets a deadline unless the session is ending: then its last one stands.
func (o *outbox) moveDeadline(set func(time.Time) error, to time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending {
		return nil
	}
	return set(to)
}

// drained reports whether the session ended with a goodbye, which the client should have time to read.
func (o *outbox) drained() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ending && !o.stopped
}

// stop drops what is queued and closes the connection.
func (o *outbox) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ending {
		o.stopped, o.buf = true, nil
		o.s.raw.Close()
	}
	o.signal()
}

// write is the writer. When the session ends with a goodbye it leaves the connection open, so that what the client still
// sends is taken in and does not reset the connection before the client has read everything.
func (o *outbox) write() {
	var spare []byte
	for range o.wake {
		for {
			o.mu.Lock()
			batch, stopped, ending := o.buf, o.stopped, o.ending
			o.buf = spare[:0]
			o.mu.Unlock()
			if stopped {
				return
			}
			if len(batch) == 0 && ending {
				_ = o.s.conn.CloseWrite() // best effort: tells the client that this was all
				return
			}
			if spare = batch; len(batch) == 0 {
				break
			}
			if err := o.send(batch); err != nil {
				o.s.raw.Close() // ends the reader
				return
			}
			if cap(spare) > keepBytes {
				spare = nil
			}
		}
	}
}

// send writes one batch and settles its charge.
func (o *outbox) send(batch []byte) error {
	err := o.moveDeadline(o.s.raw.SetWriteDeadline, time.Now().Add(o.s.g.cfg.WriteTimeout))
	if err == nil {
		_, err = o.s.conn.Write(batch)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.charged -= len(batch)
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) && !o.stopped && !o.ending {
			o.s.g.stats.slow.Add(1)
		}
		o.stopped, o.buf = true, nil
	}
	return err
}
