// Package client submits updates to a Prime cluster and believes a result when f+1 replicas say the same: at least one of
// them is correct, whatever the others do.
//
// A client is an Ed25519 key. Its updates are numbered, and each number takes effect at most once, so asking again is always
// safe; the client does so by itself when a replica does not answer. One Client may be used by any number of goroutines, but
// one key by one Client at a time: two would give different updates the same number.
//
// Numbers start at the machine's clock, in microseconds since 1970, and rise by one for each update. A client that restarts
// goes on above all numbers that it used, as long as its clock is not set back.
package client

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"github.com/primebft/prime/internal/clientwire"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// Client is a connection to each replica of a cluster. Make one with Dial.
type Client struct {
	cfg   Config
	id    wire.ClientID
	tls   tls.Certificate
	links []*link // the home replica first

	mu     sync.Mutex
	seq    uint64 // of the next update
	open   map[uint64]*Pending
	queue  queue // the same by number
	bytes  int   // payloads in it
	closed bool
	room   chan struct{} // if somebody waits: closed when the queue changed
	change chan struct{} // if Dial waits: a token when a link's state changed
	due    chan struct{} // a token when the queue has become non-empty

	stop    context.CancelFunc
	running sync.WaitGroup
}

// Option says how one update is to be submitted.
type Option func(*Pending)

// Urgent submits to f+1 replicas at once, so that a correct one has it without waiting for a timeout.
func Urgent() Option { return func(p *Pending) { p.urgent = true } }

// Dial connects to the cluster's replicas and returns when f+1 of them, enough to believe a result, are connected. It goes on
// connecting to the others. The context bounds only Dial itself.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	cert, err := clientwire.Certificate(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	c := &Client{
		cfg: cfg, id: wire.ClientID(cfg.Key.Public().(ed25519.PublicKey)), tls: cert,
		seq:    uint64(max(1, time.Now().UnixMicro())),
		open:   map[uint64]*Pending{},
		change: make(chan struct{}, 1),
		due:    make(chan struct{}, 1),
	}
	c.link()
	life, stop := context.WithCancel(context.Background())
	c.stop = stop
	for _, l := range c.links {
		c.running.Go(func() { l.run(life) })
	}
	c.running.Go(func() { c.repeat(life) })
	if err := c.connected(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// link makes the links, the home replica first and the others after it round the group.
func (c *Client) link() {
	home := int(c.id[0]) % len(c.cfg.Replicas)
	for i, r := range c.cfg.Replicas {
		if r.ID == c.cfg.Home {
			home = i
		}
	}
	for i := range c.cfg.Replicas {
		c.links = append(c.links, newLink(c, c.cfg.Replicas[(home+i)%len(c.cfg.Replicas)]))
	}
}

// enough is f+1.
func (c *Client) enough() int { return c.cfg.F + 1 }

// connected waits until f+1 links are up, or so many replicas have turned the client away that they never will be.
func (c *Client) connected(ctx context.Context) error {
	for {
		up, away, why := 0, 0, ""
		for _, l := range c.links {
			s := l.status()
			if s.Connected {
				up++
				continue
			}
			if s.rejected {
				away++
			}
			if s.Why != "" {
				why += fmt.Sprintf("; r%d: %s", s.ID, s.Why)
			}
		}
		if up >= c.enough() {
			return nil
		}
		var err error
		if len(c.links)-away >= c.enough() {
			select {
			case <-c.change:
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		} else {
			err = fmt.Errorf("too many replicas turned the client away")
		}
		return fmt.Errorf("client: connected to %d replicas, %d are needed: %w%s", up, c.enough(), err, why)
	}
}

// ID is the client's public key, its name in the cluster.
func (c *Client) ID() [32]byte { return c.id }

// Replicas is the state of the connection to each replica, the home replica first.
func (c *Client) Replicas() []Status {
	all := make([]Status, len(c.links))
	for i, l := range c.links {
		all[i] = l.status().Status
	}
	return all
}

// Submit submits an update and waits for its result.
func (c *Client) Submit(ctx context.Context, payload []byte, opts ...Option) (Result, error) {
	p, err := c.SubmitAsync(ctx, payload, opts...)
	if err != nil {
		return Result{}, err
	}
	return p.Result()
}

// SubmitAsync submits an update and returns at once, unless the session's window or the client's buffer is full: then it
// waits for an older update's outcome. The context bounds the whole life of the update; without a deadline Config.Timeout
// does. An error means that nothing was sent.
func (c *Client) SubmitAsync(ctx context.Context, payload []byte, opts ...Option) (*Pending, error) {
	return c.submit(ctx, 0, payload, opts)
}

// Resume asks again for an update whose outcome is unknown. number and payload must be those of the update: the result of a
// number is that of the payload it was first executed with.
func (c *Client) Resume(ctx context.Context, number uint64, payload []byte, opts ...Option) (*Pending, error) {
	if number == 0 {
		return nil, fmt.Errorf("client: update 0 does not exist")
	}
	return c.submit(ctx, number, payload, opts)
}

func (c *Client) submit(ctx context.Context, number uint64, payload []byte, opts []Option) (*Pending, error) {
	if len(payload) > c.cfg.UpdateBytes {
		return nil, fmt.Errorf("%w: %d bytes; the cluster takes %d", ErrOversized, len(payload), c.cfg.UpdateBytes)
	}
	p := &Pending{c: c, seq: number, size: len(payload), done: make(chan struct{})}
	for _, o := range opts {
		o(p)
	}
	if _, ok := ctx.Deadline(); !ok {
		p.expires = time.Now().Add(c.cfg.Timeout)
	}
	if err := c.enter(ctx, p); err != nil {
		return nil, err
	}
	frame, err := c.frame(p.seq, payload)
	if err != nil {
		c.resolve(p, err)
		return nil, err
	}
	c.mu.Lock()
	if c.open[p.seq] == p { // and was not ended by Close
		p.frame = frame
		c.ask(p)
	}
	c.mu.Unlock()
	if ctx.Done() != nil {
		detach := context.AfterFunc(ctx, func() { c.resolve(p, &OutcomeUnknownError{p.seq, ctx.Err()}) })
		c.mu.Lock()
		p.detach = detach
		over := c.open[p.seq] != p
		c.mu.Unlock()
		if over {
			detach()
		}
	}
	return p, nil
}

// enter waits for room, numbers the update and notes it.
func (c *Client) enter(ctx context.Context, p *Pending) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if c.closed {
			return ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("client: not submitted: %w", err)
		}
		if c.fits(p) {
			break
		}
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		c.mu.Lock()
	}
	if p.seq == 0 {
		p.seq = c.seq
		c.seq++
	} else if _, ok := c.open[p.seq]; ok {
		return fmt.Errorf("client: update %d is on its way already", p.seq)
	} else if p.seq >= c.seq {
		return fmt.Errorf("client: update %d was not submitted before", p.seq)
	}
	if len(c.open) == 0 {
		signal(c.due)
	}
	c.open[p.seq] = p
	c.queue.insert(p)
	c.bytes += p.size
	return nil
}

