package local

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/localframe"
)

// conn is one conversation, seen from the replica. One goroutine reads requests, another writes answers; results come from
// the replica's goroutines and only append to out.
type conn struct {
	server *Server
	sock   *net.UnixConn
	frames *localframe.Reader

	mu      sync.Mutex
	changed sync.Cond
	out     []byte // answers to be written
	count   int    // answers in out
	waiting int    // requests whose answers have not been written
	bytes   int    // payloads of updates without an answer
	stopped bool   // no more requests are read
	ended   bool   // the writer writes what there is and ends; nothing is added any more
}

func newConn(s *Server, sock *net.UnixConn) *conn {
	c := &conn{server: s, sock: sock, frames: localframe.NewReader(bufio.NewReaderSize(sock, 32<<10), maxRequest)}
	c.changed.L = &c.mu
	return c
}

// stop makes serve return soon: no more requests, and only a moment for a client that does not take its answers.
func (c *conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.changed.Broadcast()
	_ = c.sock.SetReadDeadline(time.Now())
	_ = c.sock.SetWriteDeadline(time.Now().Add(flushTimeout))
}

func (c *conn) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer func() { _ = c.sock.Close() }()
	defer cancel()
	if err := c.greet(); err != nil {
		return
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write()
	}()
	watch, err := c.requests(ctx)
	if watch != nil {
		err = c.watch(ctx, watch)
	}
	c.settle(err)
	<-written
}

// greet exchanges the first frames.
func (c *conn) greet() error {
	c.deadline(time.Now().Add(helloTimeout))
	kind, body, err := c.frames.Next()
	if err != nil {
		return err
	}
	q, err := parseRequest(kind, body)
	if err == nil && q.kind != kindHello {
		err = errors.New("a conversation begins with Hello")
	}
	if err == nil && q.version != version {
		err = fmt.Errorf("the client speaks version %d of the control socket, the replica version %d: use the same release", q.version, version)
	}
	if err != nil {
		f := Failure{Code: Protocol, Text: err.Error()}
		_, _ = c.sock.Write(answer{kind: kindFailure, failure: f}.append(nil))
		return err
	}
	if _, err := c.sock.Write(answer{kind: kindWelcome, version: version, info: c.server.replica.Info()}.append(nil)); err != nil {
		return err
	}
	c.deadline(time.Time{})
	return nil
}

// deadline sets the time until which the client must be done, unless stop has set an earlier one.
func (c *conn) deadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped {
		_ = c.sock.SetDeadline(t)
	}
}

// requests reads until the client leaves, breaks a rule or begins to watch, and returns that request then.
func (c *conn) requests(ctx context.Context) (watch *request, err error) {
	for first := true; c.room(); first = false {
		kind, body, err := c.frames.Next()
		if errors.Is(err, localframe.ErrTooLong) || errors.Is(err, localframe.ErrNoKind) {
			err = &Failure{Code: Protocol, Text: err.Error()}
		}
		if err != nil {
			return nil, err
		}
		q, err := parseRequest(kind, body)
		if err != nil {
			return nil, &Failure{Code: Protocol, Text: err.Error()}
		}
		switch {
		case q.kind == kindSubmit:
			c.submit(ctx, q.number, bytes.Clone(q.payload))
		case q.kind == kindStatus:
			c.status(q.number)
		case (q.kind == kindWatch || q.kind == kindFollow) && first:
			return &q, nil
		default:
			return nil, &Failure{Code: Protocol, Text: "this request is not allowed at this point"}
		}
	}
	return nil, nil
}

// room waits until another request may be read; false if there will be no more.
func (c *conn) room() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.stopped && !c.ended && (c.waiting >= maxWaiting || c.bytes >= maxBytes) {
		c.changed.Wait()
	}
	return !c.stopped && !c.ended
}

