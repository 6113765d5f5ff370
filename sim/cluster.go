package sim

import (
	"math/rand/v2"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/attack"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/heavy"
	"github.com/primebft/prime/internal/invariant"
	"github.com/primebft/prime/internal/sign"
	"github.com/primebft/prime/internal/wire"
)

// epoch is the number of the configuration of every world; calendar is the calendar time at which every world starts.
const (
	epoch    = 1
	calendar = int64(1_760_000_000_000_000_000)
)

// node is one replica and the machine that it runs on.
type node struct {
	id       group.ID
	plan     *replicaPlan
	machine  core.Machine
	signer   *sign.Signer
	worker   *heavy.Worker
	app      app.Application // nil: none
	crashed  clock.Instant   // Never while it lives
	ends     []clock.Instant // of its earlier lives
	at       uint64          // the last ordinal that it has executed, in this life
	disk     *disk           // nil: it is ephemeral
	echo     bool            // the message that it is given is its own that came back
	signFree clock.Instant   // when its signer has time again
	workFree clock.Instant   // when whoever does its jobs has
	repair   Repair          // what it sends
	armed    clock.Instant   // the earliest wake event that is scheduled; Never if none is
	steps    int             // taken
	idle     int             // ticks in a row that did not move its deadline
	out      effect.Output
	batch    []*wire.Envelope
	making   []stored                 // checkpoints that it is making
	stored   []stored                 // those that it has
	lacks    *effect.Stable           // the one that it needs; nil: none
	fetching bool                     // a transfer is under way
	accepted map[updateKey]bool       // updates of clients that it took, and has not refused since
	own      uint64                   // its own requests that it has executed
	ownAt    map[uint64]clock.Instant // when, since the storm
}

// local is the instant that the node's own clock shows.
func (n *node) local(now clock.Instant) clock.Instant { return n.plan.local(now) - n.away() }

// away is how long its clock stood still because it was not there.
func (n *node) away() clock.Instant {
	if n.disk == nil {
		return 0
	}
	return n.disk.shift
}

// correct reports whether the node follows the protocol.
func (n *node) correct() bool { return len(n.plan.attacks) == 0 }

// live reports whether the node is correct and has not crashed.
func (n *node) live() bool { return n.correct() && n.crashed == clock.Never }

// status is where the node says that it is.
func (n *node) status() core.Status {
	if s, ok := n.machine.(interface{ Status() core.Status }); ok {
		return s.Status()
	}
	return core.Status{}
}

// build makes the nodes of a world.
func (w *world) build() error {
	p := w.plan
	incarnations := make([]uint32, p.group.N())
	for i := range incarnations {
		incarnations[i] = 1 + uint32(i%3) // any numbers will do, but they must not be mixed up
	}
	shares, err := w.openShares(p.group)
	if err != nil {
		return err
	}
	if w.keys, err = newIdentities(p.group, epoch, incarnations, p.auth, w.options.RealSignatures, shares[0]); err != nil {
		return err
	}
	w.header = make([]wire.Header, p.group.N())
	for i := range p.replicas {
		id := group.FromIndex(i)
		w.header[i] = w.keys.keyring.Header(id)
		n := &node{id: id, plan: &p.replicas[i], crashed: clock.Never, armed: clock.Never, accepted: map[updateKey]bool{},
			ownAt: map[uint64]clock.Instant{}}
		if n.signer, err = w.keys.signer(id); err != nil {
			return err
		}
		n.signer.UseThreshold(shares[id])
		if n.machine, err = w.machine(p.config(id, incarnations)); err != nil {
			return err
		}
		if n.worker, err = heavy.New(id, p.group, w.wire, w.keys.verifier.Verify); err != nil {
			return err
		}
		if p.durable(id) {
			if err = w.newDisk(n, p.config(id, incarnations)); err != nil {
				return err
			}
		}
		w.attach(n, incarnations)
		if w.options.App != nil && n.correct() {
			n.app = w.options.App(int(id))
		}
		w.nodes = append(w.nodes, n)
	}
	w.ledger = newLedger(p.group, epoch, incarnations)
	w.promises = newPromises(w.ledger, w.fail)
	w.views = w.promises.views
	w.checkpoints = newCheckpoints(w.options.Seed, p.group.N())
	w.promises.now = func() clock.Instant { return w.now }
	if s := &p.replicas[0].timing.Suspect; p.judged {
		var ping time.Duration // a little more than before is reported no later than this
		for i := range p.replicas {
			ping = max(ping, p.replicas[i].timing.Suspect.Ping)
		}
		w.promises.remembers = s.Window - s.Window*time.Duration(p.drift())/million - p.stretch(ping+ping/2)
	}
	w.history = newHistory(w.promises, epoch, p.limits.Sessions, p.limits.SessionWindow)
	w.history.honest = p.correct
	return nil
}

