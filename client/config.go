package client

import (
	"crypto"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/clientwire"
	"github.com/primebft/prime/internal/group"
)

// Config is what a client is made with. FromCluster fills it from a cluster's configuration. A zero number means the default
// in brackets.
type Config struct {
	Cluster  [32]byte  // the cluster's id
	Epoch    uint32    // number of its configuration; 0: whatever the replicas have
	F        int       // how many replicas may lie: F+1 equal results make one that is true
	Replicas []Replica // all of them; at least F+1
	Key      crypto.Signer

	SignedUpdates bool // the cluster wants updates signed by their client (auth = "client")
	SignedReplies bool // count signatures; otherwise authenticated connections

	UpdateBytes int           // largest payload (1 MiB)
	Window      int           // sequence numbers that a session remembers (1024)
	Home        int           // replica that is asked first (by the key, so that clients spread)
	Retry       time.Duration // without an answer, another replica is asked (2 s)
	Timeout     time.Duration // of an update whose context has no deadline (30 s)
	Dial        time.Duration // of one attempt to connect (5 s)
	KeepAlive   time.Duration // between pings when a connection is silent (5 s)
	BackoffMin  time.Duration // first pause before connecting again (50 ms)
	BackoffMax  time.Duration // longest (2 s)
	BufferBytes int           // payloads of updates without a result; more wait (16 MiB)

	Log *slog.Logger // connections that come and go; nil: none
}

// Replica is where a replica takes clients, and the key that it must have.
type Replica struct {
	ID        int // 1..n
	Address   string
	PublicKey ed25519.PublicKey
}

// FromCluster is the configuration of a client of this cluster. Where clients sign their updates, results count by signature;
// otherwise by connection.
func FromCluster(c config.Cluster, key ed25519.PrivateKey) Config {
	cfg := Config{
		Cluster: c.ID, Epoch: c.Epoch, F: c.F, Key: key,
		SignedUpdates: c.Auth == config.AuthClient,
		SignedReplies: c.Auth == config.AuthClient,
		UpdateBytes:   c.Limits.UpdateBytes,
		Window:        c.Limits.SessionWindow,
	}
	for _, r := range c.Replicas {
		cfg.Replicas = append(cfg.Replicas, Replica{ID: r.ID, Address: r.ClientAddress, PublicKey: r.PublicKey})
	}
	return cfg
}

// Load is FromCluster of a cluster.toml and a file with the client's private key (PEM, PKCS #8, mode 0600: as prime keygen and
// openssl write it).
func Load(clusterFile, keyFile string) (Config, error) {
	c, err := config.LoadCluster(clusterFile)
	if err != nil {
		return Config{}, err
	}
	key, err := config.ReadKey(keyFile)
	if err != nil {
		return Config{}, err
	}
	return FromCluster(c, key), nil
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
	number(&c.UpdateBytes, clientwire.MaxPayload)
	number(&c.Window, 1024)
	number(&c.BufferBytes, 16<<20)
	span(&c.Retry, 2*time.Second)
	span(&c.Timeout, 30*time.Second)
	span(&c.Dial, 5*time.Second)
	span(&c.KeepAlive, 5*time.Second)
	span(&c.BackoffMin, 50*time.Millisecond)
	span(&c.BackoffMax, 2*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c.check()
}

func (c *Config) check() error {
	if c.F < 0 || len(c.Replicas) < c.F+1 {
		return fmt.Errorf("client: %d replicas with f = %d: at least f+1 are needed", len(c.Replicas), c.F)
	}
	if c.Key == nil {
		return fmt.Errorf("client: no key: a client is an Ed25519 key")
	}
	if _, ok := c.Key.Public().(ed25519.PublicKey); !ok {
		return fmt.Errorf("client: key is %T: an Ed25519 key is needed", c.Key.Public())
	}
	if c.UpdateBytes < 1 || c.UpdateBytes > clientwire.MaxPayload {
		return fmt.Errorf("client: updates of %d bytes: 1 to %d are possible", c.UpdateBytes, clientwire.MaxPayload)
	}
	if c.Window < 1 || c.BufferBytes < c.UpdateBytes {
		return fmt.Errorf("client: window of %d updates and %d bytes: there is no room for one", c.Window, c.BufferBytes)
	}
	var seen group.Set
	keys := map[string]int{}
	for _, r := range c.Replicas {
		id := group.ID(r.ID)
		if r.ID < 1 || r.ID > group.MaxReplicas || seen.Has(id) {
			return fmt.Errorf("client: replica id %d: ids are distinct and 1 to %d", r.ID, group.MaxReplicas)
		}
		if len(r.PublicKey) != ed25519.PublicKeySize {
			return fmt.Errorf("client: public key of %s has %d bytes: an Ed25519 key has %d", id, len(r.PublicKey), ed25519.PublicKeySize)
		}
		if other, ok := keys[string(r.PublicKey)]; ok {
			return fmt.Errorf("client: %s and r%d have the same public key: one replica would count twice", id, other)
		}
		seen, keys[string(r.PublicKey)] = seen.With(id), r.ID
	}
	if c.Home != 0 && !seen.Has(group.ID(c.Home)) {
		return fmt.Errorf("client: home replica %d is not one of the replicas", c.Home)
	}
	return nil
}
