package node

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

const (
	// burst is how many BOUNDED and RECON messages are handled before TIMELY ones are looked for again.
	burst = 32
	// egressLimit is how many messages may wait for their signature before the loop takes no more of peers' messages and
	// clients' updates. Own signed copies and time are always taken, so the loop itself always makes progress.
	egressLimit = 4096
)

// inbox is what the loop takes peers' messages from: package sign's Pool.
type inbox interface {
	// TakeFrom appends up to max messages of a class, all of them verified, to dst, and who brought each to by.
	TakeFrom(dst []*wire.Envelope, by []group.ID, class wire.Class, max int) ([]*wire.Envelope, []group.ID)
	// Ready has a token when there may be something to take.
	Ready() <-chan struct{}
	// Progress says how far the loop is; see sign.Pool.
	Progress(executed, ordered, farthest uint64)
}

// loop is the one goroutine that owns the machine. Its fields belong to that goroutine, but for those that say otherwise.
type loop struct {
	machine core.Machine
	status  func() core.Status
	waiting func() (updates, bytes int) // of own clients, inside the machine
	// progress is how far the machine is, for the inbox.
	progress func() (executed, ordered, farthest uint64)
	clock    *clock.Real
	self     group.ID

	inbox      inbox
	back       *mailbox[ownCopy]     // own signed copies
	done       *mailbox[effect.Done] // jobs of the machine that have been done
	submits    *mailbox[wire.Update] // of own clients
	events     *mailbox[core.Input]  // of the replica itself: about transfers and checkpoints
	outlet     *outlet
	journal    *journal    // nil: nothing is remembered
	unfinished *unfinished // nil: no images of the core are taken
	// restoration is what was remembered before this start; nil if nothing was.
	restoration *restoration
	wrap        func(core.Machine) core.Machine // of what was restored; nil: nothing more
	broke       func(error)                     // the log cannot be used: called once

	now     clock.Instant
	out     effect.Output
	timer   *time.Timer
	armed   clock.Instant // what timer is set to
	current core.Input    // the one being handled, for the dump of a crash
	held    bool          // whoever follows the loop is behind, so it takes nothing new
	updates []wire.Update // spare memory
	copies  []ownCopy
	envs    []*wire.Envelope
	by      []group.ID // who brought envs
	results []effect.Done
	told    []core.Input

	// Shared with other goroutines.
	poke      chan struct{}             // something that the loop may be waiting for has happened
	ask       chan chan<- core.Status   // somebody wants to know where the machine is
	drain     chan chan<- struct{}      // somebody wants to know when own clients' updates are done
	watchful  atomic.Bool               // pokes are of use
	started   atomic.Pointer[Start]     // how it went through its log; nil until then
	restoring atomic.Bool               // what was remembered is being given to the machine again
	pending   atomic.Int64              // bytes of own clients' updates inside the machine
	steps     histogram                 // how long steps took
	inputs    [inputKinds]atomic.Uint64 // steps by kind of input

	drains   []chan<- struct{}
	answered func(executed uint64) bool // what is up to that ordinal of this replica's updates has been answered
}

// The kinds of inputs that are counted.
const (
	inputTimely = iota
	inputBounded
	inputRecon
	inputOwn
	inputSubmit
	inputDone
	inputEvent
	inputTick
	inputKinds
)

var inputNames = [inputKinds]string{"timely", "bounded", "recon", "own", "submit", "done", "event", "tick"}

// nudge wakes the loop if it waits for something that is not an input.
func (l *loop) nudge() {
	if l.watchful.Load() {
		wake(l.poke)
	}
}

// run is the loop: everything that is there, most urgent first, then wait.
func (l *loop) run(stop <-chan struct{}) {
	l.now, l.armed = l.clock.Now(), clock.Never
	l.timer = time.NewTimer(time.Hour)
	defer l.timer.Stop()
	if !l.restored(stop) {
		return
	}
	if l.wrap != nil {
		l.machine = l.wrap(l.machine)
	}
	for {
		for l.round() {
			select {
			case <-stop:
				return
			case c := <-l.ask:
				c <- l.status()
			case c := <-l.drain:
				l.drains = append(l.drains, c)
			default:
			}
			l.answerDrains()
		}
		l.watchful.Store(l.held || len(l.drains) > 0)
		l.answerDrains() // and again when somebody nudges
		if l.held && !l.outlet.congested() {
			continue
		}
		if !l.wait(stop) {
			return
		}
	}
}

// round handles own copies, TIMELY messages, a burst of others, and own clients' updates; false if there was nothing. What
// follows from all of it leaves together, so that one signature covers it; a burst is short, so nothing urgent waits for long.
func (l *loop) round() bool {
	busy := l.own()
	busy = l.finish() || busy
	busy = l.tell() || busy
	if l.held = l.outlet.congested(); !l.held {
		busy = l.messages(wire.Timely, inputTimely) || busy
		busy = l.messages(wire.Bounded, inputBounded) || busy
		busy = l.messages(wire.Recon, inputRecon) || busy
		busy = l.submit() || busy
	}
	if l.machine.Deadline() <= l.clock.Now() {
		l.step(core.Tick, inputTick)
		busy = true
	}
	if busy {
		l.flush()
	}
	return busy
}

// own handles this replica's own signed messages.
func (l *loop) own() bool {
	l.copies, _ = l.back.take(l.copies)
	for i := range l.copies {
		if l.unfinished != nil {
			l.unfinished.awaited.Take(l.copies[i].of)
		}
		l.step(core.Input{Message: l.copies[i].env}, inputOwn)
	}
	return len(l.copies) > 0
}

