// Package sign makes and checks the signatures of replicas and clients. It knows the keys of one configuration of a cluster
// (Keyring), signs messages in batches (Signer), checks everything that a peer sends, embedded messages included
// (Verifier), and does that in parallel, fairly between peers and in order (Pool).
//
// One Ed25519 signature covers up to wire.MaxBatch messages: it is over the root of a Merkle tree of their content digests.
// All hashing has a domain of its own, so that bytes made for one purpose mean nothing in another:
//
//	leaf      = SHA-256("prime-leaf-v1\x00" || index (u8) || content digest)
//	pad       = SHA-256("prime-pad-v1\x00"), which fills the leaves up to a power of two
//	inner     = SHA-256("prime-node-v1\x00" || left || right)
//	statement = "prime-batch-v1\x00" || cluster id || configuration digest || signer (u8) || count (u8) || root
//
// Count is in the statement, index in the leaf, and the length of a path follows from count: nothing of a proof can be
// changed and still be valid, so a message in a batch has one encoding. The original left both unsigned, and a relay could
// make two different, valid images of one message (protocol-core.md 8.2).
//
// What challenges a new leader is a list of such signatures, or, where the cluster's configuration says so, a threshold
// signature; the scheme comes from outside (package threshold), because this package is part of every program that embeds
// Prime.
//
// A Byzantine key holder can make Ed25519 signatures that some verifiers accept and others refuse. If correct replicas
// disagreed on one, they would be split; so the rule is part of the cluster's configuration, there is one implementation of
// it, and signatures are never verified as a batch (crypto/ed25519 has no batch mode, and the usual one is cofactored).
package sign
