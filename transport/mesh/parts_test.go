package mesh

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/sha512"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/transporttest"
)

// TestReaderCutsAnyPieces: however a stream arrives in pieces, the same frames come out, and they stay as they are.
func TestReaderCutsAnyPieces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		var want [][]byte
		for i := range rapid.IntRange(1, 40).Draw(t, "frames") {
			size := rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(aloneSize-10, aloneSize+10),
				rapid.IntRange(slabSize-10, 3*slabSize)).Draw(t, "size")
			f := bytes.Repeat([]byte{byte(i + 1)}, size)
			want = append(want, f)
			stream = append(stream, frameBytes(f)...)
		}
		var in io.Reader = bytes.NewReader(stream)
		switch rapid.IntRange(0, 3).Draw(t, "pieces") {
		case 0:
			in = iotest.OneByteReader(in)
		case 1:
			in = iotest.HalfReader(in)
		case 2:
			in = iotest.DataErrReader(in)
		}
		r := reader{in: in, most: 3 * slabSize}
		var got [][]byte
		for range want {
			f, err := r.next()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, f)
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("frame %d of %d bytes was altered", i, len(want[i]))
			}
			if cap(got[i]) != len(got[i]) {
				t.Fatalf("frame %d can be appended to into the next one", i)
			}
		}
		if _, err := r.next(); !errors.Is(err, io.EOF) {
			t.Fatalf("at the end: %v", err)
		}
	})
}

// FuzzReader: whatever a peer sends, frames are no larger than allowed, and together they are what was sent.
func FuzzReader(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 'x', 0, 0, 0, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add(frameBytes(make([]byte, 9000)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := reader{in: bytes.NewReader(b), most: 10_000}
		var all []byte
		for {
			frame, err := r.next()
			if err != nil {
				break
			}
			if len(frame) > 10_000 {
				t.Fatalf("a frame of %d bytes", len(frame))
			}
			all = append(all, frameBytes(frame)...)
		}
		if !bytes.HasPrefix(b, all) {
			t.Fatal("frames are not what was sent")
		}
	})
}

// FuzzHello: any bytes are a hello or an error, and an accepted hello is what its sender encoded.
func FuzzHello(f *testing.F) {
	f.Add(hello{class: 1, from: 1, to: 2}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHello(bytes.NewReader(b))
		if (err == nil) != (len(b) >= helloSize) {
			t.Fatalf("%d bytes: %v", len(b), err)
		}
		if err == nil && !bytes.Equal(h.encode(), b[:helloSize]) {
			t.Fatal("encoding it again gives something else")
		}
		_ = h.mismatch(hello{from: 2}, 1)
	})
}

