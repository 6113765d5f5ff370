package sign

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// Pool checks what peers send: many messages at once, in turn between peers, and hands them over in the order in which those of each
// peer and class came.
//
// Messages wait in lanes, one per peer and class, each with its own budget of bytes; only the reader of a full lane blocks.
// Workers take them in rounds. In a round every lane may spend its class's quantum of signature verifications; within a
// round TIMELY lanes come first and the lanes of a class take turns, one message, or one slice of a long one, a turn. So an
// urgent message overtakes, and yet no peer, whatever it sends in whatever class, keeps another peer's message waiting for
// longer than a round.
type Pool struct {
	verifier *Verifier
	limits   wire.Limits
	budget   int
	done     sync.WaitGroup
	token    chan struct{}
	proven   atomic.Uint64 // highest view for which a threshold signature was found good

	executed, ordered, farthest atomic.Uint64 // see Progress

	mu     sync.Mutex // guards the rest
	work   sync.Cond
	closed bool
	counts []PeerStats
	class  [wire.Classes]classLanes // by class, less one
}

// classLanes is the lanes of one class. Peers are in a set if their lane is in that state.
type classLanes struct {
	lanes  []lane    // by group.ID.Index
	unread group.Set // has items that no worker has taken
	funded group.Set // may spend in this round
	ready  group.Set // has an item to take at the head
	worked group.ID  // whose turn it was, of workers
	taken  group.ID  // whose turn it was, of the consumer
}

// quanta is what a lane of each class may spend in a round, in signature verifications.
var quanta = [wire.Classes]int{16, 16, 4, 4}

// slice is how many signatures a worker verifies for one message before others get their turn. Only updates and the
// certificates of a REPORT are cut into slices: everything else that a message can hold is bounded by the size of the group.
const slice = 16

// byteCost is how many bytes cost as much to decode and hash as a signature to verify.
const byteCost = 64 << 10

// PeerStats is what one peer has sent since the pool was made.
type PeerStats struct {
	Accepted uint64          // messages found good
	Refused  [Reasons]uint64 // messages refused, by Reason
	Bytes    int             // taken of the peer's budgets now
}

func (s *PeerStats) count(why Reason) {
	if why == 0 {
		s.Accepted++
	} else {
		s.Refused[why]++
	}
}

// NewPool starts a pool of workers (0: one per processor) for messages of n replicas. Each lane holds budgetBytes; a
// message that is larger is let in when its lane is empty.
func NewPool(v *Verifier, limits wire.Limits, n, workers, budgetBytes int) *Pool {
	p := &Pool{verifier: v, limits: limits, budget: budgetBytes, token: make(chan struct{}, 1), counts: make([]PeerStats, n)}
	p.work.L = &p.mu
	for c := range p.class {
		p.class[c].lanes = make([]lane, n)
		for i := range p.class[c].lanes {
			l := &p.class[c].lanes[i]
			l.space.L, l.credit = &p.mu, quanta[c]
			p.class[c].funded = p.class[c].funded.With(group.FromIndex(i))
		}
	}
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	for range workers {
		p.done.Go(p.run)
	}
	return p
}

