// Package transfer brings a checkpoint from other replicas to one that lacks it (SRDS 2014 section 4; protocol-recovery.md 5.4).
//
// The digest of the checkpoint is certified by a quorum, so it is right whoever sends what. With it the Fetcher checks the
// manifest, with the manifest's root the leaves, and with the leaves every block; the f digests that the paper has beside each block
// are those leaves. Whoever sends what is not as the tree says has lied, and is not asked again in this transfer: there are at most
// f mismatches. Whoever is silent or slow is replaced, and asked again later: it may be correct.
//
// Both strategies of the paper are here. Bandwidth: one replica is asked for a block, and another one (variant 1), or f others at
// once (variant 2), when it fails. Latency: f+1 replicas are asked at once, and the first right block wins. So that the others do
// not send it in vain, one of the f+1 is asked for it as its share, and the others as a spare: a replica sends spares when it has
// nothing else to send to the one that asks, and is told at once when they are not needed any more. Who is silent then costs
// nothing but what the others have time for anyway.
//
// How much is asked of a replica at once follows from how fast its useful bytes come. Near the end, whoever has nothing to do is asked
// for what others are slow with.
//
// The Server answers. It lets a bounded number of bytes be under way to each replica, as the one that asks acknowledges them, at a
// bounded rate, everybody in turn: a replica that pretends to need everything gets its share of what the link is told to give BULK.
//
// Fetcher and Server are state machines without clocks, locks or goroutines; the disk of the store is all they touch. Agent is a
// goroutine around them. Frames are not signed: the channel says who speaks, and the tree what is right.
package transfer
