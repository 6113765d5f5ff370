package seal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/wire"
)

// pair is what r1 sends with and r2 opens with.
func pair(secret byte, c wire.Class) (*Sealer, *Opener) {
	exported := bytes.Repeat([]byte{secret}, SecretSize)
	s, _ := New(0, exported, Lane{Class: c}, 1, 2)
	_, o := New(0, exported, Lane{Class: c}, 2, 1)
	return s, o
}

// TestTamper: a packet in which any bit is changed, in header, body or tag, or any byte is cut off or added, is not opened.
func TestTamper(t *testing.T) {
	t.Parallel()
	s, o := pair(1, wire.Timely)
	packet := s.Seal(0, nil, []byte("a body"))
	try := func(p []byte) error {
		if _, err := Parse(p); err != nil {
			return err
		}
		_, err := o.Open(0, nil, p)
		return err
	}
	for bit := range 8 * len(packet) {
		p := slices.Clone(packet)
		p[bit/8] ^= 1 << (bit % 8)
		// The session is found by its number, so a packet with another number would not come here; the tag covers it as well.
		if err := try(p); err == nil {
			t.Errorf("opened with bit %d of byte %d changed", bit%8, bit/8)
		}
	}
	for n := range packet {
		if err := try(packet[:n]); err == nil {
			t.Errorf("opened with %d of %d bytes", n, len(packet))
		}
	}
	if err := try(append(slices.Clone(packet), 0)); err == nil {
		t.Error("opened with a byte more")
	}
	if body, err := o.Open(0, nil, packet); err != nil || string(body) != "a body" {
		t.Errorf("the genuine packet: %q, %v", body, err)
	}
}

// TestKeysAreApart: packets of another class, direction or connection are not opened.
func TestKeysAreApart(t *testing.T) {
	t.Parallel()
	s, _ := pair(1, wire.Timely)
	packet := s.Seal(0, nil, []byte("a body"))
	_, class := pair(1, wire.Bounded)
	_, connection := pair(2, wire.Timely)
	_, back := New(0, bytes.Repeat([]byte{1}, SecretSize), Lane{Class: wire.Timely}, 1, 2)
	_, lane := New(0, bytes.Repeat([]byte{1}, SecretSize), Lane{Class: wire.Timely, Yields: true}, 2, 1)
	for name, o := range map[string]*Opener{"class": class, "lane": lane, "connection": connection, "direction": back} {
		if _, err := o.Open(0, nil, packet); !errors.Is(err, ErrForged) {
			t.Errorf("a packet of another %s: %v", name, err)
		}
		if got := binary.LittleEndian.Uint32(packet[1:]); got == o.Session() {
			t.Errorf("a packet of another %s has the same session", name)
		}
	}
}

