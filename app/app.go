// Package app is what an application sees of Prime: records in one total order, and a place to return a result for each.
package app

import (
	"crypto/sha256"
	"encoding/binary"
)

// Application consumes the ordered stream. Deliver is called from one goroutine, with records in order and without a gap,
// and returns one result per record in the same order (nil is an empty result; only those of updates count). It must be
// deterministic: from equal records, equal results. A slow Deliver delays this replica's own clients, never the protocol.
// The batch and its payloads are only valid during the call; the results are copied when it returns.
type Application interface {
	Deliver(batch []Record) [][]byte
}

// Interrupter is an Application whose Deliver may wait for something outside of it, for example another process. Interrupt is
// called at most once, by another goroutine, when the replica ends: a Deliver under way then returns soon, with whatever it
// has, because its results no longer matter.
type Interrupter interface {
	Application
	Interrupt()
}

// Func makes an Application of a function of one update.
type Func func(Record) []byte

// Deliver calls f for each record that carries an update.
func (f Func) Deliver(batch []Record) [][]byte {
	results := make([][]byte, len(batch))
	for i, r := range batch {
		if r.Update() {
			results[i] = f(r)
		}
	}
	return results
}

// Record is one event of the ordered stream. Records are ordered by (Epoch, Ordinal, Index). Every ordinal has at least one:
// an ordinal that orders no update has a no-op, so whoever sees consecutive ordinals with all their indexes missed nothing.
type Record struct {
	Epoch   uint32   // configuration of the group
	Ordinal uint64   // place in the total order: 1, 2, 3 …
	Index   uint32   // place inside the ordinal: 1 … Total
	Total   uint32   // records of this ordinal
	Origin  int      // replica that introduced the update, 1 … n; 0 for a no-op
	Client  [32]byte // the client's Ed25519 public key; zero for a no-op and for a transfer point
	Seq     uint64   // the client's sequence number; 0 for a no-op and for a transfer point
	Time    int64    // ordered time, Unix nanoseconds: never falls, and f liars cannot push it past a correct clock
	Payload []byte   // the update; empty for a no-op and for a transfer point
}

// NoOp reports whether the record only fills an ordinal that orders nothing.
func (r Record) NoOp() bool { return r.Origin == 0 }

// TransferPoint reports whether the record is no client's but marks where the application of replica Origin takes over the state of the
// others; see Transferrer.
func (r Record) TransferPoint() bool { return r.Origin != 0 && r.Client == [32]byte{} }

// Update reports whether the record carries a client's update: it is neither a no-op nor a transfer point.
func (r Record) Update() bool { return r.Origin != 0 && r.Client != [32]byte{} }

// Position is where the record is.
func (r Record) Position() Position { return Position{Ordinal: r.Ordinal, Index: r.Index} }

// AppendCanonical appends the one canonical encoding of r, which the stream digest is computed over: little-endian, fields in
// the order of the struct, the payload last with its length before it.
func (r Record) AppendCanonical(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, r.Epoch)
	b = binary.LittleEndian.AppendUint64(b, r.Ordinal)
	b = binary.LittleEndian.AppendUint32(b, r.Index)
	b = binary.LittleEndian.AppendUint32(b, r.Total)
	b = append(b, byte(r.Origin))
	b = append(b, r.Client[:]...)
	b = binary.LittleEndian.AppendUint64(b, r.Seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.Time))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Payload)))
	return append(b, r.Payload...)
}

// Chain is the digest of a stream of records: each record is hashed together with the digest of all before it. The zero
// Chain is that of the empty stream. Equal chains at equal ordinals prove equal streams.
type Chain struct {
	Sum [32]byte // digest up to the last record
	buf []byte
}

// Add extends the chain by one record.
func (c *Chain) Add(r Record) {
	c.buf = append(c.buf[:0], c.Sum[:]...)
	c.buf = r.AppendCanonical(c.buf)
	c.Sum = sha256.Sum256(c.buf)
}
