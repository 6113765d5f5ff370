package wire

// PreorderRequest is PO-REQUEST: the sender introduces Updates under the next sequence number of its lane (5.1). The
// sender's incarnation is in the header.
type PreorderRequest struct {
	Seq     uint64
	Updates []Update // at least one
}

// PreorderAck is PO-ACK, many at once: the sender holds the request of each part and promises never to acknowledge another
// digest for its id (5.1). Incarnations names the membership under which the promise is made: it is HashIncarnations of
// the sender's vector, and acks count together only if theirs are equal.
type PreorderAck struct {
	Incarnations Digest
	Parts        []AckPart // at least one
}

// AckPart acknowledges one request. Digest is Envelope.Digest of the PO-REQUEST. Certified says that the sender already holds
// a preorder certificate for the digest: f+1 such parts prove that one exists, as no two digests can both have one.
type AckPart struct {
	ID        PreorderID
	Digest    Digest
	Certified bool // one byte on the wire, 0 or 1
}

// Summary is PO-SUMMARY: the sender has preordered every request up to Vector (5.1). Number rises with every summary of an
// incarnation; entries never fall. Time is the sender's clock, Unix nanoseconds. Always signed alone, because it is embedded.
type Summary struct {
	Number uint64
	Time   int64
	Vector Vector // n entries
}

// Rows is a summary matrix: row i is the newest summary of replica i that its sender has, nil if it has none. Row i is
// always an envelope of KindSummary signed by replica i.
type Rows []*Envelope

// SummaryMatrix is SUMMARY-MATRIX: a non-leader shows the leader what may be ordered (5.4).
type SummaryMatrix struct {
	View uint64
	Rows Rows
}

// PrePrepare is PRE-PREPARE: the leader proposes Rows for Ordinal (5.2). Base is what the proposal before it made eligible,
// all zero for ordinal 1. Incarnations is as in PreorderAck.
type PrePrepare struct {
	View         uint64
	Ordinal      uint64
	Incarnations Digest
	Base         Vector
	Rows         Rows
}

// Vote is what PREPARE and COMMIT say: the sender's part in ordering the PRE-PREPARE with this digest.
type Vote struct {
	View         uint64
	Ordinal      uint64
	Proposal     Digest // Envelope.Digest of the PRE-PREPARE
	Incarnations Digest
}

// Prepare is PREPARE (5.2): the sender accepted the proposal and accepts no other for this view and ordinal.
type Prepare struct{ Vote }

// Commit is COMMIT (5.2): the sender holds a prepare certificate for the proposal.
type Commit struct{ Vote }

// Fetch asks for requests. A holder answers with the origin's own signed PO-REQUEST. Digest is the one that a quorum
// acknowledged, or zero if any will do.
type Fetch struct {
	Wants []Want // at least one
}

// Want is one request that is asked for.
type Want struct {
	ID     PreorderID
	Digest Digest
}

// Status says where its sender is. It is repeated with jitter; whoever sees from it that the sender is behind helps it on.
type Status struct {
	View      uint64
	Installed uint64 // highest view that the sender has installed
	Executed  uint64 // last ordinal executed
	Oldest    uint64 // first ordinal that the sender can tell others; one more than Executed if there is none
	Stable    uint64 // ordinal of the newest stable checkpoint that the sender knows of; 0: none
	Help      bool   // the sender wants what it lacks; one byte on the wire, 0 or 1
	Preorders Vector // up to where the sender has preordered
	Held      Vector // up to where it holds the requests without a gap
}

// Certificate is a commit certificate: anybody can check that Ordinal was ordered with this PRE-PREPARE. Commits are of
// distinct signers in ascending order.
type Certificate struct {
	PrePrepare *Envelope
	Commits    []*Envelope
}

// Most parts of one RECON, and most bytes of those of a RECON that has several.
const (
	MaxParts   = 64
	ReconBytes = 16 << 10
)

// Parts is RECON (5.3): the sender's parts of requests that it has preordered and the receiver lacks, in ascending order of the
// requests' origins and numbers, one of each.
type Parts struct {
	List []Part // at least one
}

// Part is one replica's part of a request. A request is cut into n parts, one for each replica, of which any f+1 give it back. The parts are the leaves of a hash tree; its root follows from one part, the place
// of its sender and the path, so that a part is never without a root, and parts that belong together have the same.
type Part struct {
	ID     PreorderID
	Digest Digest   // of the PO-REQUEST; the sender holds a preorder certificate for it
	Length uint32   // of the PO-REQUEST's content, which is what was cut
	Origin Proof    // of the PO-REQUEST, as the sender has it: a correct replica's is good, another's may be anything
	Path   []Digest // sibling hashes from the part up
	Bytes  []byte
	Root   Digest // PartRoot of the above; not on the wire
}

// Evidence is two envelopes of one signer that no correct replica would both sign. What they prove is found from their
// kinds: two PO-REQUESTs with one id, two inconsistent PO-SUMMARYs, two PRE-PREPAREs for one view and ordinal, two CHECKPOINTs for
// one ordinal. Or First is a RECON and Second a PO-REQUEST that it claims to have a part of: if it does not, it is the signer of First
// who is faulty.
type Evidence struct {
	First, Second *Envelope
}

// Kind implements Message.
func (*PreorderRequest) Kind() Kind { return KindPreorderRequest }

// Kind implements Message.
func (*PreorderAck) Kind() Kind { return KindPreorderAck }

// Kind implements Message.
func (*Summary) Kind() Kind { return KindSummary }

// Kind implements Message.
func (*SummaryMatrix) Kind() Kind { return KindSummaryMatrix }

// Kind implements Message.
func (*PrePrepare) Kind() Kind { return KindPrePrepare }

// Kind implements Message.
func (*Prepare) Kind() Kind { return KindPrepare }

// Kind implements Message.
func (*Commit) Kind() Kind { return KindCommit }

// Kind implements Message.
func (*Fetch) Kind() Kind { return KindFetch }

// Kind implements Message.
func (*Status) Kind() Kind { return KindStatus }

// Kind implements Message.
func (*Certificate) Kind() Kind { return KindCertificate }

// Kind implements Message.
func (*Evidence) Kind() Kind { return KindEvidence }

// Kind implements Message.
func (*Parts) Kind() Kind { return KindPart }