// TestReplay: every packet is opened once, in any order within the window, and an old one never.
func TestReplay(t *testing.T) {
	t.Parallel()
	s, o := pair(1, wire.Bounded)
	const n = 3 * replayWindow
	packets := make([][]byte, n)
	for i := range packets {
		packets[i] = s.Seal(0, nil, binary.LittleEndian.AppendUint32(nil, uint32(i)))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for from := 0; from < n; from += replayWindow / 2 { // shuffled in runs
		rng.Shuffle(replayWindow/2, func(i, j int) { packets[from+i], packets[from+j] = packets[from+j], packets[from+i] })
	}
	for i, p := range packets {
		if _, err := o.Open(0, nil, p); err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		if again := packets[rng.IntN(i+1)]; true {
			if _, err := o.Open(0, nil, again); !errors.Is(err, ErrReplayed) {
				t.Fatalf("a packet is opened again: %v", err)
			}
		}
	}
	far := slices.Clone(packets[0])
	binary.LittleEndian.PutUint32(far[5:], 1<<30)
	if _, err := o.Open(0, nil, far); !errors.Is(err, ErrForged) || o.highest != n {
		t.Errorf("a forged counter moves the window: %v, highest %d", err, o.highest)
	}
}

// TestPhases: keys change after an hour; late packets of the last phase are opened for ten seconds, and of none before.
func TestPhases(t *testing.T) {
	t.Parallel()
	s, o := pair(1, wire.Timely)
	now := clock.Instant(0)
	old := s.Seal(now, nil, []byte("first"))
	late := s.Seal(now, nil, []byte("late"))
	later := s.Seal(now, nil, []byte("too late"))
	for hour := range 600 { // more phases than a byte counts
		now = now.Add(phaseTime)
		p := s.Seal(now, nil, []byte{byte(hour)})
		if body, err := o.Open(now, nil, p); err != nil || body[0] != byte(hour) {
			t.Fatalf("hour %d: %v", hour, err)
		}
		if hour == 0 {
			if body, err := o.Open(now.Add(overlap-1), nil, late); err != nil || string(body) != "late" {
				t.Errorf("a late packet of the last phase: %v", err)
			}
			if _, err := o.Open(now.Add(overlap), nil, later); !errors.Is(err, ErrForged) {
				t.Errorf("a packet of the last phase after the overlap: %v", err)
			}
		}
		if _, err := o.Open(now, nil, old); hour > 0 && err == nil {
			t.Fatalf("hour %d: a packet of the first phase is opened", hour)
		}
	}
	s.first -= phasePackets
	if p := s.Seal(now, nil, []byte("x")); p[0]&phaseMask != s.phase&phaseMask || o.phase == s.phase {
		t.Error("keys do not change after so many packets")
	} else if _, err := o.Open(now, nil, p); err != nil {
		t.Error(err)
	}
}

// TestCounterBeyondItsBits: packets have 32 bits of their counter, and counters have more; the window goes on.
func TestCounterBeyondItsBits(t *testing.T) {
	t.Parallel()
	s, o := pair(1, wire.Timely)
	const from = 1<<33 - 3
	s.counter, s.first, o.highest = from, from, from
	var last []byte
	for n := range 6 {
		p := s.Seal(0, nil, []byte{byte(n)})
		if body, err := o.Open(0, nil, p); err != nil || body[0] != byte(n) {
			t.Fatalf("packet %d: %v", n, err)
		}
		if _, err := o.Open(0, nil, p); !errors.Is(err, ErrReplayed) {
			t.Fatalf("packet %d again: %v", n, err)
		}
		last = p
	}
	if o.highest != from+6 || binary.LittleEndian.Uint32(last[5:]) != 3 {
		t.Errorf("the highest is %d, the last packet says %d", o.highest, binary.LittleEndian.Uint32(last[5:]))
	}
}

// TestNoAllocation: opening what is not genuine takes no memory.
func TestNoAllocation(t *testing.T) {
	s, o := pair(1, wire.Timely)
	packet := s.Seal(0, nil, make([]byte, 1000))
	packet[len(packet)-1]++
	dst := make([]byte, 0, 2048)
	if n := testing.AllocsPerRun(100, func() { _, _ = o.Open(clock.Instant(time.Second), dst, packet) }); n != 0 {
		t.Errorf("a forged packet takes %v allocations", n)
	}
}

// FuzzOpen: no packet that was not sealed is opened, whatever its bytes.
func FuzzOpen(f *testing.F) {
	s, _ := pair(1, wire.Timely)
	f.Add(s.Seal(0, nil, []byte("a body")))
	f.Add(make([]byte, Overhead+1))
	f.Fuzz(func(t *testing.T, p []byte) {
		_, o := pair(3, wire.Timely) // nobody seals with these keys
		if h, err := Parse(p); err == nil {
			if h.Class < wire.Timely || h.Class > wire.Bulk {
				t.Fatalf("class %d", h.Class)
			}
			if _, err := o.Open(0, nil, p); err == nil {
				t.Fatal("opened")
			}
		}
	})
}
