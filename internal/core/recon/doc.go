// Package recon is reconciliation: a replica that did not get a request from its origin gets it from those who hold it, in
// parts, before it has to ask (TDSC 2011 section 5.3).
//
// In: accepted proposals; RECON; jobs that are done.
// Out: RECON, to those who lack a request; jobs; a request that came together.
//
// When a proposal is accepted, at least Q of its rows reach whatever it makes eligible in a lane: those replicas have
// preordered, so hold, all of it. The first Q of them by id are the lane's senders for this proposal. Each sends its own part of
// each newly eligible request, once, to everybody who is not known to hold that request. Any f+1 parts give the request
// back. Of the Q = 2f+k+1 senders f may lie and k be gone, so f+1 good parts come, from the first round already, without any
// question: whoever lacks a request has it one message delay after the others accepted the proposal, whatever its
// origin does. No leader can prevent it: the senders follow from the matrix that makes the request eligible.
//
// Parts that are due together go together, in one RECON for what the same replicas lack. Who is far behind in more lanes than faulty
// origins can hide gets none.
//
// A part names the digest of its request and, by a path in a hash tree, a root over all n parts. Parts are collected
// by digest and root. The first of these groups with f+1 distinct senders has a correct one among them, who cut the true
// request; the tree binds all parts of the group, so they are the true ones, and the group gives the request back. A part with
// another root is wrong, and with the request itself it proves its sender faulty to anybody. A group that gives nothing
// back is left alone and the others go on: one bad part delays nothing.
//
// A part also says that its sender holds a preorder certificate, as a certified acknowledgement does: f+1 parts bind the
// slot, and acknowledgements that faulty replicas kept back are not missed.
//
// State, per lane: slots by sequence number, from the execution vector on. Invariant: from each sender at most one part of a
// request is ever taken, and of each request at most one part is ever sent to a replica.
//
// Limits: requests as far ahead as preordering takes them; one part of each sender; bytes of parts for each origin and sender, and of the
// RECONs that they came in for each sender.
//
// Scripts: ../testdata/recon_hidden.txt, recon_wrong_part.txt, recon_withheld_acks.txt.
package recon
