package record

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/image"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/storage"
)

// Kept is everything that a start goes on with, as it was after a step: the core, and what that had asked for and not got back.
type Kept struct {
	Core   *core.Replica
	Last   clock.Instant // of the last input
	Unsaid []Unsaid
	Jobs   []effect.Job // handed out and not done
}

// Unsaid is a message that the core wanted to send, and whose signed copy had not come back.
type Unsaid struct {
	To      group.Set
	Class   wire.Class
	Message *wire.Envelope // with a proof that is none
}

// layout is how images are written. A core of which there is none does not pass the tests of package image.
var layout = func() *image.Layout[Kept] {
	l, err := image.Of[Kept](core.Behaviour)
	if err != nil {
		panic(err)
	}
	return l
}()

// Image is an image of a core, to be written into its log.
type Image struct {
	Ordinal uint64 // that the core had executed
	From    uint64 // number of the record with the next input; whoever writes the log sets it
	Began   Began
	taken   *image.Image
}

// Take takes an image of a core that has just made a step, whose unsaid messages and undone jobs these are; header is what its
// replica signs with. It only collects; Parts does the work. false: there is none this time, because the core is in the
// middle of a view change, whose messages have no final form before they are signed. It is an error if the core cannot be
// held by an image.
func Take(began Began, c *core.Replica, header wire.Header, last clock.Instant, unsaid []effect.Send, jobs []effect.Job) (*Image, bool, error) {
	k := &Kept{Core: c, Last: last, Jobs: jobs}
	for i := range unsaid {
		s := &unsaid[i]
		switch s.Msg.Kind() {
		case wire.KindStateShare, wire.KindStateProof, wire.KindReplay:
			return nil, false, nil
		}
		e := wire.NewEnvelope(header, s.Msg)
		e.Finish(wire.Proof{Count: 1})
		k.Unsaid = append(k.Unsaid, Unsaid{s.To, s.Class, e})
	}
	executed, _, _ := c.Progress()
	taken, err := layout.Take(k)
	if err != nil {
		return nil, false, err
	}
	return &Image{Ordinal: executed, Began: began, taken: taken}, true, nil
}

// partHeader is what a part begins with: the number of the record with the next input, the ordinal, its place, and how many there are.
const partHeader = 8 + 8 + 4 + 4

// Size is about how many bytes of a log the image takes.
func (i *Image) Size() int { return i.taken.Size() }

// Parts is the image as records of so many bytes at most, in order. Together they are what the core was made with, as JSON with its length before it, and the
// image.
func (i *Image) Parts(most int) []storage.Record {
	text, _ := json.Marshal(i.Began) // of numbers: cannot fail
	var parts []storage.Record
	var last []byte // of parts, which is being filled
	fill := func(piece []byte) bool {
		for len(piece) > 0 {
			if len(last) == 0 || len(last) == partHeader+most {
				last = make([]byte, partHeader, partHeader+most)
				parts = append(parts, storage.Record{Kind: kindImage})
			}
			n := min(len(piece), partHeader+most-len(last))
			last = append(last, piece[:n]...)
			parts[len(parts)-1].Data, piece = last, piece[n:]
		}
		return true
	}
	fill(binary.LittleEndian.AppendUint32(nil, uint32(len(text))))
	fill(text)
	i.taken.Pieces(fill)
	for at := range parts {
		head := parts[at].Data
		binary.LittleEndian.PutUint64(head, i.From)
		binary.LittleEndian.PutUint64(head[8:], i.Ordinal)
		binary.LittleEndian.PutUint32(head[16:], uint32(at))
		binary.LittleEndian.PutUint32(head[20:], uint32(len(parts)))
	}
	return parts
}

// Start is where a log lets a replica begin.
type Start struct {
	Began
	From    uint64 // record with the first input
	Ordinal uint64 // that the image has executed; 0: there is no image, the core is a new one
	image   []byte
}

