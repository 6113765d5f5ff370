// Package core is the Prime protocol: one replica as a deterministic state machine. Messages and the passage of time go in;
// what to send and what to deliver comes out. There is no IO in it, no goroutine, no clock and no cryptography.
//
// A reader should start with step.go, which is the protocol's table of contents, and then follow one update: Submit
// (preorder/request.go), PO-ACK (preorder/ack.go), PO-SUMMARY (preorder/summary.go), PRE-PREPARE (order/propose.go), PREPARE
// and COMMIT (order/vote.go), execution (execute.go).
//
// The sub-protocols are packages, so that none can write another's state:
//   - preorder: lanes, certificates, summaries (TDSC 2011 section 5.1)
//   - order: proposals, votes, ordinals (5.2)
//   - session: which updates have taken effect
//   - suspect: how the leader is judged (5.4)
//   - election, rbcast, viewchange: how it is replaced (A.2, A.3); views.go moves a replica through a view
//
// Reconciliation, catch-up and recovery will stand beside them.
package core
