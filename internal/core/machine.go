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
	Done    *effect.Done   // a job of this replica that has been done
}

// Tick is the input that only lets time pass.
var Tick = Input{}
