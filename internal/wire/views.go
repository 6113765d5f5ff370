package wire

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/primebft/prime/internal/group"
)

// Ping is RTT-PING: the receiver answers with a Pong at once (5.4).
type Ping struct {
	View uint64
	Seq  uint64
}

// Pong is RTT-PONG, to the replica that sent the Ping.
type Pong struct {
	View uint64
	Dest group.ID // whose Ping it answers
	Seq  uint64
}

// RoundTrip is RTT-MEASURE: the sender's Ping to Dest took Nanos.
type RoundTrip struct {
	View  uint64
	Dest  group.ID
	Nanos uint64
}

// Bound is TAT-UB: by the round trips that others measured, a correct sender that led would turn round within Nanos.
type Bound struct {
	View  uint64
	Nanos uint64
}

// Turnaround is TAT-MEASURE: the longest turnaround of the leader that the sender has seen lately. Of one sender's in a view, that
// with the highest number counts.
type Turnaround struct {
	View   uint64
	Number uint64
	Nanos  uint64
}

// NewLeader is NEW-LEADER: a vote for View, which is one more than the sender's (A.2).
type NewLeader struct{ View uint64 }

// NewLeaderProof is NEW-LEADER-PROOF: votes for View of distinct replicas, in ascending order (A.2).
type NewLeaderProof struct {
	View  uint64
	Votes []*Envelope
}

// Resolution is what follows from the states of Members for View: Window is the digest of the bindings of the ordinals
// between Base and Start, both exclusive; normal ordering begins at Start (A.3, addendum A1).
type Resolution struct {
	View    uint64
	Members group.Set
	Base    uint64
	Start   uint64
	Window  Digest
}

// Bindings are the PRE-PREPAREs of a window, one for each ordinal between Base and Start; a zero Digest is a no-op.
type Bindings []Digest

// Carried is the outcome of an earlier view change that its reporter committed to: a replay certificate, the ReplayPrepares
// of Q distinct replicas in ascending order, and the bindings that it stands for (addendum A5 b).
type Carried struct {
	Resolution Resolution
	Bindings   Bindings
	Prepares   []*Envelope
}

// Prepared is a prepare certificate without its PRE-PREPARE: at least one of the Prepares is of a correct replica, which
// checked and holds the PRE-PREPARE with this digest (addendum A5 d).
type Prepared struct {
	Vote     Vote
	Prepares []*Envelope // of Q-1 distinct replicas in ascending order, the leader of Vote.View not among them
}

// Report is REPORT: the whole state that a replica brings into the change to View, in one message (A.3).
type Report struct {
	View     uint64
	Executed uint64
	Carried  *Carried   // nil if the sender never committed to a replay
	Prepared []Prepared // by ascending ordinal, all beyond Executed
}

// Receipt is what RB-ECHO and RB-READY say of the REPORT of Origin for View.
type Receipt struct {
	View   uint64
	Origin group.ID
	Report Digest
}

// Echo is RB-ECHO.
type Echo struct{ Receipt }

// Ready is RB-READY.
type Ready struct{ Receipt }

// StateList is VC-LIST: the sender has the complete states of Members.
type StateList struct {
	View    uint64
	Members group.Set
}

// StateShare is VC-PARTIAL-SIG. Always signed alone, so that Q of them are compact. Share is the sender's share of a threshold
// signature over the resolution, in a cluster whose proofs are such; nil in others, and before the sender has signed.
type StateShare struct {
	Resolution Resolution
	Share      *Threshold
}

// StateProof is VC-PROOF. In a cluster whose proofs are threshold signatures it is one, Sig. In others, and as long as nobody
// has put Sig together, it is Shares: of distinct replicas in ascending order, all for Resolution; of these only their
// signatures travel.
type StateProof struct {
	Resolution Resolution
	Shares     []*Envelope
	Sig        *Threshold
}

// Replay is REPLAY: what the leader chose.
type Replay struct{ Proof StateProof }

// ReplayVote is what REPLAY-PREPARE and REPLAY-COMMIT are about: the Resolution.Digest of a REPLAY.
type ReplayVote struct {
	View   uint64
	Replay Digest
}

// ReplayPrepare is REPLAY-PREPARE.
type ReplayPrepare struct{ ReplayVote }

// ReplayCommit is REPLAY-COMMIT.
type ReplayCommit struct{ ReplayVote }

// Window is a replay-commit certificate: anybody can check how a view began. Commits are of Q distinct replicas in ascending
// order (addendum A10).
type Window struct {
	Resolution Resolution
	Bindings   Bindings
	Commits    []*Envelope
}

// Recall asks for signed messages by Envelope.Digest: bound PRE-PREPAREs, and REPORTs that are being broadcast.
type Recall struct{ Digests []Digest }

// Digest names a resolution.
func (s *Resolution) Digest() Digest {
	b := append(make([]byte, 0, 128), domainResolution...)
	return sha256.Sum256(s.append(b))
}

// Digest is what Resolution.Window has to be for these bindings of a view's window.
func (w Bindings) Digest(epoch uint32, view, base uint64) Digest {
	b := append(make([]byte, 0, 64+len(w)*digestSize), domainWindow...)
	b = binary.LittleEndian.AppendUint32(b, epoch)
	b = binary.LittleEndian.AppendUint64(b, view)
	b = binary.LittleEndian.AppendUint64(b, base)
	for i := range w {
		b = append(b, w[i][:]...)
	}
	return sha256.Sum256(b)
}

// Kind implements Message.
func (*Ping) Kind() Kind { return KindPing }

// Kind implements Message.
func (*Pong) Kind() Kind { return KindPong }

// Kind implements Message.
func (*RoundTrip) Kind() Kind { return KindRoundTrip }

// Kind implements Message.
func (*Bound) Kind() Kind { return KindBound }

// Kind implements Message.
func (*Turnaround) Kind() Kind { return KindTurnaround }

// Kind implements Message.
func (*NewLeader) Kind() Kind { return KindNewLeader }

// Kind implements Message.
func (*NewLeaderProof) Kind() Kind { return KindNewLeaderProof }

// Kind implements Message.
func (*Report) Kind() Kind { return KindReport }

// Kind implements Message.
func (*Echo) Kind() Kind { return KindEcho }

// Kind implements Message.
func (*Ready) Kind() Kind { return KindReady }

// Kind implements Message.
func (*StateList) Kind() Kind { return KindStateList }

// Kind implements Message.
func (*StateShare) Kind() Kind { return KindStateShare }

// Kind implements Message.
func (*StateProof) Kind() Kind { return KindStateProof }

// Kind implements Message.
func (*Replay) Kind() Kind { return KindReplay }

// Kind implements Message.
func (*ReplayPrepare) Kind() Kind { return KindReplayPrepare }

// Kind implements Message.
func (*ReplayCommit) Kind() Kind { return KindReplayCommit }

// Kind implements Message.
func (*Window) Kind() Kind { return KindWindow }

// Kind implements Message.
func (*Recall) Kind() Kind { return KindRecall }