// config is what a replica's core is made with.
func (p *plan) config(id group.ID, incarnations []uint32) core.Config {
	r := &p.replicas[id.Index()]
	cfg := core.Config{
		Self: id, Group: p.group, Epoch: epoch, Incarnations: incarnations, Limits: p.limits, Timing: r.timing,
		Wall: calendar + int64(r.skew) - int64(r.start), Check: p.check,
	}
	cfg.Seed[0] = byte(id)
	return cfg
}

// attach wraps the behaviours that a node has round its machine.
func (w *world) attach(n *node, incarnations []uint32) {
	host := &attack.Host{
		Self: n.id, Group: w.plan.group, Incarnations: incarnations, Limits: w.plan.limits,
		Pause: n.plan.timing.Retransmit/4 + time.Millisecond, Rand: rand.New(rand.NewPCG(w.options.Seed, 100+uint64(n.id))),
	}
	host.Sign = func(m wire.Message) *wire.Envelope {
		env := wire.NewEnvelope(w.header[n.id.Index()], n.signer.Complete(m))
		n.signer.Sign([]*wire.Envelope{env})
		w.ledger.said(env)
		return env
	}
	for i := range w.plan.replicas {
		if len(w.plan.replicas[i].attacks) > 0 {
			host.Allies = host.Allies.With(group.FromIndex(i))
		}
	}
	host.SignAs = func(ally group.ID, m wire.Message) *wire.Envelope {
		env := wire.NewEnvelope(w.header[ally.Index()], w.nodes[ally.Index()].signer.Complete(m))
		w.nodes[ally.Index()].signer.Sign([]*wire.Envelope{env})
		w.ledger.said(env)
		return env
	}
	host.Twin = func() core.Machine {
		twin, err := w.machine(w.plan.config(n.id, incarnations))
		invariant.Assert(err == nil, "%s was possible once, and not again: %v", n.id, err)
		return twin
	}
	correct := n.machine
	for _, name := range n.plan.attacks {
		if b, ok := attack.Named(name); ok {
			n.machine = b.Wrap(host, n.machine)
		}
	}
	if len(n.plan.attacks) > 0 && w.plan.serve.latent {
		n.machine = &latent{correct: correct, attacker: n.machine, wakes: func() bool { return w.calm.stage > probing }}
	}
}

// latent is an attacker that behaves until its time has come.
type latent struct {
	correct, attacker core.Machine
	wakes             func() bool
}

func (l *latent) machine() core.Machine {
	if l.wakes() {
		return l.attacker
	}
	return l.correct
}

// Step implements core.Machine.
func (l *latent) Step(now clock.Instant, in core.Input, out *effect.Output) {
	l.machine().Step(now, in, out)
}

// Deadline implements core.Machine.
func (l *latent) Deadline() clock.Instant { return l.machine().Deadline() }

// step gives a node one input and carries out what follows.
func (w *world) step(n *node, in core.Input) {
	if w.reached(n, true) {
		return
	}
	if n.correct() && in.Message != nil {
		w.ledger.heard(n.id, in.Message)
	}
	w.stepping = n.id
	n.out.Reset()
	n.machine.Step(n.local(w.now), in, &n.out)
	w.stepping = 0
	w.events++
	if n.disk != nil {
		w.remember(n, in, n.echo)
	} else {
		w.carryOut(n)
	}
	if n.steps++; n.steps%w.plan.scrutiny() == 0 && n.live() {
		w.grown(n)
	}
	if !w.reached(n, false) {
		w.arm(n)
	}
}

// carryOut does what a step asked for.
func (w *world) carryOut(n *node) {
	if n.correct() {
		w.observe(n)
	} else {
		for i := range n.out.Deliver {
			if d := &n.out.Deliver[i]; d.State != nil {
				w.due(n, d)
			}
		}
	}
	w.lacking(n)
	if w.calm.stage == resting {
		w.calm.sends[n.id.Index()] += len(n.out.Sends)
	}
	w.work(n)
	w.nap(n)
	departs := w.sign(n)
	signed := 0
	for i := range n.out.Sends {
		s := &n.out.Sends[i]
		if s.Msg == nil {
			w.transmit(n, s, s.Signed, w.now)
			continue
		}
		w.transmit(n, s, n.batch[signed], departs)
		signed++
	}
}

