package mesh

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/datagram"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/internal/seal"
	"github.com/primebft/prime/transport/transporttest"
)

// withDatagrams are options of a replica that uses them.
func withDatagrams(o *Options) { o.Network.Datagrams = config.DatagramsAuto }

// upBy waits until two replicas speak to each other in datagrams, or over TLS.
func upBy(t *testing.T, datagrams bool, a, b *replica) {
	t.Helper()
	transporttest.Eventually(t, "the links to change", func() bool {
		x, y := a.peer(b.o.Self), b.peer(a.o.Self)
		return x.Connected && y.Connected && x.Datagrams == datagrams && y.Datagrams == datagrams && (x.WhyTLS == "") == datagrams
	})
}

// firewall is a path that may let no datagram through.
type firewall struct {
	closed  atomic.Bool
	stopped atomic.Uint64
}

func (f *firewall) Carry(p transport.Parcel) {
	if f.closed.Load() && !p.Stream {
		f.stopped.Add(1)
		return
	}
	p.Leave()
}

// runBehind starts a replica behind a firewall.
func (c *cluster) runBehind(t *testing.T, id int, f *firewall) *replica {
	t.Helper()
	r := &replica{}
	o := c.options(id)
	o.Logger = r.log.logger()
	withDatagrams(&o)
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Mesh = m
	m.Through(f)
	if err := m.Start(r.handle); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return r
}

// TestFallback: where datagrams do not get through, whichever way, frames go over TLS, status says why, and once they get through
// again they are used again. Nothing is lost on the way.
func TestFallback(t *testing.T) {
	t.Parallel()
	for _, side := range []int{0, 1} {
		c := newCluster(t, 2)
		walls := [2]*firewall{{}, {}}
		walls[side].closed.Store(true)
		r1, r2 := c.runBehind(t, 1, walls[0]), c.runBehind(t, 2, walls[1])
		exchange(t, r1, r2)
		upBy(t, false, r1, r2)
		walls[side].closed.Store(false)
		upBy(t, true, r1, r2)
		exchange(t, r1, r2)
		walls[side].closed.Store(true)
		for c := transport.Timely; c <= transport.Recon; c++ { // while nobody has noticed yet
			r1.Send(2, transport.Frame{Class: c, Source: 1, Bytes: make([]byte, 3000)})
		}
		before := r2.frames(1)
		upBy(t, false, r1, r2)
		exchangeAny(t, r1, r2)
		if side == 0 {
			transporttest.Eventually(t, "BOUNDED and RECON frames that were under way to arrive by TLS, and four others",
				func() bool { return r2.frames(1)-before >= 2+4 })
		}
		walls[side].closed.Store(false)
		upBy(t, true, r1, r2)
		exchangeAny(t, r1, r2)
		if walls[side].stopped.Load() == 0 {
			t.Error("no datagram was stopped")
		}
		r1.log.says(t, "no answer to datagrams", "peer=2")
	}
}

// exchangeAny is exchange while frames of before may still arrive.
func exchangeAny(t *testing.T, a, b *replica) {
	t.Helper()
	for _, r := range []struct{ from, to *replica }{{a, b}, {b, a}} {
		before := r.to.frames(r.from.o.Self)
		for c := transport.Timely; c <= transport.Bulk; c++ {
			r.from.Send(r.to.o.Self, transport.Frame{Class: c, Source: r.from.o.Self, Bytes: []byte("still here")})
		}
		transporttest.Eventually(t, "frames to arrive", func() bool { return r.to.frames(r.from.o.Self) >= before+4 })
	}
}

// TestOff: a replica that does not use datagrams, and one that does, speak over TLS.
func TestOff(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	r1, r2 := c.run(t, 1, withDatagrams), c.run(t, 2, nil)
	exchange(t, r1, r2)
	if s := r2.peer(1); s.Datagrams || s.WhyTLS != `network.datagrams is "off"` {
		t.Errorf("%+v", s)
	}
	if s := r1.peer(2); s.Datagrams || s.WhyTLS == "" {
		t.Errorf("%+v", s)
	}
}

