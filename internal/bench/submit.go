// Package bench puts load on a cluster and measures what becomes of it: throughput, latency, what the replicas use, and
// whether every running replica delivered what was acknowledged, in one order.
//
// All load comes from one process. In the paired model it goes over each replica's control socket, as from the application
// beside it; otherwise over the client port, as from end clients, by package client (docs/performance.md has the measurements
// behind that choice).
package bench

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/primebft/prime/client"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/cluster"
	"github.com/primebft/prime/internal/local"
)

// Ack is an acknowledged update: its name, and its place in the order.
type Ack struct {
	Client  [32]byte
	Seq     uint64
	Ordinal uint64
	Index   uint32
}

// Submitter is one client of the cluster. It is used by many goroutines at once.
type Submitter interface {
	// Submit waits for the outcome. It ends with an error when the submitter is closed.
	Submit(payload []byte) (Ack, error)
	Close() error
}

// Through is the way by which updates enter the cluster.
type Through string

// The ways into a cluster.
const (
	Socket Through = "socket" // the replica's control socket: the client is the replica itself
	Port   Through = "port"   // the client port: each client has a key of its own and asks f+1 replicas
)

// ThroughFor is the way in that fits who vouches for updates.
func ThroughFor(auth config.Auth) Through {
	if auth == config.AuthClient {
		return Port
	}
	return Socket
}

// connect makes client number i (from 0); clients are spread over the running replicas. By the client port, an update without an
// answer goes to another replica after retry. home is the replica of the client.
func connect(ctx context.Context, c *cluster.Cluster, through Through, retry time.Duration, i int) (s Submitter, home int, err error) {
	running := c.Running()
	if len(running) == 0 {
		return nil, 0, errors.New("no replica is running")
	}
	at := running[i%len(running)]
	if through == Socket {
		conn, err := local.Dial(ctx, at.Folder)
		if err != nil {
			return nil, 0, fmt.Errorf("r%d: %w", at.ID, err)
		}
		return socketSubmitter{conn}, at.ID, nil
	}
	if !c.Config.AnyClient {
		return nil, 0, errors.New("cluster.toml lists its clients: a benchmark through the client port needs clients = \"any\"")
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, 0, err
	}
	cfg := client.FromCluster(c.Config, key)
	cfg.Home, cfg.Retry = at.ID, retry
	conn, err := client.Dial(ctx, cfg)
	if err != nil {
		return nil, 0, err
	}
	return portSubmitter{conn}, at.ID, nil
}

type socketSubmitter struct{ conn *local.Client }

func (s socketSubmitter) Submit(payload []byte) (Ack, error) {
	outcome, err := s.conn.Send(payload)
	if err != nil {
		return Ack{}, err
	}
	o := <-outcome
	return Ack{o.Result.Client, o.Result.Seq, o.Result.Ordinal, o.Result.Index}, o.Err
}

func (s socketSubmitter) Close() error { return s.conn.Close() }

type portSubmitter struct{ conn *client.Client }

func (s portSubmitter) Submit(payload []byte) (Ack, error) {
	pending, err := s.conn.SubmitAsync(context.Background(), payload)
	if err != nil {
		return Ack{}, err
	}
	r, err := pending.Result()
	return Ack{s.conn.ID(), pending.Seq(), r.Ordinal, r.Index}, err
}

func (s portSubmitter) Close() error { return s.conn.Close() }

// busy reports whether the update was refused because a queue was full: it may be tried again.
func busy(err error) bool {
	var f *local.Failure
	return errors.Is(err, client.ErrOverloaded) || errors.As(err, &f) && f.Code == local.Overloaded
}

// over reports whether nothing can be submitted by this way any more.
func over(err error) bool {
	var f *local.Failure
	switch {
	case errors.As(err, &f):
		return f.Code == local.Closed || f.Code == local.Protocol
	case errors.Is(err, client.ErrClosed):
		return true
	}
	return !errors.Is(err, client.ErrOutcomeUnknown) && !errors.Is(err, client.ErrOverloaded) &&
		!errors.Is(err, client.ErrSessionExpired)
}
