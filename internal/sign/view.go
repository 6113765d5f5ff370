package sign

import "github.com/primebft/prime/internal/wire"

// viewProofs checks what replicas have signed in a message of election, view change or about checkpoints. That the parts say what the whole says
// follows from their bytes: wire has checked it.
func (i *inspection) viewProofs(e *wire.Envelope) Reason {
	switch m := e.Msg.(type) {
	case *wire.NewLeaderProof:
		return i.signed(m.Votes, wire.KindNewLeader, i.v.quorum)
	case *wire.StateShare:
		return i.share(e.Sender, m)
	case *wire.StateProof:
		return i.proof(m)
	case *wire.Replay:
		if i.v.keyring.m.Group.Leader(m.Proof.Resolution.View) != e.Sender {
			return WrongLeader
		}
		return i.proof(&m.Proof)
	case *wire.Window:
		return i.signed(m.Commits, wire.KindReplayCommit, i.v.quorum)
	case *wire.Report:
		return i.certificates(m)
	case *wire.CheckpointProof:
		return i.signed(m.Votes, wire.KindCheckpoint, i.v.keyring.m.Group.OneCorrect())
	}
	return 0
}

// signed checks that list is of messages of a kind, by at least least distinct replicas, and what they have signed.
func (i *inspection) signed(list []*wire.Envelope, kind wire.Kind, least int) Reason {
	if why := distinct(list, kind, least); why != 0 {
		return why
	}
	for _, e := range list {
		if i.envelope(e) != 0 {
			return BadMember
		}
	}
	return 0
}

// distinct is signed without the signatures.
func distinct(list []*wire.Envelope, kind wire.Kind, least int) Reason {
	for n, e := range list {
		if e.Kind != kind || (n > 0 && e.Sender <= list[n-1].Sender) {
			return Malformed
		}
	}
	if len(list) < least {
		return NoQuorum
	}
	return 0
}

// certificates checks all of a REPORT but the signatures in its certificates, of which there can be hundreds: who signs a
// report that cannot count does not make us verify them.
func (i *inspection) certificates(m *wire.Report) Reason {
	g := i.v.keyring.m.Group
	if m.Carried != nil {
		if why := distinct(m.Carried.Prepares, wire.KindReplayPrepare, i.v.quorum); why != 0 {
			return why
		}
	}
	for n := range m.Prepared {
		p := &m.Prepared[n]
		if why := distinct(p.Prepares, wire.KindPrepare, g.Prepares()); why != 0 {
			return why
		}
		for _, e := range p.Prepares {
			if e.Sender == g.Leader(p.Vote.View) {
				return WrongLeader
			}
		}
	}
	return 0
}

// reported is parts for a REPORT: part 0 is its carried result, part n its n-th prepare certificate. One is of no more signers
// than there are replicas, so it is not cut.
func (i *inspection) reported(m *wire.Report, at, limit int) (int, Reason) {
	for checked := 0; at <= len(m.Prepared); at++ {
		if i.cost >= limit || checked >= partsAtOnce {
			return at, 0
		}
		list := []*wire.Envelope(nil)
		if at > 0 {
			list = m.Prepared[at-1].Prepares
		} else if m.Carried != nil {
			list = m.Carried.Prepares
		}
		for _, e := range list {
			if i.envelope(e) != 0 {
				return at, BadMember
			}
		}
		checked += len(list)
	}
	return whole, 0
}
