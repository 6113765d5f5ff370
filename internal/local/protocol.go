// Package local is the control socket of a replica: control.sock in its folder, by which the owner of the folder submits
// updates, watches the ordered stream and asks for the replica's status. It is never the application's socket (package
// appsocket): a watcher that is slow or dies disturbs nobody.
//
// The conversation: both sides begin with a Hello that names the protocol's version; a client then either sends any number
// of Submit and Status requests, whose answers carry the request's number and come in any order, or one Watch or Follow
// request, after which the replica sends records until one side closes, with or without their payloads. A Failure numbered 0 is about the whole conversation and ends it.
//
// Everything is bounded: clients, frames, and the requests of one client that wait for an answer. When they are too many, the
// replica stops reading that client until some are answered. A watcher is not buffered for: the replica's stream is kept for a
// while (queues.watch_bytes), and a watcher that falls out of it is told so and cut off.
package local

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/localframe"
)

// SocketName is the name of the control socket in a replica's folder.
const SocketName = "control.sock"

// version of the conversation. A client and a replica of different versions refuse each other.
const version = 1

// magic begins every conversation, so that a stray program is told apart from one of another version.
const magic = "prime"

// Kinds of frames. Requests have small numbers, answers large ones.
const (
	kindHello   = 1 // magic, u16 version
	kindSubmit  = 2 // u64 number, payload
	kindStatus  = 3 // u64 number
	kindWatch   = 4 // u64 first ordinal; 0: from now on
	kindFollow  = 5 // the same, but the records come without their payloads
	kindWelcome = 65
	kindResult  = 66
	kindReport  = 67
	kindRecords = 68
	kindFailure = 69
)

// Limits of the conversation.
const (
	maxUpdate   = 1 << 20           // no cluster allows larger updates
	maxRequest  = maxUpdate + 64    // longest frame that a replica takes
	maxAnswer   = 32 << 20          // longest frame that a client takes: a result is as long as an application makes it
	maxText     = 1024              // of a failure
	maxWaiting  = 1024              // requests of one client without an answer
	maxBytes    = 8 << 20           // payloads of those together, unless there is only one
	recordsSize = 256 << 10         // about the length of a frame of records
	maxResult   = maxAnswer - 1<<10 // longer results are refused, not sent
)

// Info is what a replica says of itself when a client connects.
type Info struct {
	Replica     int    // 1..n
	Epoch       uint32 // of the configuration
	UpdateBytes int    // largest update that the cluster allows
}

// Result is the outcome of an update.
type Result struct {
	Epoch   uint32
	Ordinal uint64
	Index   uint32
	Client  [32]byte
	Seq     uint64
	Result  []byte
}

// Code says what kind of failure it was. The numbers are part of the protocol.
type Code uint8

// The failures that a client may want to tell apart.
const (
	Other      Code = iota // only the text tells
	Overloaded             // the replica's queue is full
	Closed                 // the replica stops
	Oversized              // the update is larger than the cluster allows
	Expired                // the session of the replica's own client is no longer remembered
	Unknown                // the replica gave up waiting: the update may still be executed
	Gone                   // the ordinal is no longer held; Oldest is
	Busy                   // too many clients
	Protocol               // the other side broke the rules of the conversation
)

// Failure is an error that crosses the socket.
type Failure struct {
	Code   Code
	Oldest uint64 // first ordinal that is held, if Code is Gone
	Text   string // one line for people, with the remedy
}

// Error is the text.
func (f *Failure) Error() string { return f.Text }

// asFailure makes any error one that can cross the socket.
func asFailure(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return &Failure{Code: Other, Text: err.Error()}
}

// request is a frame of a client.
type request struct {
	kind    byte
	version uint16
	number  uint64 // of a Submit or Status; the first ordinal of a Watch
	payload []byte // belongs to the frame
}

