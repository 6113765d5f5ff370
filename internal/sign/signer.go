package sign

import (
	"crypto/ed25519"
	"fmt"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/threshold"
)

// Signer signs the messages of one replica. It is used by one goroutine: the one that collects the next batch while this one
// is signed (group commit), so that batches grow with load and a lone message waits for nobody.
type Signer struct {
	keyring *Keyring
	scheme  Scheme
	self    group.ID
	key     ed25519.PrivateKey
	group   threshold.Group // nil: proofs are lists

	tree      tree
	batch     []*wire.Envelope
	statement []byte
}

// NewSigner returns the signer of replica self. It is an error if key is not the one that the keyring has for self.
func NewSigner(k *Keyring, s Scheme, self group.ID, key ed25519.PrivateKey) (*Signer, error) {
	if !k.m.Group.Has(self) {
		return nil, fmt.Errorf("signer: there is no %v in a group of %v", self, k.m.Group)
	}
	if len(key) != ed25519.PrivateKeySize || !k.m.Replicas[self.Index()].Equal(key.Public()) {
		return nil, fmt.Errorf("signer: the private key is not the one that the cluster's configuration has for %v: "+
			"use this replica's own key file, or correct its public key in the configuration", self)
	}
	return &Signer{
		keyring: k, scheme: s, self: self, key: key,
		tree:      tree{pad: hashPad()},
		batch:     make([]*wire.Envelope, 0, wire.MaxBatch),
		statement: make([]byte, 0, statementSize),
	}, nil
}

// Sign signs and finishes every envelope of batch, in order, with one signature per wire.MaxBatch envelopes. Kinds whose
// proofs others carry are signed alone.
func (s *Signer) Sign(batch []*wire.Envelope) {
	for _, e := range batch {
		if e.Kind.Alone() {
			s.batch = append(s.batch[:0], e)
			s.seal()
		}
	}
	s.batch = s.batch[:0]
	for _, e := range batch {
		if e.Kind.Alone() {
			continue
		}
		if s.batch = append(s.batch, e); len(s.batch) == wire.MaxBatch {
			s.seal()
			s.batch = s.batch[:0]
		}
	}
	if len(s.batch) > 0 {
		s.seal()
	}
	clear(s.batch[:cap(s.batch)])
}

// seal signs s.batch. Every message gets a path of its own memory: one that is kept for long must not keep its whole batch.
func (s *Signer) seal() {
	s.tree.build(s.batch)
	count := uint8(len(s.batch))
	s.statement = s.keyring.appendStatement(s.statement[:0], s.self, count, s.tree.root())
	sig := s.scheme.Sign(s.key, s.statement)
	for i, e := range s.batch {
		e.Finish(wire.Proof{Count: count, Index: uint8(i), Path: s.tree.path(i), Sig: sig})
	}
}

// SignUpdate sets the signature of u.Client, whose key must be given, for the cluster with this id.
func SignUpdate(s Scheme, key ed25519.PrivateKey, cluster [32]byte, u *wire.Update) {
	u.Sig = s.Sign(key, wire.UpdateStatement(cluster, u))
}
