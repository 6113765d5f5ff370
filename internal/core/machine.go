package core

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// Machine is one replica as seen from outside: correct (Replica) or not (a wrapper of package attack). It performs no IO,
// never blocks and reads no clock: the same inputs at the same instants give the same outputs, always.
type Machine interface {
	// Step handles one input and appends what follows from it to out.
	Step(now clock.Instant, in Input, out *effect.Output)
	// Deadline is when Step wants to be called with a Tick; clock.Never if nothing is due.
	Deadline() clock.Instant
}

// Input is one thing that happened outside: exactly one field is set, or none, which is a Tick.
type Input struct {
	Message *wire.Envelope // a message whose proofs have been checked; from a peer, or our own signed copy
	Submit  []wire.Update  // updates of this replica's clients, to be introduced
	Resumed *Resumed       // the replica was away, and has been given again all that it had been given before
	Done    *effect.Done   // a job of this replica that has been done
	// Transfer says that the application of this replica waits for a transfer point. The next one of this replica that is ordered
	// answers it, however often it is said.
	Transfer bool
	// Checkpointed says that the checkpoint that was due after an ordinal has been made.
	Checkpointed *Checkpointed
	// Restored goes on after the ordinal of the checkpoint of effect.Output.Lacks, whose digest the state has been checked against.
	Restored *effect.State
}

// Resumed says that the replica was away until now. Its clock stood still meanwhile, so nothing that others did or left undone
// in that time is held against them.
type Resumed struct {
	Wall   int64  // calendar time at Instant 0 from now on, Unix nanoseconds: the time away is part of it
	Timing Timing // from now on
}

// Checkpointed is a checkpoint that this replica has made.
type Checkpointed struct {
	Ordinal uint64
	Digest  wire.Digest // of the whole checkpoint
}

// Behaviour is the number of what a Replica does: it rises with every change that lets the same inputs have other outputs. What
// was recorded under another number cannot be given to this Replica again, because it might not remember what it said.
const Behaviour = 5

// Tick is the input that only lets time pass.
var Tick = Input{}
