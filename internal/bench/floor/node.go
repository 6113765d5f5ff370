// Package floor measures what the machine does with the same updates when nobody orders them, so that figures of ordering have
// something to be compared with. It runs n processes, connected as replicas are, in three kinds of legs:
//
//   - Broadcast: each sends batches of updates to all others over the replicas' transport, in the replicas' encoding; whoever
//     gets one decodes it, which hashes it, verifies its clients' signatures if they sign, and hands it over.
//   - Copy: each sends the same bytes to all others over plain TLS connections and does nothing else. It shows that the
//     broadcast is no floor made of straw.
//   - Rounds: each sends a signed message to all, waits for such messages from a quorum, verifies each by itself, and begins the
//     next round. Six rounds are what a lone update needs at least.
package floor

import (
	"bufio"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/bench/stall"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/sign"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/mesh"
)

// Kinds of legs.
const (
	broadcastLeg = "broadcast"
	copyLeg      = "copy"
	roundsLeg    = "rounds"
)

// order is a line on the standard input of a process. The first of a leg makes it ready, the second, with times, starts it.
type order struct {
	Leg     uint32 `json:"leg"`
	Kind    string `json:"kind,omitempty"`
	Batch   int    `json:"batch,omitempty"`   // updates in a batch
	Payload int    `json:"payload,omitempty"` // bytes of an update
	From    int64  `json:"from,omitempty"`    // measure from then, on the clock of stall.Now,
	To      int64  `json:"to,omitempty"`      // until then
}

// answer is a line on the standard output of a process: when it is connected, when a leg is ready, and when it is over.
type answer struct {
	Leg     uint32  `json:"leg"`
	Updates float64 `json:"updates,omitempty"` // handed over, or copied, between From and To
	Laps    uint64  `json:"laps,omitempty"`    // of six rounds each
	LapNS   int64   `json:"lap_ns,omitempty"`  // their median
	Failed  string  `json:"failed,omitempty"`
}

// leg is one measurement in one process.
type leg interface {
	receive(from group.ID, frame []byte) // called by many goroutines at once
	run(from, to int64) answer
}

// node is one process.
type node struct {
	self     group.ID
	group    group.Group
	cfg      config.Config
	scheme   sign.Scheme
	signer   *sign.Signer
	verifier *sign.Verifier
	header   wire.Header
	limits   wire.Limits
	mesh     *mesh.Mesh
	clock    stall.Clock
	leg      atomic.Pointer[leg]
	app      application
}

// application is what updates are handed over to: it counts them.
type application struct {
	handed   chan []wire.Update
	counting atomic.Bool
	count    atomic.Int64
}

// run takes updates as long as the process lives.
func (a *application) run() {
	for updates := range a.handed {
		if a.counting.Load() {
			a.count.Add(int64(len(updates)))
		}
	}
}

// gcPercent lets memory grow rather than spend time on collecting it: the floor is to be as fast as it can be.
const gcPercent = 800

// Serve is the process of one member of the cluster in folder dir: it takes orders from in until that ends.
func Serve(dir string, in io.Reader, out io.Writer) error {
	debug.SetGCPercent(gcPercent)
	n, err := open(dir)
	if err != nil {
		return err
	}
	go n.app.run()
	if err := n.mesh.Start(n.receive); err != nil {
		return err
	}
	defer n.mesh.Close()
	copying, err := newCopier(n)
	if err != nil {
		return err
	}
	defer copying.close()
	orders := make(chan order)
	go func() {
		defer close(orders)
		lines := bufio.NewScanner(in)
		for lines.Scan() {
			var o order
			if json.Unmarshal(lines.Bytes(), &o) != nil {
				return
			}
			orders <- o
		}
	}()
	answers := json.NewEncoder(out)
	if !n.connect(orders) || !copying.connect() {
		return nil
	}
	if err := answers.Encode(answer{}); err != nil {
		return err
	}
	for o := range orders {
		if err := answers.Encode(n.obey(o, copying)); err != nil {
			return err
		}
	}
	return nil
}

// connect waits until all peers are connected; false if the input ends before.
func (n *node) connect(orders <-chan order) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		up := 0
		for _, p := range n.mesh.Peers() {
			if p.Connected {
				up++
			}
		}
		if up == n.group.N()-1 {
			return true
		}
		select {
		case <-tick.C:
		case <-orders:
			return false
		}
	}
}

