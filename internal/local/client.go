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
	"sync"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/localframe"
	"github.com/primebft/prime/internal/unixsock"
)

// ErrNotRunning means that no replica serves the folder's control socket.
var ErrNotRunning = errors.New("no replica runs in this folder: start it with prime run --dir")

// errCut is the end of a conversation without a last word.
var errCut = errors.New("the replica ended the conversation: it was killed, or this client was too slow")

// Client is a conversation with the replica of a folder. It is safe for concurrent use, except Watch, which has the
// conversation for itself.
type Client struct {
	sock   *net.UnixConn
	frames *localframe.Reader
	info   Info

	write sync.Mutex // of the socket

	mu      sync.Mutex
	next    uint64
	pending map[uint64]chan Outcome
	err     error         // why the conversation ended
	reading bool          // read was started
	ended   chan struct{} // closed when read has ended
}

// Outcome is what became of a request.
type Outcome struct {
	Result Result
	report json.RawMessage
	Err    error
}

// Dial begins a conversation with the replica that runs in folder.
func Dial(ctx context.Context, folder string) (*Client, error) {
	sock, err := unixsock.Dial(ctx, folder, SocketName)
	if errors.Is(err, unixsock.ErrNotRunning) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	c := &Client{sock: sock, frames: localframe.NewReader(bufio.NewReaderSize(sock, 64<<10), maxAnswer),
		pending: make(map[uint64]chan Outcome), ended: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { _ = sock.SetDeadline(time.Now()) })
	err = c.greet()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = sock.Close()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, err
	}
	return c, nil
}

func (c *Client) greet() error {
	// A replica that is full says so without reading, which makes the write fail: what it said is looked at first.
	_, failed := c.sock.Write(request{kind: kindHello, version: version}.append(nil))
	a, err := c.receive(nil)
	switch {
	case err != nil && failed != nil:
		return failed
	case err != nil:
		return err
	case a.kind == kindFailure:
		return &a.failure
	case a.kind != kindWelcome:
		return errors.New("this is not the control socket of a replica")
	case a.version != version:
		return fmt.Errorf("the replica speaks version %d of the control socket, this program version %d: use the same release",
			a.version, version)
	}
	c.info = a.info
	return nil
}

// Info is what the replica said of itself.
func (c *Client) Info() Info { return c.info }

// receive takes the next frame. into is reused for records.
func (c *Client) receive(into []app.Record) (answer, error) {
	kind, body, err := c.frames.Next()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errCut
	}
	if err != nil {
		return answer{}, err
	}
	return parseAnswer(kind, body, into)
}

// Send submits an update without waiting for its outcome, which comes by the channel, once. Updates are introduced in the order
// of the calls. Whoever calls Send often bounds what is outstanding; the replica takes 1,024 from one conversation.
func (c *Client) Send(payload []byte) (<-chan Outcome, error) {
	if len(payload) > c.info.UpdateBytes {
		return nil, Oversize(len(payload), c.info.UpdateBytes)
	}
	return c.send(request{kind: kindSubmit, payload: payload})
}

// Submit submits an update and waits for its result. An error that is no *Failure, such as that of ctx, leaves open whether the
// update was or will be executed.
func (c *Client) Submit(ctx context.Context, payload []byte) (Result, error) {
	outcome, err := c.Send(payload)
	if err != nil {
		return Result{}, err
	}
	o := wait(ctx, outcome)
	return o.Result, o.Err
}

// Status asks for the replica's state.
func (c *Client) Status(ctx context.Context) (json.RawMessage, error) {
	outcome, err := c.send(request{kind: kindStatus})
	if err != nil {
		return nil, err
	}
	o := wait(ctx, outcome)
	return o.report, o.Err
}

func wait(ctx context.Context, outcome <-chan Outcome) Outcome {
	select {
	case o := <-outcome:
		return o
	case <-ctx.Done():
		return Outcome{Err: context.Cause(ctx)}
	}
}

func (c *Client) send(q request) (<-chan Outcome, error) {
	outcome := make(chan Outcome, 1)
	c.write.Lock() // numbers are written in their order
	defer c.write.Unlock()
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil, c.err
	}
	if !c.reading {
		c.reading = true
		go c.read()
	}
	c.next++
	q.number = c.next
	c.pending[q.number] = outcome
	c.mu.Unlock()
	if _, err := c.sock.Write(q.append(nil)); err != nil {
		// The reader knows better why, and tells everybody who waits.
		_ = c.sock.CloseWrite()
	}
	return outcome, nil
}

// read hands out answers until the conversation ends.
func (c *Client) read() {
	defer close(c.ended)
	for {
		a, err := c.receive(nil)
		if err == nil && a.kind == kindFailure && a.number == 0 {
			err = &a.failure
		}
		o := Outcome{}
		switch {
		case err != nil:
		case a.kind == kindResult:
			o.Result = a.result
			o.Result.Result = bytes.Clone(a.result.Result)
		case a.kind == kindReport:
			o.report = bytes.Clone(a.report)
		case a.kind == kindFailure:
			o.Err = &a.failure
		default:
			err = fmt.Errorf("the replica sent an answer that nobody asked for (%d)", a.kind)
		}
		if err != nil {
			c.fail(err)
			return
		}
		c.mu.Lock()
		waiting := c.pending[a.number]
		delete(c.pending, a.number)
		c.mu.Unlock()
		if waiting != nil {
			waiting <- o
		}
	}
}

func (c *Client) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	for number, waiting := range c.pending {
		waiting <- Outcome{Err: err}
		delete(c.pending, number)
	}
}

// Watch calls fn with consecutive records, from the first of ordinal from (0: the next that is executed), until ctx ends, fn
// fails or the replica ends it; it always returns an error. Records are valid during the call. Nothing was sent before in this
// conversation and nothing can be sent after.
func (c *Client) Watch(ctx context.Context, from uint64, fn func([]app.Record) error) error {
	return c.watch(ctx, request{kind: kindWatch, number: from}, fn)
}

// Follow is Watch without the payloads of the records, for whoever only wants to know what was ordered and when.
func (c *Client) Follow(ctx context.Context, from uint64, fn func([]app.Record) error) error {
	return c.watch(ctx, request{kind: kindFollow, number: from}, fn)
}

func (c *Client) watch(ctx context.Context, q request, fn func([]app.Record) error) error {
	stop := context.AfterFunc(ctx, func() { _ = c.sock.SetDeadline(time.Now()) })
	defer stop()
	if _, err := c.sock.Write(q.append(nil)); err != nil && ctx.Err() == nil {
		return err
	}
	var records []app.Record
	for {
		a, err := c.receive(records)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case a.kind == kindFailure:
			return &a.failure
		case a.kind != kindRecords:
			return fmt.Errorf("the replica sent an answer that nobody asked for (%d)", a.kind)
		}
		records = a.records
		if err := fn(records); err != nil {
			return err
		}
	}
}

// Close ends the conversation.
func (c *Client) Close() error {
	err := c.sock.Close()
	c.mu.Lock()
	reading := c.reading
	if !reading && c.err == nil {
		c.err = net.ErrClosed
	}
	c.mu.Unlock()
	if reading {
		<-c.ended
	}
	return err
}
