package bls

import (
	"errors"
	"fmt"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/primebft/prime/threshold"
)

// Scheme is the scheme. Its zero value is ready to use.
type Scheme struct{}

// Name implements threshold.Scheme.
func (Scheme) Name() string { return "bls" }

// group implements threshold.Group.
type group struct {
	cluster   [32]byte
	quorum    int
	secret    *fr.Element // nil: verifies only
	generator lines
	key       lines   // the group's
	shares    []lines // by id-1
}

// Open implements threshold.Scheme.
func (Scheme) Open(s threshold.Setup) (threshold.Group, error) {
	keys, err := publicKeys(s)
	if err != nil {
		return nil, err
	}
	g := &group{cluster: s.Cluster, quorum: s.Quorum}
	if s.Self != 0 {
		if s.Self < 1 || s.Self > len(keys) {
			return nil, fmt.Errorf("threshold keys: there is no r%d among %d replicas", s.Self, len(keys))
		}
		secret, ok := decodeScalar(s.Secret)
		if !ok {
			return nil, errors.New("threshold keys: the secret key share is not a scalar of BLS12-381: put back the file that prime wrote")
		}
		if mine := public(&secret); !mine.Equal(&keys[s.Self-1]) {
			return nil, fmt.Errorf("threshold keys: the secret key share does not belong to the public one of r%d: "+
				"it is another replica's or another cluster's; put back the file that prime wrote", s.Self)
		}
		g.secret = &secret
	}
	whole, err := groupKey(keys, s.Quorum)
	if err != nil {
		return nil, err
	}
	_, _, _, generator := curve.Generators()
	g.generator, g.key = curve.PrecomputeLines(generator), curve.PrecomputeLines(whole)
	for i := range keys {
		g.shares = append(g.shares, curve.PrecomputeLines(keys[i]))
	}
	return g, nil
}

// publicKeys decodes the public key shares.
func publicKeys(s threshold.Setup) ([]curve.G2Affine, error) {
	if s.Quorum < 1 || s.Quorum > len(s.Keys) {
		return nil, fmt.Errorf("threshold keys: %d public key shares for a quorum of %d", len(s.Keys), s.Quorum)
	}
	keys := make([]curve.G2Affine, len(s.Keys))
	for i, b := range s.Keys {
		var ok bool
		if keys[i], ok = decodeG2(b); !ok {
			return nil, fmt.Errorf("threshold keys: share_key of r%d is not a public key share of BLS12-381: "+
				"take cluster.toml from a replica where it works", i+1)
		}
	}
	return keys, nil
}

// groupKey is the group's public key, if the shares are all on one polynomial that quorum of them determine.
func groupKey(keys []curve.G2Affine, quorum int) (whole curve.G2Affine, err error) {
	xs := make([]int, quorum)
	for i := range xs {
		xs[i] = i + 1
	}
	first := keys[:quorum]
	for i := quorum; i < len(keys); i++ {
		want, err := sumG2(first, lagrange(xs, i+1))
		if err != nil {
			return whole, err
		}
		if !want.Equal(&keys[i]) {
			return whole, errors.New("threshold keys: the public key shares do not belong together: " +
				"take cluster.toml from a replica where they do, or make the keys again")
		}
	}
	if whole, err = sumG2(first, lagrange(xs, 0)); err == nil && whole.IsInfinity() {
		err = errors.New("threshold keys: the key of the group is the neutral element: make the keys again")
	}
	return whole, err
}

// Sign implements threshold.Group.
func (g *group) Sign(message []byte) threshold.Signature {
	if g.secret == nil {
		panic("bls: asked to sign without a secret key share")
	}
	p := hash(domainProof, g.cluster, message)
	p = multiply(&p, g.secret)
	return p.Bytes()
}

// VerifyShare implements threshold.Group.
func (g *group) VerifyShare(id int, message []byte, share *threshold.Signature) bool {
	return id >= 1 && id <= len(g.shares) && g.verify(message, share, &g.shares[id-1])
}

// Verify implements threshold.Group.
func (g *group) Verify(message []byte, sig *threshold.Signature) bool {
	return g.verify(message, sig, &g.key)
}

func (g *group) verify(message []byte, sig *threshold.Signature, key *lines) bool {
	p, ok := decodeG1(sig[:])
	if !ok {
		return false
	}
	m := hash(domainProof, g.cluster, message)
	return signed(&p, &m, &g.generator, key)
}

// Combine implements threshold.Group.
func (g *group) Combine(ids []int, shares []threshold.Signature) (threshold.Signature, error) {
	var none threshold.Signature
	if len(ids) != g.quorum || len(shares) != g.quorum {
		return none, fmt.Errorf("threshold signature: %d shares of %d replicas, not of %d", len(shares), len(ids), g.quorum)
	}
	points := make([]curve.G1Affine, len(shares))
	seen := make([]bool, len(g.shares)+1)
	for i, id := range ids {
		if id < 1 || id > len(g.shares) || seen[id] {
			return none, fmt.Errorf("threshold signature: r%d has no share, or two", id)
		}
		seen[id] = true
		var ok bool
		if points[i], ok = decodeG1(shares[i][:]); !ok {
			return none, fmt.Errorf("threshold signature: the share of r%d is not a point", id)
		}
	}
	p, err := sumG1(points, lagrange(ids, 0))
	if err != nil {
		return none, err
	}
	return p.Bytes(), nil
}
