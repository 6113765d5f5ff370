package emulate_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/emulate"
	"github.com/primebft/prime/transport/emulate/wan"
	"github.com/primebft/prime/transport/mesh"
	"github.com/primebft/prime/transport/transporttest"
)

// pair is the options of two replicas that reach each other by TLS and UDP on this machine.
func pair(t *testing.T, datagrams config.Datagrams) [2]mesh.Options {
	t.Helper()
	var all [2]mesh.Options
	var peers []mesh.Peer
	for i := range all {
		seed := sha256.Sum256(fmt.Appendf(nil, "emulate test %d", i))
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		key := ed25519.NewKeyFromSeed(seed[:])
		peers = append(peers, mesh.Peer{ID: i + 1, Address: l.Addr().String(), PublicKey: key.Public().(ed25519.PublicKey)})
		all[i] = mesh.Options{Self: i + 1, Key: key, Listener: l, MaxFrame: func(transport.Class) int { return 128 << 10 },
			Network: config.Network{BudgetBytes: 4 << 20, Datagrams: datagrams, Handshake: 20 * time.Second, DialMin: 10 * time.Millisecond}}
	}
	for i := range all {
		all[i].Peers = peers
	}
	return all
}

// inbox counts what arrives, by number.
type inbox struct {
	mu  sync.Mutex
	got map[uint64]int
}

func (b *inbox) handle(_ int, _ transport.Class, frame []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.got == nil {
		b.got = map[uint64]int{}
	}
	b.got[binary.LittleEndian.Uint64(frame)]++
}

func (b *inbox) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.got)
}

// TestLossyDatagrams: an emulated link that loses a tenth of all packets loses sealed datagrams, which are repaired: everything
// arrives once, in every class, and status says what happened. What goes by TLS is spared.
func TestLossyDatagrams(t *testing.T) {
	t.Parallel()
	const frames = 500
	var ends [2]*emulate.Transport
	var boxes [2]inbox
	for i, o := range pair(t, config.DatagramsAuto) {
		m, err := mesh.New(o)
		if err != nil {
			t.Fatal(err)
		}
		p := wan.Profile{Link: wan.Link{Delay: 5 * time.Millisecond, Loss: wan.Bernoulli(0.1)}}
		if ends[i], err = emulate.Wrap(m, p, emulate.Options{Self: i + 1, Replicas: 2, Seed: 3}); err != nil {
			t.Fatal(err)
		}
		if err := ends[i].Start(boxes[i].handle); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ends[i].Close() })
	}
	transporttest.Eventually(t, "datagrams to be used", func() bool {
		return ends[0].Peers()[0].Datagrams && ends[1].Peers()[0].Datagrams
	})
	for n := range uint64(frames) {
		size := 300
		if n%50 == 49 {
			size = 100_000 // by TLS
		}
		b := make([]byte, size)
		binary.LittleEndian.PutUint64(b, n)
		ends[0].Send(2, transport.Frame{Class: transport.Bounded, Source: 1, Bytes: b})
	}
	transporttest.Eventually(t, "all frames", func() bool { return boxes[1].count() == frames })
	p, c := ends[0].Peers()[0], ends[0].Counters(2)
	if p.Lost == 0 || p.Repaired == 0 || c.Lost == 0 {
		t.Errorf("nothing was lost: %+v %+v", p, c)
	}
	if p.RoundTrip < 10 {
		t.Errorf("a round trip of %v ms over links of 5 ms", p.RoundTrip)
	}
}

// TestNoLossOverTLS: a profile that loses packets is refused where everything goes by TLS, at once and later, and one that does
// not is obeyed: a frame takes as long as the link says.
func TestNoLossOverTLS(t *testing.T) {
	t.Parallel()
	os := pair(t, config.DatagramsOff)
	var ends [2]*emulate.Transport
	var boxes [2]inbox
	for i, o := range os {
		m, err := mesh.New(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []wan.Profile{
			{Link: wan.Link{Loss: wan.Bernoulli(0.01)}}, {Link: wan.Link{Duplicate: 0.01}}, {Link: wan.Link{Loss: wan.Bursts(0.01, 2)}},
			{Events: []wan.Event{{At: time.Hour, Change: func(l *wan.Link) { l.Loss = wan.Bernoulli(1) }}}},
		} {
			if _, err := emulate.Wrap(m, p, emulate.Options{Self: i + 1, Replicas: 2}); err == nil || !strings.Contains(err.Error(), `"auto"`) {
				t.Errorf("%+v: %v", p, err)
			}
		}
		if ends[i], err = emulate.Wrap(m, wan.Profile{Link: wan.Link{Delay: 50 * time.Millisecond}},
			emulate.Options{Self: i + 1, Replicas: 2}); err != nil {
			t.Fatal(err)
		}
		if err := ends[i].Change(0, 0, func(l *wan.Link) { l.Loss = wan.Bernoulli(0.5) }); err == nil {
			t.Error("loss is accepted later")
		}
		if err := ends[i].Start(boxes[i].handle); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ends[i].Close() })
	}
	transporttest.Eventually(t, "the connection", func() bool { return ends[0].Peers()[0].Connected && ends[1].Peers()[0].Connected })
	begin := time.Now()
	ends[0].Send(2, transport.Frame{Class: transport.Timely, Source: 1, Bytes: make([]byte, 100)})
	transporttest.Eventually(t, "the frame", func() bool { return boxes[1].count() == 1 })
	if took := time.Since(begin); took < 50*time.Millisecond {
		t.Errorf("the frame took %v over a link of 50 ms", took)
	}
}
