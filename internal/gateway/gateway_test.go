package gateway_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/primebft/prime/internal/clientwire"
	"github.com/primebft/prime/internal/gateway"
	"github.com/primebft/prime/internal/gateway/gatewaytest"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/reply"
	"github.com/primebft/prime/internal/wire"
)

func TestMain(m *testing.M) {
	if address := os.Getenv("PRIME_TEST_HALF_OPEN"); address != "" {
		openHalf(address)
		return
	}
	goleak.VerifyTestMain(m)
}

func one() group.Group { return group.MustNew(0, 0) }

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	gatewaytest.Eventually(t, what, cond)
}

// peer speaks the protocol frame by frame.
type peer struct {
	t    testing.TB
	conn *tls.Conn
	in   *bufio.Reader
	id   wire.ClientID
	key  ed25519.PrivateKey
}

// knock makes a TLS connection without a Hello.
func knock(t testing.TB, r *gatewaytest.Replica, name string) *peer {
	t.Helper()
	key := gatewaytest.Key(name)
	cert, err := clientwire.Certificate(key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := net.Dial("tcp", r.Address)
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, clientwire.ClientTLS(cert, r.Key.Public().(ed25519.PublicKey)))
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	t.Cleanup(func() { raw.Close() })
	return &peer{t: t, conn: conn, in: bufio.NewReader(conn), id: wire.ClientID(key.Public().(ed25519.PublicKey)), key: key}
}

// enter makes a session and reads the Welcome.
func enter(t testing.TB, c *gatewaytest.Cluster, name string, signed bool) *peer {
	t.Helper()
	p := knock(t, c.Replicas[0], name)
	p.send(clientwire.AppendHello(nil, clientwire.Hello{Version: clientwire.Version, Cluster: c.ID, Signed: signed}))
	if kind, _ := p.frame(); kind != clientwire.KindWelcome {
		t.Fatalf("%s: first frame is of kind %d", name, kind)
	}
	return p
}

func (p *peer) send(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) submit(seq uint64, payload string) {
	p.t.Helper()
	p.send(clientwire.AppendSubmit(nil, &clientwire.Submit{Seq: seq, Payload: []byte(payload)}))
}

func (p *peer) next() (clientwire.Kind, []byte, error) {
	var head [clientwire.HeaderSize]byte
	if _, err := io.ReadFull(p.in, head[:]); err != nil {
		return 0, nil, err
	}
	kind, size, err := clientwire.ParseHeader(head[:], clientwire.MaxReply)
	if err != nil {
		return 0, nil, err
	}
	body := make([]byte, size)
	_, err = io.ReadFull(p.in, body)
	return kind, body, err
}

func (p *peer) frame() (clientwire.Kind, []byte) {
	p.t.Helper()
	kind, body, err := p.next()
	if err != nil {
		p.t.Fatal(err)
	}
	return kind, body
}

func (p *peer) reply() clientwire.Reply {
	p.t.Helper()
	kind, body := p.frame()
	r, _, err := clientwire.ParseReply(body)
	if kind != clientwire.KindReply || err != nil {
		p.t.Fatalf("kind %d, %v", kind, err)
	}
	return r
}

func (p *peer) refused() clientwire.Refused {
	p.t.Helper()
	kind, body := p.frame()
	f, err := clientwire.ParseRefused(body)
	if kind != clientwire.KindRefused || err != nil {
		p.t.Fatalf("kind %d, %v", kind, err)
	}
	return f
}

func (p *peer) reject() clientwire.Reject {
	p.t.Helper()
	kind, body := p.frame()
	j, err := clientwire.ParseReject(body)
	if kind != clientwire.KindReject || err != nil {
		p.t.Fatalf("kind %d, %v", kind, err)
	}
	if _, _, err = p.next(); err == nil {
		p.t.Fatal("the connection goes on after a Reject")
	}
	return j
}

