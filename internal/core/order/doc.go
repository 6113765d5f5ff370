// Package order is the global ordering sub-protocol: the leader proposes summary matrices for ordinals 1, 2, 3 …, and all
// replicas agree on each (TDSC 2011 section 5.2).
//
// In: summary rows; SUMMARY-MATRIX (its rows), PRE-PREPARE, PREPARE, COMMIT, Certificate, Status.
// Out: PRE-PREPARE of the leader (TIMELY), flooded once by every receiver (BOUNDED); SUMMARY-MATRIX to the leader (TIMELY);
// PREPARE, COMMIT (BOUNDED); Certificate to a peer that is behind.
//
// State: a slot for every ordinal in a window, with the first proposal received, each replica's first PREPARE and COMMIT, and
// what the proposal makes eligible. Marks: executed <= accepted, and accepted is the last ordinal of the gap-free prefix whose
// proposals this replica has accepted, in order.
//
// What an ordinal orders: eligible(T) is, per origin, the Q-th highest entry of that origin's column in matrix T. Ordinal q
// makes eligible E_q = max(E_(q-1), eligible(T_q)), per origin, and orders the requests in (E_(q-1), E_q]. So no matrix,
// however stale, takes back or repeats what an earlier one ordered. A proposal carries E_(q-1) as Base, and is not prepared
// if that is not so.
//
// Limits: ordinals up to executed + Ahead; one PREPARE and one COMMIT of each replica for an ordinal; certificates
// to a peer are bounded in bytes for each of its Status messages.
//
// Views: a slot keeps the round of the current view, and of earlier views the prepare certificate of the highest (view.go). What a
// view change bound, or a commit certificate ordered, stays so in every later view.
//
// Scripts: ../testdata/normal_case.txt, conflicting_proposals.txt, behind.txt.
package order
