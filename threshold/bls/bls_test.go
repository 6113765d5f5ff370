package bls

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"pgregory.net/rapid"

	"github.com/primebft/prime/threshold"
)

// open opens everybody's group.
func open(t interface {
	Helper()
	Fatal(...any)
}, k Keys, quorum int) []threshold.Group {
	t.Helper()
	var all []threshold.Group
	for id := 1; id <= len(k.Public); id++ {
		g, err := Scheme{}.Open(threshold.Setup{Cluster: [32]byte{7}, Quorum: quorum, Keys: k.Public, Self: id, Secret: k.Secrets[id-1]})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, g)
	}
	return all
}

func deal(t interface {
	Helper()
	Fatal(...any)
}, n, quorum int) Keys {
	t.Helper()
	k, err := Deal(n, quorum)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestAnyQuorumSignsAlike: whichever Quorum shares are combined, in any order, the signature is the same and verifies; with a
// share that is another's, of another message, or no share at all, it does not.
func TestAnyQuorumSignsAlike(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(t, "n")
		quorum := rapid.IntRange(1, n).Draw(t, "quorum")
		groups := open(t, deal(t, n, quorum), quorum)
		message := rapid.SliceOf(rapid.Byte()).Draw(t, "message")
		ids := make([]int, n)
		for i := range ids {
			ids[i] = i + 1
		}
		combine := func(label string) ([]int, []threshold.Signature, threshold.Signature) {
			chosen := rapid.Permutation(ids).Draw(t, label)[:quorum]
			var shares []threshold.Signature
			for _, id := range chosen {
				share := groups[id-1].Sign(message)
				if !groups[0].VerifyShare(id, message, &share) {
					t.Fatalf("the share of r%d does not verify", id)
				}
				shares = append(shares, share)
			}
			sig, err := groups[0].Combine(chosen, shares)
			if err != nil {
				t.Fatal(err)
			}
			return chosen, shares, sig
		}
		_, _, first := combine("first")
		chosen, shares, second := combine("second")
		if first != second {
			t.Fatal("two quorums make two signatures")
		}
		if !groups[n-1].Verify(message, &first) {
			t.Fatal("the signature does not verify")
		}
		if groups[0].Verify(append(bytes.Clone(message), 1), &first) {
			t.Fatal("the signature verifies for another message")
		}
		spoilt := slices.Clone(shares)
		at := rapid.IntRange(0, quorum-1).Draw(t, "spoilt")
		spoilt[at] = groups[chosen[at]-1].Sign(append(bytes.Clone(message), 1))
		if sig, err := groups[0].Combine(chosen, spoilt); err != nil || groups[0].Verify(message, &sig) {
			t.Fatalf("a signature with a share of another message: %v", err)
		}
	})
}

// TestFewerSignNothing: fewer than the quorum cannot be combined, and interpolating them makes another signature.
func TestFewerSignNothing(t *testing.T) {
	t.Parallel()
	const n, quorum = 7, 5
	groups := open(t, deal(t, n, quorum), quorum)
	message := []byte("message")
	ids, shares := []int{1, 2, 3, 4}, []threshold.Signature(nil)
	for _, id := range ids {
		shares = append(shares, groups[id-1].Sign(message))
	}
	if _, err := groups[0].Combine(ids, shares); err == nil {
		t.Error("four shares were combined where five are needed")
	}
	if _, err := groups[0].Combine([]int{1, 2, 3, 4, 4}, append(slices.Clone(shares), shares[3])); err == nil {
		t.Error("a share was counted twice")
	}
	for _, id := range []int{0, -1, n + 1} {
		if _, err := groups[0].Combine([]int{1, 2, 3, 4, id}, append(slices.Clone(shares), shares[0])); err == nil {
			t.Errorf("a share of r%d was taken", id)
		}
		if groups[0].VerifyShare(id, message, &shares[0]) {
			t.Errorf("a share of r%d verifies", id)
		}
	}
	low := &group{cluster: [32]byte{7}, quorum: 4, shares: groups[0].(*group).shares}
	sig, err := low.Combine(ids, shares)
	if err != nil || groups[0].Verify(message, &sig) {
		t.Errorf("four shares make the signature of a quorum of five: %v", err)
	}
}

