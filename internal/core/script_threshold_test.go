package core_test

import (
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// complete does what a replica's signer does where proofs are threshold signatures: it makes a share, and puts a quorum of shares
// together. Here a signature is the name of what is signed; scripts have no forgers.
func (s *script) complete(from group.ID, m wire.Message) wire.Message {
	if !s.shared {
		return m
	}
	switch m := m.(type) {
	case *wire.StateShare:
		return &wire.StateShare{Resolution: m.Resolution, Share: named(&m.Resolution, byte(from))}
	case *wire.StateProof:
		p := s.combine(m)
		return &p
	case *wire.Replay:
		return &wire.Replay{Proof: s.combine(&m.Proof)}
	}
	return m
}

func (s *script) combine(m *wire.StateProof) wire.StateProof {
	var signers group.Set
	for _, e := range m.Shares {
		if share := e.Msg.(*wire.StateShare).Share; share != nil && *share == *named(&m.Resolution, byte(e.Sender)) {
			signers = signers.With(e.Sender)
		}
	}
	if m.Sig != nil || signers.Len() != s.group.Quorum() {
		return *m
	}
	return wire.StateProof{Resolution: m.Resolution, Sig: named(&m.Resolution, 0)}
}

// named is the share of a replica, or the signature, of what is signed.
func named(r *wire.Resolution, by byte) *wire.Threshold {
	t, d := new(wire.Threshold), r.Digest()
	t[copy(t[:], d[:])] = by
	return t
}
