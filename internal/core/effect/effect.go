// Package effect is what a step of the protocol core asks the world to do. The core performs nothing itself.
package effect

import (
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// Output collects the effects of one or more steps. The owner resets and reuses it.
type Output struct {
	Sends    []Send
	Deliver  []Delivery
	Refused  []Refusal
	Jobs     []Job
	Evidence []wire.Evidence // new proof that a replica is faulty, for people; the core has already acted on it
	Events   []trace.Event
	Stable   *Stable // the newest checkpoint that became stable
	// Diverged says that this replica made another checkpoint than a correct one: its machine is faulty or its application not
	// deterministic. It must serve nobody any more.
	Diverged *Divergence
	// Lacks is set if what this replica lacks is held by nobody that it can ask: it needs the state of this checkpoint, as
	// core.Input.Restored. The proof has f+1 votes at least; its signers have made the checkpoint, and one of them is correct.
	Lacks *Stable

	// Known says that the message of the last step was known already and changed nothing, so that it need not be remembered:
	// only the instant of the step counts.
	Known bool
}

// Reset empties o and keeps its memory.
func (o *Output) Reset() {
	clear(o.Sends)
	clear(o.Deliver)
	clear(o.Refused)
	clear(o.Jobs)
	clear(o.Evidence)
	o.Sends, o.Deliver, o.Refused = o.Sends[:0], o.Deliver[:0], o.Refused[:0]
	o.Jobs, o.Evidence, o.Events = o.Jobs[:0], o.Evidence[:0], o.Events[:0]
	o.Stable, o.Lacks, o.Diverged = nil, nil, nil
}

// Emit records an event.
func (o *Output) Emit(e trace.Event) { o.Events = append(o.Events, e) }

// Send asks for a message to go to every replica of To. Exactly one of Msg and Signed is set: Msg is new and has to be signed
// (when To has this replica itself, its signed copy comes back as an input like any peer's); Signed was signed before,
// perhaps by another replica, and travels as it is.
type Send struct {
	To     group.Set
	Class  wire.Class
	Msg    wire.Message
	Signed *wire.Envelope
}

// Delivery is one executed ordinal. Updates are those that take effect, in order; none means a no-op. Origins has the
// replica that introduced each.
type Delivery struct {
	Ordinal uint64
	Time    int64 // ordered time, Unix nanoseconds
	Updates []wire.Update
	Origins []group.ID
	Dropped []Refusal // updates that were ordered but do not take effect: duplicates and expired sessions
	State   *State    // set if a checkpoint is due after this ordinal, which is the last that its step executed
	// Jump is set if nothing was executed: the replica went on after a checkpoint that it was given. Ordinal and Time are the
	// checkpoint's, and those between the last delivery and Ordinal, Ordinal included, are never delivered here.
	Jump *State
}

// Refusal is an update that will have no record of its own, and why.
type Refusal struct {
	Client wire.ClientID
	Seq    uint64
	Why    Why
}

// Why says why an update was refused.
type Why uint8

// Reasons to refuse an update.
const (
	Duplicate  Why = iota + 1 // executed before, or on its way: its result is that of the first
	Expired                   // its session is no longer remembered, or its sequence number is out of the window
	Overloaded                // this replica's queue is full
	Oversized                 // larger than the cluster allows
)

// Job is work that takes too long for a step and needs nothing of the core's state: erasure coding, hashing, verifying. It is
// done outside and its result comes back as an input, at any time and in any order. Exactly one of Request and Parts is set.
type Job struct {
	ID      wire.PreorderID
	To      group.Set        // with Request: who is to get the part
	Batch   uint64           // with Request: what is cut together is sent together
	Request *wire.Envelope   // a PO-REQUEST to be cut into parts
	Parts   []*wire.Envelope // RECONs of distinct senders with parts of ID, all with one root, to be put together
}

// Done is a job with its result.
type Done struct {
	Job
	Part   *wire.Part     // of Request: this replica's own
	Joined *wire.Envelope // of Parts: the PO-REQUEST, fully checked; nil if they are not parts of it
}
