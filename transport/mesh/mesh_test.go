package mesh

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/transporttest"
)

// testKey is the key of a replica in tests.
func testKey(id int) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "mesh test %d", id))
	return ed25519.NewKeyFromSeed(seed[:])
}

// cluster is the addresses of a test cluster. Each has a listener until its first replica takes it.
type cluster struct {
	peers []Peer
	mu    sync.Mutex
	first []net.Listener
}

func newCluster(t testing.TB, n int) *cluster {
	t.Helper()
	c := &cluster{}
	for id := 1; id <= n; id++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		c.first = append(c.first, l)
		c.peers = append(c.peers, Peer{ID: id, Address: l.Addr().String(), PublicKey: testKey(id).Public().(ed25519.PublicKey)})
	}
	return c
}

// options are usual ones for a replica of the cluster.
func (c *cluster) options(id int) Options {
	o := Options{
		Self:      id,
		ClusterID: [32]byte{1},
		Epoch:     1,
		Peers:     c.peers,
		Listen:    c.peers[id-1].Address,
		Key:       testKey(id),
		Network: config.Network{
			BudgetBytes: 4 << 20, DialMin: 5 * time.Millisecond, DialMax: 50 * time.Millisecond, Handshake: 20 * time.Second,
			HandshakeRate: 100, DSCP: true,
		},
		MaxFrame:     func(transport.Class) int { return 128 << 10 },
		WriteTimeout: 60 * time.Second,
		Logger:       slog.New(slog.DiscardHandler),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.Listener = c.first[id-1]; o.Listener != nil {
		c.first[id-1] = nil
	}
	return o
}

func TestContract(t *testing.T) {
	for _, c := range []struct {
		name string
		bits int64
	}{{"AsFastAsItGoes", 0}, {"Paced", 400e6}} {
		t.Run(c.name, func(t *testing.T) { transporttest.RunOrdered(t, factory(c.bits, config.DatagramsOff)) })
		t.Run(c.name+"InDatagrams", func(t *testing.T) { transporttest.Run(t, factory(c.bits, config.DatagramsAuto)) })
	}
}

// factory makes clusters whose links are written at a rate; 0: as fast as it goes.
func factory(bits int64, datagrams config.Datagrams) transporttest.Factory {
	return func(t *testing.T, s transporttest.Setup) transporttest.Opener {
		c := newCluster(t, s.Replicas)
		return func(id int) transport.Transport {
			o := c.options(id)
			o.Network.BudgetBytes, o.Network.RateBits, o.Network.ReconShare = s.BudgetBytes, bits, 0.5
			o.Network.Datagrams = datagrams
			o.MaxFrame = func(transport.Class) int { return s.MaxFrame }
			m, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
	}
}
