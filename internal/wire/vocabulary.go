// Package wire is the vocabulary of Prime: every message that replicas exchange, and its canonical binary form.
//
// A message that a replica signs travels as an Envelope: a header that says who speaks, a body, and a Proof (the signature,
// usually shared with other messages of the same batch). docs/wire.md has every layout. Decoders are total: any bytes give a
// message or an error, never a panic, and no length is believed before it is checked against the bytes that are left. Every
// accepted encoding is the only one of its message: Append(Decode(b)) == b.
package wire

import (
	"encoding/hex"

	"github.com/primebft/prime/internal/group"
)

// Version of the replica protocol; it is part of every frame and is negotiated when connecting.
const Version = 1

// Digest is a SHA-256 hash.
type Digest [32]byte

// String is the first eight bytes in hex, for people.
func (d Digest) String() string { return hex.EncodeToString(d[:8]) }

// Signature is an Ed25519 signature.
type Signature [64]byte

// Threshold is a threshold signature, or a share of one, in the one encoding that its scheme has for it.
type Threshold [48]byte

// ClientID is a client's Ed25519 public key.
type ClientID [32]byte

// String is the whole key in hex.
func (c ClientID) String() string { return hex.EncodeToString(c[:]) }

// Class is the traffic class of a message (TDSC 2011 section 3): what the network promises it.
type Class uint8

// The traffic classes, the most urgent first.
const (
	Timely  Class = iota + 1 // few, small, must arrive with bounded variance: PRE-PREPARE of the leader, SUMMARY-MATRIX
	Bounded                  // everything else that ordering waits for
	Recon                    // bulk repair
	Bulk                     // state transfer (later)
)

// Classes is how many classes there are.
const Classes = 4

// String is the class's name in lower case.
func (c Class) String() string {
	if names := [...]string{"", "timely", "bounded", "recon", "bulk"}; int(c) < len(names) && c > 0 {
		return names[c]
	}
	return "unknown"
}

// Kind is the type of a message.
type Kind uint8

// The kinds of messages. The numbers are part of the wire format and are never reused.
const (
	KindPreorderRequest Kind = 1  // PO-REQUEST: updates under the origin's next preorder sequence number
	KindPreorderAck     Kind = 2  // PO-ACK: the sender holds these requests, with these digests
	KindSummary         Kind = 3  // PO-SUMMARY: up to where the sender has preordered every origin
	KindSummaryMatrix   Kind = 4  // SUMMARY-MATRIX: the best summaries that the sender has, to the leader
	KindPrePrepare      Kind = 5  // PRE-PREPARE: the leader's proposal of a matrix for an ordinal
	KindPrepare         Kind = 6  // PREPARE: the sender accepted a PRE-PREPARE
	KindCommit          Kind = 7  // COMMIT: the sender has a prepare certificate
	KindFetch           Kind = 8  // asks for requests that the sender lacks
	KindStatus          Kind = 9  // where the sender is; repeated, so that peers can help it on
	KindCertificate     Kind = 10 // a commit certificate: PRE-PREPARE and Q COMMITs
	KindEvidence        Kind = 11 // two signed messages that prove their signer faulty
	KindPing            Kind = 12 // RTT-PING: asks for a PONG at once
	KindPong            Kind = 13 // RTT-PONG: answers a PING
	KindRoundTrip       Kind = 14 // RTT-MEASURE: how long the sender's PING to the receiver took
	KindBound           Kind = 15 // TAT-UB: the turnaround time that the sender would achieve as leader
	KindTurnaround      Kind = 16 // TAT-MEASURE: the turnaround time that the sender sees of the leader
	KindNewLeader       Kind = 17 // NEW-LEADER: the sender votes for a view
	KindNewLeaderProof  Kind = 18 // NEW-LEADER-PROOF: Q votes for a view
	KindReport          Kind = 19 // REPORT: what the sender has executed and prepared, for a view change; reliably broadcast
	KindEcho            Kind = 20 // RB-ECHO: the sender holds this REPORT
	KindReady           Kind = 21 // RB-READY: the sender knows that this REPORT will be delivered everywhere
	KindStateList       Kind = 22 // VC-LIST: the replicas whose state the sender has completely
	KindStateShare      Kind = 23 // VC-PARTIAL-SIG: the sender's signature to what follows from the states of a list
	KindStateProof      Kind = 24 // VC-PROOF: Q such signatures, or one threshold signature
	KindReplay          Kind = 25 // REPLAY: the leader's choice of a VC-PROOF
	KindReplayPrepare   Kind = 26 // REPLAY-PREPARE: the sender has the states that a REPLAY follows from
	KindReplayCommit    Kind = 27 // REPLAY-COMMIT: the sender holds a replay certificate
	KindWindow          Kind = 28 // a replay-commit certificate: how a view began
	KindRecall          Kind = 29 // asks for PRE-PREPAREs and REPORTs by digest
	KindPart            Kind = 30 // RECON: the sender's part of a request, for replicas that lack it
	KindCheckpoint      Kind = 31 // CHECKPOINT: the sender has a state of this digest after an ordinal
	KindCheckpointProof Kind = 32 // CHECKPOINT-PROOF: CHECKPOINTs of f+1 replicas at least for one ordinal and digest
	KindOutlineAsk      Kind = 33 // asks for links between two ordinals
	KindOutline         Kind = 34 // links that the execution of ordinals left behind
	KindSegmentAsk      Kind = 35 // asks what ordinals are
	KindSegment         Kind = 36 // what ordinals are, with the contents of their requests
)