func (c *conn) submit(ctx context.Context, number uint64, payload []byte) {
	size := len(payload)
	c.begin(size)
	if limit := c.server.replica.Info().UpdateBytes; size > limit {
		c.finish(size, answer{kind: kindFailure, number: number, failure: *Oversize(size, limit)})
		return
	}
	c.server.replica.Submit(ctx, payload, func(r Result, err error) {
		a := answer{kind: kindResult, number: number, result: r}
		if err == nil && len(r.Result) > maxResult {
			err = fmt.Errorf("executed as %d.%d, but its result has %d bytes: more than the control socket carries (%d)",
				r.Ordinal, r.Index, len(r.Result), maxResult)
		}
		if err != nil {
			a = answer{kind: kindFailure, number: number, failure: *asFailure(err)}
		}
		c.finish(size, a)
	})
}

// Oversize is the failure of an update of size bytes, 0 if that is not known, where limit are allowed.
func Oversize(size, limit int) *Failure {
	text := fmt.Sprintf("the update has %d bytes, the cluster allows %d", size, limit)
	if size == 0 {
		text = fmt.Sprintf("the update has more than the %d bytes that the cluster allows", limit)
	}
	return &Failure{Code: Oversized, Text: text + ": make it smaller, or set limits.update_bytes in cluster.toml of a new cluster"}
}

func (c *conn) status(number uint64) {
	c.begin(0)
	report, err := c.server.replica.Status()
	var text []byte
	if err == nil {
		text, err = json.Marshal(report)
	}
	if err != nil {
		c.finish(0, answer{kind: kindFailure, number: number, failure: *asFailure(err)})
		return
	}
	c.finish(0, answer{kind: kindReport, number: number, report: text})
}

// begin counts a request that was read.
func (c *conn) begin(size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting++
	c.bytes += size
}

// finish queues an answer. It never blocks: requests that were let in bound what can come.
func (c *conn) finish(size int, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes -= size
	if c.ended {
		return
	}
	c.out = a.append(c.out)
	c.count++
	c.changed.Broadcast()
}

// settle queues a last word, if the conversation did not simply end, and lets the writer end.
func (c *conn) settle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped { // the replica stops: the client hears it whatever it was doing
		err = &Failure{Code: Closed, Text: "the replica has stopped: submit to another one"}
	}
	var f *Failure
	if errors.As(err, &f) && !c.ended {
		c.out = answer{kind: kindFailure, failure: *f}.append(c.out)
	}
	c.ended = true
	c.changed.Broadcast()
}

// write sends queued answers, as many at once as there are, until settle was called or the client is gone.
func (c *conn) write() {
	var spare []byte
	for {
		c.mu.Lock()
		for len(c.out) == 0 && !c.ended {
			c.changed.Wait()
		}
		out, count := c.out, c.count
		c.out, c.count = spare[:0], 0
		c.mu.Unlock()
		if len(out) == 0 {
			return
		}
		_, err := c.sock.Write(out)
		c.mu.Lock()
		c.waiting -= count
		c.ended = c.ended || err != nil
		c.changed.Broadcast()
		c.mu.Unlock()
		if err != nil {
			_ = c.sock.SetReadDeadline(time.Now()) // the reader ends, too
			return
		}
		spare = nil
		if cap(out) <= 1<<20 {
			spare = out
		}
	}
}

// watch sends records until the client leaves, the replica stops, or the client is too slow. Every write waits for the
// client, so nothing piles up here.
func (c *conn) watch(ctx context.Context, q *request) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	left := make(chan struct{})
	go func() { // a watcher says nothing more: whatever comes from it, the watch is over
		defer close(left)
		_, _ = io.ReadFull(c.sock, make([]byte, 1))
		cancel()
	}()
	var buf []byte
	var bare []app.Record
	err := c.server.replica.Watch(ctx, q.number, func(records []app.Record) error {
		for len(records) > 0 {
			n := localframe.Chunk(records, recordsSize)
			chunk := records[:n]
			if q.kind == kindFollow {
				bare = withoutPayloads(bare[:0], chunk)
				chunk = bare
			}
			buf = answer{kind: kindRecords, records: chunk}.append(buf[:0])
			records = records[n:]
			if _, err := c.sock.Write(buf); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	_ = c.sock.SetReadDeadline(time.Now())
	<-left
	if err != nil {
		err = asFailure(err)
	}
	return err
}

// withoutPayloads appends copies of records to into; the records themselves are shared.
func withoutPayloads(into, records []app.Record) []app.Record {
	for _, r := range records {
		r.Payload = nil
		into = append(into, r)
	}
	return into
}