// Offer queues a message of a peer, and blocks while the peer's lane is full. raw belongs to the pool from now on. There
// must be one caller at a time per peer and class. What is offered for no peer or class, or after Close, is dropped.
func (p *Pool) Offer(from group.ID, class wire.Class, raw []byte) {
	if from < 1 || int(from) > len(p.counts) || class < wire.Timely || int(class) > wire.Classes {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &p.class[class-1]
	l := &c.lanes[from.Index()]
	for !p.closed && l.bytes > 0 && l.bytes+len(raw)+itemOverhead > p.budget {
		l.space.Wait()
	}
	if p.closed {
		return
	}
	l.push(raw)
	p.settle(c, from)
	p.work.Signal()
}

// Take appends up to limit checked messages of a class to dst, peers in turn, and never blocks. There is one consumer.
func (p *Pool) Take(dst []*wire.Envelope, class wire.Class, limit int) []*wire.Envelope {
	dst, _ = p.TakeFrom(dst, nil, class, limit)
	return dst
}

// TakeFrom is Take, and appends to by, for each of the messages, who brought it: not its signer, if it was passed on.
func (p *Pool) TakeFrom(dst []*wire.Envelope, by []group.ID, class wire.Class, limit int) ([]*wire.Envelope, []group.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &p.class[class-1]
	for ; limit > 0 && c.ready != 0; limit-- {
		c.taken = following(c.ready, c.taken)
		l := &c.lanes[c.taken.Index()]
		dst, by = append(dst, l.pop()), append(by, c.taken)
		p.settle(c, c.taken)
	}
	p.notify()
	return dst, by
}

// Progress says how far the consumer is: the last ordinal that it has executed, the last of which everything before is ordered, and
// the last that it would look at. What is only about others is not worth its verification: a consumer that has fallen behind would
// spend its time on messages that it then ignores, and on help that has come before, and never catch up.
func (p *Pool) Progress(executed, ordered, farthest uint64) {
	p.executed.Store(executed)
	p.ordered.Store(ordered)
	p.farthest.Store(farthest)
}

// Ready has a token when there may be something to take.
func (p *Pool) Ready() <-chan struct{} { return p.token }

// Stats is what each peer has sent, by group.ID.Index.
func (p *Pool) Stats() []PeerStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := append([]PeerStats(nil), p.counts...)
	for i := range all {
		for c := range p.class {
			all[i].Bytes += p.class[c].lanes[i].bytes
		}
	}
	return all
}

// Close stops the workers, frees blocked callers of Offer, and waits for the workers.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.work.Broadcast()
	for c := range p.class {
		for i := range p.class[c].lanes {
			p.class[c].lanes[i].space.Broadcast()
		}
	}
	p.mu.Unlock()
	p.done.Wait()
}

// run is one worker.
func (p *Pool) run() {
	i := p.verifier.newInspection()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed {
		c, from := p.claim()
		if from == 0 {
			p.work.Wait()
			continue
		}
		l := &c.lanes[from.Index()]
		position, what := l.read()
		p.spend(c, from, 1) // now, so that other workers turn to other lanes
		p.settle(c, from)
		p.mu.Unlock()
		env, at, why := p.check(i, l, from, position, &what)
		p.mu.Lock()
		if why == 0 && at != whole {
			l.pause(position, env, at)
		} else {
			l.finish(position, env)
			p.counts[from.Index()].count(why)
		}
		p.spend(c, from, max(0, i.cost-1)+len(what.raw)/byteCost)
		p.settle(c, from)
		p.notify()
	}
}

// claim chooses the lane whose next message is checked next; 0 if none waits.
func (p *Pool) claim() (*classLanes, group.ID) {
	for {
		waiting := group.Set(0)
		for i := range p.class {
			c := &p.class[i]
			if s := c.unread.Intersect(c.funded); s != 0 {
				c.worked = following(s, c.worked)
				return c, c.worked
			}
			waiting = waiting.Union(c.unread)
		}
		if waiting == 0 {
			return nil, 0
		}
		p.nextRound()
	}
}

// nextRound gives every lane its quantum. What a lane has not spent is lost; what it has overspent, it owes.
func (p *Pool) nextRound() {
	for i := range p.class {
		c := &p.class[i]
		for j := range c.lanes {
			l := &c.lanes[j]
			if l.credit = min(l.credit, 0) + quanta[i]; l.credit > 0 {
				c.funded = c.funded.With(group.FromIndex(j))
			}
		}
	}
}

// spend charges a lane for work.
func (p *Pool) spend(c *classLanes, from group.ID, cost int) {
	l := &c.lanes[from.Index()]
	if l.credit -= cost; l.credit <= 0 {
		c.funded = c.funded.Without(from)
	}
}

// check checks one message without the lock, or the next slice of a long one; at is where to go on.
func (p *Pool) check(i *inspection, l *lane, from group.ID, position uint64, what *item) (
	e *wire.Envelope, at int, why Reason) {
	i.cost = 0
	if e = what.env; e == nil {
		if e, why = p.open(i, l, from, position, what.raw); why != 0 {
			return nil, 0, why
		}
	}
	if at, why = i.parts(e, what.at, slice); why != 0 {
		return nil, 0, why
	}
	return e, at, 0
}