// parseRequest is total: any bytes give a request or an error.
func parseRequest(kind byte, body []byte) (request, error) {
	c := localframe.Read(body)
	q := request{kind: kind}
	switch kind {
	case kindHello:
		if string(c.Bytes(len(magic))) != magic {
			return request{}, errors.New("this is not a client of Prime's control socket")
		}
		q.version = c.U16()
	case kindSubmit:
		q.number = c.U64()
		q.payload = c.Rest()
	case kindStatus, kindWatch, kindFollow:
		q.number = c.U64()
	default:
		return request{}, fmt.Errorf("unknown request %d", kind)
	}
	return q, c.Done()
}

func (q request) append(b []byte) []byte {
	b, start := localframe.Begin(b, q.kind)
	switch q.kind {
	case kindHello:
		b = append(b, magic...)
		b = binary.LittleEndian.AppendUint16(b, q.version)
	case kindSubmit:
		b = binary.LittleEndian.AppendUint64(b, q.number)
		b = append(b, q.payload...)
	case kindStatus, kindWatch, kindFollow:
		b = binary.LittleEndian.AppendUint64(b, q.number)
	}
	return localframe.End(b, start)
}

// answer is a frame of a replica.
type answer struct {
	kind    byte
	version uint16
	info    Info
	number  uint64
	result  Result // its Result belongs to the frame
	report  []byte // JSON; belongs to the frame
	records []app.Record
	failure Failure
}

// parseAnswer is total: any bytes give an answer or an error. into is reused for records.
func parseAnswer(kind byte, body []byte, into []app.Record) (answer, error) {
	c := localframe.Read(body)
	a := answer{kind: kind}
	switch kind {
	case kindWelcome:
		a.version = c.U16()
		a.info = Info{Replica: int(c.U8()), Epoch: c.U32(), UpdateBytes: int(c.U32())}
		if a.version != version {
			return a, nil // later versions may say more
		}
	case kindResult:
		a.number = c.U64()
		a.result = Result{Epoch: c.U32(), Ordinal: c.U64(), Index: c.U32(), Client: c.Key(), Seq: c.U64()}
		a.result.Result = c.Rest()
	case kindReport:
		a.number = c.U64()
		a.report = c.Rest()
	case kindRecords:
		a.records = c.Records(into[:0])
	case kindFailure:
		a.number = c.U64()
		a.failure = Failure{Code: Code(c.U8()), Oldest: c.U64()}
		if c.Len() > maxText {
			return answer{}, errors.New("failure has too long a text")
		}
		a.failure.Text = string(c.Rest())
	default:
		return answer{}, fmt.Errorf("unknown answer %d", kind)
	}
	return a, c.Done()
}

func (a answer) append(b []byte) []byte {
	b, start := localframe.Begin(b, a.kind)
	switch a.kind {
	case kindWelcome:
		b = binary.LittleEndian.AppendUint16(b, a.version)
		b = append(b, byte(a.info.Replica))
		b = binary.LittleEndian.AppendUint32(b, a.info.Epoch)
		b = binary.LittleEndian.AppendUint32(b, uint32(a.info.UpdateBytes))
	case kindResult:
		b = binary.LittleEndian.AppendUint64(b, a.number)
		b = binary.LittleEndian.AppendUint32(b, a.result.Epoch)
		b = binary.LittleEndian.AppendUint64(b, a.result.Ordinal)
		b = binary.LittleEndian.AppendUint32(b, a.result.Index)
		b = append(b, a.result.Client[:]...)
		b = binary.LittleEndian.AppendUint64(b, a.result.Seq)
		b = append(b, a.result.Result...)
	case kindReport:
		b = binary.LittleEndian.AppendUint64(b, a.number)
		b = append(b, a.report...)
	case kindRecords:
		b = localframe.AppendRecords(b, a.records)
	case kindFailure:
		b = binary.LittleEndian.AppendUint64(b, a.number)
		b = append(b, byte(a.failure.Code))
		b = binary.LittleEndian.AppendUint64(b, a.failure.Oldest)
		b = append(b, a.failure.Text[:min(len(a.failure.Text), maxText)]...)
	}
	return localframe.End(b, start)
}
