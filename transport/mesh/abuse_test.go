package mesh

import (
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/transporttest"
)

// TestBadFrames: a peer with the right key that sends nonsense loses its connection, is counted, and harms nobody.
func TestBadFrames(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	r2, r3 := c.run(t, 2, nil), c.run(t, 3, nil)
	random := make([]byte, 4096)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	random[3] = 0xff // a length beyond every limit
	for _, bad := range []struct {
		name    string
		bytes   []byte
		refused bool
	}{
		{"oversized length", []byte{1, 0, 2, 0, 'x'}, true},
		{"largest length", []byte{0xff, 0xff, 0xff, 0xff}, true},
		{"negative length", []byte{0, 0, 0, 0x80}, true},
		{"empty frame", []byte{0, 0, 0, 0}, true},
		{"random bytes", random, true},
		{"oversized after a good one", append(frameBytes([]byte("good")), 0, 0, 0, 1), true},
		{"truncated length", []byte{9, 0}, false},
		{"truncated frame", frameBytes([]byte("a frame"))[:7], false},
		{"truncated large frame", frameBytes(make([]byte, 100_000))[:70_000], false},
	} {
		for _, class := range []transport.Class{transport.Timely, transport.Recon} {
			before := r2.peer(1).Refused
			conn, answer, err := c.as(1, 2, class).join(t, c.peers[1].Address)
			if err != nil || answer.answer != welcome {
				t.Fatalf("%s: the handshake fails: %v, answer %d", bad.name, err, answer.answer)
			}
			if _, err := conn.Write(bad.bytes); err != nil {
				t.Fatal(err)
			}
			if !bad.refused {
				_ = conn.NetConn().(*net.TCPConn).CloseWrite()
			}
			closedByPeer(t, conn)
			if bad.refused {
				transporttest.Eventually(t, "the frame to be counted", func() bool { return r2.peer(1).Refused == before+1 })
			}
			transporttest.Eventually(t, "the link to be gone", func() bool { return r2.peers[1].lane(class).current() == nil })
		}
	}
	r2.log.says(t, "refused a frame", "peer=1", "the most is 131072")
	if n := strings.Count(r2.log.String(), "refused a frame"); n > 2 { // one, and one more if the test takes ten seconds
		t.Errorf("%d lines about refused frames", n)
	}
	if got := r2.frames(1); got != 2 {
		t.Errorf("%d frames of r1 were delivered, want the 2 good ones", got)
	}
	exchange(t, r2, r3)
}

// TestRefusals: whoever does not belong here is refused, and both sides can read why.
func TestRefusals(t *testing.T) {
	t.Parallel()
	alter := func(change func(*hello)) func(*intruder) {
		return func(i *intruder) {
			right := i.alter
			i.alter = func(h *hello) { right(h); change(h) }
		}
	}
	for _, c := range []struct {
		name   string
		change func(*intruder)
		log    []string // in r2's log
		alert  string   // that the intruder sees; empty: an answer that refuses
	}{
		{"unknown key", func(i *intruder) { i.key = testKey(99) }, []string{"which is no replica's"}, alertBadCertificate},
		{"unknown key, no knock", func(i *intruder) { i.key = testKey(99); i.knock = nil }, []string{"which is no replica's"}, alertBadCertificate},
		{"another version", func(i *intruder) { i.protos = []string{"prime/2"} }, []string{"prime/2"}, alertNoApplicationProtocol},
		{"no version", func(i *intruder) { i.protos, i.knock = []string{}, nil }, []string{"does not say that it speaks prime/1"}, alertBadCertificate},
		{"another cluster", alter(func(h *hello) { h.cluster[0] = 9 }), []string{"peer=1", "r1 belongs to another cluster: id 0900"}, ""},
		{"another configuration", alter(func(h *hello) { h.config[0] = 0xab }), []string{"peer=1", "r1 runs another configuration: digest ab00"}, ""},
		{"another epoch", alter(func(h *hello) { h.epoch = 7 }), []string{"peer=1", "r1 is in epoch 7, this replica in 1"}, ""},
		{"another sender", alter(func(h *hello) { h.from = 3 }), []string{"peer=1", "says that it is r3"}, ""},
		{"another receiver", alter(func(h *hello) { h.to = 3 }), []string{"peer=1", "takes this replica for r3"}, ""},
		{"no class", alter(func(h *hello) { h.class = 9 }), []string{"peer=1", "asks for class 9"}, ""},
		{"class zero", alter(func(h *hello) { h.class = 0 }), []string{"peer=1", "asks for class 0"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cl := newCluster(t, 3)
			r2 := cl.run(t, 2, nil)
			i := cl.as(1, 2, transport.Bounded)
			c.change(&i)
			conn, answer, err := i.join(t, cl.peers[1].Address)
			switch {
			case c.alert == "" && (err != nil || answer.answer != refused || answer.cluster != [32]byte{1} || answer.from != 2):
				t.Errorf("answer %+v, error %v: want to be refused by r2 with what it expects", answer, err)
			case c.alert != "" && !alerted(err, c.alert):
				t.Errorf("error %v, want alert %q", err, c.alert)
			}
			if conn != nil {
				closedByPeer(t, conn)
			}
			r2.log.says(t, append(c.log, "refused a handshake")...)
			if c.alert == "" && r2.peer(1).Refused == 0 {
				t.Error("the refusal was not counted")
			}
		})
	}
}

