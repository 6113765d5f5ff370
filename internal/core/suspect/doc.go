// Package suspect is the suspect-leader sub-protocol: every replica measures how long the leader takes to propose what it was
// shown, and how long it would need itself, and votes to replace a leader that is slower than a correct one could be (TDSC
// 2011 section 5.4; f+k+1 as rank everywhere, for k > 0).
//
// In: RTT-PING, RTT-PONG, RTT-MEASURE, TAT-UB, TAT-MEASURE; the challenges that ordering and view change start and end.
// Out: the same, and the verdict.
//
// Three order statistics, each at rank W = f+k+1, so that f liars and k silent replicas can neither push nor block it:
//   - alpha: the W-th highest round trip that others measured to this replica: what it would achieve as leader;
//   - acceptable: the W-th highest alpha reported, and at least a floor from the configuration;
//   - leader: the W-th lowest turnaround reported.
//
// A leader is suspected if leader > KLat x acceptable + Delta. Delta is the leader's own pace, and left out during a view
// change, when its only duty is to repeat a proof.
//
// A challenge starts when a matrix that shows the leader something new is sent, and ends when accepted proposals make eligible
// what it showed. (The paper compares rows. Here a correct leader proposes only when that makes something eligible, so the
// comparison is of what rows make eligible, less the rows of replicas proven faulty.) While the system is idle the leader's
// answers to RTT-PINGs stand for proposals, so a dead leader is noticed before the next update.
//
// The turnaround reported is the longest of the current and the previous Window, so that rare hiccups in a long view do not add
// up. A leader gains nothing: at every instant, each turnaround of the last Window counts.
//
// A replica that stood still itself (it was stepped later than it had asked for) takes that time out of what it measures, but
// no more than MaxStall in a Window, so that starving a replica of its processor does not silence it.
package suspect
