package mesh

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/datagram"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/internal/schedule"
)

// peer is everything about one other replica: what waits for it, and a lane per class.
type peer struct {
	Peer
	mesh    *Mesh
	secret  secret
	lanes   [wire.Classes]*lane
	limits  [wire.Classes]int // largest frame, bytes
	refused atomic.Uint64
	dropped atomic.Uint64
	demoted atomic.Uint64

	mu     sync.Mutex // of all below, and of the lanes' links and sessions
	queue  *schedule.Scheduler
	shared *datagram.Shared // what the lanes' datagrams have in common
	down   chan struct{}    // told when a lane has lost its link
}

func newPeer(m *Mesh, configured Peer, s secret, sources int) *peer {
	p := &peer{
		Peer:   configured,
		mesh:   m,
		secret: s,
		queue: schedule.New(schedule.Options{
			Sources:     sources,
			BudgetBytes: m.o.Network.BudgetBytes,
			RateBits:    m.o.Network.RateBits,
			ReconShare:  m.o.Network.ReconShare,
			Timely:      m.o.TimelyContract,
		}),
		shared: datagram.NewShared(m.o.Network.RateBits),
		down:   make(chan struct{}, 1),
	}
	for i := range p.lanes {
		class := transport.Class(i + 1)
		p.lanes[i] = newLane(p, class)
		p.limits[i] = m.o.MaxFrame(class)
	}
	return p
}

// dials reports whether this replica is the one to dial: the smaller id does.
func (p *peer) dials() bool { return p.mesh.o.Self < p.ID }

func (p *peer) lane(c transport.Class) *lane { return p.lanes[int(c)-1] }

func (p *peer) start() {
	for _, l := range p.lanes {
		p.mesh.wg.Go(l.readLoop)
		p.mesh.wg.Go(l.writeLoop)
		if p.mesh.pumped {
			p.mesh.wg.Go(l.pumpLoop)
			p.mesh.wg.Go(l.deliverLoop)
		}
		if p.dials() {
			p.mesh.wg.Go(l.dialLoop)
		}
	}
	if !p.dials() {
		p.mesh.wg.Go(p.callLoop)
	}
}

func (p *peer) stop() {
	for _, l := range p.lanes {
		if link := l.current(); link != nil {
			link.fail()
		}
	}
}

// send queues a frame and lets the writer of its class know.
func (p *peer) send(f transport.Frame) {
	if f.Class < transport.Timely || f.Class > transport.Bulk || len(f.Bytes) == 0 || len(f.Bytes) > p.limits[f.Class-1] {
		p.dropped.Add(1)
		p.mesh.warn(p.ID, "a frame of ours has a size or class that may not be sent",
			slog.Int("bytes", len(f.Bytes)), slog.String("class", f.Class.String()))
		return
	}
	now := p.mesh.clock.Now()
	p.mu.Lock()
	v := p.queue.Push(now, f)
	l := p.lane(v.Class)
	wake := l.waiting
	l.waiting = false
	p.mu.Unlock()
	if wake {
		l.rouse()
	}
	if f.Class == transport.Bulk {
		p.lane(transport.Bulk).want()
	}
	if v.Demoted || v.Dropped > 0 {
		p.account(f, v)
	}
}

// account counts and logs frames that did not get what they asked for.
func (p *peer) account(f transport.Frame, v schedule.Verdict) {
	log := p.mesh.log
	if v.Demoted {
		p.demoted.Add(1)
		t := topic{p.ID, "TIMELY frames exceed their source's contract and are sent as BOUNDED"}
		if left, ok := log.due(t); ok {
			log.write(slog.LevelWarn, t, left, slog.Int("source", f.Source))
		}
	}
	if v.Dropped > 0 {
		p.dropped.Add(uint64(v.Dropped))
		t := topic{p.ID, "frames dropped: the budget for this peer and class is full"}
		if left, ok := log.due(t); ok {
			log.write(slog.LevelWarn, t, left, slog.String("class", v.Class.String()))
		}
	}
}

// take appends to dst what the writer of a lane should write now. If there is nothing it returns at once when told not to
// block; otherwise it waits until there is something, or the lane has a request of its own to write, or the link is dead: then
// alive is false.
func (p *peer) take(l *lane, link *link, block bool, dst [][]byte) (_ [][]byte, alive bool) {
	for {
		p.mu.Lock()
		if l.link != link { // it has been replaced: what waits is for the new one
			p.mu.Unlock()
			return dst, false
		}
		var now clock.Instant
		if p.queue.Paced() {
			now = p.mesh.clock.Now()
		}
		dst, at := p.queue.Take(now, l.class, writeSize, dst)
		if len(dst) > 0 || !block {
			p.queue.Busy(l.class)
			p.rouseOthers(l)
			p.mu.Unlock()
			return dst, true
		}
		l.waiting = true
		if at == clock.Never {
			p.rouseFirst(l, now)
		}
		p.mu.Unlock()
		if l.request.Load() {
			return dst, true
		}
		if !l.sleep(link, at) {
			p.mu.Lock()
			p.queue.Busy(l.class)
			p.rouseOthers(l)
			p.mu.Unlock()
			return dst, false
		}
	}
}

// rouseOthers lets all other writers that wait look again: with a shared rate, what one takes or leaves is the others' turn.
func (p *peer) rouseOthers(l *lane) {
	if !p.queue.Paced() {
		return
	}
	for _, other := range p.lanes {
		if other != l && other.waiting {
			other.waiting = false
			other.rouse()
		}
	}
}

// rouseFirst lets the writer of the class that should send first look again: when it looked last, time had not made it so yet.
func (p *peer) rouseFirst(l *lane, now clock.Instant) {
	if !p.queue.Paced() {
		return
	}
	if c := p.queue.First(now); c != 0 && c != l.class && p.lane(c).waiting {
		p.lane(c).waiting = false
		p.lane(c).rouse()
	}
}

// complete reports whether every class that is always wanted has a link. The caller holds mu.
func (p *peer) complete() bool {
	now := p.mesh.clock.Now()
	for _, l := range p.lanes {
		if l.class != transport.Bulk && !l.connected(now) {
			return false
		}
	}
	return true
}

// state is what people see of a peer.
func (p *peer) state() transport.Peer {
	s := transport.Peer{
		ID: p.ID, Address: p.Address, Connected: true,
		Dropped: p.dropped.Load(), Demoted: p.demoted.Load(), Refused: p.refused.Load(),
	}
	var why []string
	p.mu.Lock()
	s.Queued = p.queue.Queued()
	now := p.mesh.clock.Now()
	p.describe(now, &s)
	for _, l := range p.lanes {
		if l.class != transport.Bulk && !l.connected(now) {
			s.Connected = false
			if reason := l.reason(); len(why) == 0 || !strings.HasSuffix(why[len(why)-1], reason) {
				why = append(why, fmt.Sprintf("%s: %s", l.class, reason))
			}
		}
	}
	p.mu.Unlock()
	s.Why = strings.Join(why, "; ")
	for _, l := range p.lanes {
		s.SentByClass[l.class-1] = l.sentBytes.Load()
		s.SentBytes += s.SentByClass[l.class-1]
		s.SentCount += l.sentCount.Load()
		s.RecvBytes += l.recvBytes.Load()
		s.RecvCount += l.recvCount.Load()
	}
	return s
}
