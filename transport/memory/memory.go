// Package memory is a network inside one process, for tests and for programs that run several replicas. It keeps the promises
// of transport.Transport with the same scheduler as the real one, and links can be cut and healed.
package memory

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/internal/schedule"
)

// Contract is how much TIMELY traffic one source may send over one link, in bytes per second and bytes at once; the zero
// Contract is no limit.
type Contract = schedule.Contract

// Options are what a network is made with. Only Replicas is required.
type Options struct {
	Replicas       int                       // 1..n
	BudgetBytes    int                       // queued per pair, direction and class; 1 MiB if zero
	MaxFrame       func(transport.Class) int // largest frame, bytes; nil: as large as the budget
	TimelyContract Contract
}

// defaultBudget is BudgetBytes if nothing else is said.
const defaultBudget = 1 << 20

// Network is a full mesh of replicas 1..n. It is safe for concurrent use.
type Network struct {
	o         Options
	clock     *clock.Real
	pipes     [][]*pipe // [from-1][to-1]; nil on the diagonal
	mu        sync.Mutex
	endpoints []*Endpoint // by id-1: the latest; nil if never opened
}

// NewNetwork returns a network of n replicas with default limits.
func NewNetwork(n int) *Network { return New(Options{Replicas: n}) }

// New returns a network.
func New(o Options) *Network {
	if o.BudgetBytes <= 0 {
		o.BudgetBytes = defaultBudget
	}
	if o.MaxFrame == nil {
		o.MaxFrame = func(transport.Class) int { return o.BudgetBytes }
	}
	n := &Network{o: o, clock: clock.NewReal(), endpoints: make([]*Endpoint, o.Replicas)}
	for from := range o.Replicas {
		row := make([]*pipe, o.Replicas)
		for to := range row {
			if to != from {
				row[to] = newPipe(n, from+1)
			}
		}
		n.pipes = append(n.pipes, row)
	}
	return n
}

// Endpoint returns a replica's transport, not started. Once the replica's last one is closed, it may have a new one: that is
// a restart.
func (n *Network) Endpoint(id int) transport.Transport {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := &Endpoint{network: n, id: id}
	if id < 1 || id > len(n.endpoints) {
		e.problem = fmt.Errorf("transport: r%d is not on this network: it has replicas 1..%d", id, len(n.endpoints))
		return e
	}
	if last := n.endpoints[id-1]; last != nil && !last.isClosed() {
		e.problem = fmt.Errorf("transport: r%d is on this network already: close its transport first", id)
		return e
	}
	n.endpoints[id-1] = e
	for _, p := range n.pipes[id-1] {
		if p != nil {
			p.open()
		}
	}
	return e
}

// Cut stops all traffic between two replicas, both ways. Frames wait, as far as they fit the budget.
func (n *Network) Cut(a, b int) { n.setCut(a, b, true) }

// Heal ends a Cut.
func (n *Network) Heal(a, b int) { n.setCut(a, b, false) }

func (n *Network) setCut(a, b int, cut bool) {
	for _, p := range [...]*pipe{n.pipes[a-1][b-1], n.pipes[b-1][a-1]} {
		p.mu.Lock()
		p.cut = cut
		p.mu.Unlock()
		p.news.Broadcast()
	}
}

// Endpoint is one replica's transport.
type Endpoint struct {
	network *Network
	id      int
	problem error // why it cannot be used
	handler transport.Handler
	wg      sync.WaitGroup
	mu      sync.Mutex
	started bool
	closed  bool
}

var _ transport.Transport = (*Endpoint)(nil)

// Start begins to deliver.
func (e *Endpoint) Start(h transport.Handler) error {
	if e.problem != nil {
		return e.problem
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return transport.ErrClosed
	case e.started:
		return errors.New("transport: started twice")
	}
	e.started, e.handler = true, h
	for _, row := range e.network.pipes {
		p := row[e.id-1]
		if p == nil {
			continue
		}
		p.receive(e)
		for c := transport.Timely; c <= transport.Bulk; c++ {
			e.wg.Go(func() { p.deliver(e, c) })
		}
	}
	return nil
}