func TestHelloIsJudged(t *testing.T) {
	t.Parallel()
	c := gatewaytest.New(t, one(), func(_ group.ID, cfg *gateway.Config) {
		cfg.Admit = func(id wire.ClientID) bool {
			return id == wire.ClientID(gatewaytest.Key("alice").Public().(ed25519.PublicKey))
		}
	})
	good := clientwire.Hello{Version: clientwire.Version, Cluster: c.ID}
	for _, x := range []struct {
		name, client string
		first        []byte
		code         clientwire.Code
		text         string
	}{
		{"later version", "alice", clientwire.AppendHello(nil, clientwire.Hello{Version: 9, Cluster: c.ID}), clientwire.WrongVersion, "version 9 of the client protocol, this replica version 1"},
		{"later version, other layout", "alice", []byte{6, 0, 0, 0, 1, 9, 0, 1, 2, 3}, clientwire.WrongVersion, "version 9"},
		{"cluster", "alice", clientwire.AppendHello(nil, clientwire.Hello{Version: clientwire.Version}), clientwire.WrongCluster, "0000000000000000"},
		{"epoch", "alice", clientwire.AppendHello(nil, clientwire.Hello{Version: clientwire.Version, Cluster: c.ID, Epoch: 2}), clientwire.WrongEpoch, "configuration 2"},
		{"stranger", "mallory", clientwire.AppendHello(nil, good), clientwire.NotAdmitted, "list it under clients"},
		{"not a Hello", "alice", clientwire.AppendPing(nil, clientwire.KindPing, 1), clientwire.BadFrame, "not a Hello"},
		{"long", "alice", []byte{0, 0, 0, 1, 1}, clientwire.BadFrame, "frame length"},
		{"flags", "alice", append(clientwire.AppendHello(nil, good)[:43], 2), clientwire.BadFrame, "flags"},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := knock(t, c.Replicas[0], x.client)
			p.send(x.first)
			if j := p.reject(); j.Code != x.code || j.Version != clientwire.Version || !strings.Contains(j.Text, x.text) {
				t.Fatalf("%+v", j)
			}
		})
	}
	enter(t, c, "alice", false)
	if s := c.Replicas[0].Stats(); s.Refused != 8 || s.Connections != 1 || s.Clients != 1 {
		t.Fatalf("%+v", s)
	}
}

// TestFramesOfAllKinds is a session with everything in it.
func TestFramesOfAllKinds(t *testing.T) {
	t.Parallel()
	c := gatewaytest.New(t, one(), nil)
	p := enter(t, c, "alice", false)
	p.submit(7, "a")
	if r := p.reply(); r.Seq != 7 || r.Ordinal != 1 || r.Client != p.id || string(r.Result) != "ok:a" || r.Signed {
		t.Fatalf("%+v", r)
	}
	p.submit(7, "b") // the number names the update
	if r := p.reply(); string(r.Result) != "ok:a" || c.Executed() != 1 {
		t.Fatalf("%+v", r)
	}
	p.send(clientwire.AppendPing(nil, clientwire.KindPing, 77))
	if kind, body := p.frame(); kind != clientwire.KindPong || body[0] != 77 {
		t.Fatal(kind, body)
	}
	p.submit(8, strings.Repeat("x", 64<<10+1))
	if f := p.refused(); f != (clientwire.Refused{Seq: 8, Why: clientwire.Oversized}) {
		t.Fatalf("%+v", f)
	}
	p.submit(9, strings.Repeat("x", 64<<10))
	if r := p.reply(); r.Seq != 9 || len(r.Result) != 64<<10+3 {
		t.Fatal(r.Seq, len(r.Result))
	}
	p.send(clientwire.AppendSubmit(nil, &clientwire.Submit{Seq: 10, Signed: true}))
	if f := p.refused(); f != (clientwire.Refused{Seq: 10, Why: clientwire.BadSignature}) {
		t.Fatalf("%+v", f)
	}
	// Another replica's client sees the replies of its own key only; every connection of a key sees all.
	other, twin := enter(t, c, "bob", false), enter(t, c, "alice", false)
	p.submit(11, "c")
	if a, b := p.reply(), twin.reply(); a.Seq != 11 || b.Seq != 11 {
		t.Fatal(a, b)
	}
	other.submit(1, "d")
	if r := other.reply(); string(r.Result) != "ok:d" {
		t.Fatalf("%+v", r)
	}
	// A result that cannot travel.
	c.Replicas[0].Replies().Put([]reply.Reply{{Key: reply.Key{Client: p.id, Seq: 12}, Result: make([]byte, clientwire.MaxResult+1)}})
	if f := p.refused(); f.Why != clientwire.ResultLost {
		t.Fatalf("%+v", f)
	}
}

