package attack

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// forgedShares signs what follows from no states, shows shares that are no shares, and proofs that nobody has signed.
func forgedShares() Behaviour {
	return Behaviour{
		Name: "forged-shares", Does: "in view changes sends shares and proofs that are forged, and its own share not always", Apart: true,
		Wrap: edit(func(h *Host, s effect.Send, put func(effect.Send)) {
			lie := effect.Send{To: h.some(), Class: s.Class}
			switch m := s.Msg.(type) {
			case *wire.StateShare:
				lie.Msg = &wire.StateShare{Resolution: m.Resolution, Share: h.threshold()}
				if h.Rand.IntN(2) == 0 {
					lie.Msg = &wire.StateShare{Resolution: h.resolution(m.Resolution)}
				}
				put(lie)
				if h.Rand.IntN(3) == 0 {
					return // its own is never there
				}
			case *wire.StateProof:
				lie.Msg = h.proof(m)
				put(lie)
			case *wire.Replay:
				lie.Msg = &wire.Replay{Proof: *h.proof(&m.Proof)}
				put(lie)
			}
			put(s)
		}),
	}
}

// proof is m with nothing behind it.
func (h *Host) proof(m *wire.StateProof) *wire.StateProof {
	if h.Rand.IntN(2) == 0 {
		return &wire.StateProof{Resolution: m.Resolution, Sig: h.threshold()}
	}
	forged := *m // what was signed for another resolution
	forged.Resolution = h.resolution(m.Resolution)
	return &forged
}

// resolution is r with something wrong.
func (h *Host) resolution(r wire.Resolution) wire.Resolution {
	switch h.Rand.IntN(3) {
	case 0:
		r.Start++
	case 1:
		r.Base--
		r.Start--
	}
	r.Window = h.digest()
	return r
}

// threshold is bytes that are no share.
func (h *Host) threshold() *wire.Threshold {
	t, a, b := new(wire.Threshold), h.digest(), h.digest()
	copy(t[copy(t[:], a[:]):], b[:])
	return t
}
