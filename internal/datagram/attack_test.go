package datagram

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/wire"
)

// lone is one end of a link that is up, whose peer is played by a test.
func lone(t *testing.T, c wire.Class, rateBits int64) (*Link, clock.Instant) {
	t.Helper()
	now := clock.Instant(1)
	l := New(now, Options{Class: c, Secret: [16]byte{1}, Shared: NewShared(rateBits)})
	for range comeBack {
		var d body
		if err := d.decode(l.Next(now, nil, false)); err != nil || !d.hasPing {
			t.Fatalf("no probe: %v", err)
		}
		now = now.Add(20 * time.Millisecond)
		if err := l.Receive(now, binary.LittleEndian.AppendUint64([]byte{recordPong}, d.ping), true, nil); err != nil {
			t.Fatal(err)
		}
		if l.Up() {
			return l, now
		}
	}
	t.Fatal("the link is not up")
	return nil, 0
}

// drain lets everything leave and returns how many segments and bytes did.
func drain(l *Link, now clock.Instant) (segments, size int) {
	for {
		b := l.Next(now, nil, true)
		if len(b) == 0 {
			return segments, size
		}
		var d body
		if d.decode(b) == nil && d.hasSegment {
			segments++
		}
		size += len(b) + Overhead
	}
}

// TestAckLies: acknowledgements of what was not sent or not received are recognised, and nothing in them has any effect.
func TestAckLies(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]ack{
		"never sent":            {upTo: 11},
		"the largest number":    {upTo: math.MaxUint64},
		"a sum that wraps":      {upTo: math.MaxUint64 - 5, beyond: 10},
		"one more than sent":    {upTo: 9, beyond: 2},
		"everything, no proof":  {upTo: 10},
		"everything, a guess":   {upTo: 10, receipt: 0x1234567890abcdef},
		"one, no proof":         {upTo: 1},
		"the last, no proof":    {beyond: 10, missing: []span{{0, 9}}},
		"nothing, with a proof": {upTo: 0, receipt: 1},
	} {
		l, now := lone(t, wire.Bounded, 0)
		for range 10 {
			l.Send(now, make([]byte, 1000))
		}
		if n, _ := drain(l, now); n != 10 {
			t.Fatalf("%d segments leave, want 10", n)
		}
		now = now.Add(30 * time.Millisecond)
		if err := l.Receive(now, lie.append(nil), true, nil); !errors.Is(err, ErrLie) {
			t.Errorf("%s: %v", name, err)
		}
		if s := &l.out; s.base != 1 || s.flying != 10 || s.proven != 0 {
			t.Errorf("%s: it had an effect: base %d, under way %d", name, s.base, s.flying)
		}
		honest := ack{upTo: 10}
		for n := uint64(1); n <= 10; n++ {
			honest.receipt ^= l.secret(n)
		}
		if err := l.Receive(now, honest.append(nil), true, nil); err != nil || !l.Idle() {
			t.Errorf("%s: an honest acknowledgement afterwards: %v, idle %t", name, err, l.Idle())
		}
		if err := l.Receive(now, honest.append(nil), true, nil); err != nil {
			t.Errorf("%s: an old acknowledgement is not a lie: %v", name, err)
		}
	}
}

// TestNackStorm: a peer that names everything missing, all the time, gets no more repair than a quarter of the link, and its
// neighbours' budgets are their own.
func TestNackStorm(t *testing.T) {
	t.Parallel()
	const bits, seconds = 10_000_000, 10
	l, now := lone(t, wire.Bounded, bits)
	for range 200 {
		l.Send(now, make([]byte, 1000))
	}
	drain(l, now)
	size := 0
	for end := now.Add(seconds * time.Second); now < end; now = now.Add(time.Millisecond) {
		storm := ack{beyond: 200, missing: []span{{0, 200}}}
		if err := l.Receive(now, storm.append(nil), true, nil); err != nil {
			t.Fatal(err)
		}
		_, n := drain(l, now)
		size += n
	}
	if share := float64(size) * 8 / seconds / bits; share > 0.26 || share == 0 {
		t.Errorf("repair takes %.3f of the link, want at most 0.25 and more than nothing", share)
	}
	if l.counters.Expired == 0 {
		t.Error("messages are repaired for ever")
	}
}