// TestKnock: both ends compute the same, nobody else does, and it is bound to who calls whom from where.
func TestKnock(t *testing.T) {
	t.Parallel()
	public := func(id int) ed25519.PublicKey { return testKey(id).Public().(ed25519.PublicKey) }
	pair := func(own, peer int, cluster byte) secret {
		s, err := pairSecret(testKey(own), public(peer), [32]byte{cluster})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	from := netip.MustParseAddrPort("127.0.0.1:4000")
	right := pair(1, 2, 1).knock(1, 2, from)
	if got := pair(2, 1, 1).knock(1, 2, from); got != right {
		t.Errorf("the ends disagree: %s and %s", got, right)
	}
	for i, other := range []string{
		pair(3, 2, 1).knock(1, 2, from), pair(1, 3, 1).knock(1, 2, from), pair(1, 2, 2).knock(1, 2, from),
		pair(1, 2, 1).knock(2, 1, from), pair(1, 2, 1).knock(1, 2, netip.MustParseAddrPort("127.0.0.1:4001")),
		pair(1, 2, 1).knock(1, 2, netip.MustParseAddrPort("127.0.0.2:4000")),
	} {
		if other == right {
			t.Errorf("case %d: equal though it should differ", i)
		}
	}
	if id := knocker(right); id != 1 {
		t.Errorf("knocker of %q is %d, want 1", right, id)
	}
	for _, wrong := range []string{"", "prime/1", knockPrefix, knockPrefix + "x/1", knockPrefix + "-1/1", knockPrefix + "300/1"} {
		if id := knocker(wrong); id != 0 {
			t.Errorf("knocker of %q is %d", wrong, id)
		}
	}
}

// TestMontgomery: the public key that comes of an Ed25519 public key is the one that X25519 has for its private key.
func TestMontgomery(t *testing.T) {
	t.Parallel()
	for id := range 50 {
		expanded := sha512.Sum512(testKey(id).Seed())
		private, err := ecdh.X25519().NewPrivateKey(expanded[:32])
		if err != nil {
			t.Fatal(err)
		}
		if got := montgomery(testKey(id).Public().(ed25519.PublicKey)); !bytes.Equal(got, private.PublicKey().Bytes()) {
			t.Fatalf("key %d: %x, want %x", id, got, private.PublicKey().Bytes())
		}
	}
	neutral := append([]byte{1}, make([]byte, 31)...)
	for _, key := range [][]byte{neutral, make([]byte, 32), bytes.Repeat([]byte{0xff}, 32)} {
		_, _ = pairSecret(testKey(1), key, [32]byte{}) // an error or not, but no panic
	}
	if _, err := pairSecret(testKey(1), neutral, [32]byte{}); err == nil {
		t.Error("a key of small order was accepted")
	}
}

// TestQuiet: one line per peer and reason in ten seconds, with a count.
func TestQuiet(t *testing.T) {
	t.Parallel()
	var j journal
	now := time.Unix(0, 0)
	q := newQuiet(j.logger())
	q.now = func() time.Time { return now }
	for range 1000 {
		q.say(slog.LevelWarn, 3, "it rains")
		q.say(slog.LevelWarn, 4, "it rains")
		q.say(slog.LevelWarn, 0, "it snows")
		now = now.Add(9 * time.Millisecond)
	}
	now = now.Add(quietFor)
	q.say(slog.LevelWarn, 3, "it rains")
	lines := strings.Split(strings.TrimSpace(j.String()), "\n")
	if len(lines) != 4 || !strings.Contains(lines[0], "peer=3") || strings.Contains(lines[2], "peer") ||
		!strings.Contains(lines[3], "suppressed=999") {
		t.Errorf("log:\n%s", j.String())
	}
	if s := clip(strings.Repeat("x", 5000)); len(s) > 210 {
		t.Errorf("clipped to %d bytes", len(s))
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := backoff{least: 10 * time.Millisecond, most: 80 * time.Millisecond}
	for range 2 {
		for i, base := range []time.Duration{10, 20, 40, 80, 80, 80} {
			base *= time.Millisecond
			if got := b.next(); got < base/2 || got > base*3/2 {
				t.Errorf("pause %d is %v, want about %v", i, got, base)
			}
		}
		b.reset()
	}
}

func TestContractFor(t *testing.T) {
	t.Parallel()
	c := ContractFor(Flow{Bytes: 9968, Every: 10 * time.Millisecond}, Flow{Bytes: 968, Every: 20 * time.Millisecond})
	if c.BytesPerSecond != 2*1_000_000+2*50_000+1 || c.Burst != 88_000+1_050_000 {
		t.Errorf("%+v", c)
	}
	if c := ContractFor(Flow{Bytes: 100}); c != (Contract{}) {
		t.Errorf("%+v, want no limit", c)
	}
}

// TestTimelyContract: what a source sends beyond its contract arrives as BOUNDED and is counted.
func TestTimelyContract(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	r1 := c.run(t, 1, func(o *Options) { o.TimelyContract = Contract{BytesPerSecond: 1, Burst: 5000} })
	r2 := c.run(t, 2, nil)
	for range 10 {
		r1.Send(2, transport.Frame{Class: transport.Timely, Source: 2, Bytes: make([]byte, 1000)})
	}
	transporttest.Eventually(t, "all frames", func() bool { return r2.frames(1) == 10 })
	if p := r1.peer(2); p.Demoted != 6 || p.Dropped != 0 {
		t.Errorf("%d frames demoted, want 6: %+v", p.Demoted, p)
	}
	r1.log.says(t, "TIMELY frames exceed", "peer=2", "source=2")
}

// TestTLS: only TLS 1.3 is spoken, and no session can be resumed.
func TestTLS(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	r2 := c.run(t, 2, nil)
	conn, _, err := c.as(1, 2, transport.Timely).join(t, c.peers[1].Address)
	if err != nil {
		t.Fatal(err)
	}
	s := conn.ConnectionState()
	if s.Version != tls.VersionTLS13 || s.NegotiatedProtocol != "prime/1" || s.DidResume {
		t.Errorf("version %x, protocol %q", s.Version, s.NegotiatedProtocol)
	}
	raw, err := net.Dial("tcp", c.peers[1].Address)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	old := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, NextProtos: []string{alpn}})
	if err := old.Handshake(); err == nil {
		t.Error("TLS 1.2 was accepted")
	}
	r2.log.says(t, "refused a handshake", "version")
}

