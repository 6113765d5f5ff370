// Package blocks cuts a checkpoint into blocks of one size and proves each of them by a hash tree (SRDS 2014 section 4;
// protocol-recovery.md 5.4).
//
// A checkpoint is one stream of bytes: the head, which is the engine's part, filled up with zeros to whole blocks, then the
// application's bytes. A Manifest says how long these are and what the root of the tree over all blocks is; the digest of a
// checkpoint, which replicas vote on, is the hash of its manifest. Whoever knows that digest can check the manifest, with the
// manifest the leaves, chunk by chunk, and with the leaves every block, whoever sends them.
//
// The tree is that of RFC 6962, section 2.1: nodes are paired from the left, and one without a partner goes up as it is. Leaves
// and inner nodes are hashed with different first bytes, so that neither passes for the other; the number of leaves follows from
// the manifest, so the shape of the tree is not the sender's choice. A leaf does not contain its place: equal blocks have equal
// leaves, which is how a replica finds what it has already.
package blocks