// TestAcksWithheld: a peer that acknowledges nothing holds up at most a window; the rest stays where budgets bound it.
func TestAcksWithheld(t *testing.T) {
	t.Parallel()
	l, now := lone(t, wire.Bounded, 10_000_000)
	sent := 0
	for end := now.Add(900 * time.Millisecond); now < end; now = now.Add(time.Millisecond) {
		for l.Hungry() {
			l.Send(now, make([]byte, 1000))
			sent++
			drain(l, now)
		}
		drain(l, now)
	}
	if !l.Up() {
		t.Error("the link is given up already")
	}
	for end := now.Add(20 * time.Second); now < end; now = now.Add(10 * time.Millisecond) {
		var d body
		if b := l.Next(now, nil, true); d.decode(b) == nil && d.hasPing {
			if err := l.Receive(now, binary.LittleEndian.AppendUint64([]byte{recordPong}, d.ping), true, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if l.out.backoff <= deafAfter {
		t.Error("a peer that answers probes and acknowledges nothing is taken for a good one")
	}
	if l.out.next-l.out.base > Window || sent > Window+1 || len(l.out.ring) > Window {
		t.Errorf("%d segments are under way, %d were taken, memory for %d: at most %d", l.out.next-l.out.base, sent, len(l.out.ring), Window)
	}
}

// TestUnfinishedFragments: messages of which the last fragment never comes take a bounded amount of memory, which is free
// again when they are too old to matter.
func TestUnfinishedFragments(t *testing.T) {
	t.Parallel()
	l, now := lone(t, wire.Bounded, 0)
	send := func(number uint64) {
		c := chunk{kind: chunkFragment, count: MaxFragments, total: MaxMessage, bytes: make([]byte, fragmentSize)}
		b := binary.LittleEndian.AppendUint32([]byte{recordSegment}, uint32(number))
		b = c.append(binary.LittleEndian.AppendUint64(b, number))
		if err := l.Receive(now, b, true, func([]byte) { t.Error("a fragment was delivered as a message") }); err != nil {
			t.Fatal(err)
		}
	}
	for n := range uint64(10_000) {
		send(1 + n%Window)
		if l.in.held > Partial {
			t.Fatalf("%d bytes are held, at most %d", l.in.held, Partial)
		}
		l.in.upTo, l.in.highest = 0, 0 // as if every number were new
		clear(l.in.got)
	}
	if l.in.held < Partial/2 {
		t.Errorf("%d bytes are held: the test does not reach the limit", l.in.held)
	}
	now = now.Add(2*life[1] + 1)
	send(1)
	if l.in.held != MaxMessage {
		t.Errorf("%d bytes are held after everything has expired, want %d", l.in.held, MaxMessage)
	}
}

// TestJump: numbers far ahead take no memory and do not move anything.
func TestJump(t *testing.T) {
	t.Parallel()
	l, now := lone(t, wire.Bounded, 0)
	for _, n := range []uint32{Window + 1, 1 << 30, math.MaxUint32} {
		b := binary.LittleEndian.AppendUint32([]byte{recordSegment}, n)
		b = append(binary.LittleEndian.AppendUint64(b, 7), chunkWhole, 1, 0, 'x')
		if err := l.Receive(now, b, true, func([]byte) { t.Errorf("segment %d was delivered", n) }); err != nil {
			t.Errorf("segment %d: %v", n, err)
		}
	}
	if l.counters.Beyond != 3 || l.in.highest != 0 || len(l.in.got) > 16 {
		t.Errorf("beyond %d, highest %d, memory for %d", l.counters.Beyond, l.in.highest, len(l.in.got))
	}
}

// TestFalseAnswers: answers to probes that were never sent say nothing, and one answer counts once.
func TestFalseAnswers(t *testing.T) {
	t.Parallel()
	now := clock.Instant(1)
	l := New(now, Options{Class: wire.Timely, Secret: [16]byte{1}, Shared: NewShared(0)})
	for n := range uint64(1000) {
		if err := l.Receive(now, binary.LittleEndian.AppendUint64([]byte{recordPong}, n), true, nil); err != nil {
			t.Fatal(err)
		}
	}
	if l.Up() {
		t.Error("the link is up though no probe was sent")
	}
}

// FuzzDecode: any bytes are a body or ErrBroken, and a body that is encoded again is the same.
func FuzzDecode(f *testing.F) {
	a := ack{busy: true, upTo: 7, beyond: 9, delay: 3, receipt: 5, missing: []span{{0, 2}, {5, 1}}}
	b := append(a.append(nil), recordPing, 1, 2, 3, 4, 5, 6, 7, 8, recordPong, 1, 2, 3, 4, 5, 6, 7, 8)
	f.Add(b)
	b = append(b, recordSegment, 1, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, chunkWhole, 2, 0, 'a', 'b')
	f.Add([]byte{recordPing, 1, 2, 3, 4, 5, 6, 7, 8, recordPadding, 0, 0})
	f.Add(append(b, chunkAbandoned, 1, 0, 0, 0))
	c := chunk{kind: chunkFragment, index: 1, count: 2, total: 5, bytes: []byte{1, 2}}
	f.Add(c.append([]byte{recordSegment, 1, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d body
		if d.decode(b) != nil {
			return
		}
		var again []byte
		if d.hasAck {
			again = d.ack.append(again)
		}
		if d.hasPing {
			again = binary.LittleEndian.AppendUint64(append(again, recordPing), d.ping)
		}
		if d.hasPong {
			again = binary.LittleEndian.AppendUint64(append(again, recordPong), d.pong)
		}
		if d.padding > 0 {
			again = append(append(again, recordPadding), make([]byte, d.padding-1)...)
		}
		if d.hasSegment {
			again = binary.LittleEndian.AppendUint32(append(again, recordSegment), uint32(d.number))
			again = binary.LittleEndian.AppendUint64(again, d.secret)
			for i := range d.chunks {
				again = d.chunks[i].append(again)
			}
		}
		if string(again) != string(b) {
			t.Fatalf("%x is encoded again as %x", b, again)
		}
	})
}

// FuzzLink: whatever an authenticated peer sends, and whenever, the link stays within its limits and says only what fits.
func FuzzLink(f *testing.F) {
	f.Add([]byte{10, 1, 0, 0, 0, 30, 4, 1, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 1, 2, 0, 'a', 'b'})
	f.Add([]byte{22, 1, 1, 1, 0, 0, 0, 0, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 3, 0, 7})
	f.Fuzz(func(t *testing.T, script []byte) {
		now := clock.Instant(1)
		l := New(now, Options{Class: wire.Timely, Secret: [16]byte{1}, Shared: NewShared(10_000_000)})
		for len(script) > 1 {
			n, step := int(script[0]), script[1]
			script = script[2:]
			n = min(n, len(script))
			now = now.Add(time.Duration(step) * time.Millisecond)
			if step%3 == 0 {
				l.Send(now, make([]byte, 1+int(step)*290))
			}
			_ = l.Receive(now, script[:n], step%5 != 0, func(m []byte) {
				if len(m) == 0 || len(m) > MaxMessage {
					t.Fatalf("a message of %d bytes was delivered", len(m))
				}
			})
			script = script[n:]
			for range 10 {
				b := l.Next(now, nil, true)
				if len(b) > BodySize {
					t.Fatalf("a body of %d bytes", len(b))
				}
			}
			if l.in.held > Partial || len(l.out.ring) > Window || l.out.next-l.out.base > Window || len(l.in.got) > 2*Window ||
				l.out.flying < 0 || l.out.queued < 0 || l.width.body < bodyLeast {
				t.Fatalf("limits: %d bytes of parts, %d and %d segments", l.in.held, len(l.out.ring), len(l.in.got))
			}
		}
	})
}

// TestNearest: the low bits of a number are enough for who knows about where it is.
func TestNearest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ to, want uint64 }{
		{0, 0}, {0, 1}, {1, math.MaxUint32}, {1 << 32, 1<<32 - 1}, {1<<32 - 1, 1 << 32}, {1<<40 + 5, 1<<40 - 1000}, {1<<40 - 1, 1<<40 + 1<<30},
	} {
		if got := Nearest(c.to, uint32(c.want)); got != c.want {
			t.Errorf("nearest to %d: %d, want %d", c.to, got, c.want)
		}
	}
}