// Size is how many bytes the image has; 0 if there is none.
func (s *Start) Size() int { return len(s.image) }

// Core is the core of the image, and what else it goes on with.
func (s *Start) Core(limits wire.Limits) (*Kept, error) {
	k, err := layout.Read(s.image, limits)
	if err != nil {
		return nil, fmt.Errorf("%w: image of the core after ordinal %d: %w", ErrOther, s.Ordinal, err)
	}
	return k, nil
}

// found is an image in a log.
type found struct {
	ordinal, from uint64
	next, count   uint32 // part that comes next, and how many there are
	bytes         []byte // of all parts up to that
}

// Find looks for the place in a log where a replica can begin: the newest whole image that is of use, or the beginning; false if the
// log is empty. usable says of an ordinal whether the application can go on from there.
func Find(log storage.Log, usable func(ordinal uint64) bool) (s Start, begun bool, err error) {
	x := log.Extent()
	if x.First == x.Next {
		return s, false, nil
	}
	var whole, open *found
	err = log.Read(x.First, func(number uint64, r storage.Record) error {
		switch {
		case number == 1:
			if r.Kind != kindBegan || strict(r.Data, &s.Began) != nil {
				return fmt.Errorf("%w: its first record is not a beginning; start the replica with the version of Prime that wrote it", ErrOther)
			}
			s.From = 2
		case r.Kind == kindImage:
			if len(r.Data) < partHeader {
				return fmt.Errorf("record %d: %w", number, errBad)
			}
			if open = open.add(r.Data); open != nil && open.next == open.count && open.from >= x.First && open.from <= number && usable(open.ordinal) {
				whole = open
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return s, true, err
	case whole != nil:
		fresh := s
		if err = whole.begin(&s); err != nil && fresh.From > 0 {
			s, err = fresh, nil // the inputs since the beginning are there, too
		}
	case s.From == 0:
		err = fmt.Errorf("%w: what it begins with was dropped, and the application's state as of an image that it has is not there", ErrOther)
	}
	if err == nil && s.Behaviour != core.Behaviour {
		err = fmt.Errorf("%w: it was begun by a program of behaviour %d and this one is of behaviour %d; start the replica with the version "+
			"of Prime that began it", ErrOther, s.Behaviour, core.Behaviour)
	}
	return s, true, err
}

// add adds a part to an image, or to a new one. Of an image whose beginning was dropped, or whose end was not written, there are
// parts that belong to nothing: nil.
func (f *found) add(b []byte) *found {
	from, ordinal := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	at, count := binary.LittleEndian.Uint32(b[16:]), binary.LittleEndian.Uint32(b[20:])
	if at == 0 {
		f = &found{ordinal: ordinal, from: from, count: count}
		if whole := uint64(count) * uint64(len(b)); whole <= mostAtOnce {
			f.bytes = make([]byte, 0, whole)
		}
	}
	if f == nil || at != f.next || at >= count || count != f.count || ordinal != f.ordinal || from != f.from {
		return nil
	}
	f.next++
	f.bytes = append(f.bytes, b[partHeader:]...)
	return f
}

// mostAtOnce is the largest image for which there is memory before its parts have been read.
const mostAtOnce = 256 << 20

// begin lets a start go on with the image.
func (f *found) begin(s *Start) error {
	b := f.bytes
	if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
		return errBad
	}
	n := 4 + int(binary.LittleEndian.Uint32(b))
	var began Began
	if strict(b[4:n], &began) != nil {
		return fmt.Errorf("%w: image of the core after ordinal %d; start the replica with the version of Prime that wrote it", ErrOther, f.ordinal)
	}
	if err := layout.Reads(b[n:]); err != nil {
		return fmt.Errorf("%w: %w; start the replica with the version of Prime that wrote it", ErrOther, err)
	}
	s.Began, s.From, s.Ordinal, s.image = began, f.from, f.ordinal, b[n:]
	return nil
}