// fits reports whether there is room for p: in memory, and for a new number in the session's window, so that no number falls
// out of it before its outcome is known.
func (c *Client) fits(p *Pending) bool {
	if c.bytes > 0 && c.bytes+p.size > c.cfg.BufferBytes {
		return false
	}
	if p.seq != 0 {
		return len(c.open) < 2*c.cfg.Window
	}
	return c.queue.first == nil || c.seq-c.queue.first.seq < uint64(c.cfg.Window)
}

// frame makes the Submit of an update, signed if the cluster wants that.
func (c *Client) frame(seq uint64, payload []byte) ([]byte, error) {
	s := clientwire.Submit{Seq: seq, Payload: payload}
	if c.cfg.SignedUpdates {
		u := wire.Update{Client: c.id, Seq: seq, Payload: payload}
		sig, err := c.cfg.Key.Sign(rand.Reader, wire.UpdateStatement(c.cfg.Cluster, &u), crypto.Hash(0))
		if err != nil {
			return nil, fmt.Errorf("client: signing an update: %w", err)
		}
		s.Signed = true
		copy(s.Sig[:], sig)
	}
	return clientwire.AppendSubmit(make([]byte, 0, clientwire.MaxSubmitPrefix+clientwire.HeaderSize+len(payload)), &s), nil
}

// resolve ends an update that failed.
func (c *Client) resolve(p *Pending, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(p, Result{}, err)
}

// end gives an update its outcome, unless it has one.
func (c *Client) end(p *Pending, r Result, err error) {
	if c.open[p.seq] != p {
		return
	}
	delete(c.open, p.seq)
	c.queue.remove(p)
	c.bytes -= p.size
	p.result, p.err, p.frame = r, err, nil
	if p.detach != nil {
		p.detach()
	}
	close(p.done)
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
}

// Close ends every connection and every update without an outcome, and waits for the client's goroutines.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	for c.queue.first != nil {
		p := c.queue.first
		c.end(p, Result{}, &OutcomeUnknownError{p.seq, ErrClosed})
	}
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
	c.mu.Unlock()
	c.stop()
	c.running.Wait()
	return nil
}

// signal puts a token into a channel that has room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// reply counts a replica's reply. The result is copied only if it is the one that makes f+1.
func (c *Client) reply(from group.ID, r *clientwire.Reply, digest [32]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.open[r.Seq]
	if p == nil || !p.count(from, digest, c.enough()) {
		return
	}
	c.end(p, Result{Epoch: r.Epoch, Ordinal: r.Ordinal, Index: r.Index, Seq: r.Seq, Value: bytes.Clone(r.Result)}, nil)
}

// wants reports whether a reply of this replica would count.
func (c *Client) wants(from group.ID, seq uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.open[seq]
	return p != nil && !p.voted.Has(from)
}
