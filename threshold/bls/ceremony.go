package bls

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// DealingKeySize is the length of a key that dealings are encrypted to, bytes.
const DealingKeySize = 32

// Member is one replica of a cluster whose key shares are being made.
type Member struct {
	Public  ed25519.PublicKey // its identity: it signs its dealing
	Dealing []byte            // DealingKey of its private key: others encrypt to it
}

// Ceremony is how the members of a cluster make their key shares without anybody who knows them all: each makes one dealing
// (Deal), all hand theirs to everybody, and each computes its own key share and the public ones from all of them (Finish).
//
// It is Pedersen's joint Feldman scheme over files. A dealing has commitments to the coefficients of a polynomial, its value
// at each member, encrypted to that member, a proof that the dealer knows the secret that it adds, and the dealer's signature
// over all. Dealers keep nothing. Whoever finds a dealing that is not right names its dealer and goes no further, so either
// all correct members have shares of one key or the ceremony is done again. All dealings have to be the same files everywhere;
// prime join makes the cluster's id a hash of the outcome, so members that were given different ones refuse each other.
type Ceremony struct {
	Quorum  int
	Members []Member // r1 first
}

// DealingKey is the public key that dealings for the owner of an Ed25519 key are encrypted to. Its private half is derived
// from that key by HKDF, so that there is no other file to keep.
func DealingKey(key ed25519.PrivateKey) ([]byte, error) {
	k, err := dealingPrivate(key)
	if err != nil {
		return nil, err
	}
	return k.PublicKey().Bytes(), nil
}

func dealingPrivate(key ed25519.PrivateKey) (hpke.PrivateKey, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("dealing: a private key of %d bytes", len(key))
	}
	material, err := hkdf.Key(sha256.New, key.Seed(), nil, "prime-dealing-key-v1", 32)
	if err != nil {
		return nil, err
	}
	return kem().DeriveKeyPair(material)
}

func kem() hpke.KEM { return hpke.DHKEM(ecdh.X25519()) }

// ID names the ceremony: a hash of the quorum and all members. A dealing for one means nothing in another.
func (c Ceremony) ID() [32]byte {
	b := []byte("prime-ceremony-v1\x00")
	b = binary.LittleEndian.AppendUint32(b, uint32(c.Quorum))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.Members)))
	for _, m := range c.Members {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(m.Public))), m.Public...)
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(m.Dealing))), m.Dealing...)
	}
	return sha256.Sum256(b)
}

// check finds members that could never finish.
func (c Ceremony) check() error {
	if n := len(c.Members); c.Quorum < 1 || c.Quorum > n || n > 64 {
		return fmt.Errorf("dealing: a quorum of %d of %d replicas", c.Quorum, n)
	}
	for i, m := range c.Members {
		if len(m.Public) != ed25519.PublicKeySize {
			return fmt.Errorf("dealing: r%d has no public key", i+1)
		}
		if len(m.Dealing) == 0 {
			return fmt.Errorf("dealing: the public file of r%d has no dealing_key: make its key with prime keygen --proof bls", i+1)
		}
		if _, err := kem().NewPublicKey(m.Dealing); err != nil {
			return fmt.Errorf("dealing: the dealing_key of r%d is not an X25519 public key: take the file that prime keygen wrote", i+1)
		}
	}
	return nil
}

// Deal makes the dealing of replica self, whose private key is given. Another call makes another dealing: one of them has to
// go to everybody.
func (c Ceremony) Deal(self int, key ed25519.PrivateKey) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	d := dealing{ceremony: c.ID(), dealer: self}
	f := newPolynomial(c.Quorum)
	defer clear(f)
	for i := range f {
		d.commitments = append(d.commitments, public(&f[i]))
	}
	for i, m := range c.Members {
		to, err := kem().NewPublicKey(m.Dealing)
		if err != nil {
			return nil, err
		}
		v := f.at(i + 1)
		b := v.Bytes()
		box, err := hpke.Seal(to, hpke.HKDFSHA256(), hpke.AES256GCM(), d.context(i+1), b[:])
		if err != nil {
			return nil, err
		}
		d.sealed = append(d.sealed, box)
	}
	p := hash(domainPossession, d.ceremony, d.possessed())
	d.possession = multiply(&p, &f[0])
	d.signature = ed25519.Sign(key, d.unsigned())
	return d.encode(), nil
}

// Shares is what one member has at the end of a ceremony.
type Shares struct {
	Public [][]byte // public key share of every replica, r1 first
	Secret []byte   // the member's own key share
}

// Finish checks everybody's dealings, in any order, and adds them up for replica self, whose private key is given. An error
// names the dealer who is to blame and what to do.
func (c Ceremony) Finish(self int, key ed25519.PrivateKey, dealings [][]byte) (Shares, error) {
	if err := c.check(); err != nil {
		return Shares{}, err
	}
	own, err := dealingPrivate(key)
	if err != nil {
		return Shares{}, err
	}
	if self < 1 || self > len(c.Members) {
		return Shares{}, fmt.Errorf("dealing: there is no r%d among %d replicas", self, len(c.Members))
	}
	secret, commitments := fr.Element{}, make([]curve.G2Affine, c.Quorum)
	var seen [65]bool
	for _, b := range dealings {
		d, err := c.open(b)
		if err != nil {
			return Shares{}, err
		}
		if seen[d.dealer] {
			return Shares{}, fmt.Errorf("dealing: there are two dealings of r%d: everybody has to be given the same one", d.dealer)
		}
		seen[d.dealer] = true
		value, err := d.value(self, own)
		if err != nil {
			return Shares{}, err
		}
		secret.Add(&secret, &value)
		for i := range commitments {
			commitments[i].Add(&commitments[i], &d.commitments[i])
		}
	}
	for id := range c.Members {
		if !seen[id+1] {
			return Shares{}, fmt.Errorf("dealing: the dealing of r%d is missing: give the files of all replicas", id+1)
		}
	}
	return c.shares(secret, commitments)
}

// shares computes everybody's public key share.
func (c Ceremony) shares(secret fr.Element, commitments []curve.G2Affine) (Shares, error) {
	s := Shares{}
	for id := range c.Members {
		p, err := sumG2(commitments, powers(id+1, c.Quorum))
		if err != nil {
			return Shares{}, err
		}
		if p.IsInfinity() {
			return Shares{}, fmt.Errorf("dealing: the key share of r%d is nothing: let everybody make new dealings", id+1)
		}
		b := p.Bytes()
		s.Public = append(s.Public, b[:])
	}
	b := secret.Bytes()
	s.Secret = b[:]
	return s, nil
}