// finish hands results of jobs to the machine.
func (l *loop) finish() bool {
	l.results, _ = l.done.take(l.results)
	for i := range l.results {
		if l.unfinished != nil {
			l.unfinished.did(&l.results[i].Job)
		}
		l.step(core.Input{Done: &l.results[i]}, inputDone)
	}
	return len(l.results) > 0
}

// tell hands what concerns transfers and checkpoints to the machine.
func (l *loop) tell() bool {
	l.told, _ = l.events.take(l.told)
	for i := range l.told {
		l.step(l.told[i], inputEvent)
	}
	return len(l.told) > 0
}

// messages handles what peers have sent in a class.
func (l *loop) messages(class wire.Class, kind int) bool {
	l.envs, l.by = l.inbox.TakeFrom(l.envs[:0], l.by[:0], class, burst)
	for i, env := range l.envs {
		l.envs[i] = nil
		if by := l.by[i]; l.journal.refuses(by) {
			l.outlet.dropped(by, reasonShare)
		} else {
			l.stepOf(core.Input{Message: env}, kind, by)
		}
	}
	return len(l.envs) > 0
}

// submit hands own clients' updates to the machine.
func (l *loop) submit() bool {
	l.updates, _ = l.submits.take(l.updates)
	if len(l.updates) > 0 {
		l.step(core.Input{Submit: l.updates}, inputSubmit)
	}
	return len(l.updates) > 0
}

// step is one step of the machine.
func (l *loop) step(in core.Input, kind int) { l.stepOf(in, kind, 0) }

// stepOf is a step that a peer has brought about; 0: none has.
func (l *loop) stepOf(in core.Input, kind int, by group.ID) {
	l.inputs[kind].Add(1)
	l.journaled(in, by)
	after := l.clock.Now()
	l.steps.add(after.Sub(l.now))
	l.now = after
}

// journaled gives the machine an input and remembers that.
func (l *loop) journaled(in core.Input, by group.ID) {
	l.current = in
	before, refused := len(l.out.Deliver), len(l.out.Refused)
	l.machine.Step(l.now, in, &l.out)
	in.Submit = without(in.Submit, l.out.Refused[refused:])
	l.journal.input(l.now, in, l.out.Known, by)
	if in.Restored != nil {
		l.journal.kept(in.Restored.Ordinal)
	}
	n := len(l.out.Deliver)
	if n == before {
		return
	}
	last := &l.out.Deliver[n-1]
	if last.Jump != nil {
		l.outlet.checkpoints.leaped()
	}
	if last.State != nil || last.Jump != nil {
		l.keep()
	}
}

// without is updates less those that the core refused because their time has gone: whoever repeats these must not fill the log. Of others
// that it refused it may have taken one of the same number in the same step.
func without(updates []wire.Update, refused []effect.Refusal) []wire.Update {
	if len(refused) == 0 {
		return updates
	}
	return slices.DeleteFunc(slices.Clone(updates), func(u wire.Update) bool {
		return slices.ContainsFunc(refused, func(r effect.Refusal) bool {
			return r.Client == u.Client && r.Seq == u.Seq && r.Why != effect.Overloaded && r.Why != effect.Oversized
		})
	})
}

// flush lets the effects of the last steps happen.
func (l *loop) flush() {
	if l.unfinished != nil {
		l.unfinished.asked(&l.out)
	}
	l.outlet.flush(l.now, &l.out)
	l.out.Reset()
	_, bytes := l.waiting()
	l.pending.Store(int64(bytes))
	l.inbox.Progress(l.progress())
}

// wait returns when there may be something to do; false at the end.
func (l *loop) wait(stop <-chan struct{}) bool {
	if next := l.machine.Deadline(); next != l.armed {
		l.armed = next
		if next == clock.Never {
			l.timer.Stop()
		} else {
			l.timer.Reset(max(0, next.Sub(l.clock.Now())))
		}
	}
	select {
	case <-l.back.ready:
	case <-l.inbox.Ready():
	case <-l.done.ready:
	case <-l.submits.ready:
	case <-l.events.ready:
	case <-l.timer.C:
		l.armed = clock.Never
	case <-l.poke:
	case c := <-l.ask:
		c <- l.status()
	case c := <-l.drain:
		l.drains = append(l.drains, c)
	case <-stop:
		return false
	}
	l.now = l.clock.Now()
	return true
}

// answerDrains tells whoever waits for it that this replica's own clients' updates have all been executed and delivered.
func (l *loop) answerDrains() {
	if len(l.drains) == 0 {
		return
	}
	// In the order in which an update passes them, so that none is overlooked while it moves on.
	waiting, _ := l.submits.load()
	unsent := l.outlet.egress.load()
	copies, _ := l.back.load()
	s := l.status()
	lane := s.Lanes[l.self.Index()]
	if waiting > 0 || s.Pending > 0 || unsent > 0 || copies > 0 || lane.Executed < lane.Held || !l.answered(s.Executed) {
		return
	}
	for _, c := range l.drains {
		close(c)
	}
	l.drains = nil
}

// lastInput describes the input that the machine was given last, for the dump of a crash.
func (l *loop) lastInput() string {
	switch in := l.current; {
	case in.Message != nil:
		return fmt.Sprintf("message kind=%d from %s digest=%s", in.Message.Kind, in.Message.Sender, in.Message.Digest)
	case len(in.Submit) > 0:
		return fmt.Sprintf("%d updates of own clients", len(in.Submit))
	case in.Done != nil:
		return fmt.Sprintf("a job done for request %d of %s", in.Done.ID.Seq, in.Done.ID.Origin)
	case in.Transfer:
		return "the application asks for a transfer point"
	}
	return "tick"
}
