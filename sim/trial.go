package sim

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/primebft/prime/internal/attack"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/heavy"
	"github.com/primebft/prime/internal/sign"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport/emulate/wan"
)

// trial is an Experiment while it runs.
type trial struct {
	plan    *Experiment
	group   group.Group
	keys    *identities
	servers []*server // by group.ID.Index
	packing *packing  // nil: messages travel by themselves
	clients []patron
	ports   []*wan.Port[letter]
	armed   []clock.Instant // when the port's next transit event comes
	queue   eventQueue
	jobs    []job // what processors are busy with, by event.arg
	idle    []int // free places in jobs
	now     clock.Instant
	begin   clock.Instant // of the measured time
	hiders  group.Set     // replicas that hide requests
	stream  []uint64      // what was executed first anywhere, in order; every replica has to execute the same
	err     error
	tally   tallies

	stopwatch  bool // measure what the machine that runs this needs for steps
	stepTime   time.Duration
	steps      int
	executions int
}

// letter is a message on a link, or a datagram.
type letter struct {
	env   *wire.Envelope
	class wire.Class
	from  group.ID
	line  int    // of a datagram
	body  []byte // of a datagram; nil for a message
}

// tallies are what is counted in the measured time.
type tallies struct {
	latencies []time.Duration
	bytes     map[wire.Kind]uint64
	offered   []uint64 // bytes, by sender
	repair    []uint64 // of these, in class RECON
	queued    []int    // bytes that waited at the beginning, by sender
	hidden    uint64   // updates that were introduced by who hides requests
	requests  uint64
	requested uint64 // updates in them
	repeated  uint64
	lost      []uint64 // bytes that a full queue dropped, by sender
}

// patron is one client.
type patron struct {
	id      wire.ClientID
	home    group.ID
	seq     uint64
	since   clock.Instant
	answers group.Set // replicas that have executed its update
}

// trial makes the experiment ready to run.
func (e Experiment) trial() (*trial, error) {
	sizes, err := group.ForSize(e.Replicas)
	if err != nil {
		return nil, err
	}
	return newTrial(&e, sizes)
}

func newTrial(e *Experiment, sizes group.Group) (*trial, error) {
	n := sizes.N()
	incarnations := slices.Repeat([]uint32{1}, n)
	keys, err := newIdentities(sizes, epoch, incarnations, e.ClientAuth, false, nil)
	if err != nil {
		return nil, err
	}
	t := &trial{plan: e, group: sizes, keys: keys, begin: clock.Instant(e.WarmUp), armed: slices.Repeat([]clock.Instant{clock.Never}, n)}
	t.tally = tallies{bytes: map[wire.Kind]uint64{}, offered: make([]uint64, n), repair: make([]uint64, n), queued: make([]int, n), lost: make([]uint64, n)}
	for i := range n {
		id := group.FromIndex(i)
		port, err := wan.NewPort(e.WAN, i+1, n, e.Seed, 0, t.land)
		if err != nil {
			return nil, err
		}
		s, err := t.server(id, incarnations)
		if err != nil {
			return nil, err
		}
		t.ports, t.servers = append(t.ports, port), append(t.servers, s)
	}
	if e.Datagrams {
		t.packing = newPacking(t)
	}
	t.introduce()
	return t, nil
}

// server makes one replica.
func (t *trial) server(id group.ID, incarnations []uint32) (*server, error) {
	s := &server{trial: t, id: id, header: t.keys.keyring.Header(id), armed: clock.Never, cores: max(1, t.plan.Cores)}
	s.verifier = sign.NewVerifier(t.keys.keyring, counting{t.keys.scheme, &s.verified}, t.plan.Node.Crypto.Cache)
	var err error
	if s.signer, err = t.keys.signer(id); err != nil {
		return nil, err
	}
	cfg := t.plan.coreConfig(id, t.group, incarnations)
	l := t.plan.Limits
	limits := wire.Limits{N: t.group.N(), UpdateBytes: l.UpdateBytes, RequestBytes: l.RequestBytes, RequestUpdates: l.RequestUpdates,
		SignedUpdates: t.plan.ClientAuth, Enough: t.group.OneCorrect()}
	if s.worker, err = heavy.New(id, t.group, limits, s.verifier.Verify); err != nil {
		return nil, err
	}
	replica, err := core.New(cfg)
	if err != nil {
		return nil, err
	}
	s.machine, s.status = replica, replica.Status
	s.corrupt(cfg, incarnations)
	return s, nil
}

