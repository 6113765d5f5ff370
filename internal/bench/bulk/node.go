package bulk

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/bench/stall"
	"github.com/primebft/prime/internal/blocks"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/snapshot"
	"github.com/primebft/prime/internal/transfer"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/mesh"
)

// What a process can be told to do.
const (
	prepareOrder = "prepare" // make a checkpoint of Bytes bytes on the disk, and give it to others at Rate
	lieOrder     = "lie"     // answer others as Lie says
	sendOrder    = "send"    // copy the checkpoint to replica To
	copyOrder    = "copy"    // take a copy of Bytes bytes
	fetchOrder   = "fetch"   // fetch the checkpoint Digest
	emptyOrder   = "empty"   // remove what was fetched
	cpuOrder     = "cpu"     // say how much processor time was used
)

// order is a line on the standard input of a process.
type order struct {
	Kind     string      `json:"kind"`
	Bytes    int64       `json:"bytes,omitempty"`
	Lie      Lie         `json:"lie,omitempty"`
	To       int         `json:"to,omitempty"`
	Strategy string      `json:"strategy,omitempty"`
	Variant  int         `json:"variant,omitempty"`
	Digest   wire.Digest `json:"digest"`
	Half     bool        `json:"half,omitempty"` // say when half of it is there
	Rate     int64       `json:"rate,omitempty"` // bytes per second that each gives to one other; 0: as many as it can
}

// answer is a line on the standard output of a process: first when it is connected, then one for each order, and before it, if that
// was asked for, one when half of a checkpoint is there.
type answer struct {
	Digest   wire.Digest        `json:"digest"`
	From     int64              `json:"from,omitempty"`    // when it began, on the clock of package stall
	There    int64              `json:"there,omitempty"`   // when all bytes were there
	Durable  int64              `json:"durable,omitempty"` // and durable
	Progress *transfer.Progress `json:"progress,omitempty"`
	CPU      int64              `json:"cpu,omitempty"`      // processor time of the process so far, at Durable if that is set; nanoseconds
	PeakMiB  float64            `json:"peak_mib,omitempty"` // resident memory, most so far
	Half     bool               `json:"half,omitempty"`
	Failed   string             `json:"failed,omitempty"`
}

// ordinal is that of the checkpoint.
const ordinal = 1000

// node is one process.
type node struct {
	self    group.ID
	n, f    int
	dir     string
	ctx     context.Context
	mesh    *mesh.Mesh
	clock   stall.Clock
	store   *snapshot.Store // what it serves
	lie     atomic.Pointer[liar]
	agent   atomic.Pointer[transfer.Agent]
	taking  atomic.Pointer[taker] // a copy that it takes
	giving  atomic.Pointer[giver] // a copy that it gives
	answers *json.Encoder
}

// Serve is the process of one member of the cluster in folder dir: it takes orders from in until that ends.
func Serve(dir string, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	n := &node{dir: dir, ctx: ctx, clock: stall.NewClock(), answers: json.NewEncoder(out)}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	if err := n.open(); err != nil {
		return err
	}
	n.agent.Store(n.newAgent(n.store, transfer.Options{}, 0, nil, nil)) // it takes nothing before it runs
	if err := n.mesh.Start(n.receive); err != nil {
		return err
	}
	defer n.mesh.Close()
	defer cancel() // before the mesh waits for its handlers
	n.connect()
	if err := n.answers.Encode(answer{}); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		if o.Kind == prepareOrder {
			agent := n.newAgent(n.store, transfer.Options{}, o.Rate, nil, nil)
			n.agent.Store(agent)
			running.Go(func() { agent.Run(ctx) })
		}
		a, err := n.obey(o)
		if err != nil {
			a.Failed = err.Error()
		}
		used := usage()
		a.PeakMiB = float64(used.Maxrss) / 1024
		if err := n.answers.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}

// usage is what the process has used.
func usage() (u unix.Rusage) {
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u) // it cannot fail
	return u
}

// cpu is the processor time that the process has used, nanoseconds.
func cpu() int64 {
	u := usage()
	return u.Utime.Nano() + u.Stime.Nano()
}

// open makes the node of a replica's folder. It connects as the replica would, but is never started as one.
func (n *node) open() error {
	cfg, err := config.Load(n.dir)
	if err != nil {
		return err
	}
	n.self, n.n, n.f = group.ID(cfg.Node.ID), len(cfg.Cluster.Replicas), cfg.Cluster.F
	o := mesh.Options{
		Self: cfg.Node.ID, ClusterID: cfg.Cluster.ID, ConfigDigest: cfg.Cluster.Digest(), Epoch: cfg.Cluster.Epoch, Key: cfg.Key,
		Listen: cfg.Cluster.Replicas[cfg.Node.ID-1].PeerAddress, Network: cfg.Node.Network,
		MaxFrame: func(transport.Class) int { return transfer.MaxFrame(blocks.Size) },
	}
	for _, r := range cfg.Cluster.Replicas {
		o.Peers = append(o.Peers, mesh.Peer{ID: r.ID, Address: r.PeerAddress, PublicKey: r.PublicKey})
	}
	if n.mesh, err = mesh.New(o); err != nil {
		return err
	}
	n.store, err = snapshot.Open(snapshot.Options{Dir: filepath.Join(n.dir, "checkpoints")})
	return err
}

// connect waits until all peers are connected.
func (n *node) connect() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		up := 0
		for _, p := range n.mesh.Peers() {
			if p.Connected {
				up++
			}
		}
		if up == n.n-1 {
			return
		}
		<-tick.C
	}
}

