package gateway

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// keepBytes is how large a buffer is kept for the next who needs one.
const keepBytes = 1 << 20

// outboxes is what all outboxes share: a bound on what gathers in all of them, and their empty buffers.
type outboxes struct {
	limit   int64
	charged atomic.Int64
	buffers sync.Pool // of *[]byte
}

func (p *outboxes) take() []byte {
	if b, ok := p.buffers.Get().(*[]byte); ok {
		return *b
	}
	return nil
}

func (p *outboxes) give(b []byte) {
	if b = b[:0]; cap(b) > 0 && cap(b) <= keepBytes {
		p.buffers.Put(&b)
	}
}

// outbox is what one connection has still to be sent. Whoever has something for the client appends it and goes on; a writer
// sends what has gathered while it sent the last. A client that lets more gather than it may is cut off; so is the one that
// has let most gather, when all of them together have too much.
type outbox struct {
	s      *session
	limit  int
	shared *outboxes
	wake   chan struct{} // holds a token when there is something to do

	mu      sync.Mutex
	buf     []byte
	charged int  // bytes in buf, being written, or reserved
	stopped bool // nothing more is sent, and nothing is charged
	ending  bool // stop when buf is written
}

func (o *outbox) init(s *session) {
	o.s, o.limit, o.shared, o.wake = s, s.g.cfg.QueueBytes, &s.g.outboxes, make(chan struct{}, 1)
}

// append adds what fn appends. Refusals and pongs count like replies: a client can ask for them as fast as it likes.
func (o *outbox) append(fn func([]byte) []byte) { o.fulfil(0, fn) }

// fulfil appends a frame for which so many bytes were reserved.
func (o *outbox) fulfil(reserved int, fn func([]byte) []byte) {
	if o.put(reserved, fn) {
		o.signal()
		o.s.g.relieve()
	}
}

func (o *outbox) put(reserved int, fn func([]byte) []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped {
		return false
	}
	o.charge(-reserved)
	if o.ending {
		return false
	}
	if o.buf == nil {
		o.buf = o.shared.take()
	}
	before := len(o.buf)
	o.buf = fn(o.buf)
	o.charge(len(o.buf) - before)
	return o.within()
}

// reserve charges the outbox for a frame that is still being signed, and reports whether the frame is wanted.
func (o *outbox) reserve(size int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped || o.ending {
		return false
	}
	o.charge(size)
	return o.within()
}

func (o *outbox) charge(n int) {
	o.charged += n
	o.shared.charged.Add(int64(n))
}

// within cuts the client off if it has let too much gather.
func (o *outbox) within() bool {
	if o.charged <= o.limit {
		return true
	}
	o.s.g.stats.slow.Add(1)
	o.abort()
	return false
}

// abort drops what is queued and closes the connection, below TLS, which does not block. The caller holds o.mu.
func (o *outbox) abort() {
	o.charge(-o.charged)
	o.stopped, o.buf = true, nil
	o.s.raw.Close()
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// relieve cuts off the client that has let most gather while all of them have too much. It is called with nothing locked.
func (g *Gateway) relieve() {
	for g.outboxes.charged.Load() > g.outboxes.limit {
		var worst *outbox
		most := 0
		for _, s := range g.clients.all() {
			if n := s.out.size(); n > most {
				worst, most = &s.out, n
			}
		}
		if worst == nil {
			return
		}
		g.log.warn("replies that clients do not read fill the memory for them; the slowest client is cut off",
			"client", worst.s.client, "bytes", most)
		worst.cut()
	}
}

func (o *outbox) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.charged
}

func (o *outbox) cut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.stopped {
		o.s.g.stats.slow.Add(1)
		o.abort()
	}
}

// finish appends a last frame and has the writer say goodbye after it, by the deadline at the latest.
func (o *outbox) finish(deadline time.Time, fn func([]byte) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped || o.ending {
		return
	}
	before := len(o.buf)
	o.buf = fn(o.buf)
	o.charge(len(o.buf) - before)
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

// stop ends the session without a goodbye, unless it is saying one.
func (o *outbox) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ending && !o.stopped {
		o.abort()
	}
}

// forgo drops what is queued for a connection that does not become a session.
func (o *outbox) forgo() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.charge(-o.charged)
	o.stopped, o.buf = true, nil
}

// settle gives back what is still charged when the session is over.
func (o *outbox) settle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.stopped {
		o.abort()
	}
}

// write is the writer. When the session ends with a goodbye it leaves the connection open, so that what the client still
// sends is taken in and does not reset the connection before the client has read everything.
func (o *outbox) write() {
	for range o.wake {
		for {
			o.mu.Lock()
			batch, stopped, ending := o.buf, o.stopped, o.ending
			o.buf = nil
			o.mu.Unlock()
			if stopped {
				return
			}
			if len(batch) == 0 {
				if ending {
					_ = o.s.conn.CloseWrite() // best effort: tells the client that this was all
					return
				}
				break
			}
			err := o.send(batch)
			o.shared.give(batch)
			if err != nil {
				return
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
	if o.stopped {
		return errStopped
	}
	o.charge(-len(batch))
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) && !o.ending {
			o.s.g.stats.slow.Add(1)
		}
		o.abort() // ends the reader
	}
	return err
}