func TestWrongOptions(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	for _, w := range []struct {
		says   string
		change func(*Options)
	}{
		{"Self is 0", func(o *Options) { o.Self = 0 }},
		{"Self is 65", func(o *Options) { o.Self = 65 }},
		{"Key has 0 bytes", func(o *Options) { o.Key = nil }},
		{"MaxFrame is missing", func(o *Options) { o.MaxFrame = nil }},
		{"MaxFrame(timely) is 0", func(o *Options) { o.MaxFrame = func(transport.Class) int { return 0 } }},
		{"Listen is empty", func(o *Options) { o.Listen, o.Listener = "", nil }},
		{"a peer has id 0", func(o *Options) { o.Peers[1].ID = 0 }},
		{"r3 is in Peers twice", func(o *Options) { o.Peers[1].ID = 3 }},
		{`address "nowhere" of r2`, func(o *Options) { o.Peers[1].Address = "nowhere" }},
		{`address ":7100" of r2 has no host`, func(o *Options) { o.Peers[1].Address = ":7100" }},
		{"public key of r2 has 5 bytes", func(o *Options) { o.Peers[1].PublicKey = make([]byte, 5) }},
		{"r2 and r3 have the same public key", func(o *Options) { o.Peers[2].PublicKey = o.Peers[1].PublicKey }},
		{"public key of r2 is not valid", func(o *Options) { o.Peers[1].PublicKey = append([]byte{1}, make([]byte, 31)...) }},
	} {
		o := c.options(1)
		o.Peers = append([]Peer(nil), o.Peers...)
		w.change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), w.says) {
			t.Errorf("%v, want %q", err, w.says)
		}
	}
	o := c.options(1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o.Listener, o.Listen = nil, l.Addr().String()
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(nil); err == nil || !strings.Contains(err.Error(), o.Listen) {
		t.Errorf("a port in use: %v", err)
	}
	_ = m.Close()
}

// TestSendDoesNotAllocate, whether frames fit or push others out.
func TestSendDoesNotAllocate(t *testing.T) {
	c := newCluster(t, 2)
	o := c.options(1)
	o.Network.BudgetBytes = 100_000
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	f := transport.Frame{Class: transport.Timely, Source: 1, Bytes: make([]byte, 300)}
	for range 1000 {
		m.Send(2, f)
	}
	if n := testing.AllocsPerRun(1000, func() { m.Send(2, f) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if m.Peers()[0].Dropped == 0 {
		t.Error("nothing was dropped")
	}
}
