// Package appsocket lets a separate process be a replica's application, over a Unix socket: app.sock in the replica's folder.
// To the replica it is an app.Application whose Deliver returns when the attached process has acknowledged every record. The
// other end, for programs in Go, is package app/remote; docs/application-socket.md has the frames for programs in other
// languages.
//
// One process owns the application at a time. It attaches by saying which record it had last, and gets those that follow,
// in frames of whole records; it answers a frame with one result per record, which also acknowledges them, and gets the next
// frame then. Whatever was not acknowledged when the connection ended is delivered again to whoever attaches next, so an
// application sees every record at least once, and can tell by the position which it has seen before.
//
// A slow or absent application is only waited for by the replica's deliverer, whose backlog the replica bounds; ordering
// goes on. The same folder's owner (or root) is the only user who can attach.
package appsocket

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/localframe"
)

// SocketName is the name of the application's socket in a replica's folder.
const SocketName = "app.sock"

// Version of the conversation. An application and a replica of different versions refuse each other.
const Version = 2

// magic begins every conversation, so that a stray program is told apart from one of another version.
const magic = "prime-app"

// Kinds of frames. Those of the application have small numbers, those of the replica large ones.
const (
	KindAttach   = 1
	KindResults  = 2
	KindData     = 3 // Piece of a snapshot that the application writes
	KindRestored = 4 // Verdict on a snapshot that it was given
	KindTaken    = 5 // Verdict on a transfer point
	KindTransfer = 6 // asks for a transfer point; empty

	KindWelcome       = 65
	KindRecords       = 66
	KindRefused       = 67
	KindSnapshot      = 68 // At: write a snapshot as of a position
	KindMore          = 69 // the next Piece of it, please; empty
	KindEnough        = 70 // no more of it; empty
	KindRestore       = 71 // At: a snapshot as of a position follows
	KindRestoreData   = 72 // Piece of it
	KindGap           = 73 // Gap
	KindTransferPoint = 74 // Point
	KindReset         = 75 // Reset
)

// Limits of the conversation.
const (
	MaxResult   = 1 << 20  // bytes of one result
	MaxPiece    = 1 << 20  // bytes of one piece of a snapshot
	MaxFrame    = 16 << 20 // kind and body of any frame
	recordsSize = 1 << 20  // about the length of a frame of records
	maxRecords  = 4096     // records in a frame
	maxText     = 1024     // bytes of a refusal's text
)

// Position names a record: the Index-th of Ordinal.
type Position = app.Position

// PositionOf is the position of r.
func PositionOf(r *app.Record) Position { return r.Position() }

// Attach is how an application introduces itself.
type Attach struct {
	Version uint16
	Cluster [32]byte // the cluster that its state is of; zero if it does not care
	Epoch   uint32   // the epoch that After is of; 0 if it does not care
	Resume  bool     // it has the records up to After; otherwise it takes what there is
	Again   bool     // with Resume: what it has not acknowledged is delivered again, so that it can
	After   Position
	Way     app.Way // how it comes to state that it lacks
}

// Welcome accepts an application.
type Welcome struct {
	Version uint16
	Replica int
	Cluster [32]byte
	Epoch   uint32
	After   Position // records follow from the one after this
}

// Results acknowledges the records from First on, with one result for each.
type Results struct {
	First   Position
	Results [][]byte
}

// Code says why an application was refused. The numbers are part of the protocol.
type Code uint8

// The reasons to refuse an application.
const (
	Protocol Code = iota + 1 // it broke the rules of the conversation, or speaks another version
	Busy                     // another process owns the application
	Gone                     // records that it has not seen are no longer held
	Ahead                    // it has records that this replica never delivered
	Foreign                  // its state is of another cluster or epoch
	Stopped                  // the replica stops
)

// Refused ends a conversation.
type Refused struct {
	Code Code
	At   Position // Gone: the records after this one are held. Ahead: the last one delivered
	Text string   // one line for people, with the remedy
}

// Error is the text.
func (r *Refused) Error() string { return r.Text }

func appendPosition(b []byte, p Position) []byte {
	b = binary.LittleEndian.AppendUint64(b, p.Ordinal)
	return binary.LittleEndian.AppendUint32(b, p.Index)
}

func takePosition(c *localframe.Cursor) Position { return Position{Ordinal: c.U64(), Index: c.U32()} }

// Append appends the frame of a.
func (a *Attach) Append(b []byte) []byte {
	b, start := localframe.Begin(b, KindAttach)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint16(b, a.Version)
	b = append(b, a.Cluster[:]...)
	b = binary.LittleEndian.AppendUint32(b, a.Epoch)
	resume := byte(0)
	switch {
	case a.Again:
		resume = 2
	case a.Resume:
		resume = 1
	}
	b = append(b, resume)
	return localframe.End(append(appendPosition(b, a.After), byte(a.Way)), start)
}

