// Package threshold is what Prime needs of a threshold signature scheme: the proof that challenges the leader of a new view
// can be one signature of constant size instead of a list (docs/adr/0009). Prime itself contains no such scheme; threshold/bls
// is one, and a replica of a cluster whose configuration asks for it is opened with prime.WithThreshold(bls.Scheme{}).
//
// Every replica has a key share. Quorum shares of a signature over one message, of distinct replicas, make the one signature
// over it; fewer tell nothing about it. Shares are verified one by one, so a false one is its maker's fault and stops nobody.
package threshold

// SignatureSize is the length of a signature and of a share of one, bytes.
const SignatureSize = 48

// Signature is a signature or a share of one, in the one encoding that it has.
type Signature [SignatureSize]byte

// Setup is the keys of a cluster, and of the replica that opens them.
type Setup struct {
	Cluster [32]byte // id of the cluster: its signatures mean nothing in another
	Quorum  int      // shares that make a signature
	Keys    [][]byte // public key share of each replica, r1 first
	Self    int      // whose Secret is given, from 1; 0: nobody's, to verify only
	Secret  []byte   // the key share of Self
}

// Scheme is a threshold signature scheme.
type Scheme interface {
	// Name is what the configuration of a cluster calls the scheme: its setting proof.
	Name() string
	// Open checks that the keys belong together. Errors say what to do, and never show a secret.
	Open(Setup) (Group, error)
}

// Group is the keys of a cluster. It is used by many goroutines at once and retains none of its arguments.
type Group interface {
	// Sign is the share of the replica whose secret was given. It panics if none was.
	Sign(message []byte) Signature
	// VerifyShare reports whether share is replica id's over message. Any bytes and any id are allowed.
	VerifyShare(id int, message []byte, share *Signature) bool
	// Combine makes a signature of the shares of the replicas ids, all different and as many as the quorum. It does not verify
	// them: what it makes of false ones does not verify. It is an error if shares or ids cannot be such.
	Combine(ids []int, shares []Signature) (Signature, error)
	// Verify reports whether sig is the group's over message. Any bytes are allowed.
	Verify(message []byte, sig *Signature) bool
}
