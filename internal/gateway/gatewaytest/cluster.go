// Package gatewaytest runs the client ports of a whole cluster in one process, with a plain sequencer in place of the
// protocol, so that clients in any language can be tested against real sockets and replicas that lie, stall or refuse.
package gatewaytest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/gateway"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/reply"
	"github.com/primebft/prime/internal/wire"
)

// Cluster is n client ports over one order. The result of an update is "ok:" and its payload.
type Cluster struct {
	Group    group.Group
	ID       [32]byte
	Replicas []*Replica // by group.ID.Index

	mu       sync.Mutex
	ordinal  uint64
	executed map[reply.Key]int // times
}

// Replica is one client port. OnSubmit and OnReply make it misbehave; they are set before it is used.
type Replica struct {
	*gateway.Gateway
	ID      group.ID
	Key     ed25519.PrivateKey
	Address string

	// OnSubmit may refuse an update, or with ErrSwallow lose it.
	OnSubmit func(u wire.Update) error
	// OnReply changes what the replica says of an executed update; false: it says nothing.
	OnReply func(r *reply.Reply) bool

	cluster *Cluster
	config  gateway.Config
	store   *reply.Store
}

// ErrSwallow makes a replica take an update and do nothing with it.
var ErrSwallow = fmt.Errorf("swallowed")

// ErrExpired makes a replica refuse an update as that of a forgotten session.
var ErrExpired = fmt.Errorf("expired")

// Key is a fixed key for tests.
func Key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// New starts a cluster on free ports of the loopback interface and stops it when the test ends. change may alter the
// configuration of each gateway.
func New(t testing.TB, g group.Group, change func(id group.ID, cfg *gateway.Config)) *Cluster {
	c := &Cluster{Group: g, ID: sha256.Sum256([]byte(t.Name())), executed: map[reply.Key]int{}}
	for id := range g.All().All() {
		r := &Replica{ID: id, Key: Key(id.String()), cluster: c, store: reply.New(64 << 20)}
		r.config = gateway.Config{Cluster: c.ID, Epoch: 1, Replica: id, Group: g, Key: r.Key}
		if change != nil {
			change(id, &r.config)
		}
		r.Address = "127.0.0.1:0"
		r.Start(t)
		c.Replicas = append(c.Replicas, r)
	}
	t.Cleanup(func() {
		for _, r := range c.Replicas {
			r.Close()
		}
	})
	return c
}

// Start opens the replica's port, again if it was closed.
func (r *Replica) Start(t testing.TB) {
	t.Helper()
	ln, err := net.Listen("tcp", r.Address)
	if err != nil {
		t.Fatal(err)
	}
	r.Address = ln.Addr().String()
	if r.Gateway, err = gateway.Start(ln, r.config, r); err != nil {
		t.Fatal(err)
	}
}

// Replies implements gateway.Backend.
func (r *Replica) Replies() *reply.Store { return r.store }

// Submit implements gateway.Backend: the update is executed at once, everywhere.
func (r *Replica) Submit(u wire.Update) error {
	if r.OnSubmit != nil {
		switch err := r.OnSubmit(u); err {
		case nil:
		case ErrSwallow:
			return nil
		case ErrExpired:
			r.store.Refuse([]effect.Refusal{{Client: u.Client, Seq: u.Seq, Why: effect.Expired}})
			return nil
		default:
			return err
		}
	}
	r.cluster.execute(r, u)
	return nil
}

func (c *Cluster) execute(by *Replica, u wire.Update) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := reply.Key{Client: u.Client, Seq: u.Seq}
	if c.executed[key] > 0 {
		by.store.Refuse([]effect.Refusal{{Client: u.Client, Seq: u.Seq, Why: effect.Duplicate}})
		return
	}
	c.executed[key]++
	c.ordinal++
	for _, r := range c.Replicas {
		p := reply.Reply{Key: key, Epoch: 1, Ordinal: c.ordinal, Index: 1, Result: append([]byte("ok:"), u.Payload...)}
		if r.OnReply == nil || r.OnReply(&p) {
			r.store.Put([]reply.Reply{p})
		}
	}
}

// Executed is how many updates were executed.
func (c *Cluster) Executed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.executed)
}

// Eventually waits until cond holds.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	late := time.After(30 * time.Second)
	for !cond() {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("never: %s", what)
		}
	}
}
