// Package record writes down everything that a replica's core is given, and gives it to a new core again.
//
// The core is deterministic: a core that is made alike and given the same inputs at the same instants is in the same state,
// and has said the same. So a replica that lets nothing leave, no message and no record for its application, before the
// inputs that it follows from are durable, is after a restart a replica that only was slow: it knows everything that it ever
// said, and contradicts none of it. No rule of the protocol has to be repeated here, and none can be forgotten.
//
// Left out is what is known to change nothing that is ever said: questions of peers (Inert), and messages that the core says
// it knew already (effect.Output.Known). Only the instants of those are kept.
//
// A log begins with one record Began; then come records of inputs, and Resumed wherever a start began to go on. Images of the core
// lie between them: a start can go on from one, with the inputs that came after it was taken, and what is before those can be
// dropped.
package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/storage"
)

// The kinds of records in a log.
const (
	kindBegan   = 1 // Began, JSON
	kindInputs  = 2 // the instant of the first, then inputs
	kindResumed = 3 // the instant, then core.Resumed, JSON
	kindImage   = 4 // a part of an image, see Parts
)

// The kinds of inputs in a record of inputs. Each is followed by how many nanoseconds it is later than the one before it, as an
// unsigned varint; a message by its length as a varint and its bytes; updates by their number as a varint and themselves.
const (
	inputTick    = 1
	inputMessage = 2
	inputOwn     = 3 // a message of the replica's own that it has signed and sent
	inputSubmit  = 4
	inputDone    = 5 // a job; the input has its name, and its result is computed again
	// A checkpoint that was made: its ordinal and digest.
	inputCheckpointed = 6
	// A state that the core went on with: its length as a varint and its canonical encoding.
	inputRestored = 7
	inputTransfer = 8 // the application asks for a transfer point
)

// Began is what a core was made with, as far as the identity of its replica does not say it.
type Began struct {
	Behaviour uint32      // core.Behaviour of the program
	Wall      int64       // core.Config of the same names
	Seed      [32]byte    //
	Limits    core.Limits // they stay what they were at the first start
	Timing    core.Timing //
}

// Record is b as the first record of a log.
func (b Began) Record() storage.Record {
	text, _ := json.Marshal(b) // of numbers: cannot fail
	return storage.Record{Kind: kindBegan, Data: text}
}

// errBad says that a record, whose checksum is right, is not one of ours.
var errBad = errors.New("not a record of this program")

// Inert reports whether a message of this kind changes nothing that a replica says later, but at most how soon it answers such
// questions again.
func Inert(k wire.Kind) bool {
	switch k {
	case wire.KindFetch, wire.KindRecall, wire.KindPing, wire.KindOutlineAsk, wire.KindSegmentAsk:
		return true
	}
	return false
}

// Binding reports whether a message of this kind is a promise, which its sender has to remember. Others may leave at once:
// they ask, answer, time, or pass on what others have signed.
func Binding(k wire.Kind) bool {
	switch k {
	case wire.KindCheckpointProof, wire.KindFetch, wire.KindStatus, wire.KindCertificate, wire.KindEvidence, wire.KindPing, wire.KindPong, wire.KindRoundTrip,
		wire.KindNewLeaderProof, wire.KindWindow, wire.KindRecall, wire.KindOutlineAsk, wire.KindOutline, wire.KindSegmentAsk,
		wire.KindSegment:
		return false
	}
	return true
}

// Writer collects inputs until somebody takes them to commit them. The zero Writer is empty.
type Writer struct {
	ready []storage.Record
	buf   []byte        // of the record in hand
	last  clock.Instant // of the last input in it
	bytes int           // of ready
	spare [][]byte      // memory of records that have been committed
}

// mostRecord is how large a record of inputs becomes before another begins.
const mostRecord = 1 << 20