// corrupt makes a replica do what the experiment wants of it.
func (s *server) corrupt(cfg core.Config, incarnations []uint32) {
	t := s.trial
	host := &attack.Host{
		Self: s.id, Group: t.group, Incarnations: incarnations, Limits: cfg.Limits, Pause: 10 * time.Millisecond,
		Rand: rand.New(rand.NewPCG(t.plan.Seed, uint64(s.id))), Sign: s.seal,
	}
	if t.plan.Attack && s.id == t.group.Leader(1) {
		s.machine = attack.Patient(host, s.machine)
	}
	for view := range t.group.F() {
		host.Allies = host.Allies.With(t.group.Leader(uint64(view) + 1))
	}
	for _, name := range t.plan.Faults {
		if b, ok := attack.Named(name); ok && host.Allies.Has(s.id) {
			s.machine = b.Wrap(host, s.machine)
			if b.Hides {
				t.hiders = t.hiders.With(s.id)
			}
		}
	}
}

// introduce lets every client submit its first update, at times spread over the beginning.
func (t *trial) introduce() {
	rng := rand.New(rand.NewPCG(t.plan.Seed, 3))
	spread := min(time.Second, t.plan.WarmUp/2)
	for i := range t.plan.Clients {
		c := patron{id: clientID(i), home: group.FromIndex(i % t.group.N())}
		t.clients = append(t.clients, c)
		t.queue.push(event{at: clock.Instant(span(rng, 0, spread)), kind: submit, node: c.home, arg: i})
	}
}

// measure runs the experiment to its end.
func (t *trial) measure() (Measurement, error) {
	for _, s := range t.servers {
		s.rearm()
		t.arm(s.id)
	}
	t.runUntil(t.begin)
	before := make([]core.Status, len(t.servers))
	for i, s := range t.servers {
		before[i], s.busyTime = s.status(), 0
		t.tally.queued[i] = t.waiting(i)
	}
	end := t.begin.Add(t.plan.Measure)
	t.runUntil(end)
	if t.err != nil {
		return Measurement{}, t.err
	}
	return t.result(before), nil
}

func (t *trial) runUntil(end clock.Instant) {
	for t.err == nil && len(t.queue.heap) > 0 && t.queue.heap[0].at <= end {
		e, _ := t.queue.pop()
		t.now = e.at
		t.handle(&e)
	}
	t.now = end
}

func (t *trial) handle(e *event) {
	switch e.kind {
	case transit:
		t.transit(e.from)
		return
	case opened:
		t.packing.open(e)
		return
	}
	s := t.servers[e.node.Index()]
	switch e.kind {
	case arrive:
		s.inbox[e.arg-1].push(e.env)
	case wake:
		s.armed = clock.Never
		s.ticked = s.machine.Deadline() <= t.now
		if !s.ticked {
			s.rearm()
		}
	case submit:
		t.request(e.arg)
	case finish:
		j := t.jobs[e.arg]
		t.jobs[e.arg] = job{}
		t.idle = append(t.idle, e.arg)
		s.finish(&j)
	}
	s.dispatch()
}

// request lets a client submit its next update.
func (t *trial) request(number int) {
	c := &t.clients[number]
	c.seq++
	c.since, c.answers = t.now, 0
	u := wire.Update{Client: c.id, Seq: c.seq, Payload: make([]byte, t.plan.Payload)}
	binary.LittleEndian.PutUint64(u.Payload[:min(8, len(u.Payload)):8], c.seq)
	if t.plan.ClientAuth {
		key := append(append(make([]byte, 0, 64), u.Client[:]...), u.Client[:]...)
		sign.SignUpdate(t.keys.scheme, key, t.keys.cluster, &u)
	}
	s := t.servers[c.home.Index()]
	s.fresh = append(s.fresh, u)
}

