package sign

import (
	"crypto/sha256"
	"sync"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/threshold"
)

// What is here is for clusters in which a threshold signature challenges a new leader. A share is in the message that is
// signed; so a false one is its sender's fault by the sender's own signature, and is refused before anybody counts it.

// domainProof begins what a share is over: the domain, cluster id, configuration digest, digest of the incarnations, and
// digest of the resolution.
const domainProof = "prime-proof-v1\x00"

// thresholdCost is how many Ed25519 signatures take as long to verify as one threshold signature or share.
const thresholdCost = 20

// appendProof appends what a share of the proof of a resolution is over.
func (k *Keyring) appendProof(b []byte, r *wire.Resolution) []byte {
	digest := r.Digest()
	return append(append(b, k.proving...), digest[:]...)
}

// UseThreshold makes s sign and put together the proofs that challenge a new leader with g, which has the secret of s's own
// replica.
func (s *Signer) UseThreshold(g threshold.Group) { s.group = g }

// Complete returns m with what signing adds to its content; m itself if that is nothing. In a cluster of threshold signatures
// it makes this replica's share, and of a quorum of shares a signature. Shares that somebody has verified always can be put
// together; from others comes what nobody accepts. It has to be called before wire.NewEnvelope.
func (s *Signer) Complete(m wire.Message) wire.Message {
	if s.group == nil {
		return m
	}
	switch m := m.(type) {
	case *wire.StateShare:
		if m.Share == nil {
			s.statement = s.keyring.appendProof(s.statement[:0], &m.Resolution)
			share := wire.Threshold(s.group.Sign(s.statement))
			return &wire.StateShare{Resolution: m.Resolution, Share: &share}
		}
	case *wire.StateProof:
		p := s.combine(m)
		return &p
	case *wire.Replay:
		return &wire.Replay{Proof: s.combine(&m.Proof)}
	}
	return m
}

// combine is m with its signature, if the shares in it make one.
func (s *Signer) combine(m *wire.StateProof) wire.StateProof {
	if m.Sig != nil {
		return *m
	}
	ids, shares := make([]int, 0, len(m.Shares)), make([]threshold.Signature, 0, len(m.Shares))
	for _, e := range m.Shares {
		if share, ok := e.Msg.(*wire.StateShare); ok && share.Share != nil {
			ids, shares = append(ids, int(e.Sender)), append(shares, threshold.Signature(*share.Share))
		}
	}
	sig, err := s.group.Combine(ids, shares)
	if err != nil {
		return *m
	}
	return wire.StateProof{Resolution: m.Resolution, Sig: (*wire.Threshold)(&sig)}
}

// share checks that a replica's share is its own, of the kind that the cluster has. The message has been found signed by it.
func (i *inspection) share(sender group.ID, m *wire.StateShare) Reason {
	k := i.v.keyring
	if (k.m.Threshold == nil) != (m.Share == nil) {
		return Malformed
	}
	if m.Share == nil {
		return 0
	}
	return i.threshold(&i.v.signers[sender.Index()].shares, &m.Resolution, m.Share, func(message []byte) bool {
		return k.m.Threshold.VerifyShare(int(sender), message, (*threshold.Signature)(m.Share))
	})
}

// proof checks that a quorum of replicas has signed the resolution of m, in the form that the cluster has for that.
func (i *inspection) proof(m *wire.StateProof) Reason {
	k := i.v.keyring
	switch {
	case (k.m.Threshold == nil) != (m.Sig == nil):
		return Malformed
	case m.Sig == nil:
		return i.signed(m.Shares, wire.KindStateShare, i.v.quorum)
	case len(m.Shares) > 0:
		return Malformed // never both
	}
	return i.threshold(&i.v.proofs, &m.Resolution, m.Sig, func(message []byte) bool {
		return k.m.Threshold.Verify(message, (*threshold.Signature)(m.Sig))
	})
}

// threshold checks sig by verify, unless it is remembered that it was found good.
func (i *inspection) threshold(good *known, r *wire.Resolution, sig *wire.Threshold, verify func(message []byte) bool) Reason {
	i.statement = i.v.keyring.appendProof(i.statement[:0], r)
	message := i.statement
	i.statement = append(i.statement, sig[:]...)
	key := wire.Digest(sha256.Sum256(i.statement))
	if good.has(&key) {
		return 0
	}
	i.cost += thresholdCost
	if !verify(message) {
		return BadShare
	}
	good.add(&key)
	return 0
}

// known is the latest threshold signatures, or shares of one signer, that were found good, by hash. Whoever shows many has
// shares of its own forgotten, or needs a quorum for each.
type known struct {
	mu    sync.Mutex
	next  int
	slots [64]wire.Digest
}

func (k *known) has(key *wire.Digest) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.slots {
		if k.slots[i] == *key {
			return true
		}
	}
	return false
}

func (k *known) add(key *wire.Digest) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.slots[k.next%len(k.slots)] = *key
	k.next++
}
