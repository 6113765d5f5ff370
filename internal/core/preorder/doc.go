// Package preorder is the preordering sub-protocol: every replica puts its own clients' updates into a lane, without help of
// the leader, and all replicas agree on what each lane holds (TDSC 2011 section 5.1).
//
// In: updates of own clients; PO-REQUEST, PO-ACK, PO-SUMMARY, Fetch, Status.
// Out: the same, to all.
//
// State, per origin: a lane of slots by sequence number. A slot holds the first request received for its number, and who
// acknowledged which digest. Three marks rise along a lane, each at most the one before it:
//   - held: requests 1..held are here (the acks sent say so, contiguously);
//   - preordered: each of 1..preordered is bound to one digest and the bound request is here;
//   - executed: each of 1..executed has been delivered.
//
// A slot is bound to a digest when Q replicas acknowledged it (a preorder certificate), or when f+1 replicas say that they
// hold such a certificate: one of those is correct. A correct replica acknowledges one digest per slot, or a second one that
// is bound; so no two digests of a slot can both be bound:
// the correct replicas that acknowledged each of them first would be disjoint and at least f+k+1 each, of only 2f+2k+1.
//
// An origin that sends different requests under one number is convicted by the two signed requests, which are kept and sent
// to all. A replica that holds the losing one is healed: it learns the bound digest from acks, asks for the request, and
// replaces its own. The paper leaves such a replica to reconciliation; see docs/divergence.md.
//
// Limits: a lane accepts numbers up to executed + Ahead; a sender counts in at most two tallies of a slot; answers to
// one peer are bounded in bytes for each Fetch interval.
//
// Scripts: ../testdata/normal_case.txt, equivocation.txt, lost_request.txt.
package preorder
