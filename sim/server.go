package sim

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/heavy"
	"github.com/primebft/prime/internal/sign"
	"github.com/primebft/prime/internal/wire"
)

// server is one replica of an experiment and its processors. Like a real replica it takes the most urgent message first, signs
// everything that has gathered while it signed the batch before, and never does two steps of its machine at once.
type server struct {
	trial    *trial
	id       group.ID
	header   wire.Header
	machine  core.Machine
	status   func() core.Status
	signer   *sign.Signer
	verifier *sign.Verifier
	verified int // signatures

	inbox  [wire.Classes]backlog[*wire.Envelope] // of peers
	own    backlog[*wire.Envelope]               // signed copies of what it says itself
	fresh  []wire.Update                         // of its clients
	urgent []effect.Send                         // TIMELY, to be signed
	rest   []effect.Send
	repair []effect.Send       // RECON
	heavy  backlog[effect.Job] // of its machine
	heaved bool                // what it did last was heavy
	spent  [wire.Classes]int   // messages of each class in this turn
	worker *heavy.Worker
	ticked bool // its machine wants to be woken

	cores, busy int
	busyTime    time.Duration
	signing     bool
	armed       clock.Instant
	executed    int // updates
	out         effect.Output
}

// backlog is what waits, in order.
type backlog[T any] struct {
	items []T
	first int
}

func (b *backlog[T]) push(v T)    { b.items = append(b.items, v) }
func (b *backlog[T]) empty() bool { return b.first == len(b.items) }

func (b *backlog[T]) pop() T {
	v := b.items[b.first]
	if b.first++; b.first == len(b.items) {
		clear(b.items)
		b.items, b.first = b.items[:0], 0
	}
	return v
}

// job is what a processor is busy with: one of a message, updates of clients, a tick, a batch to sign, and heavy work of the core.
type job struct {
	message *wire.Envelope
	updates []wire.Update
	sends   []effect.Send
	done    *effect.Done
}

// Verify implements sign.Scheme.
func (c counting) Verify(key ed25519.PublicKey, message []byte, sig *wire.Signature) bool {
	*c.verified++
	return c.Scheme.Verify(key, message, sig)
}

// dispatch gives processors that are free something to do.
func (s *server) dispatch() {
	for s.busy < s.cores {
		j, cost, ok := s.next()
		if !ok {
			return
		}
		s.busy++
		if s.trial.now > s.trial.begin {
			s.busyTime += cost
		}
		place := len(s.trial.jobs)
		if k := len(s.trial.idle); k > 0 {
			place = s.trial.idle[k-1]
			s.trial.idle = s.trial.idle[:k-1]
			s.trial.jobs[place] = j
		} else {
			s.trial.jobs = append(s.trial.jobs, j)
		}
		s.trial.queue.push(event{at: s.trial.now.Add(cost), kind: finish, node: s.id, arg: place})
	}
}

// quanta is how many messages of each class a processor takes in turn, as the pool of a real replica does. TIMELY always goes first.
var quanta = [wire.Classes]int{16, 16, 4, 4}

// next is the most urgent thing to do, and how long it takes. Heavy work is every other thing at most: it is done on threads of its own.
func (s *server) next() (j job, cost time.Duration, ok bool) {
	c := &s.trial.plan.Costs
	switch {
	case s.ticked:
		s.ticked = false
		return job{}, c.Step, true
	case !s.signing && len(s.urgent)+len(s.rest)+len(s.repair) > 0:
		j.sends = s.gather()
		s.signing = true
		return j, s.signCost(j.sends), true
	case !s.inbox[0].empty():
		return s.receive(s.inbox[0].pop())
	case !s.own.empty():
		j.message = s.own.pop()
		return j, s.stepCost(j.message), true
	}
	if s.heaved = !s.heaved && !s.heavy.empty(); s.heaved {
		return s.labour(s.heavy.pop())
	}
	for range 2 {
		for class := 1; class < len(s.inbox); class++ {
			if !s.inbox[class].empty() && s.spent[class] < quanta[class] {
				s.spent[class]++
				return s.receive(s.inbox[class].pop())
			}
		}
		s.spent = [wire.Classes]int{}
	}
	if !s.heavy.empty() {
		return s.labour(s.heavy.pop())
	}
	if len(s.fresh) > 0 {
		j.updates, s.fresh = s.fresh, nil
		return j, c.Step + s.admit(j.updates), true
	}
	return j, 0, false
}

// receive is the work that a message of a peer makes.
func (s *server) receive(env *wire.Envelope) (j job, cost time.Duration, ok bool) {
	s.verified = 0
	if err := s.verifier.Verify(env); err != nil {
		s.trial.err = fmt.Errorf("%s refuses a %s of %s: %w", s.id, env.Kind, env.Sender, err)
	}
	c := &s.trial.plan.Costs
	cost = c.Frame + c.Verify*time.Duration(s.verified) + c.Hash*time.Duration(len(env.Raw))/1024
	return job{message: env}, cost + s.stepCost(env), true
}

// labour does heavy work: cutting or joining, and what that needs of signatures.
func (s *server) labour(heavy effect.Job) (j job, cost time.Duration, ok bool) {
	c := &s.trial.plan.Costs
	s.verified = 0
	done := s.worker.Do(heavy)
	bytes := 0
	if heavy.Request != nil {
		bytes = len(heavy.Request.Raw)
	} else {
		bytes = int(heavy.Parts[0].Msg.(*wire.Parts).Find(heavy.ID).Length)
	}
	cost = c.Code*time.Duration(bytes)/1024 + c.Verify*time.Duration(s.verified)
	return job{done: &done}, cost + c.Step, true
}

