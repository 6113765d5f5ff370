package bls

import "fmt"

// Keys is the key shares of a cluster, r1's first.
type Keys struct {
	Public  [][]byte
	Secrets [][]byte
}

// Deal makes the key shares of n replicas, quorum of which can sign. Whoever calls it could keep them all: it is for those
// who make all other private keys of the cluster too.
func Deal(n, quorum int) (Keys, error) {
	if quorum < 1 || quorum > n {
		return Keys{}, fmt.Errorf("threshold keys: a quorum of %d of %d replicas", quorum, n)
	}
	f := newPolynomial(quorum)
	var k Keys
	for id := 1; id <= n; id++ {
		secret := f.at(id)
		point := public(&secret)
		b, s := point.Bytes(), secret.Bytes()
		k.Public, k.Secrets = append(k.Public, b[:]), append(k.Secrets, s[:])
	}
	clear(f)
	return k, nil
}
