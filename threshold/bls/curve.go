package bls

import (
	"bytes"
	"math/big"

	"github.com/consensys/gnark-crypto/ecc"
	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// Sizes of what is written, bytes.
const (
	PublicSize = curve.SizeOfG2AffineCompressed // a public key share
	SecretSize = fr.Bytes                       // a secret key share
	pointSize  = curve.SizeOfG1AffineCompressed
)

// Domain separation tags of RFC 9380, one for each purpose; the id of the cluster follows.
const (
	domainProof      = "PRIME-V01-CS01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_PROOF_"
	domainPossession = "PRIME-V01-CS01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_POSSESSION_"
)

// hash is a message as a point, for one purpose in one cluster.
func hash(domain string, cluster [32]byte, message []byte) curve.G1Affine {
	p, err := curve.HashToG1(message, append([]byte(domain), cluster[:]...))
	if err != nil {
		panic("bls: a domain separation tag is too long: " + err.Error()) // it has a constant length
	}
	return p
}

// multiply is secret times a point of G1, in a time that does not depend on secret alone.
func multiply(p *curve.G1Affine, secret *fr.Element) curve.G1Affine {
	blind := random()
	rest := new(fr.Element).Sub(secret, &blind)
	var product curve.G1Jac
	var a, b big.Int
	product.JointScalarMultiplication(p, p, blind.BigInt(&a), rest.BigInt(&b))
	return *new(curve.G1Affine).FromJacobian(&product)
}

// public is secret times the generator of G2, in a time that does not depend on secret alone.
func public(secret *fr.Element) curve.G2Affine {
	blind := random()
	rest := new(fr.Element).Sub(secret, &blind)
	var p, q curve.G2Affine
	var a, b big.Int
	p.ScalarMultiplicationBase(blind.BigInt(&a))
	q.ScalarMultiplicationBase(rest.BigInt(&b))
	return *p.Add(&p, &q)
}

// random is a random scalar.
func random() fr.Element {
	var e fr.Element
	e.MustSetRandom()
	return e
}

// decodeG1 reads a point of G1. The neutral one is refused, and everything but the encoding that we write.
func decodeG1(b []byte) (p curve.G1Affine, ok bool) {
	if len(b) != pointSize {
		return p, false
	}
	if _, err := p.SetBytes(b); err != nil || p.IsInfinity() {
		return p, false
	}
	again := p.Bytes()
	return p, bytes.Equal(again[:], b)
}

// decodeG2 is decodeG1 for G2.
func decodeG2(b []byte) (p curve.G2Affine, ok bool) {
	if len(b) != PublicSize {
		return p, false
	}
	if _, err := p.SetBytes(b); err != nil || p.IsInfinity() {
		return p, false
	}
	again := p.Bytes()
	return p, bytes.Equal(again[:], b)
}

// decodeScalar reads a scalar that is not zero, in its one encoding.
func decodeScalar(b []byte) (e fr.Element, ok bool) {
	if len(b) != SecretSize || e.SetBytesCanonical(b) != nil {
		return e, false
	}
	return e, !e.IsZero()
}

// lines is what verifying with a key needs again and again.
type lines [2][len(curve.LoopCounter) - 1]curve.LineEvaluationAff

// signed reports whether sig is the product of message and the secret of key: e(sig, generator) = e(message, key).
func signed(sig, message *curve.G1Affine, generator, key *lines) bool {
	var negative curve.G1Affine
	negative.Neg(message)
	ok, err := curve.PairingCheckFixedQ([]curve.G1Affine{*sig, negative},
		[][2][len(curve.LoopCounter) - 1]curve.LineEvaluationAff{*generator, *key})
	return err == nil && ok
}

// lagrange is the coefficients with which the values of a polynomial at the points xs, all different, make its value at x.
func lagrange(xs []int, x int) []fr.Element {
	above, below := make([]fr.Element, len(xs)), make([]fr.Element, len(xs))
	for i := range xs {
		above[i].SetOne()
		below[i].SetOne()
		for j := range xs {
			if i != j {
				var t fr.Element
				above[i].Mul(&above[i], t.SetInt64(int64(x-xs[j])))
				below[i].Mul(&below[i], t.SetInt64(int64(xs[i]-xs[j])))
			}
		}
	}
	below = fr.BatchInvert(below)
	for i := range above {
		above[i].Mul(&above[i], &below[i])
	}
	return above
}

// sumG1 is the sum of points times scalars.
func sumG1(points []curve.G1Affine, scalars []fr.Element) (p curve.G1Affine, err error) {
	_, err = p.MultiExp(points, scalars, ecc.MultiExpConfig{NbTasks: 1})
	return p, err
}

// sumG2 is the sum of points times scalars.
func sumG2(points []curve.G2Affine, scalars []fr.Element) (p curve.G2Affine, err error) {
	_, err = p.MultiExp(points, scalars, ecc.MultiExpConfig{NbTasks: 1})
	return p, err
}

// polynomial is coefficients, the constant one first.
type polynomial []fr.Element

// newPolynomial is a random polynomial that quorum values determine.
func newPolynomial(quorum int) polynomial {
	p := make(polynomial, quorum)
	for i := range p {
		p[i] = random()
	}
	return p
}

// at is the value of p at x.
func (p polynomial) at(x int) (v fr.Element) {
	var t fr.Element
	t.SetInt64(int64(x))
	for i := len(p) - 1; i >= 0; i-- {
		v.Mul(&v, &t).Add(&v, &p[i])
	}
	return v
}

// powers is 1, x, x², … as many as n.
func powers(x, n int) []fr.Element {
	list := make([]fr.Element, n)
	var t fr.Element
	t.SetInt64(int64(x))
	for i := range list {
		if i == 0 {
			list[i].SetOne()
		} else {
			list[i].Mul(&list[i-1], &t)
		}
	}
	return list
}