// TestMalformedFrames: each ends its own session, with a reason; another client notices nothing.
func TestMalformedFrames(t *testing.T) {
	t.Parallel()
	var lines atomic.Int64
	c := gatewaytest.New(t, one(), func(_ group.ID, cfg *gateway.Config) {
		cfg.Log = slog.New(slog.NewTextHandler(writer(func(b []byte) { lines.Add(int64(bytes.Count(b, []byte("\n")))) }), nil))
	})
	bystander := enter(t, c, "bystander", false)
	for name, bytes := range map[string][]byte{
		"zero length":        {0, 0, 0, 0, 4},
		"length over limit":  {255, 255, 255, 255, 4},
		"unknown kind":       {1, 0, 0, 0, 99},
		"kind of a replica":  clientwire.AppendRefused(nil, clientwire.Refused{Seq: 1, Why: clientwire.Expired}),
		"second Hello":       clientwire.AppendHello(nil, clientwire.Hello{Version: clientwire.Version, Cluster: c.ID}),
		"short Submit":       {4, 0, 0, 0, 4, 1, 2, 3},
		"Submit, bad flags":  {10, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 2},
		"Submit, no sig":     {10, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 1},
		"long Ping":          append([]byte{10, 0, 0, 0, 7}, make([]byte, 9)...),
		"noise after frames": append(clientwire.AppendPing(nil, clientwire.KindPing, 1), bytes.Repeat([]byte{0xff}, 100)...),
	} {
		p := enter(t, c, "mallory", false)
		p.send(bytes)
		kind, body := p.frame()
		if kind == clientwire.KindPong {
			kind, body = p.frame()
		}
		if j, err := clientwire.ParseReject(body); kind != clientwire.KindReject || err != nil || j.Code != clientwire.BadFrame {
			t.Errorf("%s: kind %d, %+v, %v", name, kind, j, err)
		}
	}
	for i := range 200 { // and cut off in the middle, at every place
		whole := clientwire.AppendSubmit(nil, &clientwire.Submit{Seq: 1, Payload: make([]byte, 186)})
		p := enter(t, c, "mallory", false)
		p.send(whole[:i])
		p.conn.Close()
	}
	bystander.submit(1, "x")
	if r := bystander.reply(); string(r.Result) != "ok:x" {
		t.Fatalf("%+v", r)
	}
	if s := c.Replicas[0].Stats(); s.Malformed != 10 {
		t.Errorf("%+v", s)
	}
	eventually(t, "the others are gone", func() bool { return c.Replicas[0].Stats().Connections == 1 })
	if n := lines.Load(); n < 1 || n > 20 {
		t.Errorf("%d lines were logged", n)
	}
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

func TestSignedUpdates(t *testing.T) {
	t.Parallel()
	c := gatewaytest.New(t, one(), func(_ group.ID, cfg *gateway.Config) { cfg.SignedUpdates = true })
	p := enter(t, c, "alice", true)
	sign := func(seq uint64, cluster [32]byte, key ed25519.PrivateKey) clientwire.Submit {
		u := wire.Update{Client: p.id, Seq: seq, Payload: []byte("x")}
		s := clientwire.Submit{Seq: seq, Signed: true, Payload: u.Payload}
		copy(s.Sig[:], ed25519.Sign(key, wire.UpdateStatement(cluster, &u)))
		return s
	}
	good := sign(2, c.ID, p.key)
	otherSeq, otherPayload := good, good
	otherSeq.Seq, otherPayload.Payload = 3, []byte("y")
	for name, s := range map[string]clientwire.Submit{
		"none": {Seq: 1}, "other cluster": sign(1, [32]byte{1}, p.key), "other key": sign(1, c.ID, gatewaytest.Key("bob")),
		"other number": otherSeq, "other payload": otherPayload,
	} {
		p.send(clientwire.AppendSubmit(nil, &s))
		if f := p.refused(); f.Why != clientwire.BadSignature || f.Seq != s.Seq {
			t.Errorf("%s: %+v", name, f)
		}
	}
	p.send(clientwire.AppendSubmit(nil, &good))
	if r := p.reply(); r.Seq != 2 || !r.Signed {
		t.Fatalf("%+v", r)
	}
	if s := c.Replicas[0].Stats(); s.Submitted != 1 || s.QueuedBytes != 0 {
		t.Fatalf("%+v", s)
	}
}

// TestBatchesOfSignatures: many replies share a signature, and each can be verified with it.
func TestBatchesOfSignatures(t *testing.T) {
	t.Parallel()
	c := gatewaytest.New(t, one(), nil)
	p := enter(t, c, "alice", true)
	const updates = 1000
	batch := make([]reply.Reply, updates)
	for i := range batch {
		batch[i] = reply.Reply{Key: reply.Key{Client: p.id, Seq: uint64(i + 1)}, Epoch: 1, Ordinal: 5, Index: uint32(i + 1), Result: []byte("r")}
	}
	// The Follow of a session begins after its Welcome.
	p.submit(9999, "x")
	p.reply()
	before := c.Replicas[0].Stats().Signatures
	c.Replicas[0].Replies().Put(batch)
	v := clientwire.Verifier{Cluster: c.ID, Replica: 1, Key: c.Replicas[0].Key.Public().(ed25519.PublicKey)}
	for i := range updates {
		_, body := p.frame()
		r, content, err := clientwire.ParseReply(body)
		if err != nil || !r.Signed || r.Seq != uint64(i+1) || !v.Verify(content, &r.Proof) {
			t.Fatalf("%d: %+v, %v", i, r, err)
		}
	}
	if n := c.Replicas[0].Stats().Signatures - before; n > updates/4 {
		t.Errorf("%d signatures for %d replies", n, updates)
	}
}

// TestOverloaded: what has waited long enough is refused, and when the backend takes updates again they are taken.
func TestOverloaded(t *testing.T) {
	t.Parallel()
	c := gatewaytest.New(t, one(), func(_ group.ID, cfg *gateway.Config) { cfg.Patience = 20 * time.Millisecond })
	var full atomic.Bool
	full.Store(true)
	c.Replicas[0].OnSubmit = func(wire.Update) error {
		if full.Load() {
			return gateway.ErrOverloaded
		}
		return nil
	}
	a, b := enter(t, c, "alice", false), enter(t, c, "bob", false)
	for seq := range uint64(50) {
		a.submit(seq+1, "x")
	}
	b.submit(1, "x")
	for range 50 {
		if f := a.refused(); f.Why != clientwire.Overloaded {
			t.Fatalf("%+v", f)
		}
	}
	if f := b.refused(); f.Why != clientwire.Overloaded {
		t.Fatalf("%+v", f)
	}
	full.Store(false)
	a.submit(51, "x")
	a.reply()
}

// TestClose: replies that are queued arrive before the goodbye.
func TestClose(t *testing.T) {
	t.Parallel()
	for _, signed := range []bool{false, true} {
		c := gatewaytest.New(t, one(), func(_ group.ID, cfg *gateway.Config) { cfg.Flush = 30 * time.Second })
		p := enter(t, c, "alice", signed)
		p.submit(1, "x")
		p.reply()
		batch := make([]reply.Reply, 500)
		for i := range batch {
			batch[i] = reply.Reply{Key: reply.Key{Client: p.id, Seq: uint64(i + 2)}, Result: make([]byte, 1000)}
		}
		c.Replicas[0].Replies().Put(batch)
		var closed sync.WaitGroup
		closed.Go(func() { c.Replicas[0].Close() })
		for i := range batch {
			if r := p.reply(); r.Seq != uint64(i+2) {
				t.Fatalf("%+v", r)
			}
		}
		if j := p.reject(); j.Code != clientwire.Stopping {
			t.Fatalf("%+v", j)
		}
		p.conn.Close()
		closed.Wait()
		if _, err := net.Dial("tcp", c.Replicas[0].Address); err == nil {
			t.Fatal("the port is still open")
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, cfg := range []gateway.Config{
		{Group: one(), Replica: 2, Key: gatewaytest.Key("r1")},
		{Group: one(), Replica: 1, Key: gatewaytest.Key("r1"), UpdateBytes: 1<<20 + 1},
	} {
		if g, err := gateway.Start(ln, cfg, &gatewaytest.Replica{}); err == nil || errors.Is(err, net.ErrClosed) {
			g.Close()
			t.Errorf("%+v was accepted", cfg)
		}
	}
}
