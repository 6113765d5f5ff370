package wan

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/wire"
)

// DefaultHeldBytes is how many bytes one link holds, waiting and under way, before it drops what comes.
const DefaultHeldBytes = 64 << 20

// Counters are what became of the packets of one link. Offered is the sum of all others but Doubled, once everything has
// arrived.
type Counters struct {
	Offered   uint64 `json:"offered"`
	Arrived   uint64 `json:"arrived"` // second copies not counted
	Doubled   uint64 `json:"doubled"`
	Lost      uint64 `json:"lost"`
	Overflow  uint64 `json:"overflow"`  // the queue of a bottleneck, or the memory of the link, was full
	Cut       uint64 `json:"cut"`       // the link was down
	Oversized uint64 `json:"oversized"` // larger than the MTU
}

// Port is everything that one replica sends: its uplink, and a link to each other replica. It is not safe for concurrent
// use.
type Port[P any] struct {
	deliver func(at clock.Instant, to int, what P)
	uplink  Rate
	shared  bottleneck[P]
	lines   []line[P] // by to-1
	flights flights[P]
	queues  int // bottlenecks of lines that are not idle
	held    int // DefaultHeldBytes
}

// line is one directed link.
type line[P any] struct {
	plan     plan
	queue    bottleneck[P]
	random   *rand.Rand
	bad      bool          // the state of Gilbert and Elliott
	last     clock.Instant // latest arrival so far
	held     int           // bytes that wait or are under way
	waiting  int           // bytes that wait in the uplink or in queue
	counters Counters
}

// NewPort returns the links of replica from, 1..n, at time start, from which the events of the profile count. What arrives is
// given to deliver, with the exact time of its arrival. It returns an error if the profile does not fit n replicas.
func NewPort[P any](p Profile, from, n int, seed uint64, start clock.Instant,
	deliver func(at clock.Instant, to int, what P)) (*Port[P], error) {
	if err := p.Validate(n); err != nil {
		return nil, err
	}
	if from < 1 || from > n {
		return nil, fmt.Errorf("wan: r%d is not one of %d replicas", from, n)
	}
	port := &Port[P]{deliver: deliver, uplink: p.Uplink, lines: make([]line[P], n), held: DefaultHeldBytes}
	for i := range port.lines {
		l := &port.lines[i]
		if i != from-1 {
			l.plan = p.plan(from, i+1, start)
		}
		l.random = rand.New(rand.NewPCG(seed, uint64(from)<<32|uint64(i+1)))
	}
	return port, nil
}

// Offer sends a packet of size bytes. The time must not be earlier than in calls before.
func (p *Port[P]) Offer(now clock.Instant, to int, class wire.Class, size int, what P) {
	p.offer(now, to, size, frame[P]{lane: laneOf(class, false), what: what})
}

// OfferLast is Offer for a packet that lets all others of its class go first, as the scheduler above does with frames that yield.
// Only in class BOUNDED does that make a difference.
func (p *Port[P]) OfferLast(now clock.Instant, to int, class wire.Class, size int, what P) {
	p.offer(now, to, size, frame[P]{lane: laneOf(class, true), what: what})
}

// OfferStream sends a part of a TCP stream: it is delayed, takes its share of a rate, and does not get through when the link is
// down, but is neither lost nor doubled nor too large. TCP would repeat it and cut it to size, in ways that nobody here pretends
// to know.
func (p *Port[P]) OfferStream(now clock.Instant, to int, class wire.Class, yields bool, size int, what P) {
	p.offer(now, to, size, frame[P]{lane: laneOf(class, yields), what: what, whole: true})
}

func (p *Port[P]) offer(now clock.Instant, to, size int, f frame[P]) {
	p.Advance(now)
	l := &p.lines[to-1]
	link := l.plan.at(now)
	c := &l.counters
	c.Offered++
	switch {
	case link.Down:
		c.Cut++
		return
	case link.MTU > 0 && size > link.MTU && !f.whole:
		c.Oversized++
		return
	case l.held+size > p.held:
		c.Overflow++
		return
	}
	l.held += size
	f.to, f.size, f.link = to, size, link
	if p.uplink.Bits == 0 && p.shared.idle() {
		p.enter(now, f)
	} else if p.shared.offer(now, f, p.uplink) {
		l.waiting += size
	} else {
		p.overflow(l, size)
	}
	p.Advance(now)
}

// enter brings a packet to the bottleneck of its link.
func (p *Port[P]) enter(now clock.Instant, f frame[P]) {
	l := &p.lines[f.to-1]
	if f.link.Rate.Bits == 0 && l.queue.idle() {
		p.depart(now, f)
		return
	}
	was := l.queue.idle()
	if !l.queue.offer(now, f, f.link.Rate) {
		p.overflow(l, f.size)
		return
	}
	l.waiting += f.size
	if was {
		p.queues++
	}
}

