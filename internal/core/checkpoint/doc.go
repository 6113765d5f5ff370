// Package checkpoint is how replicas agree on what executing the first ordinals left behind, so that a replica that lacks what
// nobody keeps any more can go on from there (SRDS 2014; protocol-recovery.md 5.3, 9.3).
//
// In: the checkpoints that this replica made; CHECKPOINT, CHECKPOINT-PROOF; who says that it no longer holds what we need.
// Out: CHECKPOINT (BOUNDED), repeated until the checkpoint is stable; CHECKPOINT-PROOF to a peer that needs it; for the owner
// that a checkpoint is stable, that this replica has diverged, and that it lacks what only a checkpoint has.
//
// State: of each replica its CHECKPOINTs for the kept newest ordinals beyond the stable one; what this replica made itself, as
// many; the newest stable checkpoint with its proof. The ordinal of that only rises.
//
// Counting: f+1 equal votes hold a correct replica's, so that is what executing gives; who made another has diverged, by a fault
// of its machine or because its application is not deterministic. Q equal votes make a checkpoint stable: f+1 correct replicas
// have its state, so it can be had from them whatever f+k others do. Votes for one ordinal and two digests convict their signer.
//
// Lacking: a peer that sends a proof in answer to our STATUS, or says where its history begins, tells that it cannot help us on.
// One may lie; once f+1 tell, a correct one does, and if nothing comes from others in the meantime the owner is told. So it is
// when fewer tell for long: the others may be silent.
//
// Limits: kept votes of each sender; one proof to each peer in an interval. A proof is of use only beyond the stable checkpoint, so
// a peer's proofs cost no more than there are checkpoints.
//
// Scripts: ../testdata/checkpoint*.txt, jump*.txt.
package checkpoint
