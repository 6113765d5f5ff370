package appsocket

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/primebft/prime/internal/localframe"
)

// Mark is what a Piece or a Verdict says besides its bytes. The numbers are part of the protocol.
type Mark uint8

// The marks.
const (
	Done   Mark = 0 // Verdict: it is done. Piece: more follow
	Last   Mark = 1 // Piece: the last one
	Failed Mark = 2 // it cannot be done, and the bytes say why, for people
)

// Piece is a part of a snapshot: up to MaxPiece bytes, perhaps none. After the Last one the snapshot is complete; after Failed it never
// will be.
type Piece struct {
	Mark Mark
	Data []byte
}

// Append appends the frame of p: KindData from the application, KindRestoreData from the replica.
func (p *Piece) Append(b []byte, kind byte) []byte {
	b, start := localframe.Begin(b, kind)
	return localframe.End(append(append(b, byte(p.Mark)), p.Data...), start)
}

// ParsePiece is total. The bytes belong to body.
func ParsePiece(body []byte) (Piece, error) {
	c := localframe.Read(body)
	p := Piece{Mark: Mark(c.U8())}
	if p.Mark > Failed {
		return Piece{}, errors.New("a piece of a snapshot has an unknown mark")
	}
	if most := MaxPiece; c.Len() > most || p.Mark == Failed && c.Len() > maxText {
		return Piece{}, fmt.Errorf("a piece of a snapshot has %d bytes, at most %d are allowed, and %d to say why there are none", c.Len(),
			most, maxText)
	}
	p.Data = c.Rest()
	return p, c.Done()
}

// Verdict is what became of a snapshot or of a transfer point: Done or Failed.
type Verdict struct {
	Mark Mark
	At   Position // of the snapshot or the transfer point
	Text string   // if it failed, why
}

// Append appends the frame of v: KindRestored or KindTaken.
func (v *Verdict) Append(b []byte, kind byte) []byte {
	b, start := localframe.Begin(b, kind)
	b = appendPosition(append(b, byte(v.Mark)), v.At)
	return localframe.End(append(b, v.Text[:min(len(v.Text), maxText)]...), start)
}

// ParseVerdict is total.
func ParseVerdict(body []byte) (Verdict, error) {
	c := localframe.Read(body)
	v := Verdict{Mark: Mark(c.U8()), At: takePosition(&c)}
	if v.Mark != Done && v.Mark != Failed {
		return Verdict{}, errors.New("an answer must be 0, done, or 2, failed")
	}
	if c.Len() > maxText {
		return Verdict{}, errors.New("an answer has too long a text")
	}
	v.Text = string(c.Rest())
	return v, c.Done()
}

// At is a position alone: of KindSnapshot and KindRestore.
type At struct{ At Position }

// Append appends the frame of a.
func (a At) Append(b []byte, kind byte) []byte {
	b, start := localframe.Begin(b, kind)
	return localframe.End(appendPosition(b, a.At), start)
}

// ParseAt is total.
func ParseAt(body []byte) (At, error) {
	c := localframe.Read(body)
	a := At{takePosition(&c)}
	return a, c.Done()
}

// Gap says that the records between two positions will not be delivered.
type Gap struct{ After, Next Position }

// Append appends the frame of g.
func (g Gap) Append(b []byte) []byte {
	b, start := localframe.Begin(b, KindGap)
	return localframe.End(appendPosition(appendPosition(b, g.After), g.Next), start)
}

// ParseGap is total.
func ParseGap(body []byte) (Gap, error) {
	c := localframe.Read(body)
	g := Gap{After: takePosition(&c), Next: takePosition(&c)}
	return g, c.Done()
}

// Point is a transfer point that was ordered.
type Point struct {
	At        Position
	Requester int
}

// Append appends the frame of p.
func (p Point) Append(b []byte) []byte {
	b, start := localframe.Begin(b, KindTransferPoint)
	return localframe.End(append(appendPosition(b, p.At), byte(p.Requester)), start)
}

// ParsePoint is total.
func ParsePoint(body []byte) (Point, error) {
	c := localframe.Read(body)
	p := Point{At: takePosition(&c), Requester: int(c.U8())}
	return p, c.Done()
}

// Reset says that the stream of an epoch begins.
type Reset struct{ Epoch uint32 }

// Append appends the frame of r.
func (r Reset) Append(b []byte) []byte {
	b, start := localframe.Begin(b, KindReset)
	return localframe.End(binary.LittleEndian.AppendUint32(b, r.Epoch), start)
}

// ParseReset is total.
func ParseReset(body []byte) (Reset, error) {
	c := localframe.Read(body)
	r := Reset{c.U32()}
	return r, c.Done()
}

// AppendEmpty appends a frame without a body: KindTransfer, KindMore or KindEnough.
func AppendEmpty(b []byte, kind byte) []byte {
	b, start := localframe.Begin(b, kind)
	return localframe.End(b, start)
}
