// Package viewchange is the view change: the replicas of a new view agree on what the ordinals that may have been ordered
// before are bound to, and on where normal ordering begins (TDSC 2011 appendix A.3, with the corrections of our addendum:
// docs/divergence.md and docs/protocol.md, "View change").
//
// In: delivered REPORTs, VC-LIST, VC-PARTIAL-SIG, VC-PROOF, REPLAY, REPLAY-PREPARE, REPLAY-COMMIT. Out: the same, and the
// certified window with which the view is installed.
//
// Steps:
//  1. A replica has the *complete state* of j when j's REPORT is delivered and valid and it has itself executed what j says it
//     executed. When it has Q complete states it tells the others which: a list.
//  2. For every list, whoever has all states of it computes what follows, a Resolution, and signs it: a share. It is the same
//     everywhere, because reports are reliably broadcast and the computation depends on them alone.
//  3. Q equal shares are a proof. It goes to the leader, whose only duty is to repeat it, so the time it takes can be judged.
//     Shares have been verified before they come here, so a false one has never counted. Where proofs are threshold signatures,
//     the replica's signer puts them together out of the shares when it sends the proof (package sign).
//  4. The leader's REPLAY is agreed on as proposals are: REPLAY-PREPARE, REPLAY-COMMIT; whoever commits carries the replay
//     certificate into later view changes until a higher one takes its place.
//  5. Q REPLAY-COMMITs install the view.
//
// A report is one message: its prepare certificates name proposals by digest, and at least one signer of each is correct and
// holds the proposal, so proposals are fetched when they are needed. The paper broadcasts each certificate by itself.
//
// The window digest is part of the resolution, hence of shares, proof and REPLAY; so equal REPLAYs mean equal windows, and
// REPLAY-PREPAREs need carry no more (addendum C).
package viewchange
