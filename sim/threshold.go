package sim

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/threshold"
)

// drawThreshold decides whether a threshold signature challenges new leaders in this world, and lets attackers forge shares then.
// It draws from numbers of its own, so that everything else in a world is as it would be without.
func drawThreshold(seed uint64, p *plan) {
	rng := rand.New(rand.NewPCG(seed, 3))
	if p.threshold = rng.IntN(4) == 0; !p.threshold {
		return
	}
	for i := range p.replicas {
		if r := &p.replicas[i]; len(r.attacks) > 0 && rng.IntN(2) == 0 {
			r.attacks = append(r.attacks, "forged-shares")
			p.roundTrip = true // so that correct replicas' messages are verified too
		}
	}
}

// openShares opens the key shares of a world: nobody's first, to verify with, then everybody's. A world's are fixed by its seed.
func (w *world) openShares(g group.Group) ([]threshold.Group, error) {
	if !w.plan.threshold {
		return make([]threshold.Group, g.N()+1), nil
	}
	if w.options.RealSignatures && w.options.Threshold != nil {
		var seed [32]byte
		binary.LittleEndian.PutUint64(seed[:], w.options.Seed)
		return w.options.Threshold(rand.NewChaCha8(seed), g.N(), g.Quorum())
	}
	var all []threshold.Group
	for id := range g.N() + 1 {
		all = append(all, tally{n: g.N(), quorum: g.Quorum(), self: id})
	}
	return all, nil
}

// Shares makes the key shares of a world with real threshold signatures, from random bytes that its seed fixes: groups that can
// only verify, and then sign as replica 1, 2, … n.
type Shares func(random io.Reader, n, quorum int) ([]threshold.Group, error)

// tally is threshold signatures as checksum is signatures: it tells whose share is which, and costs nothing. A share has the
// hash that makes the signature, and one that makes it its signer's.
type tally struct{ n, quorum, self int }

// Sign implements threshold.Group.
func (t tally) Sign(message []byte) threshold.Signature { return share(t.self, message) }

func share(id int, message []byte) (s threshold.Signature) {
	s = whole(message)
	binary.LittleEndian.PutUint64(s[8:], mix([]byte{byte(id)}, message))
	return s
}

func whole(message []byte) (s threshold.Signature) {
	binary.LittleEndian.PutUint64(s[:], mix([]byte("whole"), message))
	return s
}

// VerifyShare implements threshold.Group.
func (t tally) VerifyShare(id int, message []byte, s *threshold.Signature) bool {
	return id >= 1 && id <= t.n && *s == share(id, message)
}

// Combine implements threshold.Group.
func (t tally) Combine(ids []int, shares []threshold.Signature) (s threshold.Signature, err error) {
	if len(ids) != t.quorum || len(shares) != t.quorum {
		return s, errors.New("not a quorum of shares")
	}
	for i := range shares {
		for _, other := range ids[:i] {
			if other == ids[i] {
				return s, errors.New("a share twice")
			}
		}
		if i == 0 {
			copy(s[:8], shares[0][:8])
		} else if [8]byte(shares[i][:8]) != [8]byte(s[:8]) {
			s[47] = 1 // of nothing
		}
	}
	return s, nil
}

// Verify implements threshold.Group.
func (t tally) Verify(message []byte, s *threshold.Signature) bool { return *s == whole(message) }
