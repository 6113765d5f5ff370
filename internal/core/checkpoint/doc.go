// Package checkpoint is how replicas agree on what executing the first ordinals left behind, so that a replica that lacks what
// nobody keeps any more can go on from there (SRDS 2014; protocol-recovery.md 5.3, 9.3).
//
// In: the checkpoints that this replica made; CHECKPOINT, CHECKPOINT-PROOF; whether this replica lacks what no peer can tell.
// Out: CHECKPOINT (BOUNDED), repeated until the checkpoint is stable; CHECKPOINT-PROOF to a peer that needs it; for the owner
// that a checkpoint is stable, that this replica has diverged, and that it lacks what only a checkpoint has.
//
// State: of each replica its CHECKPOINTs for the kept newest ordinals beyond the stable one; what this replica made itself, as
// many; the newest stable checkpoint with its proof. The ordinal of that only rises.
//
// Counting: f+1 equal votes hold a correct replica's, so that is what executing gives; who made another has diverged, by a fault
// of its machine or because its application is not deterministic. Q equal votes make a checkpoint stable: f+1 correct replicas
// have its state, so it can be had from them whatever f+k others do, and what led there need not be kept. To go on from a checkpoint
// f+1 votes are enough: liars that order with the others but vote for no checkpoint cannot keep a correct replica out. Votes for one ordinal and two digests convict their signer.
//
// Lacking: catching up knows when what this replica needs next cannot be had as ordinals any more (package catchup). Then it needs the
// state of a checkpoint beyond, the stable one first, and its owner is told which. Peers send proofs to whoever is behind.
//
// Limits: kept votes of each sender; one proof to each peer in an interval. A proof is of use only beyond the stable checkpoint, so
// a peer's proofs cost no more than there are checkpoints.
//
// Scripts: ../testdata/checkpoint*.txt, jump*.txt.
package checkpoint
