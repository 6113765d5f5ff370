// Package transport moves frames between replicas. It knows who is at the other end of a link and how urgent a frame is,
// and nothing of what is inside.
package transport

import (
	"errors"

	"github.com/primebft/prime/internal/wire"
)

// Class is the traffic class of a frame: strict priority, the smaller the more urgent.
type Class = wire.Class

// The traffic classes (see docs/protocol.md).
const (
	Timely  = wire.Timely
	Bounded = wire.Bounded
	Recon   = wire.Recon
	Bulk    = wire.Bulk
)

// ErrClosed is returned by a transport that has been closed.
var ErrClosed = errors.New("transport: closed")

// Frame is one message on its way. Bytes is immutable and may be shared by many sends. Source is the replica that the frame
// is charged to: the sender itself, or the signer of a message that the sender only passes on; queues are fair by Source. A
// frame that Yields goes after all others of its class and source that wait: a replica's votes do not queue behind the updates of
// its clients.
type Frame struct {
	Class  Class
	Source int
	Yields bool
	Bytes  []byte
}

// Handler receives what arrives. from is the authenticated peer, 1..n. There is one call at a time per peer and class; while it
// blocks, nothing more is taken from that peer in that class, and nobody else is held up. bytes belongs to the handler.
//
// Frames arrive unharmed, but not always in the order in which the peer sent them: whoever waits for an earlier frame that was
// lost makes every loss a delay for all that follows, and the protocol core does not need it; the simulator reorders messages in
// every world. A frame arrives at most once, unless the link has just changed between datagrams and TLS: then one that was under
// way may arrive by both. The core takes repeated messages for what they are.
type Handler func(from int, class Class, bytes []byte)

// Transport connects this replica with its peers.
type Transport interface {
	// Start begins to accept, dial and deliver. It is called once.
	Start(h Handler) error
	// Send queues a frame for a peer and never blocks. A frame that does not fit the peer's budget is dropped and counted:
	// the protocol repeats what matters.
	Send(to int, f Frame)
	// Peers is the state of every link, by ascending peer.
	Peers() []Peer
	// Close stops everything and waits for it.
	Close() error
}

// Peer is the state of the link to one peer.
type Peer struct {
	ID        int    `json:"id"`
	Connected bool   `json:"connected"`     // every class has a live connection in both directions
	Address   string `json:"address"`       // where it is dialled
	Why       string `json:"why,omitempty"` // why it is not connected, for people
	SentBytes uint64 `json:"sent_bytes"`    // since start, on the wire above TLS
	RecvBytes uint64 `json:"recv_bytes"`    //

	SentByClass [wire.Classes]uint64 `json:"sent_bytes_by_class"` // the same as SentBytes: TIMELY, BOUNDED, RECON, BULK

	SentCount uint64 `json:"sent_frames"`    //
	RecvCount uint64 `json:"recv_frames"`    //
	Queued    int    `json:"queued_bytes"`   // waiting to be sent
	Dropped   uint64 `json:"dropped_frames"` // did not fit the budget
	Demoted   uint64 `json:"demoted_frames"` // TIMELY frames beyond their source's contract, sent as BOUNDED
	Refused   uint64 `json:"refused_links"`  // handshakes or frames of this peer that were refused

	Datagrams bool    `json:"datagrams"`         // frames go over sealed datagrams; otherwise over TLS
	WhyTLS    string  `json:"why_tls,omitempty"` // why not over datagrams, for people
	RoundTrip float64 `json:"round_trip_ms"`     // of TIMELY datagrams; 0 if unknown
	Lost      uint64  `json:"lost_packets"`      // datagrams that the peer missed, since start
	Repaired  uint64  `json:"repaired_packets"`  // datagrams sent again for it
	Doubled   uint64  `json:"doubled_packets"`   // TIMELY datagrams sent twice from the beginning, because the link loses some
	Expired   uint64  `json:"expired_frames"`    // frames given up because they were lost and too old to repair; dropped, too
}
