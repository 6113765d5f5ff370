package wire

import (
	"encoding/binary"

	"github.com/primebft/prime/internal/group"
)

func appendU64s(b []byte, values ...uint64) []byte {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// view reads the number of a view.
func view(r *Reader) uint64 {
	v := r.U64()
	r.Check(v >= 1, "view 0")
	return v
}

func (l *Limits) id(r *Reader) group.ID {
	id := group.ID(r.U8())
	r.Check(l.member(id), "not a member")
	return id
}

func (*Ping) size() int                     { return 16 }
func (m *Ping) appendBody(b []byte) []byte  { return appendU64s(b, m.View, m.Seq) }
func (*Pong) size() int                     { return 17 }
func (m *Pong) appendBody(b []byte) []byte  { return appendU64s(append(b, byte(m.Dest)), m.View, m.Seq) }
func (*Bound) size() int                    { return 16 }
func (m *Bound) appendBody(b []byte) []byte { return appendU64s(b, m.View, m.Nanos) }
func (*RoundTrip) size() int                { return 17 }
func (*Turnaround) size() int               { return 24 }
func (*NewLeader) size() int                { return 8 }

func (m *RoundTrip) appendBody(b []byte) []byte {
	return appendU64s(append(b, byte(m.Dest)), m.View, m.Nanos)
}

func (m *Turnaround) appendBody(b []byte) []byte { return appendU64s(b, m.View, m.Number, m.Nanos) }
func (m *NewLeader) appendBody(b []byte) []byte  { return appendU64s(b, m.View) }

func (m *NewLeaderProof) size() int { return 8 + signersSize(m.Votes) }

func (m *NewLeaderProof) appendBody(b []byte) []byte {
	return appendSigners(appendU64s(b, m.View), m.Votes)
}

func (l *Limits) newLeaderProof(r *Reader, epoch uint32) *NewLeaderProof {
	m := &NewLeaderProof{View: view(r)}
	m.Votes = l.signers(r, kindSet(KindNewLeader), aloneSize+8, func(e *Envelope) bool {
		return e.Msg.(*NewLeader).View == m.View && e.Epoch == epoch
	})
	return m
}

func signersSize(list []*Envelope) int {
	n := 1
	for _, e := range list {
		n += embedSize(e)
	}
	return n
}

func appendSigners(b []byte, list []*Envelope) []byte {
	b = append(b, byte(len(list)))
	for _, e := range list {
		b = embed(b, e)
	}
	return b
}

// signers reads envelopes of distinct signers, in ascending order, at least one; each is at least least bytes long and fits.
func (l *Limits) signers(r *Reader, allowed kinds, least int, fits func(*Envelope) bool) []*Envelope {
	n := int(r.U8())
	r.Check(n >= 1 && n <= l.N, "number of signers")
	if r.Err() != nil || n > r.Len()/(lengthSize+least) {
		r.Fail(Truncated)
		return nil
	}
	list := make([]*Envelope, n)
	for i := range list {
		e := l.embedded(r, allowed)
		if e == nil {
			return nil
		}
		r.Check(i == 0 || e.Sender > list[i-1].Sender, "signers do not ascend")
		r.Check(fits(e), "is not for what it is part of")
		if r.Err() != nil {
			return nil
		}
		list[i] = e
	}
	return list
}

// viewBody reads the messages of monitoring, election and view change.
func (l *Limits) viewBody(e *Envelope, r *Reader) {
	switch e.Kind {
	case KindPing:
		e.Msg = &Ping{View: view(r), Seq: r.U64()}
	case KindPong:
		e.Msg = &Pong{Dest: l.id(r), View: view(r), Seq: r.U64()}
	case KindRoundTrip:
		e.Msg = &RoundTrip{Dest: l.id(r), View: view(r), Nanos: r.U64()}
	case KindBound:
		e.Msg = &Bound{View: view(r), Nanos: r.U64()}
	case KindTurnaround:
		e.Msg = &Turnaround{View: view(r), Number: r.U64(), Nanos: r.U64()}
	case KindNewLeader:
		e.Msg = &NewLeader{View: view(r)}
	case KindNewLeaderProof:
		e.Msg = l.newLeaderProof(r, e.Epoch)
	case KindReport:
		e.Msg = l.report(r, e.Epoch)
	case KindEcho:
		e.Msg = &Echo{l.receipt(r)}
	case KindReady:
		e.Msg = &Ready{l.receipt(r)}
	case KindStateList:
		e.Msg = &StateList{View: view(r), Members: l.members(r)}
	case KindStateShare:
		r.Check(e.Proof.Count == 1, "a share must be signed alone")
		e.Msg = &StateShare{Resolution: l.resolution(r), Share: l.threshold(r)}
	case KindStateProof:
		m := l.stateProof(r, e.Epoch)
		e.Msg = &m
	case KindReplay:
		e.Msg = &Replay{Proof: l.stateProof(r, e.Epoch)}
	case KindReplayPrepare:
		e.Msg = &ReplayPrepare{replayVote(r)}
	case KindReplayCommit:
		e.Msg = &ReplayCommit{replayVote(r)}
	case KindWindow:
		e.Msg = l.window(r, e.Epoch)
	case KindRecall:
		m := &Recall{Digests: make([]Digest, r.Count(l.Recalls, digestSize))}
		for i := range m.Digests {
			m.Digests[i] = r.Digest()
		}
		e.Msg = m
	case KindCheckpoint:
		m := checkpoint(r)
		e.Msg = &m
	case KindCheckpointProof:
		e.Msg = l.checkpointProof(r, e.Epoch)
	default:
		r.Fail("kind")
	}
}
