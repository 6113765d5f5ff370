package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Way is how an application comes to the state that it lacks when its replica was away for too long: which of the optional interfaces it
// implements. It is the same at all replicas of a cluster.
type Way int

// The ways. An application of no way that misses records is not given any more, and its replica orders on for the others.
const (
	NoWay      Way = iota // neither interface
	EnginesWay            // Snapshotter: replicas transfer the state
	OwnWay                // Transferrer: the applications transfer it
)

// String is the way's name.
func (w Way) String() string {
	if names := [...]string{"none", "engine", "own"}; w >= 0 && int(w) < len(names) {
		return names[w]
	}
	return "unknown"
}

// WayOf is the way of a. An application that implements both interfaces goes the engine's way, unless it has a method Way() Way that says
// otherwise.
func WayOf(a Application) Way {
	if w, ok := a.(interface{ Way() Way }); ok {
		return w.Way()
	}
	switch a.(type) {
	case Snapshotter:
		return EnginesWay
	case Transferrer:
		return OwnWay
	}
	return NoWay
}

// Snapshotter is an Application whose state the replicas transfer: the engine's way. From time to time, at the same ordinal everywhere,
// Snapshot is called. A digest of the snapshot becomes part of a checkpoint that a quorum of replicas vouches for, and the snapshot is kept
// on disk. A replica that was away until the others no longer hold what it missed gets such a snapshot from them, block by block, checks
// it, and gives it to Restore. A durable replica that starts again restores its own.
//
// Snapshots must be deterministic: from equal records, equal bytes at every replica. No map may be written in the order in which it is
// ranged over, no time of the machine, no address. A replica whose snapshots differ cannot vouch for checkpoints, and says so.
type Snapshotter interface {
	Application
	// Snapshot returns the state right after the last record of the last Deliver; before the first, the initial state. It is called by
	// the goroutine that calls Deliver, so delivery waits for it: it should only take hold of the state (copy it if it is small, copy on
	// write if it is large), and write it later. An error fails the application.
	Snapshot() (Snapshot, error)
	// Restore replaces the whole state by that of a snapshot. It is called by the goroutine that calls Deliver; the next record is the one
	// right after the snapshot. It has to read from until io.EOF. The bytes are those that a correct replica's Snapshot wrote. An error
	// fails the application.
	Restore(from io.Reader) error
}

// Snapshot is a consistent state that is to be written while Deliver goes on, by another goroutine.
type Snapshot interface {
	// WriteTo writes the snapshot once, always the same bytes. An error of the writer is returned as it is: then the snapshot is given up.
	io.WriterTo
	// Release is called exactly once, after WriteTo has returned or in place of it: the snapshot is not needed any more.
	Release()
}

// Transferrer is an Application that moves its state between replicas itself, over channels of its own. When its replica has lost records
// (or it asks with Replica.RequestTransfer) the replica has a transfer point ordered: a record like any other, at the same place at every
// replica. Helpers take a snapshot right there and send it to the requester, who believes what f+1 of them send alike. Delivery goes on at
// the requester with exactly the record after it.
//
// All methods are called by the goroutine that calls Deliver, and it waits for them. The transfer point itself is part of a batch, too,
// always the last record of it.
type Transferrer interface {
	Application
	// Gap says that the records after one position and before another will never be given to this application: its state cannot be
	// continued. The replica asks for a transfer point; nothing is delivered before the call of TransferPoint for this replica.
	Gap(after, next Position)
	// TransferPoint says that everything up to and including at has been delivered, and that the application of replica requester needs
	// the state as it is now. Called at the requester itself, it returns when the application has the state as of at, however long that
	// takes, or at once if it misses nothing; records wait meanwhile, and the next is the one after at. An error says that the state
	// cannot be had, for example because too few helpers have answered in time: the replica has another transfer point ordered, which
	// supersedes this one, as does one that was ordered meanwhile. At others, an error fails the application.
	TransferPoint(at Position, requester int) error
	// Reset says that the replica has begun to deliver the stream of an epoch. State of any other epoch is void: discard it. It comes before
	// everything else, and then either record 1.1 or a Gap.
	Reset(epoch uint32)
}

// ErrNoSnapshot is what Snapshot may return if the state cannot be had just now: the replica makes no checkpoint this time.
var ErrNoSnapshot = errors.New("no snapshot this time")

// Position names a record: the Index-th of Ordinal, both from 1. The zero Position is before every record; an Index of 0 is after all
// records of the ordinal before.
type Position struct {
	Ordinal uint64
	Index   uint32
}

// Less reports whether p is before q.
func (p Position) Less(q Position) bool {
	return p.Ordinal < q.Ordinal || p.Ordinal == q.Ordinal && p.Index < q.Index
}

// String is the form people see: ordinal.index.
func (p Position) String() string { return fmt.Sprintf("%d.%d", p.Ordinal, p.Index) }

// Bytes makes a Snapshot of a state that has been written already, for states that are small.
func Bytes(state []byte) Snapshot { return written{state} }

type written struct{ state []byte }

func (w written) WriteTo(to io.Writer) (int64, error) { return io.Copy(to, bytes.NewReader(w.state)) }

func (written) Release() {}
