package datagram

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport/emulate/wan"
)

// arrival is a message that was delivered.
type arrival struct {
	to     int
	class  wire.Class
	number int
	took   time.Duration
	size   int
}

// packet is a datagram under way.
type packet struct {
	class wire.Class
	body  []byte
}

// end is one of the two replicas of a rig.
type end struct {
	links    [wire.Classes]*Link
	port     *wan.Port[packet]
	sent     int  // bytes on the wire
	repaired int  // of those, bytes of datagrams that repeat something
	full     bool // it has no room
}

// rig is two replicas and the links between them, in virtual time.
type rig struct {
	t       *testing.T
	now     clock.Instant
	ends    [2]*end
	arrived []arrival
	mangle  func(to int, p packet) [][]byte // what becomes of a datagram; nil: it arrives
	errors  []error
}

func newRig(t *testing.T, p wan.Profile, seed uint64) *rig {
	t.Helper()
	r := &rig{t: t, now: 1}
	for i := range r.ends {
		shared := NewShared(p.Link.Rate.Bits)
		e := &end{}
		for c := range e.links {
			e.links[c] = New(r.now, Options{Class: wire.Class(c + 1), Secret: [16]byte{byte(i), byte(c)}, Shared: shared})
		}
		port, err := wan.NewPort(p, i+1, 2, seed, 0, func(at clock.Instant, to int, what packet) { r.land(at, to-1, what) })
		if err != nil {
			t.Fatal(err)
		}
		e.port = port
		r.ends[i] = e
	}
	return r
}

// land lets a datagram arrive.
func (r *rig) land(at clock.Instant, to int, p packet) {
	bodies := [][]byte{p.body}
	if r.mangle != nil {
		bodies = r.mangle(to, p)
	}
	e := r.ends[to]
	for _, b := range bodies {
		err := e.links[p.class-1].Receive(at, b, !e.full, func(m []byte) {
			r.arrived = append(r.arrived, arrival{
				to, p.class, int(binary.LittleEndian.Uint32(m)), at.Sub(clock.Instant(binary.LittleEndian.Uint64(m[4:]))), len(m),
			})
		})
		if err != nil {
			r.errors = append(r.errors, err)
		}
	}
}

// message is a message with a number and the time.
func (r *rig) message(number, size int) []byte {
	b := make([]byte, max(size, 12))
	binary.LittleEndian.PutUint32(b, uint32(number))
	binary.LittleEndian.PutUint64(b[4:], uint64(r.now))
	return b
}

// send gives a message to a link of an end.
func (r *rig) send(from int, c wire.Class, number, size int) {
	r.ends[from].links[c-1].Send(r.now, r.message(number, size))
}

// pump lets everything leave that may.
func (r *rig) pump() {
	for i, e := range r.ends {
		for c, l := range e.links {
			for {
				was := l.counters
				b := l.Next(r.now, nil, true)
				if len(b) == 0 {
					break
				}
				size := len(b) + Overhead
				e.sent += wan.WireBytes(size)
				if l.counters.Copies+l.counters.Repaired > was.Copies+was.Repaired {
					e.repaired += wan.WireBytes(size)
				}
				e.port.Offer(r.now, 2-i, wire.Class(c+1), size, packet{wire.Class(c + 1), b})
			}
		}
	}
}

// until lets time pass.
func (r *rig) until(end clock.Instant) {
	for {
		r.pump()
		next := end
		for _, e := range r.ends {
			next = min(next, e.port.Next())
			for _, l := range e.links {
				if d := l.Deadline(r.now); d <= r.now && d != clock.Never {
					r.t.Fatalf("a link has something to say at %v and does not say it", r.now)
				} else {
					next = min(next, d)
				}
			}
		}
		r.now = max(r.now, next)
		for _, e := range r.ends {
			e.port.Advance(r.now)
		}
		if next >= end {
			r.pump()
			return
		}
	}
}

// settle lets the links find out that they work.
func (r *rig) settle() {
	for range 1000 {
		up := true
		for _, e := range r.ends {
			for _, l := range e.links {
				up = up && l.Up()
			}
		}
		if up {
			return
		}
		r.until(r.now.Add(100 * time.Millisecond))
	}
	r.t.Fatal("the links do not come up")
}

// latencies are those of what arrived at an end in a class, ascending.
func (r *rig) latencies(to int, c wire.Class) []time.Duration {
	var all []time.Duration
	for _, a := range r.arrived {
		if a.to == to && a.class == c {
			all = append(all, a.took)
		}
	}
	slices.Sort(all)
	return all
}

// once fails if anything arrived twice, and returns what arrived in a class at an end, by number.
func (r *rig) once(to int, c wire.Class) map[int]arrival {
	r.t.Helper()
	seen := map[int]arrival{}
	for _, a := range r.arrived {
		if a.to != to || a.class != c {
			continue
		}
		if _, again := seen[a.number]; again {
			r.t.Fatalf("%s: message %d was delivered twice", c, a.number)
		}
		seen[a.number] = a
	}
	return seen
}