// TestBothSidesSayWhy: two real replicas that do not fit each other both tell their operators.
func TestBothSidesSayWhy(t *testing.T) {
	t.Parallel()
	why := func(r *replica, id int, words ...string) {
		t.Helper()
		transporttest.Eventually(t, fmt.Sprintf("r%d to say %q, it says %+v", r.o.Self, words, r.Peers()), func() bool {
			p := r.peer(id)
			for _, w := range words {
				if !strings.Contains(p.Why, w) {
					return false
				}
			}
			return !p.Connected
		})
	}
	c := newCluster(t, 2)
	a := c.run(t, 1, func(o *Options) { o.ConfigDigest[0] = 0xaa })
	b := c.run(t, 2, func(o *Options) { o.ConfigDigest[0] = 0xbb })
	why(a, 2, "r2 runs another configuration: digest bb00", "ours aa00")
	why(b, 1, "r1 runs another configuration: digest aa00", "ours bb00")
	if a.peer(2).Refused == 0 || b.peer(1).Refused == 0 {
		t.Error("refusals are not counted on both sides")
	}

	c = newCluster(t, 2)
	a = c.run(t, 1, nil)
	c.run(t, 2, func(o *Options) { o.Key = testKey(77) })
	why(a, 2, "is not r2", "the configuration says")

	c = newCluster(t, 2)
	a = c.run(t, 1, func(o *Options) { o.Key = testKey(77) })
	b = c.run(t, 2, nil)
	why(a, 2, "r2 does not know this replica's key")
	b.log.says(t, "which is no replica's")

	c = newCluster(t, 2)
	a = c.run(t, 1, nil)
	l := c.options(2).Listener // a replica of the future
	cert, err := certificate(testKey(2))
	if err != nil {
		t.Fatal(err)
	}
	future := acceptConfig(cert, func(ed25519.PublicKey) bool { return true })
	future.NextProtos = []string{"prime/2"}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			_ = tls.Server(raw, future).Handshake()
			linger(raw)
		}
	})
	why(a, 2, "r2 does not speak prime/1")
	_ = l.Close()
	wg.Wait()
	why(a, 2, "refused") // nobody listens any more
}

// TestStrangersAtOtherAddresses are closed before anything is read from them.
func TestStrangersAtOtherAddresses(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	r3 := c.run(t, 3, func(o *Options) {
		o.Peers = append([]Peer(nil), o.Peers...)
		o.Peers[0].Address, o.Peers[1].Address = "192.0.2.1:7", "192.0.2.2:7" // for documentation only, RFC 5737
	})
	for range 50 {
		conn, err := net.Dial("tcp", c.peers[2].Address)
		if err != nil {
			t.Fatal(err)
		}
		closedByPeer(t, conn)
		_ = conn.Close()
	}
	if n := r3.Strangers(); n != 50 {
		t.Errorf("%d strangers were counted, want 50", n)
	}
	if n := strings.Count(r3.log.String(), "no peer is configured"); n < 1 || n > 3 {
		t.Errorf("%d lines about strangers", n)
	}
}

// TestOversizedGreeting: a stranger cannot make a replica read much.
func TestOversizedGreeting(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	r2 := c.run(t, 2, nil)
	conn, err := net.Dial("tcp", c.peers[1].Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	hello := append([]byte{22, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb}, make([]byte, 16_000)...) // a ClientHello of 16 KB
	_, _ = conn.Write(hello)
	closedByPeer(t, conn)
	r2.log.says(t, "refused a handshake", errTooMuch.Error())
}

// TestSlowGreeting: a handshake that does not end is cut off.
func TestSlowGreeting(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	r2 := c.run(t, 2, func(o *Options) { o.Network.Handshake = 500 * time.Millisecond })
	silent, err := net.Dial("tcp", c.peers[1].Address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closedByPeer(t, silent)
	conn, err := c.as(1, 2, transport.Timely).handshake(c.peers[1].Address) // and no hello
	if err == nil {                                                         // otherwise this machine froze, and it was cut off even earlier
		closedByPeer(t, conn)
	}
	_ = conn.NetConn().Close()
	transporttest.Eventually(t, "places to be given back", func() bool { a, p := r2.gate.waiting(); return a+p == 0 })
}
