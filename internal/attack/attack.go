// Package attack is Byzantine replicas: wrappers around a correct core.Machine that hold, drop, alter, double or redirect what
// it says, or hide from it what others say. One file per behaviour. Only the simulator, the demo and tests may use it: a
// program that embeds the library cannot contain it.
//
// An attacker has its own replica's key, and at most those of its allies: what it puts into an effect.Send as Msg is signed in its
// own name, what it puts there as Signed has to have been signed by somebody before, and Host.Sign makes a signed message of its own
// for embedding. It has full knowledge of its own replica, and wrappers can be stacked.
package attack

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// Host is the replica that misbehaves, as its attacker knows it.
type Host struct {
	Self         group.ID
	Group        group.Group
	Incarnations []uint32
	Limits       core.Limits
	Pause        time.Duration // between what the attacker does of its own accord
	Rand         *rand.Rand
	Sign         func(wire.Message) *wire.Envelope // in the name of Self, alone
	// Allies are the faulty replicas that it knows of. SignAs signs in the name of one of them, whose key it shares; nil: it has only
	// its own.
	Allies group.Set
	SignAs func(group.ID, wire.Message) *wire.Envelope
	// Twin makes a second correct machine of the same replica, which has seen nothing; nil: it cannot.
	Twin func() core.Machine
}

// Behaviour is one way to misbehave.
type Behaviour struct {
	Name   string // one word, for plans and reports
	Does   string // one line for people
	Leader bool   // means something only at the leader
	Hides  bool   // its requests, or one of two under one number, do not reach all: what is ordered with them waits until they are fetched
	Noisy  bool   // never stops, or introduces requests of its own: an idle system need not fall silent
	Apart  bool   // not drawn among the others: worlds in which it means something draw it by itself
	Wrap   func(h *Host, inner core.Machine) core.Machine
}

// Behaviours are all there are, in a fixed order.
func Behaviours() []Behaviour {
	return []Behaviour{
		equivocate(), equivocateToTwo(), agree(), hide(), mute(), selective(), liar(), falseAcks(), wrongVotes(), absurdTime(),
		flood(), replay(), late(), frame(), omitRows(), staleRows(), forgeRows(), twoProposals(), proposeToOne(),
		proposalToTheRest(), delay(), silentChange(), halfChange(), replayToOne(), twoReplays(), twoReports(), lyingReports(),
		forgedReports(), falseMeasures(), voter(), stalls(), floodViews(), reconciliation(), wrongBase(), earlyPongs(), forgedChange(),
		floodKind(), twins(), sharedKey(), forgedShares(),
		lieInParts(), floodParts(), needy(), frameParts(),
		wrongCheckpoints(), twoCheckpoints(), noCheckpoints(), floodCheckpoints(), forgedProofs(),
		wrongOutline(), wrongSegment(), silentHelper(), slowHelper(), floodSegments(),
	}
}

// Named returns the behaviour of that name; also of "flood:KIND", the flood of one kind of message.
func Named(name string) (Behaviour, bool) {
	if kind, ok := strings.CutPrefix(name, "flood:"); ok {
		return floodOf(kind)
	}
	for _, b := range Behaviours() {
		if b.Name == name {
			return b, true
		}
	}
	return Behaviour{}, false
}

// edit returns a Wrap that lets the inner machine do what it does and then has rewrite replace what it sends.
func edit(rewrite func(h *Host, send effect.Send, put func(effect.Send))) func(*Host, core.Machine) core.Machine {
	return func(h *Host, inner core.Machine) core.Machine {
		return &editor{host: h, Machine: inner, rewrite: rewrite}
	}
}

// editor rewrites the sends of a machine one by one.
type editor struct {
	core.Machine
	host    *Host
	rewrite func(h *Host, send effect.Send, put func(effect.Send))
	scratch effect.Output
}

// Step implements core.Machine.
func (e *editor) Step(now clock.Instant, in core.Input, out *effect.Output) {
	e.scratch.Reset()
	e.Machine.Step(now, in, &e.scratch)
	put := func(s effect.Send) {
		if s.To != 0 {
			out.Sends = append(out.Sends, s)
		}
	}
	for _, s := range e.scratch.Sends {
		e.rewrite(e.host, s, put)
	}
	pass(&e.scratch, out)
}

// pass hands on everything that is not sent.
func pass(from, to *effect.Output) {
	to.Deliver = append(to.Deliver, from.Deliver...)
	to.Refused = append(to.Refused, from.Refused...)
	to.Evidence = append(to.Evidence, from.Evidence...)
	to.Jobs = append(to.Jobs, from.Jobs...)
	to.Events = append(to.Events, from.Events...)
	if from.Stable != nil {
		to.Stable = from.Stable
	}
	if from.Lacks != nil {
		to.Lacks = from.Lacks
	}
	if from.Diverged != nil {
		to.Diverged = from.Diverged
	}
}

// actor adds to what a machine does: it sees every input and output and has a clock of its own.
type actor struct {
	core.Machine
	host *Host
	next clock.Instant
	sees func(a *actor, in core.Input, sends []effect.Send)       // nil: nothing
	acts func(a *actor, now clock.Instant, put func(effect.Send)) // when its time has come
	seen []*wire.Envelope                                         // what it remembers
}

// memory is how many messages an attacker remembers.
const memory = 256

// remember keeps env, in the place of a random older one if memory is full.
func (a *actor) remember(env *wire.Envelope) {
	if len(a.seen) < memory {
		a.seen = append(a.seen, env)
		return
	}
	a.seen[a.host.Rand.IntN(memory)] = env
}

// Step implements core.Machine.
func (a *actor) Step(now clock.Instant, in core.Input, out *effect.Output) {
	before := len(out.Sends)
	a.Machine.Step(now, in, out)
	if a.sees != nil {
		a.sees(a, in, out.Sends[before:])
	}
	if now < a.next {
		return
	}
	a.next = now.Add(a.host.Pause)
	a.acts(a, now, func(s effect.Send) {
		if s.To != 0 {
			out.Sends = append(out.Sends, s)
		}
	})
}

// Deadline implements core.Machine.
func (a *actor) Deadline() clock.Instant { return min(a.next, a.Machine.Deadline()) }

// half is every second member of a set, the first one included.
func half(s group.Set) group.Set {
	var out group.Set
	take := true
	for id := range s.All() {
		if take {
			out = out.With(id)
		}
		take = !take
	}
	return out
}

// anyone is a random other replica.
func (h *Host) anyone() group.Set {
	for {
		if id := group.FromIndex(h.Rand.IntN(h.Group.N())); id != h.Self {
			return group.SetOf(id)
		}
	}
}

// some is a random set of other replicas.
func (h *Host) some() group.Set { return group.Set(h.Rand.Uint64()).Intersect(h.Group.Others(h.Self)) }

// digest is bytes that are the hash of nothing.
func (h *Host) digest() (d wire.Digest) {
	for i := range d {
		d[i] = byte(h.Rand.Uint32())
	}
	return d
}
