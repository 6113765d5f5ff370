package client

import (
	"errors"
	"fmt"
)

// What became of an update that has no result. Compare with errors.Is.
var (
	// ErrOutcomeUnknown means that the time was over, the context was cancelled or the client was closed before f+1 replicas
	// agreed on a result. The update may have been executed, may be later, or never. Resume with the sequence number in
	// OutcomeUnknownError asks again without a risk of executing it twice.
	ErrOutcomeUnknown = errors.New("client: outcome unknown")
	// ErrOverloaded means that every connected replica refused the update. No correct replica has introduced it.
	ErrOverloaded = errors.New("client: every replica is overloaded")
	// ErrSessionExpired means that the cluster no longer remembers this client's session as far back as the update's number:
	// it cannot be executed any more, though it may have been before. The next update has a new number.
	ErrSessionExpired = errors.New("client: session expired")
	// ErrOversized means that the update is larger than the cluster allows.
	ErrOversized = errors.New("client: update too large")
	// ErrResultLost means that the update was executed but its result is no longer held, or is too large to be sent.
	ErrResultLost = errors.New("client: executed, but its result is not to be had")
	// ErrBadSignature means that the replicas do not accept the update's signature: client and cluster differ on who
	// authenticates updates.
	ErrBadSignature = errors.New("client: signature refused")
	// ErrClosed means that the client is closed.
	ErrClosed = errors.New("client: closed")
)

// OutcomeUnknownError is an ErrOutcomeUnknown with what it takes to ask again.
type OutcomeUnknownError struct {
	Seq   uint64 // of the update
	Cause error  // context.Canceled, context.DeadlineExceeded or ErrClosed
}

// Error implements error.
func (e *OutcomeUnknownError) Error() string {
	return fmt.Sprintf("%v: update %d: %v", ErrOutcomeUnknown, e.Seq, e.Cause)
}

// Unwrap makes errors.Is find ErrOutcomeUnknown and the cause.
func (e *OutcomeUnknownError) Unwrap() []error { return []error{ErrOutcomeUnknown, e.Cause} }
