// Package gateway is a replica's port for clients: it authenticates them, takes their updates fairly, and sends them the
// results of all their updates, whichever replica introduced them.
//
// A client is an Ed25519 key, proved in the TLS handshake. Everything that a client or a stranger can make grow is bounded:
// half-open connections (the oldest gives way), connections, bytes of updates that wait, bytes of replies that it does not
// read. docs/client-protocol.md describes what is said.
package gateway

import (
	"crypto"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/primebft/prime/internal/clientwire"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/reply"
	"github.com/primebft/prime/internal/wire"
)

// What a Backend answers to an update that it does not take.
var (
	ErrOverloaded = errors.New("this replica takes no more updates at present")
	ErrClosed     = errors.New("this replica is stopping")
	ErrOversized  = errors.New("the update is larger than the cluster allows")
)

// Backend is the replica behind the port.
type Backend interface {
	// Submit queues an update to be introduced and never blocks. nil means queued, and that Replies will hear of it.
	// Otherwise the error is one of this package's.
	Submit(u wire.Update) error
	// Replies is where results are found.
	Replies() *reply.Store
}

// Config is what a gateway is made with. A zero number means the default in brackets.
type Config struct {
	Cluster [32]byte
	Epoch   uint32
	Replica group.ID
	Group   group.Group
	Key     crypto.Signer // the replica's Ed25519 key: TLS, and the signatures of replies

	Admit         func(wire.ClientID) bool  // who may be a client; nil: anybody
	SignedUpdates bool                      // updates carry their client's signature
	Verify        func(u *wire.Update) bool // whether it is valid; nil: by the standard library's rule

	UpdateBytes int // largest payload (64 KiB)
	Window      int // sequence numbers that a session remembers (1024)

	Conns            int           // connections of clients, in all (1024)
	ConnsPerClient   int           // connections of one client; when it opens more, its oldest gives way (8)
	Handshakes       int           // connections that have not proved a key yet; the oldest gives way (256)
	HandshakeTimeout time.Duration // from accept to Welcome (5 s)
	IdleTimeout      time.Duration // without a frame from the client (60 s)
	WriteTimeout     time.Duration // for one write that makes no progress (10 s)
	ClientBytes      int           // updates of one client that wait for the backend (1 MiB, at least two of UpdateBytes)
	QueueBytes       int           // replies that one connection has not taken (4 MiB)
	AllClientBytes   int           // updates of all clients that wait, shared equally; each may have two at least (64 MiB)
	AllQueueBytes    int           // replies that all connections together have not taken; the slowest gives way (256 MiB)
	Patience         time.Duration // an update waits so long for an overloaded backend before it is refused (500 ms)
	Flush            time.Duration // Close waits so long for replies to be written (1 s)

	Log *slog.Logger // nil: none
}

func (c *Config) fill() error {
	number := func(at *int, value int) {
		if *at == 0 {
			*at = value
		}
	}
	span := func(at *time.Duration, value time.Duration) {
		if *at == 0 {
			*at = value
		}
	}
	number(&c.UpdateBytes, 64<<10)
	number(&c.Window, 1024)
	number(&c.Conns, 1024)
	number(&c.ConnsPerClient, 8)
	number(&c.Handshakes, 256)
	number(&c.ClientBytes, 1<<20)
	number(&c.QueueBytes, 4<<20)
	number(&c.AllClientBytes, 64<<20)
	number(&c.AllQueueBytes, 256<<20)
	span(&c.HandshakeTimeout, 5*time.Second)
	span(&c.IdleTimeout, time.Minute)
	span(&c.WriteTimeout, 10*time.Second)
	span(&c.Patience, 500*time.Millisecond)
	span(&c.Flush, time.Second)
	c.ClientBytes = max(c.ClientBytes, 2*(c.UpdateBytes+updateCost))
	c.QueueBytes = max(c.QueueBytes, 2*clientwire.MaxReply)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Verify == nil {
		cluster := c.Cluster
		c.Verify = func(u *wire.Update) bool {
			return ed25519.Verify(u.Client[:], wire.UpdateStatement(cluster, u), u.Sig[:])
		}
	}
	if c.UpdateBytes < 1 || c.UpdateBytes > clientwire.MaxPayload {
		return fmt.Errorf("gateway: updates of %d bytes: 1 to %d are possible", c.UpdateBytes, clientwire.MaxPayload)
	}
	if !c.Group.Has(c.Replica) {
		return fmt.Errorf("gateway: %s is not a replica of a group of %s", c.Replica, c.Group)
	}
	return nil
}