// TestBadShareIsNamed: a share that does not verify is known as its maker's before it is combined; others take its place.
func TestBadShareIsNamed(t *testing.T) {
	t.Parallel()
	const n, quorum = 4, 3
	groups := open(t, deal(t, n, quorum), quorum)
	message := []byte("message")
	shares := map[int]threshold.Signature{}
	for id := 1; id <= n; id++ {
		shares[id] = groups[id-1].Sign(message)
	}
	shares[2] = shares[3] // replica 2 shows what replica 3 signed
	var ids []int
	var good []threshold.Signature
	for id := 1; id <= n; id++ {
		share := shares[id]
		if ok := groups[0].VerifyShare(id, message, &share); ok != (id != 2) {
			t.Errorf("the share of r%d verifies: %v", id, ok)
		} else if ok {
			ids, good = append(ids, id), append(good, share)
		}
	}
	if sig, err := groups[0].Combine(ids, good); err != nil || !groups[0].Verify(message, &sig) {
		t.Errorf("the good shares do not make a signature: %v", err)
	}
}

// TestPoints: bytes that are not the one encoding of a point of the right subgroup never verify.
func TestPoints(t *testing.T) {
	t.Parallel()
	groups := open(t, deal(t, 1, 1), 1)
	message := []byte("message")
	good := groups[0].Sign(message)
	var none curve.G1Affine
	outside := offSubgroup()
	for name, sig := range map[string]threshold.Signature{
		"nothing": {}, "the neutral point": none.Bytes(), "outside the subgroup": outside,
		"the other root": with(good, 0, good[0]^0x20), "uncompressed": with(good, 0, good[0]&^0x80),
		"infinity with a rest": with(good, 0, good[0]|0x40),
	} {
		if groups[0].Verify(message, &sig) || groups[0].VerifyShare(1, message, &sig) {
			t.Errorf("%s verifies", name)
		}
		if _, err := groups[0].Combine([]int{1}, []threshold.Signature{sig}); err == nil && name != "the other root" {
			t.Errorf("%s is combined", name)
		}
	}
	if !groups[0].Verify(message, &good) {
		t.Error("the signature itself does not verify")
	}
	key := bytes.Clone(deal(t, 1, 1).Public[0])
	key[0] ^= 0x80
	if _, ok := decodeG2(key); ok {
		t.Error("a key with the wrong flags is decoded")
	}
}

func with(s threshold.Signature, at int, b byte) threshold.Signature {
	s[at] = b
	return s
}

// offSubgroup is a point of the curve that is not in the subgroup of prime order.
func offSubgroup() threshold.Signature {
	for x := uint64(1); ; x++ {
		var p curve.G1Affine
		var y, four fp.Element
		p.X.SetUint64(x)
		four.SetUint64(4)
		y.Square(&p.X).Mul(&y, &p.X).Add(&y, &four)
		if p.Y.Sqrt(&y) != nil && p.IsOnCurve() && !p.IsInSubGroup() {
			return p.Bytes()
		}
	}
}

