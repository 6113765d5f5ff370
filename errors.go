package prime

import (
	"errors"

	"github.com/primebft/prime/internal/marker"
	"github.com/primebft/prime/internal/node"
)

// The errors that a program may want to tell apart, with errors.Is. What is returned carries details and the remedy.
var (
	// ErrOverloaded says that a queue is full. The update has not been accepted; try again later.
	ErrOverloaded = node.ErrOverloaded
	// ErrOversized says that an update is larger than the cluster allows. It has not been accepted.
	ErrOversized = node.ErrOversized
	// ErrApplication says that this replica's application has failed or is too far behind to answer. The update has not been
	// accepted; submit it to another replica.
	ErrApplication = node.ErrApplication
	// ErrClosed says that the replica has been closed, or is closing.
	ErrClosed = node.ErrClosed
	// ErrOutcomeUnknown says that an update was accepted and that its result did not come in time: it may have been executed,
	// or may be executed later, but never twice. What the wait ended with is wrapped too (context.DeadlineExceeded, ErrClosed).
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrSessionExpired says that the replicas no longer remember the client's session, so that they could not tell whether
	// the update is new. It is not executed.
	ErrSessionExpired = errors.New("session expired")
	// ErrRecordsGone says that records are no longer held; errors.As finds a RecordsGone with the oldest that is.
	ErrRecordsGone = node.ErrRecordsGone
	// ErrFolderUsed says that a replica has run in the folder before and did not remember what it signed, so that it cannot run
	// there again.
	ErrFolderUsed = marker.ErrUsed
	// ErrFolderInUse says that another process has the folder.
	ErrFolderInUse = marker.ErrInUse
	// ErrCrashed says that the replica found itself to be wrong and stopped. To the others it has crashed.
	ErrCrashed = node.ErrCrashed
	// ErrStorage says that a durable replica cannot use its log: it does not start, or stopped, rather than forget what it signs.
	ErrStorage = node.ErrStorage
)

// RecordsGone is ErrRecordsGone with the ordinals.
type RecordsGone = node.RecordsGone