// Input adds an input that the core has been given. known says that it need not be remembered; own that it is a message of
// this replica's own that came back signed.
func (w *Writer) Input(now clock.Instant, in core.Input, known, own bool) {
	switch {
	case in.Resumed != nil:
		w.cut()
		b := binary.LittleEndian.AppendUint64(nil, uint64(now))
		text, _ := json.Marshal(in.Resumed) // of numbers: cannot fail
		w.ready = append(w.ready, storage.Record{Kind: kindResumed, Data: append(b, text...)})
	case in.Message != nil && own:
		w.message(now, inputOwn, in.Message)
	case in.Message != nil && !known && !Inert(in.Message.Kind):
		w.message(now, inputMessage, in.Message)
	case in.Done != nil:
		w.begin(now, inputDone)
		name := nameOf(&in.Done.Job)
		w.buf = append(w.buf, name[:]...)
	case in.Transfer:
		w.begin(now, inputTransfer)
	case len(in.Submit) > 0:
		w.begin(now, inputSubmit)
		w.buf = binary.AppendUvarint(w.buf, uint64(len(in.Submit)))
		for i := range in.Submit {
			w.buf = appendUpdate(w.buf, &in.Submit[i])
		}
	case in.Checkpointed != nil:
		w.begin(now, inputCheckpointed)
		w.buf = binary.LittleEndian.AppendUint64(w.buf, in.Checkpointed.Ordinal)
		w.buf = append(w.buf, in.Checkpointed.Digest[:]...)
	case in.Restored != nil:
		w.begin(now, inputRestored)
		state := in.Restored.Append(nil)
		w.buf = binary.AppendUvarint(w.buf, uint64(len(state)))
		w.buf = append(w.buf, state...)
	default:
		w.begin(now, inputTick)
	}
	if len(w.buf) >= mostRecord {
		w.cut()
	}
}

func (w *Writer) message(now clock.Instant, kind byte, env *wire.Envelope) {
	w.begin(now, kind)
	w.buf = binary.AppendUvarint(w.buf, uint64(len(env.Raw)))
	w.buf = append(w.buf, env.Raw...)
}

// begin writes what every input begins with.
func (w *Writer) begin(now clock.Instant, kind byte) {
	if len(w.buf) == 0 {
		if n := len(w.spare); n > 0 {
			w.buf, w.spare = w.spare[n-1][:0], w.spare[:n-1]
		}
		w.buf = binary.LittleEndian.AppendUint64(w.buf, uint64(now))
		w.last = now
	}
	w.buf = append(w.buf, kind)
	w.buf = binary.AppendUvarint(w.buf, uint64(now-w.last))
	w.last = now
}

// cut ends the record in hand.
func (w *Writer) cut() {
	if len(w.buf) > 0 {
		w.ready = append(w.ready, storage.Record{Kind: kindInputs, Data: w.buf})
		w.bytes += len(w.buf)
		w.buf = nil
	}
}

// Cut ends the record in hand, and returns how many records have been collected: what comes next begins another.
func (w *Writer) Cut() int {
	w.cut()
	return len(w.ready)
}

// Bytes is how much has been collected.
func (w *Writer) Bytes() int { return w.bytes + len(w.buf) }

// Take is everything that has been collected; the writer is empty afterwards.
func (w *Writer) Take() []storage.Record {
	w.cut()
	all := w.ready
	w.ready, w.bytes = nil, 0
	return all
}

// Reuse gives back the memory of records that Take has returned, once nobody reads them any more.
func (w *Writer) Reuse(records []storage.Record) {
	for i := range records {
		if b := records[i].Data; records[i].Kind == kindInputs && len(w.spare) < 2 && cap(b) <= 2*mostRecord {
			w.spare = append(w.spare, b)
		}
	}
}