// LastKind is the highest kind that there is.
const LastKind = KindSegment

// PreorderID names a preorder request: the origin's Seq-th request of its Incarnation. The pair (Incarnation, Seq) is
// compared lexicographically.
type PreorderID struct {
	Origin group.ID
	Position
}

// Position is a place in one origin's lane: everything up to (Incarnation, Seq). The zero Position is before everything.
type Position struct {
	Incarnation uint32
	Seq         uint64
}

// Less reports whether p is before q.
func (p Position) Less(q Position) bool {
	return p.Incarnation < q.Incarnation || (p.Incarnation == q.Incarnation && p.Seq < q.Seq)
}

// Vector has one Position per origin; index it with group.ID.Index.
type Vector []Position

// Covers reports whether v is at least as up to date as w: no entry of v is before w's (TDSC 2011 section 5.1).
func (v Vector) Covers(w Vector) bool {
	for i := range w {
		if v[i].Less(w[i]) {
			return false
		}
	}
	return true
}

// Update is one client operation. Client and Seq together name it for ever; Sig is the client's signature over it, all zero
// in a cluster whose updates are vouched for by their replica.
type Update struct {
	Client  ClientID
	Seq     uint64
	Payload []byte
	Sig     Signature
}

// TransferPoint reports whether u is no client's operation but a mark in the order: the application of the replica that introduced it
// takes over, from others, the state that they have right after it. It has neither client nor number, payload or signature.
func (u *Update) TransferPoint() bool { return u.Client == ClientID{} }

// bare reports whether u has nothing that only a client can give it.
func (u *Update) bare() bool {
	return u.Client == ClientID{} && u.Seq == 0 && len(u.Payload) == 0 && u.Sig == Signature{}
}

// Message is the decoded body of an envelope: one of the pointer types in messages.go.
type Message interface {
	Kind() Kind
	size() int // bytes that appendBody appends
	appendBody(b []byte) []byte
}

// Header is what every signed message says of its sender.
type Header struct {
	Kind        Kind
	Sender      group.ID
	Epoch       uint32 // configuration of the group
	Incarnation uint32 // of the sender
}

// Proof shows that the sender signed the content. The signature is over a Merkle root of Count messages, of which this one
// is number Index; Path has the sibling digests from the leaf up. A message signed alone has Count 1 and no Path.
type Proof struct {
	Count, Index uint8
	Path         []Digest
	Sig          Signature
}

// MaxBatch is the most messages that one signature can cover; MaxPath the longest Path.
const (
	MaxBatch = 64
	MaxPath  = 6
)

// Envelope is a signed message. It is immutable once made. Whoever hands one to the protocol core has checked its Proof and
// the proofs of every envelope inside it.
type Envelope struct {
	Header
	Msg     Message
	Content []byte // canonical header and body: what Digest and the signature are about
	Digest  Digest // hash of Content; tells two messages apart whatever their proofs are
	Proof   Proof
	Raw     []byte // the whole envelope as it travels; nil until it is signed

	draft []byte // length, Content and room for the proof; only between NewEnvelope and Finish
}
