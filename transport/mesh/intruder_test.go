package mesh

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/binary"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/transporttest"
)

// journal is a log that tests can read.
type journal struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.String()
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// says waits for a line with all the given words.
func (j *journal) says(t *testing.T, words ...string) {
	t.Helper()
	transporttest.Eventually(t, "a log line with "+strings.Join(words, ", "), func() bool {
		for line := range strings.Lines(j.String()) {
			found := 0
			for _, w := range words {
				if strings.Contains(line, w) {
					found++
				}
			}
			if found == len(words) {
				return true
			}
		}
		return false
	})
}

// inbox counts what a replica receives.
type inbox struct {
	mu  sync.Mutex
	got map[int]int // frames by sender
}

func (b *inbox) handle(from int, _ transport.Class, _ []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.got == nil {
		b.got = map[int]int{}
	}
	b.got[from]++
}

// frames is how many a replica has sent.
func (b *inbox) frames(id int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got[id]
}

// replica is a mesh under test.
type replica struct {
	*Mesh
	inbox
	log journal
}

// run starts a replica of the cluster; change may alter its options.
func (c *cluster) run(t *testing.T, id int, change func(*Options)) *replica {
	t.Helper()
	r := &replica{}
	o := c.options(id)
	o.Logger = r.log.logger()
	if change != nil {
		change(&o)
	}
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Mesh = m
	if err := m.Start(r.handle); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return r
}

// peer is the state of a link.
func (r *replica) peer(id int) transport.Peer {
	for _, p := range r.Peers() {
		if p.ID == id {
			return p
		}
	}
	return transport.Peer{}
}

// exchange proves that two replicas are connected and still talk, in every class.
func exchange(t *testing.T, a, b *replica) {
	t.Helper()
	transporttest.Eventually(t, "replicas to be connected", func() bool {
		return a.peer(b.o.Self).Connected && b.peer(a.o.Self).Connected
	})
	for _, r := range []struct{ from, to *replica }{{a, b}, {b, a}} {
		before := r.to.frames(r.from.o.Self)
		for c := transport.Timely; c <= transport.Bulk; c++ {
			r.from.Send(r.to.o.Self, transport.Frame{Class: c, Source: r.from.o.Self, Bytes: []byte("still here")})
		}
		transporttest.Eventually(t, "frames to arrive", func() bool { return r.to.frames(r.from.o.Self) == before+4 })
	}
}

// intruder is how a hostile process connects.
type intruder struct {
	key    ed25519.PrivateKey
	protos []string                      // offered; nil: what a replica offers, but no knock
	knock  func(local net.Addr) []string // appended to protos
	alter  func(*hello)
}

// as is an intruder with the key of a replica, which knocks and introduces itself as that replica would to another.
func (c *cluster) as(id, to int, class transport.Class) intruder {
	return intruder{
		key: testKey(id),
		knock: func(local net.Addr) []string {
			s, err := pairSecret(testKey(id), c.peers[to-1].PublicKey, [32]byte{1})
			if err != nil {
				panic(err)
			}
			return []string{s.knock(id, to, addrPort(local))}
		},
		alter: func(h *hello) {
			*h = hello{class: class, from: uint8(id), to: uint8(to), epoch: 1, cluster: [32]byte{1}}
		},
	}
}

// handshake connects and does the TLS handshake of this end.
func (i intruder) handshake(address string) (*tls.Conn, error) {
	raw, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	cert, err := certificate(i.key)
	if err != nil {
		return nil, err
	}
	config := baseConfig(cert)
	config.InsecureSkipVerify = true
	if config.NextProtos = i.protos; i.protos == nil {
		config.NextProtos = []string{alpn}
	}
	if i.knock != nil {
		config.NextProtos = append(config.NextProtos, i.knock(raw.LocalAddr())...)
	}
	conn := tls.Client(raw, config)
	_ = raw.SetDeadline(time.Now().Add(30 * time.Second))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return conn, conn.HandshakeContext(ctx)
}

// join connects, says hello and returns the answer. The connection is closed at the end of the test.
func (i intruder) join(t *testing.T, address string) (*tls.Conn, hello, error) {
	t.Helper()
	conn, err := i.handshake(address)
	if err != nil {
		if conn != nil {
			_ = conn.NetConn().Close()
		}
		return nil, hello{}, err
	}
	t.Cleanup(func() { _ = conn.NetConn().Close() })
	var h hello
	if i.alter != nil {
		i.alter(&h)
	}
	if _, err := conn.Write(h.encode()); err != nil {
		return nil, hello{}, err
	}
	answer, err := readHello(conn)
	return conn, answer, err
}

// frameBytes is a frame as it travels.
func frameBytes(b []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// closedByPeer waits until the other end has closed a connection.
func closedByPeer(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	b := make([]byte, 4096)
	for {
		if _, err := conn.Read(b); err != nil {
			if e, ok := err.(net.Error); ok && e.Timeout() {
				t.Fatal("the connection was not closed")
			}
			return
		}
	}
}