// nameOf names a job by everything that it works on.
func nameOf(j *effect.Job) wire.Digest {
	b := []byte{byte(j.ID.Origin)}
	b = binary.LittleEndian.AppendUint32(b, j.ID.Incarnation)
	b = binary.LittleEndian.AppendUint64(b, j.ID.Seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(j.To))
	if j.Request != nil {
		b = append(b, j.Request.Digest[:]...)
	}
	for _, p := range j.Parts {
		b = append(append(b, byte(p.Sender)), p.Digest[:]...)
	}
	return sha256.Sum256(b)
}

func appendUpdate(b []byte, u *wire.Update) []byte {
	b = append(b, u.Client[:]...)
	b = binary.LittleEndian.AppendUint64(b, u.Seq)
	b = append(b, u.Sig[:]...)
	b = binary.AppendUvarint(b, uint64(len(u.Payload)))
	return append(b, u.Payload...)
}

// Entry is one input as it was recorded.
type Entry struct {
	Now   clock.Instant
	Input core.Input
	Own   bool        // the message is of the replica itself
	In    uint64      // record of the log that it is in; set by whoever reads the log
	job   wire.Digest // name of the job that is done; zero if the input is none
}

// parseInputs gives every input of a record to each. Any bytes give inputs or an error.
func parseInputs(b []byte, decode func([]byte) (*wire.Envelope, error), each func(Entry) error) error {
	r := reader{b: b}
	now := r.fixed()
	for len(r.b) > 0 && r.err == nil {
		kind := r.bytes(1)
		now += r.varint()
		if r.err != nil || now > uint64(clock.Never)/2 {
			return errBad
		}
		e := Entry{Now: clock.Instant(now)}
		switch kind[0] {
		case inputTick:
		case inputTransfer:
			e.Input.Transfer = true
		case inputMessage, inputOwn:
			raw := bytes.Clone(r.bytes(r.varint())) // it stays, and the record does not
			if r.err != nil {
				return errBad
			}
			env, err := decode(raw)
			if err != nil {
				return fmt.Errorf("%w: %w", errBad, err)
			}
			e.Input.Message, e.Own = env, kind[0] == inputOwn
		case inputSubmit:
			count := r.varint()
			if count == 0 || count > uint64(len(r.b)) {
				return errBad
			}
			for range count {
				e.Input.Submit = append(e.Input.Submit, r.update())
			}
		case inputCheckpointed:
			e.Input.Checkpointed = &core.Checkpointed{Ordinal: r.fixed()}
			copy(e.Input.Checkpointed.Digest[:], r.bytes(uint64(len(wire.Digest{}))))
		case inputRestored:
			state, err := effect.ParseState(bytes.Clone(r.bytes(r.varint())), 0)
			if err != nil {
				return fmt.Errorf("%w: %w", errBad, err)
			}
			e.Input.Restored = state
		case inputDone:
			copy(e.job[:], r.bytes(uint64(len(e.job))))
		default:
			return errBad
		}
		if r.err != nil {
			return errBad
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return r.err
}

// parseResumed reads a record of that kind.
func parseResumed(b []byte) (Entry, error) {
	r := reader{b: b}
	now := r.fixed()
	m := new(core.Resumed)
	if r.err != nil || now > uint64(clock.Never)/2 || strict(r.b, m) != nil {
		return Entry{}, errBad
	}
	return Entry{Now: clock.Instant(now), Input: core.Input{Resumed: m}}, nil
}

// strict reads JSON that has nothing that into does not know.
func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// reader takes parts off the beginning of b until that fails.
type reader struct {
	b   []byte
	err error
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.b, r.err = nil, errBad
		return nil
	}
	part := r.b[:n]
	r.b = r.b[n:]
	return part
}

func (r *reader) fixed() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) varint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.err = nil, errBad
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) update() (u wire.Update) {
	copy(u.Client[:], r.bytes(uint64(len(u.Client))))
	u.Seq = r.fixed()
	copy(u.Sig[:], r.bytes(uint64(len(u.Sig))))
	u.Payload = bytes.Clone(r.bytes(r.varint()))
	return u
}
