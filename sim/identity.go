package sim

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/sign"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/threshold"
)

// identities are the keys of a world: who can sign, and how everybody checks it. Everything is done by package sign as in a
// real replica; only the scheme is usually a cheap one.
type identities struct {
	scheme   sign.Scheme
	keyring  *sign.Keyring
	verifier *sign.Verifier // its answers do not depend on who asks, so the whole world shares one
	keys     []ed25519.PrivateKey
	cluster  [32]byte
}

// newIdentities makes the keys of a world: real ones, or such as only checksum knows.
func newIdentities(g group.Group, epoch uint32, incarnations []uint32, clientAuth, realKeys bool,
	shares threshold.Group) (*identities, error) {
	id := &identities{scheme: checksum{}}
	copy(id.cluster[:], "a simulated cluster")
	if realKeys {
		id.scheme = sign.Ed25519{}
	}
	m := sign.Membership{Cluster: id.cluster, Group: g, Epoch: epoch, Incarnations: incarnations, AnyClient: true,
		ClientAuth: clientAuth, Threshold: shares}
	for i := range g.N() {
		key := privateKey(fmt.Sprintf("replica %d", i), realKeys)
		id.keys = append(id.keys, key)
		m.Replicas = append(m.Replicas, key.Public().(ed25519.PublicKey))
	}
	var err error
	if id.keyring, err = sign.NewKeyring(m); err != nil {
		return nil, err
	}
	id.verifier = sign.NewVerifier(id.keyring, id.scheme, 64*g.N())
	return id, nil
}

// privateKey is the key that belongs to a name.
func privateKey(name string, real bool) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	if real {
		return ed25519.NewKeyFromSeed(seed)
	}
	return append(seed, seed...) // a private key ends with the public one
}

// signUpdates signs updates in the name of their clients. With real keys, the name that a plan gives a client is the seed of
// its key.
func (w *world) signUpdates(updates []wire.Update) {
	if !w.plan.auth {
		return
	}
	for i := range updates {
		u := &updates[i]
		key := append(ed25519.PrivateKey(u.Client[:]), u.Client[:]...)
		if w.options.RealSignatures {
			key = ed25519.NewKeyFromSeed(u.Client[:])
			u.Client = wire.ClientID(key[ed25519.SeedSize:])
		}
		sign.SignUpdate(w.keys.scheme, key, w.keys.cluster, u)
	}
}

func (id *identities) signer(of group.ID) (*sign.Signer, error) {
	return sign.NewSigner(id.keyring, id.scheme, of, id.keys[of.Index()])
}

// checksum is a signature scheme for worlds in which nobody tries to break signatures: it tells who signed what, and costs
// nearly nothing. It is as exact as a real one, and as useless against forgery as it looks.
type checksum struct{}

// Rule implements sign.Scheme.
func (checksum) Rule() string { return "checksum" }

// Sign implements sign.Scheme.
func (checksum) Sign(key ed25519.PrivateKey, message []byte) (sig wire.Signature) {
	binary.LittleEndian.PutUint64(sig[:], mix(key[ed25519.SeedSize:], message))
	return sig
}

// Verify implements sign.Scheme.
func (c checksum) Verify(key ed25519.PublicKey, message []byte, sig *wire.Signature) bool {
	var want wire.Signature
	binary.LittleEndian.PutUint64(want[:], mix(key, message))
	return want == *sig
}

// mix hashes parts to 64 bits, eight bytes at a time.
func mix(parts ...[]byte) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, p := range parts {
		h ^= uint64(len(p))
		for ; len(p) >= 8; p = p[8:] {
			h = scramble(h ^ binary.LittleEndian.Uint64(p))
		}
		for _, b := range p {
			h = scramble(h ^ uint64(b))
		}
	}
	return h
}

// scramble is the finaliser of splitmix64.
func scramble(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