// TestClustersAndPurposes: a signature means nothing in another cluster.
func TestClustersAndPurposes(t *testing.T) {
	t.Parallel()
	k := deal(t, 1, 1)
	message := []byte("message")
	var sigs []threshold.Signature
	for _, id := range [][32]byte{{1}, {2}} {
		g, err := Scheme{}.Open(threshold.Setup{Cluster: id, Quorum: 1, Keys: k.Public, Self: 1, Secret: k.Secrets[0]})
		if err != nil {
			t.Fatal(err)
		}
		sigs = append(sigs, g.Sign(message))
		for i := range sigs {
			if got := g.Verify(message, &sigs[i]); got != (i == len(sigs)-1) {
				t.Errorf("cluster %x takes the signature of cluster %d: %v", id[0], i+1, got)
			}
		}
	}
	p := hash(domainPossession, [32]byte{2}, message)
	secret, _ := decodeScalar(k.Secrets[0])
	other := multiply(&p, &secret)
	if b := other.Bytes(); b == sigs[1] {
		t.Error("a proof of possession is a signature")
	}
}

// TestOpenRefuses: keys that do not belong together are refused, and what is said about them does not show the secret.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	k, other := deal(t, 4, 3), deal(t, 4, 3)
	zero := make([]byte, SecretSize)
	order := fr.Modulus().Bytes()
	mixed := slices.Clone(k.Public)
	mixed[3] = other.Public[3]
	cases := map[string]threshold.Setup{
		"put back the file that prime wrote": {Quorum: 3, Keys: k.Public, Self: 2, Secret: k.Secrets[0]},
		"is not a scalar":                    {Quorum: 3, Keys: k.Public, Self: 1, Secret: zero},
		"not a scalar of BLS12-381":          {Quorum: 3, Keys: k.Public, Self: 1, Secret: order},
		"do not belong together":             {Quorum: 3, Keys: mixed},
		"share_key of r2 is not":             {Quorum: 3, Keys: [][]byte{k.Public[0], zero, k.Public[2], k.Public[3]}},
		"for a quorum of 5":                  {Quorum: 5, Keys: k.Public},
		"there is no r5":                     {Quorum: 3, Keys: k.Public, Self: 5, Secret: k.Secrets[0]},
	}
	for want, setup := range cases {
		_, err := Scheme{}.Open(setup)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
		if err != nil && strings.Contains(err.Error(), fmt.Sprintf("%x", k.Secrets[0])) {
			t.Errorf("the secret is in: %v", err)
		}
	}
	if _, err := Deal(3, 4); err == nil {
		t.Error("keys were dealt for a quorum that there cannot be")
	}
}

// TestBlinding: the blinded multiplications are multiplications.
func TestBlinding(t *testing.T) {
	t.Parallel()
	for range 20 {
		s := random()
		p := hash(domainProof, [32]byte{}, []byte("m"))
		got := multiply(&p, &s)
		want, err := sumG1([]curve.G1Affine{p}, []fr.Element{s})
		if err != nil || !got.Equal(&want) {
			t.Fatal("multiply", err)
		}
		key := public(&s)
		_, _, _, g := curve.Generators()
		whole, err := sumG2([]curve.G2Affine{g}, []fr.Element{s})
		if err != nil || !key.Equal(&whole) {
			t.Fatal("public", err)
		}
	}
}

// FuzzShare: verifying and combining are total.
func FuzzShare(f *testing.F) {
	k, err := Deal(2, 1)
	if err != nil {
		f.Fatal(err)
	}
	g, err := Scheme{}.Open(threshold.Setup{Quorum: 1, Keys: k.Public, Self: 1, Secret: k.Secrets[0]})
	if err != nil {
		f.Fatal(err)
	}
	message := []byte("message")
	good := g.Sign(message)
	f.Add(good[:], 1)
	f.Add(make([]byte, threshold.SignatureSize), 2)
	f.Fuzz(func(t *testing.T, b []byte, id int) {
		var sig threshold.Signature
		copy(sig[:], b)
		if (g.VerifyShare(id, message, &sig) && id == 1) != (sig == good && id == 1) || g.Verify(message, &sig) != (sig == good) {
			t.Errorf("%x verifies", sig)
		}
		if made, err := g.Combine([]int{id}, []threshold.Signature{sig}); err == nil && made != sig {
			t.Errorf("one of one makes %x of %x", made, sig)
		}
	})
}