// TestKeysOutliveConnections: whoever makes connections fail delays nothing: frames go on in datagrams, before new connections
// exist and after.
func TestKeysOutliveConnections(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	r1, r2 := c.run(t, 1, withDatagrams), c.run(t, 2, withDatagrams)
	upBy(t, true, r1, r2)
	for range 20 {
		for _, l := range r1.peers[2].lanes {
			if link := l.current(); link != nil {
				_ = link.raw.(*net.TCPConn).SetLinger(0) // the peer gets a RST
				link.fail()
			}
		}
		r1.Send(2, transport.Frame{Class: transport.Timely, Source: 1, Bytes: []byte("goes on")})
		if s := r1.peer(2); !s.Connected || !s.Datagrams {
			t.Fatalf("without its connection: %+v", s)
		}
	}
	transporttest.Eventually(t, "all frames", func() bool { return r2.frames(1) == 20 })
	exchange(t, r1, r2)
	transporttest.Eventually(t, "old keys to go", func() bool {
		r1.sessions.mu.RLock()
		defer r1.sessions.mu.RUnlock()
		return len(r1.sessions.all) <= mostSessions*(len(datagramClasses)+1)
	})
}

// TestLargeFramesGoByTLS: what is too large for datagrams arrives all the same, beside what is not.
func TestLargeFramesGoByTLS(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	var mu sync.Mutex
	got := map[int][]byte{}
	o := c.options(2)
	withDatagrams(&o)
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(func(_ int, _ transport.Class, frame []byte) {
		mu.Lock()
		defer mu.Unlock()
		got[number(frame)] = frame
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	r1, r2 := c.run(t, 1, withDatagrams), &replica{Mesh: m}
	upBy(t, true, r1, r2)
	sizes := []int{100, datagram.MaxMessage, datagram.MaxMessage + 1, 128 << 10, 100}
	for i, size := range sizes {
		r1.Send(2, numbered(transport.Bounded, i, size))
	}
	transporttest.Eventually(t, "all frames", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == len(sizes) })
	for i, size := range sizes {
		if !bytes.Equal(got[i], numbered(transport.Bounded, i, size).Bytes) {
			t.Errorf("the frame of %d bytes was altered", size)
		}
	}
}

// tap notes the datagrams that a replica sends.
func tap(r *Mesh) func() [][]byte {
	var mu sync.Mutex
	var seen [][]byte
	write := r.put
	r.put = func(c transport.Class, o outgoing) {
		mu.Lock()
		seen = append(seen, slices.Clone(o.packet))
		mu.Unlock()
		write(c, o)
	}
	return func() [][]byte {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

// TestHostileDatagrams: garbage, cut and huge datagrams, unknown sessions, changed and repeated packets, from a peer's address and
// from elsewhere, deliver nothing, are counted by reason, get no answer, and take no memory.
func TestHostileDatagrams(t *testing.T) {
	c := newCluster(t, 2)
	o := c.options(1)
	withDatagrams(&o)
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	packets := tap(m)
	r1 := &replica{Mesh: m}
	if err := m.Start(r1.handle); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	r2 := c.run(t, 2, withDatagrams)
	upBy(t, true, r1, r2)
	exchange(t, r1, r2)
	seen := packets()
	good := seen[len(seen)-1]
	forged, unknown, version := slices.Clone(good), slices.Clone(good), slices.Clone(good)
	forged[len(forged)-1]++
	binary.LittleEndian.PutUint32(forged[5:], 1<<30) // so that it is not taken for a repetition
	binary.LittleEndian.PutUint32(unknown[1:], binary.LittleEndian.Uint32(unknown[1:])+1)
	version[0] ^= 0xe0
	before, frames := r2.Discards(), r2.frames(1)
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(c.peers[1].Address))
	hostile := map[string][]byte{
		"garbage": bytes.Repeat([]byte{0xa5}, 500), "cut": good[:20], "huge": append(slices.Clone(good), make([]byte, 60_000)...),
		"empty": {}, "unknown": unknown, "forged": forged, "version": version, "repeated": good,
	}
	for _, from := range []string{"127.0.0.1:0", "127.0.0.99:0"} {
		local, err := net.ResolveUDPAddr("udp", from)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.DialUDP("udp", local, to)
		if err != nil {
			t.Skipf("this machine has no %s: %v", from, err)
		}
		defer conn.Close()
		for _, p := range hostile {
			for range 20 {
				_, _ = conn.Write(p)
			}
		}
		for _, p := range seen {
			_, _ = conn.Write(p)
		}
	}
	transporttest.Eventually(t, "everything to be counted", func() bool {
		d := r2.Discards()
		return d.Malformed-before.Malformed >= 20*4 && d.Unknown-before.Unknown >= 20 && d.Forged-before.Forged >= 20 &&
			d.Replayed-before.Replayed >= 20 && d.Strangers-before.Strangers >= 20*7
	})
	exchange(t, r1, r2)
	if got := r2.frames(1) - frames; got != 4 {
		t.Errorf("%d frames were delivered, want the 4 good ones", got)
	}
	from, body := netip.MustParseAddrPort("127.0.0.1:9"), make([]byte, 0, datagram.Payload)
	for name, p := range hostile {
		if n := testing.AllocsPerRun(50, func() { r2.receive(p, from, body) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestProvenLiar: a peer that seals nonsense, or acknowledges what it has not received, is proven faulty: its datagrams are not used
// for a while, and TLS carries what it is owed.
func TestProvenLiar(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string][]byte{
		"nonsense":        {99, 1, 2, 3},
		"a false receipt": binary.LittleEndian.AppendUint64([]byte{1, 0, 0, 0, 0, 64, 0, 0, 0, 0}, 7),
	} {
		c := newCluster(t, 2)
		r1, r2 := c.run(t, 1, withDatagrams), c.run(t, 2, withDatagrams)
		upBy(t, true, r1, r2)
		p := r1.peers[2]
		p.mu.Lock()
		s := p.lane(transport.Bounded).sessions[0]
		packet := s.sealer.Seal(r1.clock.Now(), nil, lie)
		p.mu.Unlock()
		before := r2.peer(1).Refused
		r1.put(transport.Bounded, outgoing{packet, s.to, false})
		transporttest.Eventually(t, name+" to be noticed", func() bool { return r2.peer(1).Refused == before+1 && !r2.peer(1).Datagrams })
		exchange(t, r1, r2)
		r2.log.says(t, "only a faulty replica sends", "peer=1")
	}
}

// FuzzDatagram: whatever comes in, from a peer's address or not, a mesh throws it away and delivers nothing.
func FuzzDatagram(f *testing.F) {
	s, _ := seal.New(0, make([]byte, seal.SecretSize), seal.Lane{Class: transport.Timely}, 1, 2)
	f.Add(s.Seal(0, nil, []byte("a body")), true)
	f.Add([]byte{1, 0, 1, 0}, false)
	m, err := New(Options{Self: 1, Listen: "127.0.0.1:0", Key: testKey(1), MaxFrame: func(transport.Class) int { return 1000 }})
	if err != nil {
		f.Fatal(err)
	}
	m.gate.configure(map[netip.Addr]int{netip.MustParseAddr("192.0.2.1"): 1}, 1)
	m.handler = func(int, transport.Class, []byte) { panic("a frame was delivered") }
	f.Fuzz(func(t *testing.T, packet []byte, known bool) {
		from := netip.MustParseAddrPort("192.0.2.2:1")
		if known {
			from = netip.MustParseAddrPort("192.0.2.1:1")
		}
		m.receive(packet, from, make([]byte, 0, datagram.Payload))
	})
}
