// Package trace is what happened, as typed events: written once by the protocol core, read by logs, golden scripts and the
// simulator. An event is a flat value; emitting one allocates nothing.
package trace

import (
	"fmt"

	"github.com/primebft/prime/internal/group"
)

// Kind says what happened.
type Kind uint8

// The events of the protocol core.
const (
	RequestSent  Kind = iota + 1 // Origin, Seq: this replica introduced a request
	Preordered                   // Origin, Seq: a preorder certificate completed
	Proposed                     // View, Ordinal: the leader sent a PRE-PREPARE
	Prepared                     // View, Ordinal: a prepare certificate completed
	Ordered                      // View, Ordinal: a commit certificate completed
	Executed                     // Ordinal, Seq = records
	Waiting                      // Ordinal, Origin, Seq: execution lacks a request
	Fetched                      // Origin, Seq: asked for a request
	Healed                       // Origin, Seq: the losing request was replaced by the one that a quorum acknowledged
	Blacklisted                  // Peer: proven faulty
	Dropped                      // Peer, Reason: a message was ignored
	Collected                    // Ordinal: everything up to it was garbage collected
	OutOfHistory                 // Peer, Ordinal: the peer needs an ordinal that is no longer held
	Suspected                    // View, Peer: this replica votes against the leader
	Preinstalled                 // View: a quorum voted for it; its view change begins
	Installed                    // View, Ordinal: the view change has ended, normal ordering begins at Ordinal
	Stalled                      // Seq = milliseconds: this replica stood still
	PartSent                     // Origin, Seq: this replica sent its part of a request to those who lack it
	Reconciled                   // Origin, Seq: a request came together from parts
	Stable                       // Ordinal: the checkpoint after it is stable
	Diverged                     // Ordinal: a correct replica has another checkpoint after it than this replica made
	Lacking                      // Ordinal: this replica needs the stable checkpoint after it
	Jumped                       // Ordinal: this replica goes on after it, with the state of a checkpoint
	CatchingUp                   // Ordinal: f+1 replicas say the same of what was executed up to it
	CaughtUp                     // Ordinal: everything up to it has been executed, from what others told
)

var names = [...]string{"", "request-sent", "preordered", "proposed", "prepared", "ordered", "executed", "waiting",
	"fetched", "healed", "blacklisted", "dropped", "collected", "out-of-history",
	"suspected", "preinstalled", "installed", "stalled", "part-sent", "reconciled", "stable", "diverged", "lacking", "jumped", "catching-up", "caught-up"}

// String is the event's name.
func (k Kind) String() string {
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// Event is one thing that happened. Which fields mean something depends on Kind.
type Event struct {
	Kind    Kind
	Origin  group.ID
	Peer    group.ID
	View    uint64
	Ordinal uint64
	Seq     uint64
	Reason  Reason
}

// Reason says why a message was dropped. It is one of a fixed set of constants, so that it can be counted.
type Reason string

// String is one line for people.
func (e Event) String() string {
	s := e.Kind.String()
	if e.Origin != 0 {
		s += fmt.Sprintf(" origin=%s seq=%d", e.Origin, e.Seq)
	} else if e.Seq != 0 {
		s += fmt.Sprintf(" count=%d", e.Seq)
	}
	if e.Ordinal != 0 {
		s += fmt.Sprintf(" ordinal=%d", e.Ordinal)
	}
	if e.View != 0 {
		s += fmt.Sprintf(" view=%d", e.View)
	}
	if e.Peer != 0 {
		s += fmt.Sprintf(" peer=%s", e.Peer)
	}
	if e.Reason != "" {
		s += fmt.Sprintf(" reason=%q", string(e.Reason))
	}
	return s
}