// Send queues a frame.
func (e *Endpoint) Send(to int, f transport.Frame) {
	if e.problem == nil && to >= 1 && to <= len(e.network.endpoints) && to != e.id {
		e.network.pipes[e.id-1][to-1].send(f)
	}
}

// Peers is the state of every link.
func (e *Endpoint) Peers() []transport.Peer {
	all := []transport.Peer{}
	if e.problem != nil {
		return all
	}
	for i := range e.network.endpoints {
		if i != e.id-1 {
			all = append(all, e.state(i+1))
		}
	}
	return all
}

func (e *Endpoint) state(peer int) transport.Peer {
	s := transport.Peer{ID: peer, Address: "memory"}
	in, out := e.network.pipes[peer-1][e.id-1], e.network.pipes[e.id-1][peer-1]
	in.mu.Lock()
	s.RecvBytes, s.RecvCount = in.bytes, in.count
	in.mu.Unlock()
	out.mu.Lock()
	defer out.mu.Unlock()
	s.SentBytes, s.SentCount = out.bytes, out.count
	s.Queued, s.Dropped, s.Demoted = out.queue.Queued(), out.dropped, out.demoted
	switch {
	case out.cut:
		s.Why = "the link is cut"
	case out.receiver == nil:
		s.Why = "it is not running"
	case out.receiver.isClosed() || e.isClosed():
		s.Why = "it is closed"
	default:
		s.Connected = true
	}
	return s
}

// Close ends delivery and waits until the handler has returned for the last time. It must not be called by the handler.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	first := !e.closed
	e.closed = true
	e.mu.Unlock()
	if first && e.problem == nil {
		for i := range e.network.endpoints {
			if i != e.id-1 {
				e.network.pipes[e.id-1][i].shut()
				e.network.pipes[i][e.id-1].release()
			}
		}
	}
	e.wg.Wait()
	return nil
}

func (e *Endpoint) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

// pipe is one direction of a link.
type pipe struct {
	network  *Network
	from     int
	mu       sync.Mutex
	news     *sync.Cond // anything below has changed
	queue    *schedule.Scheduler
	shutting bool      // the sender is closed
	cut      bool      //
	receiver *Endpoint // the latest that was started
	bytes    uint64    // delivered
	count    uint64
	dropped  uint64
	demoted  uint64
}

func newPipe(n *Network, from int) *pipe {
	p := &pipe{network: n, from: from}
	p.news = sync.NewCond(&p.mu)
	p.open()
	return p
}

// open empties the pipe for a new sender.
func (p *pipe) open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shutting, p.bytes, p.count, p.dropped, p.demoted = false, 0, 0, 0, 0
	p.queue = schedule.New(schedule.Options{
		Sources: p.network.o.Replicas, BudgetBytes: p.network.o.BudgetBytes, Timely: p.network.o.TimelyContract,
	})
}

// shut ends what the sender sends.
func (p *pipe) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shutting = true
}

// release lets those who wait for frames see that the receiver is closed.
func (p *pipe) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.news.Broadcast()
}

// receive notes who receives.
func (p *pipe) receive(e *Endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.receiver = e
}

func (p *pipe) send(f transport.Frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shutting {
		return
	}
	if f.Class < transport.Timely || f.Class > transport.Bulk || len(f.Bytes) == 0 || len(f.Bytes) > p.network.o.MaxFrame(f.Class) {
		p.dropped++
		return
	}
	v := p.queue.Push(p.network.clock.Now(), f)
	p.dropped += uint64(v.Dropped)
	if v.Demoted {
		p.demoted++
	}
	p.news.Broadcast()
}

// deliver hands the frames of one class to a receiver until that is closed. Every receiver gets bytes of its own, as from a
// real network.
func (p *pipe) deliver(e *Endpoint, c transport.Class) {
	for {
		frame := p.next(e, c)
		if frame == nil {
			return
		}
		e.handler(p.from, c, bytes.Clone(frame))
	}
}

// next waits for a frame; nil when the receiver is closed.
func (p *pipe) next(e *Endpoint, c transport.Class) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if e.isClosed() {
			return nil
		}
		if !p.cut && !p.shutting {
			if got, _ := p.queue.Take(0, c, 1, nil); len(got) > 0 {
				p.bytes += uint64(len(got[0]))
				p.count++
				return got[0]
			}
		}
		p.news.Wait()
	}
}
