package sign

import (
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"
	"math/big"
	"slices"

	"github.com/primebft/prime/internal/wire"
)

// This is Ed25519 from RFC 8032 in ten obvious lines per operation, slow and in variable time: what an attacker needs to make
// signatures that a correct signer never makes, and the two verification rules that they tell apart.

func number(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 0)
	if !ok {
		panic(s)
	}
	return n
}

var (
	fieldPrime = number("0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed")
	groupOrder = number("0x1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed")
	curveD     = number("0x52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3")
	rootOfNeg1 = number("0x2b8324804fc1df0b2b4d00993dfbd7a72f431806ad2fe478c4ee1b274a0ea0b0")
	basePoint  = decodePoint(unhex("5866666666666666666666666666666666666666666666666666666666666666"))
	orderEight = decodePoint(unhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"))
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// little reads a little-endian number.
func little(b []byte) *big.Int {
	b = slices.Clone(b)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

// bytes32 writes a little-endian number.
func bytes32(n *big.Int) []byte {
	b := n.FillBytes(make([]byte, 32))
	slices.Reverse(b)
	return b
}

func mod(n *big.Int) *big.Int { return n.Mod(n, fieldPrime) }

func times(a, b *big.Int) *big.Int { return mod(new(big.Int).Mul(a, b)) }

// point is in projective coordinates: x = X/Z, y = Y/Z.
type point struct{ x, y, z *big.Int }

func neutral() point { return point{big.NewInt(0), big.NewInt(1), big.NewInt(1)} }

// plus is the complete addition law of the twisted Edwards curve.
func (p point) plus(q point) point {
	zz, xx, yy := times(p.z, q.z), times(p.x, q.x), times(p.y, q.y)
	e := times(curveD, times(xx, yy))
	zz2 := times(zz, zz)
	f, g := mod(new(big.Int).Sub(zz2, e)), mod(new(big.Int).Add(zz2, e))
	cross := mod(new(big.Int).Add(times(p.x, q.y), times(p.y, q.x)))
	return point{times(zz, times(f, cross)), times(zz, times(g, mod(new(big.Int).Add(yy, xx)))), times(f, g)}
}

func (p point) negated() point { return point{mod(new(big.Int).Neg(p.x)), p.y, p.z} }

func (p point) multiplied(k *big.Int) point {
	sum := neutral()
	for i := k.BitLen() - 1; i >= 0; i-- {
		if sum = sum.plus(sum); k.Bit(i) == 1 {
			sum = sum.plus(p)
		}
	}
	return sum
}

func (p point) isNeutral() bool { return p.x.Sign() == 0 && p.y.Cmp(p.z) == 0 }

func (p point) encode() []byte {
	inverse := new(big.Int).ModInverse(p.z, fieldPrime)
	x, y := times(p.x, inverse), times(p.y, inverse)
	b := bytes32(y)
	b[31] |= byte(x.Bit(0)) << 7
	return b
}

func decodePoint(b []byte) point {
	b = slices.Clone(b)
	sign := uint(b[31] >> 7)
	b[31] &= 127
	y := little(b)
	yy := times(y, y)
	u := mod(new(big.Int).Sub(yy, big.NewInt(1)))
	v := mod(new(big.Int).Add(times(curveD, yy), big.NewInt(1)))
	xx := times(u, new(big.Int).ModInverse(v, fieldPrime))
	x := new(big.Int).Exp(xx, new(big.Int).Rsh(new(big.Int).Add(fieldPrime, big.NewInt(3)), 3), fieldPrime)
	if times(x, x).Cmp(xx) != 0 {
		x = times(x, rootOfNeg1)
	}
	if times(x, x).Cmp(xx) != 0 {
		panic("not a point")
	}
	if x.Bit(0) != sign {
		x = mod(new(big.Int).Neg(x))
	}
	return point{x, y, big.NewInt(1)}
}

// challenge is k = SHA-512(R || A || M) mod L.
func challenge(r, a, message []byte) *big.Int {
	h := sha512.Sum512(slices.Concat(r, a, message))
	return new(big.Int).Mod(little(h[:]), groupOrder)
}

// secrets is the scalar and the prefix of a private key.
func secrets(key ed25519.PrivateKey) (*big.Int, []byte) {
	h := sha512.Sum512(key.Seed())
	h[0] &= 248
	h[31] = h[31]&63 | 64
	return little(h[:32]), h[32:]
}

// twistedSign is a signature by key, whose public key is given, with torsion added to R.
func twistedSign(key ed25519.PrivateKey, public, message []byte, torsion point) (sig wire.Signature) {
	a, prefix := secrets(key)
	nonce := sha512.Sum512(append(slices.Clone(prefix), message...))
	r := new(big.Int).Mod(little(nonce[:]), groupOrder)
	encoded := basePoint.multiplied(r).plus(torsion).encode()
	s := new(big.Int).Mul(challenge(encoded, public, message), a)
	copy(sig[:], encoded)
	copy(sig[32:], bytes32(s.Mod(s.Add(s, r), groupOrder)))
	return sig
}

// difference is sB - kA - R, which is neutral for honest signatures.
func difference(public, message []byte, sig *wire.Signature) point {
	k := challenge(sig[:32], public, message)
	kA := decodePoint(public).multiplied(k)
	return basePoint.multiplied(little(sig[32:])).plus(kA.negated()).plus(decodePoint(sig[:32]).negated())
}

// cofactorless is our rule, cofactored that of ZIP-215 and of batch verification.
func cofactorless(public, message []byte, sig *wire.Signature) bool {
	return difference(public, message, sig).isNeutral()
}

func cofactored(public, message []byte, sig *wire.Signature) bool {
	return difference(public, message, sig).multiplied(big.NewInt(8)).isNeutral()
}