func (p *Port[P]) overflow(l *line[P], size int) {
	l.counters.Overflow++
	l.held -= size
}

// depart sends a packet on its way, unless it is lost.
func (p *Port[P]) depart(now clock.Instant, f frame[P]) {
	l := &p.lines[f.to-1]
	if !f.whole && l.loses(&f.link.Loss) {
		l.counters.Lost++
		l.held -= f.size
		return
	}
	copies := 1
	if !f.whole && f.link.Duplicate > 0 && l.random.Float64() < f.link.Duplicate {
		copies = 2
		l.counters.Doubled++
		l.held += f.size
	}
	l.counters.Arrived++
	for range copies {
		due := now.Add(f.link.Delay + f.link.Jitter.draw(l.random))
		if !f.link.Reorder {
			due = max(due, l.last)
		}
		l.last = max(l.last, due)
		p.flights.push(due, f)
	}
}

// loses decides about one packet.
func (l *line[P]) loses(m *Loss) bool {
	switch {
	case l.bad && m.Enter == 0:
		l.bad = false
	case l.bad:
		l.bad = l.random.Float64() >= m.Leave
	case m.Enter > 0:
		l.bad = l.random.Float64() < m.Enter
	}
	p := m.Good
	if l.bad {
		p = m.Bad
	}
	return p > 0 && l.random.Float64() < p
}

// draw is one value of the jitter.
func (j *Jitter) draw(r *rand.Rand) time.Duration {
	switch {
	case j.Uniform > 0:
		return time.Duration(r.Int64N(int64(j.Uniform) + 1))
	case j.Mean > 0 || j.Sigma > 0:
		return max(0, j.Mean+time.Duration(r.NormFloat64()*float64(j.Sigma)))
	case len(j.Table) > 0:
		return j.Table[r.IntN(len(j.Table))]
	}
	return 0
}

// Next is when Advance has something to do; Never if nothing is under way.
func (p *Port[P]) Next() clock.Instant {
	at := min(p.flights.next(), p.shared.next())
	if p.queues > 0 {
		for i := range p.lines {
			at = min(at, p.lines[i].queue.next())
		}
	}
	return at
}

// Advance does everything that is due by now, in the order of time.
func (p *Port[P]) Advance(now clock.Instant) {
	for {
		at := p.Next()
		if at > now || at == clock.Never {
			return
		}
		p.step(at)
	}
}

// step does one thing that is due at a time: what departs before what arrives, so that the order of arrival is that of due
// times.
func (p *Port[P]) step(at clock.Instant) {
	if p.shared.next() == at {
		if f, departs := p.shared.step(); departs {
			p.lines[f.to-1].waiting -= f.size
			p.enter(at, f)
		}
		return
	}
	if p.queues > 0 {
		for i := range p.lines {
			l := &p.lines[i]
			if l.queue.next() != at {
				continue
			}
			f, departs := l.queue.step()
			if l.queue.idle() {
				p.queues--
			}
			if departs {
				l.waiting -= f.size
				p.depart(at, f)
			}
			return
		}
	}
	landed := p.flights.pop()
	p.lines[landed.frame.to-1].held -= landed.frame.size
	p.deliver(landed.due, landed.frame.to, landed.frame.what)
}

// Set changes the link to a replica for what is offered from now on, and ends the events that the profile had for it. Faults of
// the link are named.
func (p *Port[P]) Set(to int, l Link) error {
	if to < 1 || to > len(p.lines) {
		return fmt.Errorf("wan: there is no r%d: replicas are 1..%d", to, len(p.lines))
	}
	if err := join(l.Validate("link")); err != nil {
		return err
	}
	p.lines[to-1].plan = plan{current: &l}
	return nil
}

// SetUplink changes what all links share, for what is offered from now on.
func (p *Port[P]) SetUplink(r Rate) error {
	if err := join(r.Validate("uplink")); err != nil {
		return err
	}
	p.uplink = r
	return nil
}

// Link is the link to a replica as it is now.
func (p *Port[P]) Link(now clock.Instant, to int) Link { return *p.lines[to-1].plan.at(now) }

// Replicas is how many there are, the sender included.
func (p *Port[P]) Replicas() int { return len(p.lines) }

// Counters are those of the link to a replica.
func (p *Port[P]) Counters(to int) Counters { return p.lines[to-1].counters }

// Waiting is how many bytes for a replica wait for a bottleneck.
func (p *Port[P]) Waiting(to int) int { return p.lines[to-1].waiting }
