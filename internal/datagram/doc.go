// Package datagram is one class of traffic between two replicas over datagrams, as a pure state machine: what to put into the
// next datagram, what a datagram that came in means, and when to look again. It has no clock, lock, goroutine, socket or key:
// its owner passes in the time and seals what goes out, so that the same code runs over real sockets and in simulated worlds.
//
// What is sent goes into segments, which are numbered from 1. A segment has several small messages, or a fragment of a large
// one; the fragments of a message are in segments that follow each other, and the number of the first is the message's. Numbers are
// sent as their low 32 bits: both ends know about where the other is. Messages are delivered as soon as they are whole, in any order: the protocol above repeats and reorders anyhow, and
// waiting for an earlier message would turn every loss into a delay for all. A segment that was lost is sent again when its
// receiver names it missing, within a budget; what is too old to be of use is replaced by a note that it was given up, so that
// numbers never stay open.
//
// An acknowledgement names what arrived, and proves it: every segment carries eight bytes that nobody but its sender can
// compute, and the acknowledgement has the XOR of all of them. So a receiver can not pretend to have what it has not, and
// drive a sender faster than the network goes, or make it forget what others need (network.md 1.3, 4.7).
//
// The rate is the operator's: nothing here takes loss for congestion, or an attacker who drops a few packets in a hundred could
// slow a replica down at will. Only a link without a configured rate has a window that shrinks, and only when an eighth of
// all packets is lost.
package datagram

import (
	"errors"
	"time"

	"github.com/primebft/prime/internal/wire"
)

// Sizes, bytes.
const (
	Payload  = 1472 // of the largest UDP datagram: what Ethernet carries with the headers of IPv4
	Overhead = 25   // what sealing adds to a body: a header of 9 and a tag of 16
	BodySize = Payload - Overhead

	payloadLeast = 1232 // of a UDP datagram that passes everywhere without being cut up: IPv6 promises 1,280
	bodyLeast    = payloadLeast - Overhead

	segmentHeader   = 1 + 4 + 8                                  // record, number, secret
	wholeHeader     = 1 + 2                                      // chunk, length
	fragmentHeader  = 1 + 1 + 1 + 3                              // chunk, index, count, total
	abandonedHeader = 1 + 4                                      // chunk, message
	MaxFragments    = 64                                         // of one message
	fragmentSize    = bodyLeast - segmentHeader - fragmentHeader // while nobody knows whether larger ones get through
	MaxMessage      = MaxFragments * fragmentSize                // larger messages do not go over datagrams
)

// Limits of a link.
const (
	Window    = 1024                           // segments that may be under way
	minWindow = 64                             // what losses can bring that down to on a link without a rate
	Partial   = Window*BodySize + 4*MaxMessage // bytes of messages of which fragments are missing; honest senders need less
	maxRanges = 64                             // missing ranges in one acknowledgement
	maxCopies = 4 * Window                     // second copies that wait for their time
	ackEvery  = 32                             // segments that are acknowledged at once even if their time has not come
)

// Times.
const (
	copyLeast, copyMost = 500 * time.Microsecond, 5 * time.Millisecond // between the two copies of a segment
	nackLeast, nackMost = time.Millisecond, 8 * time.Millisecond       // how long a gap may be a mere change of order
	ackLeast, ackMost   = 2 * time.Millisecond, 25 * time.Millisecond  // how long an acknowledgement may wait for company
	twiceFrom           = 2 * time.Millisecond                         // round trip from which a repair comes late enough to matter
	lossMemory          = 30 * time.Second                             // how long a link that lost something counts as lossy
	probeLeast          = 10 * time.Millisecond                        // before the last segment is sent again unasked
	probeMost           = time.Second
)

// Life is how long what a class carries is worth repairing by default: TIMELY messages are superseded within tens of milliseconds.
func Life(c wire.Class) time.Duration { return life[c-1] }

var life = [wire.Classes]time.Duration{time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second}

// ErrBroken is a body that no correct replica sends. It came sealed, so it is proof.
var ErrBroken = errors.New("datagram: a body that no correct replica sends")

// ErrLie is an acknowledgement of what was never sent, or not received. It came sealed, so it is proof.
var ErrLie = errors.New("datagram: an acknowledgement of what was not received")