// observe lets the checkers see what a correct node did, apart from the messages that it signs.
func (w *world) observe(n *node) {
	for i := range n.out.Refused {
		w.refused(n, &n.out.Refused[i])
	}
	for i := range n.out.Events {
		w.noted(n, &n.out.Events[i])
	}
	for i := range n.out.Evidence {
		if e := &n.out.Evidence[i]; w.plan.correct(e.First.Sender) {
			w.fail("%s convicts %s, which is correct, by two %s", n.id, e.First.Sender, e.First.Kind)
		}
	}
	for i := range n.out.Sends {
		s := &n.out.Sends[i]
		if s.Signed != nil {
			w.promises.flooded(n.id, s)
		} else if m, ok := s.Msg.(*wire.Parts); ok {
			for k := range m.List {
				w.promises.parted(n.id, s, &m.List[k])
			}
		}
	}
	for i := range n.out.Deliver {
		w.deliver(n, &n.out.Deliver[i])
	}
	w.stabilised(n)
}

// sign makes envelopes of everything new that a step sends: one batch, one signature. It returns when they are ready.
func (w *world) sign(n *node) clock.Instant {
	n.batch = n.batch[:0]
	for i := range n.out.Sends {
		if m := n.out.Sends[i].Msg; m != nil {
			n.batch = append(n.batch, wire.NewEnvelope(w.header[n.id.Index()], n.signer.Complete(m)))
		}
	}
	if len(n.batch) == 0 {
		return w.now
	}
	n.signer.Sign(n.batch)
	n.signFree = max(n.signFree, w.now).Add(n.plan.signCost)
	if n.correct() && w.calm.stage != raging && w.now >= w.plan.aftermath() {
		w.calm.signing = max(w.calm.signing, n.signFree.Sub(w.now))
	}
	for _, env := range n.batch {
		w.note(w.now, "says", n.id, 0, env)
		if n.correct() {
			w.promises.signed(env)
			if m, ok := env.Msg.(*wire.PreorderRequest); ok {
				w.introducing(n, m)
			}
		} else {
			w.ledger.said(env)
		}
	}
	return n.signFree
}

// transmit puts an envelope on its ways.
func (w *world) transmit(n *node, s *effect.Send, env *wire.Envelope, departs clock.Instant) {
	if s.Class < wire.Timely || s.Class > wire.Classes || s.To.Minus(w.plan.group.All()) != 0 || (s.Msg == nil) == (s.Signed == nil) {
		w.fail("%s sends to %s in class %d: no such thing", n.id, s.To, s.Class)
		return
	}
	if !n.correct() || w.plan.roundTrip {
		if env = w.checked(n, env); env == nil {
			return
		}
	}
	n.repair.count(s, env, s.To.Without(n.id).Len())
	for to := range s.To.All() {
		if to == n.id {
			w.queue.push(event{at: departs, kind: arrive, node: to, from: n.id, env: env, departs: departs, life: len(n.ends)})
			continue
		}
		departs++ // copies leave one after the other, so a crash can come in between
		if w.storm && w.network.missed(w.now, env.Kind, to) {
			continue
		}
		w.arrivals = w.network.arrivals(w.arrivals[:0], departs, n.id, to, s.Class, w.storm)
		for _, at := range w.arrivals {
			if w.links != nil {
				w.queue.push(event{at: at, kind: depart, node: to, from: n.id, env: env, departs: departs, arg: int(s.Class),
					life: len(n.ends)})
				continue
			}
			at = at.Add(w.nodes[to.Index()].plan.verifyCost)
			w.queue.push(event{at: at, kind: arrive, node: to, from: n.id, env: env, departs: departs, life: len(n.ends)})
		}
	}
}

// checked is env as a receiver would get it: decoded from its bytes and verified; nil if a receiver refuses it, which is a
// fault of a correct sender.
func (w *world) checked(n *node, env *wire.Envelope) *wire.Envelope {
	got, err := w.wire.Decode(env.Raw)
	if err == nil {
		err = w.keys.verifier.Verify(got)
	}
	if err == nil {
		return got
	}
	if n.correct() {
		w.fail("%s sends a %s that receivers refuse: %v", n.id, env.Kind, err)
	}
	w.refusedFrames++
	return nil
}

// arm schedules the wake-up that a node's machine wants.
func (w *world) arm(n *node) {
	due := n.machine.Deadline()
	if due == clock.Never {
		return
	}
	if at := max(n.plan.world(due+n.away()), w.now); at < n.armed {
		n.armed = at
		w.queue.push(event{at: n.armed, kind: wake, node: n.id})
	}
}
