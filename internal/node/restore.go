package node

import (
	"errors"
	"fmt"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/record"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/storage"
)

// errStopped ends a restoration because the replica is to end.
var errStopped = errors.New("stopped")

// restoration gives the machine again what it had been given before this start. What it executes goes to the application,
// as it did then; what it says was said.
type restoration struct {
	log    storage.Log
	start  record.Start
	header wire.Header
	// complete is the signer's.
	complete func(wire.Message) wire.Message
	do       func(effect.Job) effect.Done
	limits   wire.Limits
	timing   core.Timing // of this start
}

// restore makes the machine what it was. The loop's clock goes on from its last instant.
func (l *loop) restore(r *restoration, stop <-chan struct{}) error {
	p := record.NewReplay(r.header, r.complete, r.limits.Decode, r.do)
	if r.start.Ordinal > 0 {
		kept, err := r.start.Core(r.limits)
		if err != nil {
			return err
		}
		*l.unfinished.replica = *kept.Core
		p.After(&r.start, kept)
		// The stream goes on where the application's checkpoint is.
		l.outlet.deliver([]effect.Delivery{{Ordinal: r.start.Ordinal, Jump: &effect.State{Ordinal: r.start.Ordinal}}})
	}
	inputs := 0
	err := p.Run(r.log, func(e record.Entry) error {
		l.current = e.Input
		l.machine.Step(e.Now, e.Input, &l.out)
		p.Said(l.out.Sends, l.out.Jobs)
		l.outlet.replayed(&l.out)
		l.out.Reset()
		if e.Input.Restored != nil {
			l.journal.kept(e.Input.Restored.Ordinal)
		}
		if m := e.Input.Message; m != nil && !e.Own {
			l.journal.remembers(m)
		}
		if inputs++; inputs%64 != 0 {
			return nil
		}
		return l.breathe(stop)
	})
	if err != nil {
		return err
	}
	l.clock = clock.NewRealAt(p.Last() + 1)
	l.now = l.clock.Now()
	l.journaled(core.Input{Resumed: &core.Resumed{Wall: l.clock.Wall(), Timing: r.timing}}, 0)
	l.out.Sends = append(l.out.Sends, p.Unsaid()...)
	l.out.Jobs = append(l.out.Jobs, p.Undone()...)
	l.flush()
	return nil
}

// breathe answers whoever asks, and waits for an application that is behind.
func (l *loop) breathe(stop <-chan struct{}) error {
	l.watchful.Store(true)
	for {
		select {
		case <-stop:
			return errStopped
		case c := <-l.ask:
			c <- l.status()
			continue
		case c := <-l.drain:
			l.drains = append(l.drains, c)
			continue
		default:
		}
		if !l.outlet.congested() && l.outlet.backlog() <= l.outlet.limit {
			return nil
		}
		select {
		case <-stop:
			return errStopped
		case c := <-l.ask:
			c <- l.status()
		case c := <-l.drain:
			l.drains = append(l.drains, c)
		case <-l.poke:
		}
	}
}

// replayed lets what was executed happen again, for the application, and forgets the rest.
func (o *outlet) replayed(out *effect.Output) {
	o.deliver(out.Deliver)
	for i := range out.Evidence {
		o.convict(&out.Evidence[i])
	}
}

// restored restores, if there is something to, and says whether the loop may go on.
func (l *loop) restored(stop <-chan struct{}) bool {
	if l.restoration == nil {
		return true
	}
	l.restoring.Store(true)
	defer l.restoring.Store(false)
	err := l.restore(l.restoration, stop)
	if errors.Is(err, errStopped) {
		return false
	}
	if err != nil {
		l.broke(fmt.Errorf("the log cannot be continued: %w", err))
		return false
	}
	return true
}