func (n *node) newAgent(store *snapshot.Store, o transfer.Options, rate int64, done func(transfer.Target, *snapshot.Checkpoint),
	failed func(transfer.Target, error)) *transfer.Agent {
	o.Self, o.N, o.F, o.Store, o.Session = n.self, n.n, n.f, store, uint64(time.Now().UnixNano())
	if rate == 0 {
		rate = -1
	}
	return transfer.NewAgent(transfer.AgentOptions{
		Fetch: o, Serve: transfer.ServerOptions{N: n.n, Store: store, Rate: rate},
		Send: func(to group.ID, frame []byte) {
			if l := n.lie.Load(); l == nil {
				n.send(to, frame)
			} else {
				l.send(to, frame)
			}
		},
		Done: done, Failed: failed,
	})
}

func (n *node) send(to group.ID, frame []byte) {
	n.mesh.Send(int(to), transport.Frame{Class: transport.Bulk, Source: int(n.self), Bytes: frame})
}

// receive gives a frame to whom it is for.
func (n *node) receive(from int, class transport.Class, frame []byte) {
	switch {
	case class != transport.Bulk || len(frame) == 0:
	case frame[0] == copyFrame:
		if t := n.taking.Load(); t != nil {
			t.take(group.ID(from), frame)
		}
	case frame[0] == ackFrame:
		if g := n.giving.Load(); g != nil {
			g.acknowledged(frame)
		}
	default:
		n.agent.Load().Deliver(n.ctx, group.ID(from), frame)
	}
}

// obey does what it is told.
func (n *node) obey(o order) (a answer, err error) {
	switch o.Kind {
	case prepareOrder:
		a.Digest, err = n.prepare(o.Bytes)
	case lieOrder:
		n.lie.Store(newLiar(n, o.Lie))
	case sendOrder:
		err = n.give(group.ID(o.To))
	case copyOrder:
		a, err = n.takeCopy(o.Bytes)
	case fetchOrder:
		a, err = n.fetch(o)
	case cpuOrder:
		a.CPU = cpu()
	case emptyOrder:
		err = os.RemoveAll(n.fetched())
	default:
		err = fmt.Errorf("unknown order %q", o.Kind)
	}
	return a, err
}

// source is the application's bytes: anything that does not compress, the same in every process.
type source struct {
	random *rand.ChaCha8
	left   int64
}

func newSource(size int64) *source { return &source{rand.NewChaCha8([32]byte{1}), size} }

// Read implements io.Reader.
func (s *source) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), s.left)]
	s.left -= int64(len(b))
	return s.random.Read(b)
}

// prepare makes the checkpoint.
func (n *node) prepare(size int64) (digest wire.Digest, err error) {
	w, err := n.store.Begin(ordinal)
	if err != nil {
		return digest, err
	}
	defer w.Abort()
	if _, err = w.Write([]byte("head")); err == nil {
		err = w.EndHead()
	}
	if err == nil {
		_, err = io.CopyBuffer(w, newSource(size), make([]byte, 1<<20))
	}
	if err != nil {
		return digest, err
	}
	m, err := w.Commit()
	return m.Digest(), err
}

func (n *node) fetched() string { return filepath.Join(n.dir, "fetched") }

// fetch fetches the checkpoint into an empty folder, or one in which it has been begun.
func (n *node) fetch(o order) (a answer, err error) {
	store, err := snapshot.Open(snapshot.Options{Dir: n.fetched()})
	if err != nil {
		return a, err
	}
	options := transfer.Options{Variant: o.Variant}
	if o.Strategy == transfer.Latency.String() {
		options.Strategy = transfer.Latency
	}
	ended := make(chan error, 1)
	agent := n.newAgent(store, options, 0,
		func(transfer.Target, *snapshot.Checkpoint) { ended <- nil }, func(_ transfer.Target, err error) { ended <- err })
	ctx, cancel := context.WithCancel(n.ctx)
	var running sync.WaitGroup
	running.Go(func() { agent.Run(ctx) })
	before := n.agent.Swap(agent)
	defer func() {
		n.agent.Store(before)
		cancel()
		running.Wait()
	}()
	a.From = n.clock.Now()
	agent.Fetch(transfer.Target{Ordinal: ordinal, Digest: o.Digest})
	if err := n.await(agent, ended, o.Half, &a); err != nil {
		return a, err
	}
	a.Durable, a.CPU = n.clock.Now(), cpu()
	if a.There == 0 {
		a.There = a.Durable
	}
	c := store.Find(o.Digest)
	if c == nil {
		return a, errors.New("it is not there")
	}
	m := c.Manifest()
	head := int64(m.HeadBlocks()) * int64(m.BlockSize)
	if !equal(c.Application(), newSource(int64(m.TotalBytes)-head)) {
		return a, errors.New("it is not what the others have")
	}
	return a, nil
}

// await waits for the end of a transfer, and notes how far it was before it was made durable.
func (n *node) await(agent *transfer.Agent, ended <-chan error, half bool, a *answer) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
		}
		p := agent.Progress()
		if p.Phase == "sync" && a.There == 0 {
			a.There = n.clock.Now()
		}
		if len(p.Peers) > 0 {
			a.Progress = &p
		}
		if half && p.Blocks > 0 && p.Done > p.Blocks/2 {
			half = false
			if err := n.answers.Encode(answer{Half: true, Progress: &p}); err != nil {
				return err
			}
		}
	}
}

// equal compares two streams.
func equal(a, b io.Reader) bool {
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(a, x)
		m, other := io.ReadFull(b, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return false
		}
		if err != nil || other != nil {
			return (err == io.EOF || err == io.ErrUnexpectedEOF) && (other == io.EOF || other == io.ErrUnexpectedEOF)
		}
	}
}
