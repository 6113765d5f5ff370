package sign

// Reason is why a message was refused. It is a small number, so that refusals can be counted per peer. The zero Reason is
// not an error.
type Reason uint8

// The reasons.
const (
	Malformed        Reason = iota + 1 // the bytes are no message, or its parts contradict each other
	UnknownSender                      // the sender is not a member of the group
	WrongEpoch                         // made under another configuration
	WrongIncarnation                   // made by another incarnation of its sender
	BadSignature                       // the proof is not the sender's over this content
	WrongLeader                        // not by the leader of its view, or by it though it must not be
	BadMember                          // an embedded message is not valid
	NoQuorum                           // a certificate with too few distinct signers
	UnknownClient                      // an update of a client that is not admitted, or of a replica that did not introduce it
	BadUpdate                          // an update without its client's signature, or with one that nobody asked for
	Misdirected                        // not passed on by replicas, and not sent by its signer
	BadShare                           // not the sender's share of a threshold signature, or no threshold signature
	Superseded                         // of no use any more, or not yet: its view or ordinal is dealt with or far ahead; no fault of its sender
	Duplicate                          // an equal message of this peer is still waiting
)

// Reasons is the length of an array that is indexed by Reason.
const Reasons = int(Duplicate) + 1

var reasonNames = [Reasons]string{"", "malformed", "unknown sender", "wrong epoch", "wrong incarnation", "bad signature",
	"wrong leader", "bad member", "no quorum", "unknown client", "bad update", "misdirected", "bad share", "superseded", "duplicate"}

// String is the reason in a few words.
func (r Reason) String() string {
	if int(r) < Reasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Error implements error.
func (r Reason) Error() string { return "sign: " + r.String() }

// err is r as an error, nil for the zero Reason.
func (r Reason) err() error {
	if r == 0 {
		return nil
	}
	return r
}