// Gateway serves clients on one listener.
type Gateway struct {
	cfg     Config
	backend Backend
	replies *reply.Store
	ln      net.Listener
	tls     *tls.Config
	log     *quietLog
	stats   counters

	slots    chan struct{} // handshake goroutines; twice as many as half-open connections, so that the evicted have time to end
	waiting  halfOpen
	clients  clients
	fair     fairQueue
	signer   signer
	outboxes outboxes
	verify   chan struct{} // signatures of updates being verified at once
	compute  chan struct{} // handshakes being computed at once

	done      chan struct{} // closed when Close begins
	closing   sync.Once
	accepting sync.WaitGroup // the accept loop and every connection
	workers   sync.WaitGroup // dispatcher and signer
}

// Start serves clients on ln until Close, which closes ln.
func Start(ln net.Listener, cfg Config, backend Backend) (*Gateway, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	cert, err := clientwire.Certificate(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g := &Gateway{
		cfg: cfg, backend: backend, replies: backend.Replies(), ln: ln,
		tls:    clientwire.ServerTLS(cert),
		log:    newQuietLog(cfg.Log),
		slots:  make(chan struct{}, 2*cfg.Handshakes),
		verify: make(chan struct{}, runtime.GOMAXPROCS(0)), compute: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		done: make(chan struct{}),
	}
	g.tls.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if m, ok := hello.Conn.(*meter); ok {
			m.h.spoke.Store(true)
		}
		return nil, nil // no other configuration
	}
	g.waiting.limit = cfg.Handshakes
	g.outboxes.limit = int64(max(cfg.AllQueueBytes, 2*clientwire.MaxReply))
	g.clients.init(cfg.Conns, cfg.ConnsPerClient)
	g.fair.init(&g.cfg)
	g.signer.init()
	g.workers.Go(g.dispatch)
	g.workers.Go(g.signReplies)
	g.accepting.Go(g.accept)
	return g, nil
}

// Addr is where the gateway listens.
func (g *Gateway) Addr() net.Addr { return g.ln.Addr() }

// Close stops accepting, refuses what waits, gives the replies that are queued a moment to be written, and waits for
// everything to end.
func (g *Gateway) Close() error {
	var err error
	g.closing.Do(func() {
		close(g.done)
		err = g.ln.Close()
		g.waiting.close()
		g.fair.close()
		g.signer.close()
		g.workers.Wait()
		for _, s := range g.clients.close() {
			s.end(clientwire.Stopping, "the replica is stopping", g.cfg.Flush)
		}
	})
	g.accepting.Wait()
	return err
}

// accept takes connections one by one. It never does more than note them: everything that a stranger can slow down is done
// by a goroutine of the connection, of which there are at most as many as slots.
func (g *Gateway) accept() {
	pause := time.Duration(0)
	for {
		select {
		case g.slots <- struct{}{}:
		case <-g.done:
			return
		}
		raw, err := g.ln.Accept()
		if err != nil {
			<-g.slots
			if pause = g.acceptFailed(err, pause); pause < 0 {
				return
			}
			continue
		}
		pause = 0
		g.stats.accepted.Add(1)
		g.accepting.Go(func() { g.serve(raw) })
	}
}

// acceptFailed waits after an error such as too many open files, longer each time, and says how long, or -1 to stop.
func (g *Gateway) acceptFailed(err error, pause time.Duration) time.Duration {
	if errors.Is(err, net.ErrClosed) {
		return -1
	}
	g.log.warn("cannot accept clients", "error", err)
	pause = min(max(2*pause, 5*time.Millisecond), time.Second)
	select {
	case <-time.After(pause):
		return pause
	case <-g.done:
		return -1
	}
}

// serve is the life of one connection: unknown, until greet proves whose it is, then a session.
func (g *Gateway) serve(raw net.Conn) {
	defer raw.Close()
	h, evicted := g.waiting.add(raw)
	if evicted {
		g.stats.evicted.Add(1)
		g.log.warn("too many connections without a handshake; the oldest gives way", "limit", g.cfg.Handshakes)
	}
	s, err := g.greet(raw, h)
	g.waiting.remove(h)
	<-g.slots
	if err != nil {
		g.stats.refused.Add(1)
		g.log.warn("client connection refused", "address", raw.RemoteAddr(), "error", err)
		return
	}
	defer g.clients.remove(s)
	s.run()
}
