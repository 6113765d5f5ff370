package datagram

import (
	"testing"
	"time"

	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport/emulate/wan"
)

// TestWidth: datagrams become as large as the way takes, and no larger; nothing is lost over finding that out.
func TestWidth(t *testing.T) {
	t.Parallel()
	for mtu, want := range map[int]int{0: Payload, 1472: 1472, 1471: 1452, 1400: 1392, 1391: payloadLeast, 1240: payloadLeast} {
		r := newRig(t, wan.Profile{Link: wan.Link{Delay: 20 * time.Millisecond, MTU: mtu}}, 1)
		r.settle()
		for number := range 100 {
			r.send(0, wire.Bounded, number, 5000)
			r.until(r.now.Add(200 * time.Millisecond))
		}
		l := r.ends[0].links[wire.Bounded-1]
		if got := l.width.body + Overhead; got != want {
			t.Errorf("MTU %d: datagrams of %d bytes, want %d", mtu, got, want)
		}
		if c := l.counters; len(r.once(1, wire.Bounded)) != 100 || c.Lost > 0 || c.Repaired > 0 || !l.Up() {
			t.Errorf("MTU %d: %d messages arrive, %d lost, %d repaired, up %v", mtu, len(r.arrived), c.Lost, c.Repaired, l.Up())
		}
	}
}

// TestWayBecomesNarrow: when large datagrams no longer get through small ones are sent soon, and the link stays in use.
func TestWayBecomesNarrow(t *testing.T) {
	t.Parallel()
	r := newRig(t, wan.Profile{Link: wan.Link{Delay: 20 * time.Millisecond}}, 1)
	r.settle()
	r.until(r.now.Add(time.Second))
	l := r.ends[0].links[wire.Bounded-1]
	if l.width.body != BodySize {
		t.Fatalf("bodies of %d bytes", l.width.body)
	}
	r.mangle = func(_ int, p packet) [][]byte {
		if len(p.body) > bodyLeast {
			return nil
		}
		return [][]byte{p.body}
	}
	for number := range 100 {
		r.send(0, wire.Bounded, number, 5000)
		r.until(r.now.Add(100 * time.Millisecond))
	}
	r.until(r.now.Add(5 * time.Second))
	seen := r.once(1, wire.Bounded)
	if l.width.body != bodyLeast || !l.Up() {
		t.Errorf("bodies of %d bytes, up %v", l.width.body, l.Up())
	}
	for number := 15; number < 100; number++ {
		if _, ok := seen[number]; !ok {
			t.Errorf("message %d of 100, one every 100 ms, does not arrive", number)
		}
	}
	r.mangle = nil
	r.until(r.now.Add(widthAgain + time.Second))
	if l.width.body != BodySize {
		t.Errorf("bodies of %d bytes though the way is wide again", l.width.body)
	}
}

// TestFalseWidth: answers to tries that were not made, or were made before the link was down, widen nothing.
func TestFalseWidth(t *testing.T) {
	t.Parallel()
	l, now := lone(t, wire.Bounded, 0)
	if l.widened(0) || l.widened(l.secret(widthNumbers)) || l.widened(l.secret(widthNumbers+1)) || l.width.body != bodyLeast {
		t.Error("an answer to nothing counts")
	}
	var d body
	if b := l.Next(now, nil, true); len(b) != BodySize || d.decode(b) != nil || !d.hasPing {
		t.Fatalf("no try: a body of %d bytes", len(b))
	}
	l.Distrust(now)
	if l.widened(d.ping); l.width.body != bodyLeast {
		t.Error("an answer from before the link was down counts")
	}
}
