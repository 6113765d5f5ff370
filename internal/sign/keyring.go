package sign

import (
	"crypto/ed25519"
	"fmt"
	"slices"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/threshold"
)

// Membership is what a Keyring is made of: the parts of a cluster's configuration that signatures depend on.
type Membership struct {
	Cluster      [32]byte // id of the cluster
	Config       [32]byte // digest of the configuration
	Group        group.Group
	Epoch        uint32              // number of the configuration
	Incarnations []uint32            // current incarnation of each replica, by group.ID.Index
	Replicas     []ed25519.PublicKey // by group.ID.Index
	Clients      []wire.ClientID     // admitted as clients; replicas' own keys always are
	AnyClient    bool                // any other key is admitted too
	ClientAuth   bool                // every update is signed by its client; otherwise none is
	Threshold    threshold.Group     // verifies what challenges a new leader; nil: that is a list of signatures
}

// Keyring knows who may sign what in one configuration of a cluster. It is immutable.
type Keyring struct {
	m       Membership
	owners  map[wire.ClientID]group.ID // replicas by public key
	clients map[wire.ClientID]struct{}
	prefix  []byte // of every batch statement
	proving []byte // of every proof statement
}

const (
	domainBatch   = "prime-batch-v1\x00"
	statementSize = len(domainBatch) + 32 + 32 + 1 + 1 + 32
)

// NewKeyring checks m and copies it.
func NewKeyring(m Membership) (*Keyring, error) {
	if m.Group == (group.Group{}) {
		return nil, fmt.Errorf("keyring: the sizes of the group are not set")
	}
	n := m.Group.N()
	if len(m.Replicas) != n || len(m.Incarnations) != n {
		return nil, fmt.Errorf("keyring: %d public keys and %d incarnations for %v: there must be one of each per replica",
			len(m.Replicas), len(m.Incarnations), m.Group)
	}
	k := &Keyring{m: m, owners: make(map[wire.ClientID]group.ID, n), clients: make(map[wire.ClientID]struct{}, len(m.Clients))}
	k.m.Incarnations = slices.Clone(m.Incarnations)
	k.m.Replicas = make([]ed25519.PublicKey, n)
	for i, key := range m.Replicas {
		id := group.FromIndex(i)
		if len(key) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("keyring: public key of %v has %d bytes: an Ed25519 public key has %d", id, len(key),
				ed25519.PublicKeySize)
		}
		if other, taken := k.owners[wire.ClientID(key)]; taken {
			return nil, fmt.Errorf("keyring: %v and %v have the same public key: make a new key for one of them", other, id)
		}
		k.owners[wire.ClientID(key)] = id
		k.m.Replicas[i] = slices.Clone(key)
	}
	for _, c := range m.Clients {
		k.clients[c] = struct{}{}
	}
	k.m.Clients = nil
	k.prefix = slices.Concat([]byte(domainBatch), m.Cluster[:], m.Config[:])
	membership := wire.HashIncarnations(m.Epoch, m.Incarnations)
	k.proving = slices.Concat([]byte(domainProof), m.Cluster[:], m.Config[:], membership[:])
	return k, nil
}

// Group is the sizes of the group.
func (k *Keyring) Group() group.Group { return k.m.Group }

// Cluster is the id of the cluster.
func (k *Keyring) Cluster() [32]byte { return k.m.Cluster }

// ClientAuth reports whether updates are signed by their clients.
func (k *Keyring) ClientAuth() bool { return k.m.ClientAuth }

// PublicKey is the key of a member of the group.
func (k *Keyring) PublicKey(id group.ID) ed25519.PublicKey {
	return slices.Clone(k.m.Replicas[id.Index()])
}

// Header is what messages of a member of the group say of their sender.
func (k *Keyring) Header(id group.ID) wire.Header {
	return wire.Header{Sender: id, Epoch: k.m.Epoch, Incarnation: k.m.Incarnations[id.Index()]}
}

// Admits reports whether client's updates may be introduced by this replica: a replica's own key only by itself.
func (k *Keyring) Admits(client *wire.ClientID, introducer group.ID) bool {
	if *client == (wire.ClientID{}) {
		return false // nobody's: it marks transfer points
	}
	if owner, ok := k.owners[*client]; ok {
		return owner == introducer
	}
	if k.m.AnyClient {
		return true
	}
	_, listed := k.clients[*client]
	return listed
}

// appendStatement appends what signer signs for a batch of count messages with this root.
func (k *Keyring) appendStatement(b []byte, signer group.ID, count uint8, root *wire.Digest) []byte {
	b = append(b, k.prefix...)
	b = append(b, byte(signer), count)
	return append(b, root[:]...)
}