// executed notes what a replica has executed, and lets the clients go on that waited for it.
func (t *trial) executed(s *server, d *effect.Delivery) {
	for i := range d.Updates {
		u := &d.Updates[i]
		what := mix(u.Client[:], binary.LittleEndian.AppendUint64(nil, u.Seq))
		if s.executed == len(t.stream) {
			t.stream = append(t.stream, what)
		}
		if t.stream[s.executed] != what {
			t.err = fmt.Errorf("%s executes something else at place %d than others", s.id, s.executed)
			return
		}
		s.executed++
		number := int(binary.LittleEndian.Uint64(u.Client[:])) - 1
		c := &t.clients[number]
		if u.Seq != c.seq {
			continue
		}
		c.answers = c.answers.With(s.id)
		if t.plan.ClientAuth && c.answers.Len() == t.group.OneCorrect() || !t.plan.ClientAuth && s.id == c.home {
			t.done(c, number)
		}
	}
}

// done ends a client's update; the next follows.
func (t *trial) done(c *patron, number int) {
	if t.now > t.begin {
		t.tally.latencies = append(t.tally.latencies, t.now.Sub(c.since))
		if t.hiders.Has(c.home) {
			t.tally.hidden++
		}
	}
	t.queue.push(event{at: t.now, kind: submit, node: c.home, arg: number})
}

// post gives a message to the links of a replica.
func (t *trial) post(s *server, to group.Set, class wire.Class, env *wire.Envelope) {
	for id := range to.All() {
		if id == s.id {
			s.own.push(env)
			continue
		}
		if t.now > t.begin {
			t.tally.bytes[env.Kind] += uint64(wan.WireBytes(len(env.Raw)))
		}
		if t.packing != nil {
			t.packing.send(s.id, id, class, env)
		} else {
			t.offer(s.id, id, class, env.Kind.Yields(), false, len(env.Raw), letter{env: env, class: class, from: s.id})
		}
	}
}

// leave lets what was posted leave.
func (t *trial) leave(id group.ID) {
	if t.packing != nil {
		t.packing.say(id)
	}
	t.arm(id)
}

// offer puts something on a link, and counts it.
func (t *trial) offer(from, to group.ID, class wire.Class, yields, stream bool, size int, l letter) {
	i := from.Index()
	p, bytes := t.ports[i], uint64(wan.WireBytes(size))
	overflow := p.Counters(int(to)).Overflow
	switch {
	case stream:
		p.OfferStream(t.now, int(to), class, yields, size, l)
	case yields:
		p.OfferLast(t.now, int(to), class, size, l)
	default:
		p.Offer(t.now, int(to), class, size, l)
	}
	if t.now <= t.begin {
		return
	}
	t.tally.offered[i] += bytes
	if class == wire.Recon {
		t.tally.repair[i] += bytes
	}
	if p.Counters(int(to)).Overflow > overflow {
		t.tally.lost[i] += bytes
	}
}

// transit does what is due at the links of a sender.
func (t *trial) transit(from group.ID) {
	i := from.Index()
	if t.armed[i] > t.now {
		return // an earlier event has done it
	}
	t.armed[i] = clock.Never
	t.ports[i].Advance(t.now)
	t.leave(from)
}

func (t *trial) arm(from group.ID) {
	i := from.Index()
	next := t.ports[i].Next()
	if t.packing != nil {
		next = min(next, t.packing.next(from))
	}
	if next < t.armed[i] {
		t.armed[i] = next
		t.queue.push(event{at: next, kind: transit, from: from})
	}
}

// land lets a message arrive.
func (t *trial) land(at clock.Instant, to int, l letter) {
	if l.body != nil {
		t.packing.lands(at, group.ID(to), l)
		return
	}
	t.queue.push(event{at: at, kind: arrive, node: group.ID(to), from: l.from, env: l.env, arg: int(l.class)})
}

func (t *trial) waiting(i int) int {
	sum := 0
	for to := range t.servers {
		sum += t.ports[i].Waiting(to + 1)
	}
	return sum
}

// counting is a scheme that counts what it verifies.
type counting struct {
	sign.Scheme
	verified *int
}