// obey makes a leg ready, or runs the one that is.
func (n *node) obey(o order, copying *copier) answer {
	if o.To != 0 {
		running := n.leg.Swap(nil)
		if running == nil {
			return answer{Leg: o.Leg, Failed: "no leg is ready"}
		}
		n.leg.Store(running)
		a := (*running).run(o.From, o.To)
		n.leg.Store(nil)
		a.Leg = o.Leg
		return a
	}
	var next leg
	err := fmt.Errorf("unknown leg %q", o.Kind)
	switch o.Kind {
	case broadcastLeg:
		next, err = newBroadcast(n, o)
	case copyLeg:
		next, err = copying.leg(o)
	case roundsLeg:
		next, err = newRounds(n, o)
	}
	if err != nil {
		return answer{Leg: o.Leg, Failed: err.Error()}
	}
	n.leg.Store(&next)
	return answer{Leg: o.Leg}
}

// receive gives a frame to the leg that is ready or running; others are late and are dropped.
func (n *node) receive(from int, _ transport.Class, frame []byte) {
	if running := n.leg.Load(); running != nil {
		(*running).receive(group.ID(from), frame)
	}
}

// maxFrame is the largest frame that the processes send.
const maxFrame = 2 << 20

// open makes a node of a replica's folder. It connects as the replica would, but is never started as one.
func open(dir string) (*node, error) {
	cfg, err := config.Load(dir)
	if err != nil {
		return nil, err
	}
	g, err := cfg.Cluster.Group()
	if err != nil {
		return nil, err
	}
	scheme, err := sign.ForRule(cfg.Cluster.Verification)
	if err != nil {
		return nil, err
	}
	members := sign.Membership{
		Cluster: cfg.Cluster.ID, Config: cfg.Cluster.Digest(), Group: g, Epoch: cfg.Cluster.Epoch,
		Incarnations: make([]uint32, g.N()), AnyClient: true, ClientAuth: cfg.Cluster.Auth == config.AuthClient,
	}
	options := mesh.Options{
		Self: cfg.Node.ID, ClusterID: cfg.Cluster.ID, ConfigDigest: cfg.Cluster.Digest(), Epoch: cfg.Cluster.Epoch, Key: cfg.Key,
		Listen: cfg.Cluster.Replicas[cfg.Node.ID-1].PeerAddress, Network: cfg.Node.Network,
		MaxFrame: func(transport.Class) int { return maxFrame },
	}
	for i, r := range cfg.Cluster.Replicas {
		members.Replicas = append(members.Replicas, r.PublicKey)
		members.Incarnations[i] = 1
		options.Peers = append(options.Peers, mesh.Peer{ID: r.ID, Address: r.PeerAddress, PublicKey: r.PublicKey})
	}
	keyring, err := sign.NewKeyring(members)
	if err != nil {
		return nil, err
	}
	n := &node{self: group.ID(cfg.Node.ID), group: g, cfg: cfg, scheme: scheme, clock: stall.NewClock()}
	if n.signer, err = sign.NewSigner(keyring, scheme, n.self, cfg.Key); err != nil {
		return nil, err
	}
	n.verifier = sign.NewVerifier(keyring, scheme, cfg.Node.Crypto.Cache)
	n.header = keyring.Header(n.self)
	l := cfg.Cluster.Limits
	n.limits = wire.Limits{N: g.N(), UpdateBytes: l.UpdateBytes, RequestBytes: l.RequestBytes, RequestUpdates: l.RequestUpdates,
		AckParts: 1, Wants: 1, SignedUpdates: members.ClientAuth}
	n.app.handed = make(chan []wire.Update, 256)
	n.mesh, err = mesh.New(options)
	return n, err
}

// broadcast sends one frame to all peers.
func (n *node) broadcast(frame []byte) {
	for id := range n.group.Others(n.self).All() {
		n.mesh.Send(int(id), boundedFrame(n.self, frame))
	}
}

// updates makes count different updates of one client, signed if clients sign, and verifiable by all.
func (n *node) updates(count, size int) ([]wire.Update, error) {
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	list := make([]wire.Update, count)
	var making sync.WaitGroup
	const parts = 4
	for part := range parts {
		making.Go(func() {
			for i := part; i < count; i += parts {
				payload := make([]byte, size)
				copy(payload, fmt.Append(nil, i))
				list[i] = wire.Update{Client: wire.ClientID(public), Seq: uint64(i), Payload: payload}
				if n.limits.SignedUpdates {
					sign.SignUpdate(n.scheme, key, n.cfg.Cluster.ID, &list[i])
				}
			}
		})
	}
	making.Wait()
	return list, nil
}