// ParseAttach is total. It looks at no more than the version if that is not ours.
func ParseAttach(body []byte) (Attach, error) {
	c := localframe.Read(body)
	if string(c.Bytes(len(magic))) != magic {
		return Attach{}, errors.New("this is not an application of Prime's application socket")
	}
	a := Attach{Version: c.U16()}
	if a.Version != Version && !c.Short() {
		return a, nil
	}
	a.Cluster, a.Epoch = c.Key(), c.U32()
	resume := c.U8()
	a.Resume, a.Again, a.After = resume > 0, resume == 2, takePosition(&c)
	if resume > 2 {
		return Attach{}, errors.New("the byte that says whether to resume must be 0, 1 or 2")
	}
	if a.Way = app.Way(c.U8()); a.Way > app.OwnWay {
		return Attach{}, errors.New("the byte that says how the application comes to state that it lacks must be 0, 1 or 2")
	}
	return a, c.Done()
}

// Append appends the frame of w.
func (w *Welcome) Append(b []byte) []byte {
	b, start := localframe.Begin(b, KindWelcome)
	b = binary.LittleEndian.AppendUint16(b, w.Version)
	b = append(b, byte(w.Replica))
	b = append(b, w.Cluster[:]...)
	b = binary.LittleEndian.AppendUint32(b, w.Epoch)
	return localframe.End(appendPosition(b, w.After), start)
}

// ParseWelcome is total. It looks at no more than the version if that is not ours.
func ParseWelcome(body []byte) (Welcome, error) {
	c := localframe.Read(body)
	w := Welcome{Version: c.U16()}
	if w.Version != Version && !c.Short() {
		return w, nil
	}
	w.Replica, w.Cluster, w.Epoch, w.After = int(c.U8()), c.Key(), c.U32(), takePosition(&c)
	return w, c.Done()
}

// Append appends the frame of r.
func (r *Results) Append(b []byte) []byte {
	b, start := localframe.Begin(b, KindResults)
	b = appendPosition(b, r.First)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Results)))
	for _, result := range r.Results {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(result)))
		b = append(b, result...)
	}
	return localframe.End(b, start)
}

// ParseResults is total. The results belong to body; into is reused for them.
func ParseResults(body []byte, into [][]byte) (Results, error) {
	c := localframe.Read(body)
	r := Results{First: takePosition(&c), Results: into[:0]}
	n := c.U32()
	if n == 0 || n > maxRecords || uint64(n)*4 > uint64(c.Len()) {
		return Results{}, fmt.Errorf("a frame of results must have 1 to %d of them, each with its length before it", maxRecords)
	}
	for range n {
		size := c.U32()
		if size > MaxResult {
			return Results{}, fmt.Errorf("a result has %d bytes, at most %d are allowed", size, MaxResult)
		}
		r.Results = append(r.Results, c.Bytes(int(size)))
	}
	return r, c.Done()
}

// Append appends the frame of r.
func (r *Refused) Append(b []byte) []byte {
	b, start := localframe.Begin(b, KindRefused)
	b = append(b, byte(r.Code))
	b = appendPosition(b, r.At)
	return localframe.End(append(b, r.Text[:min(len(r.Text), maxText)]...), start)
}

// ParseRefused is total.
func ParseRefused(body []byte) (*Refused, error) {
	c := localframe.Read(body)
	r := &Refused{Code: Code(c.U8()), At: takePosition(&c)}
	if c.Len() > maxText {
		return nil, errors.New("a refusal has too long a text")
	}
	r.Text = string(c.Rest())
	return r, c.Done()
}

// AppendRecords appends a frame of records.
func AppendRecords(b []byte, records []app.Record) []byte {
	b, start := localframe.Begin(b, KindRecords)
	return localframe.End(localframe.AppendRecords(b, records), start)
}

// ParseRecords is total. The records' payloads belong to body; into is reused for them. It makes sure of what their reader
// relies on: there is one, they are in order, and indexes are in range.
func ParseRecords(body []byte, into []app.Record) ([]app.Record, error) {
	c := localframe.Read(body)
	records := c.Records(into[:0])
	if err := c.Done(); err != nil {
		return nil, err
	}
	if len(records) == 0 || len(records) > maxRecords {
		return nil, fmt.Errorf("a frame of records must have 1 to %d of them", maxRecords)
	}
	for i := range records {
		r := &records[i]
		if r.Index < 1 || r.Index > r.Total || i > 0 && !follows(&records[i-1], r) {
			return nil, fmt.Errorf("record %s is out of order", PositionOf(r))
		}
	}
	return records, nil
}

// follows reports whether next is the record right after r.
func follows(r, next *app.Record) bool {
	if r.Index < r.Total {
		return next.Ordinal == r.Ordinal && next.Index == r.Index+1 && next.Total == r.Total
	}
	return next.Ordinal == r.Ordinal+1 && next.Index == 1
}
