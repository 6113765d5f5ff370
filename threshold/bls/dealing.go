package bls

import (
	"crypto/ed25519"
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"

	curve "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// dealing is what one dealer hands to everybody.
type dealing struct {
	ceremony    [32]byte
	dealer      int
	commitments []curve.G2Affine // to the coefficients of its polynomial, the constant one first
	sealed      [][]byte         // its value at each member, encrypted to that member
	possession  curve.G1Affine   // proof that the dealer knows the constant coefficient
	signature   []byte           // of the dealer, over everything before
}

// What a dealing looks like: domainDealing, ceremony (32), dealer (u8), number of commitments (u8) and the commitments (96
// each), number of members (u8) and the sealed values (sealedSize each), possession (48), signature (64).
const (
	domainDealing = "prime-dealing-v1\x00"
	sealedSize    = DealingKeySize + SecretSize + 16 // encapsulated key, value, tag
)

// DealingSize is the length of a dealing for so many members, bytes.
func DealingSize(quorum, members int) int {
	return len(domainDealing) + 32 + 1 + 1 + quorum*PublicSize + 1 + members*sealedSize + pointSize + ed25519.SignatureSize
}

// Dealer is whose dealing b says that it is, 0 if it is none. Finish checks that it is.
func Dealer(b []byte) int {
	if len(b) < len(domainDealing)+33 || string(b[:len(domainDealing)]) != domainDealing {
		return 0
	}
	return int(b[len(domainDealing)+32])
}

// possessed is what the proof of possession is over: ceremony, dealer and all commitments.
func (d *dealing) possessed() []byte {
	b := append([]byte(domainDealing), d.ceremony[:]...)
	b = append(b, byte(d.dealer), byte(len(d.commitments)))
	for i := range d.commitments {
		p := d.commitments[i].Bytes()
		b = append(b, p[:]...)
	}
	return b
}

// unsigned is everything but the signature.
func (d *dealing) unsigned() []byte {
	b := append(d.possessed(), byte(len(d.sealed)))
	for _, box := range d.sealed {
		b = append(b, box...)
	}
	p := d.possession.Bytes()
	return append(b, p[:]...)
}

func (d *dealing) encode() []byte { return append(d.unsigned(), d.signature...) }

// context binds an encrypted value to its place.
func (d *dealing) context(to int) []byte {
	b := append([]byte("prime-dealing-value-v1\x00"), d.ceremony[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(d.dealer))
	return binary.LittleEndian.AppendUint32(b, uint32(to))
}

// open decodes a dealing and checks everything in it that is not encrypted.
func (c Ceremony) open(b []byte) (*dealing, error) {
	dealer := Dealer(b)
	if dealer < 1 || dealer > len(c.Members) {
		return nil, errors.New("dealing: one of the files is not a dealing of a replica of this cluster: give the files that prime deal wrote")
	}
	d := &dealing{dealer: dealer}
	at := len(domainDealing)
	take := func(n int) (part []byte) {
		part, at = b[at:at+n], at+n
		return part
	}
	copy(d.ceremony[:], take(32))
	if d.ceremony != c.ID() {
		return nil, fmt.Errorf("dealing: that of r%d was made for other members, or another f or k: "+
			"give everybody the same public files and flags, and run prime deal on r%d again", dealer, dealer)
	}
	take(1)
	bad := fmt.Errorf("dealing: that of r%d is damaged: get it from r%d again", dealer, dealer)
	if len(b) != DealingSize(c.Quorum, len(c.Members)) || int(take(1)[0]) != c.Quorum {
		return nil, bad
	}
	if !ed25519.Verify(c.Members[dealer-1].Public, b[:len(b)-ed25519.SignatureSize], b[len(b)-ed25519.SignatureSize:]) {
		return nil, fmt.Errorf("dealing: that of r%d was not signed by r%d: get it from r%d again", dealer, dealer, dealer)
	}
	// What is wrong from here on is the dealer's doing.
	d.commitments = make([]curve.G2Affine, c.Quorum)
	for i := range d.commitments {
		var ok bool
		if d.commitments[i], ok = decodeG2(take(PublicSize)); !ok {
			return nil, d.blame("a commitment is not a point")
		}
	}
	if int(take(1)[0]) != len(c.Members) {
		return nil, d.blame("it is for another number of members")
	}
	for range c.Members {
		d.sealed = append(d.sealed, take(sealedSize))
	}
	var ok bool
	if d.possession, ok = decodeG1(take(pointSize)); !ok || !d.possesses() {
		return nil, d.blame("the dealer does not prove that it knows its secret")
	}
	d.signature = take(ed25519.SignatureSize)
	return d, nil
}

// possesses reports whether the dealer knows the secret that it adds, so that it cannot be chosen to cancel others'.
func (d *dealing) possesses() bool {
	_, _, _, generator := curve.Generators()
	g, key := lines(curve.PrecomputeLines(generator)), lines(curve.PrecomputeLines(d.commitments[0]))
	message := hash(domainPossession, d.ceremony, d.possessed())
	return signed(&d.possession, &message, &g, &key)
}

// value decrypts the value for one member and checks it against the commitments.
func (d *dealing) value(self int, key hpke.PrivateKey) (fr.Element, error) {
	b, err := hpke.Open(key, hpke.HKDFSHA256(), hpke.AES256GCM(), d.context(self), d.sealed[self-1])
	if err != nil {
		return fr.Element{}, d.blame(fmt.Sprintf("r%d cannot decrypt its value", self))
	}
	var v fr.Element
	if len(b) != SecretSize || v.SetBytesCanonical(b) != nil {
		return fr.Element{}, d.blame(fmt.Sprintf("the value for r%d is no scalar", self))
	}
	want, err := sumG2(d.commitments, powers(self, len(d.commitments)))
	if err != nil {
		return fr.Element{}, err
	}
	if got := public(&v); !got.Equal(&want) {
		return fr.Element{}, d.blame(fmt.Sprintf("the value for r%d is not the one that it committed to", self))
	}
	return v, nil
}

// blame is an error that the dealer is to blame for, by its own signature.
func (d *dealing) blame(what string) error {
	return fmt.Errorf("dealing: that of r%d is false: %s. Do not trust r%d before you know why; then let it run prime deal again, "+
		"and give the new file to everybody", d.dealer, what, d.dealer)
}
