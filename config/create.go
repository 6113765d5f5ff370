package config

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/primebft/prime/internal/group"
)

// BasePort is where the ports of a new cluster begin, as the original's do.
const BasePort = 7100

// DefaultName is what a cluster is called if nobody says otherwise.
const DefaultName = "prime"

// Host is one line of a file of addresses.
type Host struct {
	ID   int
	Host string // IP address or name
	Port int    // for peers, the next one for clients; 0: by the rule of Layout
}

// Layout gives every replica of a group its addresses: replica i is reached at base+2(i-1) by peers and at base+2(i-1)+1 by
// clients, at its host, or at this machine if hosts is empty. The result has no keys yet. file names hosts in errors.
func Layout(g group.Group, base int, hosts []Host, file string) ([]Replica, error) {
	if last := base + 2*g.N() - 1; base < 1 || last > 65535 {
		return nil, fault("base-port", fmt.Sprintf("choose one from 1 to %d", 65536-2*g.N()),
			"%d: the ports of %d replicas, up to %d, do not all exist", base, g.N(), last)
	}
	if len(hosts) > 0 && len(hosts) != g.N() {
		return nil, &Problem{File: file, What: fmt.Sprintf("it has %d replicas, but f = %d and k = %d need %d",
			len(hosts), g.F(), g.K(), g.N()), Remedy: fmt.Sprintf("list %d%s", g.N(), fitting(len(hosts)))}
	}
	replicas := make([]Replica, g.N())
	for i := range replicas {
		replicas[i] = Addresses(i+1, base, Host{ID: i + 1, Host: "127.0.0.1"})
	}
	for _, h := range hosts {
		replicas[h.ID-1] = Addresses(h.ID, base, h)
	}
	return replicas, nil
}

// Addresses is where one replica is reached, by the rule of Layout. It has no key yet.
func Addresses(id, base int, h Host) Replica {
	port := h.Port
	if port == 0 {
		port = base + 2*(id-1)
	}
	at := func(p int) string { return net.JoinHostPort(h.Host, strconv.Itoa(p)) }
	return Replica{ID: id, PeerAddress: at(port), ClientAddress: at(port + 1)}
}

// Create makes a cluster folder in one step, or nothing at all: dir/cluster.toml and one self-contained folder dir/r1 …
// dir/rn. c says everything but id, epoch, verification rule and keys, which are made here; node is what every node.toml
// says but for the id. A folder that exists is refused and left as it is.
func Create(dir string, c Cluster, node Node) (Cluster, error) { return CreateWith(dir, c, node, nil) }

// CreateWith is Create for a cluster whose proofs are threshold signatures: c has the public key shares, and secrets those of
// the replicas, r1's first.
func CreateWith(dir string, c Cluster, node Node, secrets [][]byte) (Cluster, error) {
	if c.Proof == "" {
		c.Proof = ProofList
	}
	if c.threshold() != (len(secrets) > 0) || c.threshold() && len(secrets) != len(c.Replicas) {
		return Cluster{}, fault("proof", "give every replica's key share if it is \"bls\", and none if it is \"list\"",
			"%d key shares for %d replicas and proof = %q", len(secrets), len(c.Replicas), c.Proof)
	}
	keys := make([]ed25519.PrivateKey, len(c.Replicas))
	replicas := make([]Replica, len(c.Replicas))
	for i, r := range c.Replicas {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return Cluster{}, err
		}
		keys[i], r.PublicKey = private, public
		replicas[i] = r
	}
	c.Replicas = replicas
	c.Epoch, c.Verification = 1, VerificationRule
	rand.Read(c.ID[:])
	node.ID = 1 // each folder gets its own below
	if err := errors.Join(c.Validate(), node.Validate()); err != nil {
		return Cluster{}, err
	}
	err := newFolder(dir, "choose another --dir, or remove the folder if nobody needs its keys", 0o755, func(tmp string) error {
		for i, r := range c.Replicas {
			folder := filepath.Join(tmp, fmt.Sprintf("r%d", r.ID))
			if err := os.Mkdir(folder, 0o700); err != nil {
				return err
			}
			node.ID = r.ID
			var secret []byte
			if secrets != nil {
				secret = secrets[i]
			}
			if err := writeReplicaFolder(folder, c, node, keys[i], secret); err != nil {
				return err
			}
		}
		return writeNew(filepath.Join(tmp, ClusterFile), c.Encode(), 0o644)
	})
	if err != nil {
		return Cluster{}, err
	}
	return c, nil
}

// Keygen makes the folder of one replica with a new private key and the public file that the others need: the first half of
// making a cluster whose private keys never travel. r has no key yet. It returns the path of the public file.
func Keygen(dir string, r Replica) (Replica, string, error) { return KeygenWith(dir, r, nil) }

// KeygenWith is Keygen for a cluster whose proofs will be threshold signatures: dealing makes DealingKey of the private key.
func KeygenWith(dir string, r Replica, dealing func(ed25519.PrivateKey) ([]byte, error)) (Replica, string, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Replica{}, "", err
	}
	r.PublicKey = public
	if dealing != nil {
		if r.DealingKey, err = dealing(key); err != nil {
			return Replica{}, "", err
		}
	}
	if problems := checkAll(&r, publicSettings, ""); len(problems) > 0 {
		return Replica{}, "", join(problems)
	}
	name := fmt.Sprintf("r%d.public.toml", r.ID)
	err = newFolder(dir, "choose another --dir, or remove the folder if nobody needs its key", 0o700, func(tmp string) error {
		return errors.Join(
			WriteKey(filepath.Join(tmp, KeyFile), key, fmt.Sprintf("replica r%d", r.ID)),
			writeNew(filepath.Join(tmp, name), r.EncodePublic(), 0o644))
	})
	if err != nil {
		return Replica{}, "", err
	}
	return r, filepath.Join(dir, name), nil
}