// open decodes a message and checks everything but its parts.
func (p *Pool) open(i *inspection, l *lane, from group.ID, at uint64, raw []byte) (*wire.Envelope, Reason) {
	e, err := p.limits.Decode(raw)
	if err != nil {
		return nil, Malformed
	}
	if !mayBring(from, e) {
		return nil, Misdirected
	}
	p.mu.Lock()
	again := l.holds(&e.Digest, at)
	p.mu.Unlock()
	if again {
		return nil, Duplicate
	}
	if p.superseded(e) || p.useless(e) {
		return nil, Superseded
	}
	why := i.proofs(e)
	if why == 0 {
		p.learn(e)
	}
	return e, why
}

// superseded reports whether e is a share of a threshold signature for a view that has one, or a later view has. Who starts a view
// lists its states in as many ways as there are replicas, and each share costs a pairing; when one list has its signature, the
// shares of the others would only hold up the votes behind them. The signature itself is repeated until it is of no more use.
func (p *Pool) superseded(e *wire.Envelope) bool {
	m, ok := e.Msg.(*wire.StateShare)
	return ok && m.Share != nil && m.Resolution.View <= p.proven.Load()
}

// useless reports whether e is a proposal, vote or certificate of an ordinal that the consumer no longer, or not yet, looks at;
// but for late proposals, which may convict. Such a message is lost as on the network, before anything in it is believed; so one
// that is forged can do no harm either.
func (p *Pool) useless(e *wire.Envelope) bool {
	ordinal, done := uint64(0), p.executed.Load()
	switch m := e.Msg.(type) {
	case *wire.PrePrepare:
		ordinal, done = m.Ordinal, 0
	case *wire.Prepare:
		ordinal = m.Ordinal
	case *wire.Commit:
		ordinal = m.Ordinal
	case *wire.Certificate:
		proposal, ok := m.PrePrepare.Msg.(*wire.PrePrepare)
		if !ok {
			return false
		}
		ordinal, done = proposal.Ordinal, p.ordered.Load()
	default:
		return false
	}
	farthest := p.farthest.Load()
	return farthest > 0 && (ordinal <= done || ordinal > farthest)
}

// learn notes the view of a threshold signature that was found good.
func (p *Pool) learn(e *wire.Envelope) {
	var m *wire.StateProof
	switch msg := e.Msg.(type) {
	case *wire.StateProof:
		m = msg
	case *wire.Replay:
		m = &msg.Proof
	}
	if m == nil || m.Sig == nil {
		return
	}
	for known := p.proven.Load(); m.Resolution.View > known; known = p.proven.Load() {
		if p.proven.CompareAndSwap(known, m.Resolution.View) {
			return
		}
	}
}

// mayBring reports whether a peer may send us e: what it has signed itself, and what replicas pass on for others, which is
// PRE-PREPAREs and REPLAYs (flooded, and the former recalled), PO-REQUESTs (fetched from any holder) and REPORTs (recalled).
func mayBring(from group.ID, e *wire.Envelope) bool {
	switch e.Kind {
	case wire.KindPrePrepare, wire.KindPreorderRequest, wire.KindReport, wire.KindReplay:
		return true
	}
	return e.Sender == from
}

// settle brings what the sets say of a lane up to date.
func (p *Pool) settle(c *classLanes, from group.ID) {
	l := &c.lanes[from.Index()]
	l.dropRefused()
	c.ready, c.unread = c.ready.Without(from), c.unread.Without(from)
	if l.ready() {
		c.ready = c.ready.With(from)
	}
	if l.unread() {
		c.unread = c.unread.With(from)
	}
	l.space.Broadcast()
}

// notify leaves a token if there is something to take.
func (p *Pool) notify() {
	for i := range p.class {
		if p.class[i].ready != 0 {
			select {
			case p.token <- struct{}{}:
			default:
			}
			return
		}
	}
}

// following is the member of s whose turn it is after id's: the next one, or the first.
func following(s group.Set, id group.ID) group.ID {
	if later := s &^ (1<<id - 1); later != 0 {
		s = later
	}
	return group.ID(bits.TrailingZeros64(uint64(s)) + 1)
}