// admit is what a replica does with updates of its own clients before it introduces them.
func (s *server) admit(updates []wire.Update) time.Duration {
	c := &s.trial.plan.Costs
	s.verified = 0
	if s.trial.plan.ClientAuth {
		for i := range updates {
			if err := s.verifier.VerifyUpdate(s.id, &updates[i]); err != nil {
				s.trial.err = fmt.Errorf("%s refuses an update: %w", s.id, err)
			}
		}
	}
	return c.Frame*time.Duration(len(updates)) + c.Verify*time.Duration(s.verified)
}

// stepCost is what the core does with a message; the updates of a request cost more once they are executed.
func (s *server) stepCost(env *wire.Envelope) time.Duration {
	c := &s.trial.plan.Costs
	if m, ok := env.Msg.(*wire.PreorderRequest); ok {
		return c.Step + c.Execute*time.Duration(len(m.Updates))
	}
	return c.Step
}

// batchContent is how many bytes are signed together at most, as in a real replica.
const batchContent = 64 << 10

// gather takes what is signed next, the urgent first.
func (s *server) gather() (sends []effect.Send) {
	size := 0
	for _, from := range []*[]effect.Send{&s.urgent, &s.rest, &s.repair} {
		taken := 0
		for ; taken < len(*from) && len(sends) < wire.MaxBatch && size < batchContent; taken++ {
			send := (*from)[taken]
			size += len(wire.NewEnvelope(s.header, send.Msg).Content)
			sends = append(sends, send)
		}
		*from = append([]effect.Send(nil), (*from)[taken:]...)
	}
	return sends
}

// signCost is what it takes to sign a batch, to encode it, and to write it to all.
func (s *server) signCost(sends []effect.Send) (cost time.Duration) {
	c := &s.trial.plan.Costs
	shared := time.Duration(0)
	for i := range sends {
		env := wire.NewEnvelope(s.header, sends[i].Msg)
		cost += c.Frame*time.Duration(sends[i].To.Len()) + c.Hash*time.Duration(len(env.Content))/1024
		if env.Kind.Alone() {
			cost += c.Sign
		} else {
			shared = c.Sign
		}
	}
	return cost + shared
}

// finish does what a job was about.
func (s *server) finish(j *job) {
	s.busy--
	switch {
	case j.sends != nil:
		s.signing = false
		s.send(j.sends)
	case j.message != nil:
		s.step(core.Input{Message: j.message})
	case j.done != nil:
		s.step(core.Input{Done: j.done})
	case j.updates != nil:
		s.step(core.Input{Submit: j.updates})
	default:
		s.step(core.Tick)
	}
}

// send signs a batch and gives it to the links.
func (s *server) send(sends []effect.Send) {
	batch := make([]*wire.Envelope, len(sends))
	for i := range sends {
		batch[i] = wire.NewEnvelope(s.header, sends[i].Msg)
	}
	s.signer.Sign(batch)
	for i, env := range batch {
		s.verifier.Remember(env)
		if m, ok := env.Msg.(*wire.PreorderRequest); ok && s.trial.now > s.trial.begin {
			s.trial.tally.requests++
			s.trial.tally.requested += uint64(len(m.Updates))
		}
		s.trial.post(s, sends[i].To, sends[i].Class, env)
	}
	s.trial.leave(s.id)
}

// seal signs one message at once, for an attacker.
func (s *server) seal(m wire.Message) *wire.Envelope {
	env := wire.NewEnvelope(s.header, m)
	s.signer.Sign([]*wire.Envelope{env})
	s.verifier.Remember(env)
	return env
}

// step gives the machine one input and carries out what follows.
func (s *server) step(in core.Input) {
	t := s.trial
	s.out.Reset()
	var begin time.Time
	if t.stopwatch {
		begin = time.Now()
	}
	s.machine.Step(t.now, in, &s.out)
	if t.stopwatch {
		t.stepTime += time.Since(begin)
		t.steps++
	}
	for i := range s.out.Sends {
		switch send := s.out.Sends[i]; {
		case send.Signed != nil:
			if k := send.Signed.Kind; t.now > t.begin && k != wire.KindPrePrepare {
				t.tally.repeated++
			}
			t.post(s, send.To, send.Class, send.Signed)
		case send.Class == wire.Timely:
			s.urgent = append(s.urgent, send)
		case send.Class == wire.Recon:
			s.repair = append(s.repair, send)
		default:
			s.rest = append(s.rest, send)
		}
	}
	t.leave(s.id)
	for i := range s.out.Jobs {
		s.heavy.push(s.out.Jobs[i])
	}
	for i := range s.out.Refused {
		t.err = fmt.Errorf("%s refuses an update of a client, reason %d", s.id, s.out.Refused[i].Why)
	}
	for i := range s.out.Deliver {
		t.executions += len(s.out.Deliver[i].Updates)
		t.executed(s, &s.out.Deliver[i])
	}
	s.rearm()
}

// rearm schedules the wake-up that the machine wants.
func (s *server) rearm() {
	due := s.machine.Deadline()
	if due == clock.Never || due >= s.armed {
		return
	}
	s.armed = max(due, s.trial.now)
	s.trial.queue.push(event{at: s.armed, kind: wake, node: s.id})
}
