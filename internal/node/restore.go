package node

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/record"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/storage"
)

// errStopped ends a restoration because the replica is to end.
var errStopped = errors.New("stopped")

// restoreNote is the time between two lines of the log of people that say how far a restoration is.
const restoreNote = 10 * time.Second

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
	say      *slog.Logger

	at atomic.Uint64 // record of the log that is being gone through; any goroutine may read it
}

// percent is how much of what has to be gone through has been.
func (r *restoration) percent() int {
	first, next := r.start.From, r.log.Extent().Next
	if at := r.at.Load(); at > first && next > first {
		return int(100 * (at - first) / (next - first))
	}
	return 0
}

// restore makes the machine what it was. The loop's clock goes on from its last instant.
func (l *loop) restore(r *restoration, stop <-chan struct{}) error {
	p := record.NewReplay(r.header, r.complete, r.limits.Decode, r.do)
	begun := time.Now()
	said := begun
	took := &Start{LogBytes: r.log.Extent().Bytes, Ordinal: r.start.Ordinal, ImageBytes: r.start.Size()}
	if r.start.Ordinal > 0 {
		kept, err := r.start.Core(r.limits)
		if err != nil {
			return err
		}
		took.ImageMS = milliseconds(time.Since(begun))
		*l.unfinished.replica = *kept.Core
		p.After(&r.start, kept)
		// The stream goes on where the application's checkpoint is.
		l.outlet.deliver([]effect.Delivery{{Ordinal: r.start.Ordinal, Jump: &effect.State{Ordinal: r.start.Ordinal}}})
	}
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
		if took.Inputs++; took.Inputs%64 != 0 {
			return nil
		}
		r.at.Store(e.In)
		if now := time.Now(); now.Sub(said) > restoreNote {
			said = now
			r.say.Info("this replica goes through its log", "percent", r.percent(), "ordinal", l.status().Executed)
		}
		return l.breathe(stop)
	})
	if err != nil {
		return err
	}
	took.MS = milliseconds(time.Since(begun))
	l.started.Store(took)
	r.say.Info("this replica is where it stopped", "ordinal", l.status().Executed, "inputs", took.Inputs,
		"took", time.Since(begun).Round(time.Millisecond))
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
	defer l.restoring.Store(false)
	err := l.restore(l.restoration, stop)
	if errors.Is(err, errStopped) {
		return false
	}
	if err != nil {
		l.broke(fmt.Errorf("the log cannot be continued: %w", err))
		return false
	}
	before, status := l.status().CatchUp, l.status
	l.status = func() core.Status {
		s := status()
		s.CatchUp = s.CatchUp.Since(before) // what was caught up before this start was given again
		return s
	}
	return true
}
