// Package transporttest is the contract of transport.Transport as a test. Every implementation runs it.
package transporttest

import (
	"encoding/binary"
	"testing"

	"go.uber.org/goleak"

	"github.com/primebft/prime/transport"
)

// Setup is the network that a test needs.
type Setup struct {
	Replicas    int
	BudgetBytes int // queued per peer and class
	MaxFrame    int // bytes, every class
}

// Opener returns the transport of a replica, not started. After the transport is closed it is called again for a restart, and
// returns a new one that the other replicas can reach where they reached the old one.
type Opener func(id int) transport.Transport

// Factory makes a new network.
type Factory func(t *testing.T, s Setup) Opener

// test is a part of the contract.
type test struct {
	name string
	run  func(*testing.T, Factory)
}

// RunOrdered tests an implementation that also keeps the order of frames, which the contract does not ask for.
func RunOrdered(t *testing.T, f Factory) {
	run(t, f, []test{{"Order", testOrder}})
	Run(t, f)
}

// Run tests an implementation.
func Run(t *testing.T, f Factory) {
	run(t, f, []test{
		{"Delivery", testDelivery},
		{"ClassesAreIndependent", testClassesAreIndependent},
		{"PeersAreIndependent", testPeersAreIndependent},
		{"SendIsBounded", testSendIsBounded},
		{"BudgetIsFairBetweenSources", testBudgetIsFair},
		{"Restart", testRestart},
		{"FrameSizes", testFrameSizes},
		{"WrongSends", testWrongSends},
		{"Concurrency", testConcurrency},
		{"Close", testClose},
	})
}

func run(t *testing.T, f Factory, tests []test) {
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() {
				if !t.Failed() {
					goleak.VerifyNone(t, before)
				}
			})
			c.run(t, f)
		})
	}
}

// classes are all classes.
var classes = []transport.Class{transport.Timely, transport.Bounded, transport.Recon, transport.Bulk}

// node is a replica of a test: a transport and what it has received.
type node struct {
	*collector
	transport.Transport
	id int
}

// network is the replicas of a test, by id-1.
type network struct {
	open  Opener
	nodes []*node
}

// start opens and starts all replicas and waits until they are connected.
func start(t *testing.T, f Factory, s Setup) *network {
	t.Helper()
	n := &network{open: f(t, s)}
	for id := 1; id <= s.Replicas; id++ {
		n.nodes = append(n.nodes, n.boot(t, id))
	}
	n.connected(t)
	return n
}

// boot starts one replica, which is closed at the end of the test.
func (n *network) boot(t *testing.T, id int) *node {
	t.Helper()
	v := &node{collector: newCollector(), Transport: n.open(id), id: id}
	if err := v.Start(v.handle); err != nil {
		t.Fatalf("r%d does not start: %v", id, err)
	}
	t.Cleanup(func() { v.stop(t) })
	return v
}

// stop closes a replica.
func (v *node) stop(t *testing.T) {
	v.end()
	if err := v.Close(); err != nil {
		t.Errorf("r%d does not close: %v", v.id, err)
	}
}

// connected waits until everybody says that it is connected with everybody.
func (n *network) connected(t *testing.T) {
	t.Helper()
	Eventually(t, "all replicas to be connected", func() bool {
		for _, v := range n.nodes {
			peers := v.Peers()
			if len(peers) != len(n.nodes)-1 {
				t.Fatalf("r%d has %d peers, want %d", v.id, len(peers), len(n.nodes)-1)
			}
			for _, p := range peers {
				if !p.Connected {
					return false
				}
			}
		}
		return true
	})
}

func (n *network) node(id int) *node { return n.nodes[id-1] }

// peer is the state of v's link to another replica.
func (v *node) peer(t *testing.T, id int) transport.Peer {
	t.Helper()
	for _, p := range v.Peers() {
		if p.ID == id {
			return p
		}
	}
	t.Fatalf("r%d does not know r%d", v.id, id)
	return transport.Peer{}
}

// numbered is a frame of a size that begins with a number.
func numbered(class transport.Class, source, number, size int) transport.Frame {
	b := make([]byte, max(size, 9))
	binary.LittleEndian.PutUint64(b, uint64(number))
	for i := 8; i < len(b); i++ {
		b[i] = byte(number + i*source)
	}
	return transport.Frame{Class: class, Source: source, Bytes: b}
}

func number(b []byte) int { return int(binary.LittleEndian.Uint64(b)) }
