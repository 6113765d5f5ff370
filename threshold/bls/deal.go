package bls

import (
	"crypto/rand"
	"fmt"
	"io"

	"github.com/primebft/prime/threshold"
)

// Keys is the key shares of a cluster, r1's first.
type Keys struct {
	Public  [][]byte
	Secrets [][]byte
}

// Deal makes the key shares of n replicas, quorum of which can sign. Whoever calls it could keep them all: it is for those
// who make all other private keys of the cluster too.
func Deal(n, quorum int) (Keys, error) { return DealFrom(rand.Reader, n, quorum) }

// DealFrom is Deal with random bytes of one's own, for simulations and tests: equal bytes make equal keys.
func DealFrom(random io.Reader, n, quorum int) (Keys, error) {
	if quorum < 1 || quorum > n {
		return Keys{}, fmt.Errorf("threshold keys: a quorum of %d of %d replicas", quorum, n)
	}
	f := make(polynomial, quorum)
	for i := range f {
		var wide [SecretSize + 16]byte // so many more that reducing them leaves no bias
		if _, err := io.ReadFull(random, wide[:]); err != nil {
			return Keys{}, fmt.Errorf("threshold keys: %w", err)
		}
		f[i].SetBytes(wide[:])
	}
	var k Keys
	for id := 1; id <= n; id++ {
		secret := f.at(id)
		if secret.IsZero() {
			return Keys{}, fmt.Errorf("threshold keys: the key share of r%d is zero: deal again", id) // never, but for chance of 2^-255
		}
		point := public(&secret)
		b, s := point.Bytes(), secret.Bytes()
		k.Public, k.Secrets = append(k.Public, b[:]), append(k.Secrets, s[:])
	}
	clear(f)
	return k, nil
}

// Groups deals with random bytes of one's own and opens the cluster as every replica sees it, for simulations and tests: by id,
// and as one without a share at 0.
func Groups(random io.Reader, n, quorum int) ([]threshold.Group, error) {
	keys, err := DealFrom(random, n, quorum)
	if err != nil {
		return nil, err
	}
	all := make([]threshold.Group, n+1)
	for id := range all {
		setup := threshold.Setup{Quorum: quorum, Keys: keys.Public, Self: id}
		if id > 0 {
			setup.Secret = keys.Secrets[id-1]
		}
		if all[id], err = (Scheme{}).Open(setup); err != nil {
			return nil, err
		}
	}
	return all, nil
}
