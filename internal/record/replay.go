package record

import (
	"errors"
	"fmt"
	"slices"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/storage"
)

// ErrOther says that a program that behaves otherwise wrote the log, or that this one does not do again what the log says that
// it did: it might contradict what was said.
var ErrOther = errors.New("log is of another behaviour")

// Replay gives a core again what it had been given.
type Replay struct {
	header   wire.Header
	complete func(wire.Message) wire.Message
	decode   func([]byte) (*wire.Envelope, error)
	do       func(effect.Job) effect.Done
	from     uint64       // record that it begins with
	jobs     []effect.Job // handed out and not done
	unsaid   Awaited[wire.Digest]
	last     clock.Instant
}

// NewReplay returns a replay for the replica that signs with header; complete is what it adds to its messages before it signs
// them, the same each time; decode reads a message, whose signatures were checked before it was recorded; do does a job.
func NewReplay(header wire.Header, complete func(wire.Message) wire.Message, decode func([]byte) (*wire.Envelope, error),
	do func(effect.Job) effect.Done) *Replay {
	return &Replay{header: header, complete: complete, decode: decode, do: do, from: 2, unsaid: NewAwaited[wire.Digest]()}
}

// After goes on after an image, whose core has to be the one that is given what follows.
func (p *Replay) After(s *Start, k *Kept) {
	p.from, p.last, p.jobs = s.From, k.Last, slices.Clone(k.Jobs)
	for i := range k.Unsaid {
		u := &k.Unsaid[i]
		p.said(&effect.Send{To: u.To, Class: u.Class, Msg: u.Message.Msg})
	}
}

// Run gives every recorded input to step, in order, until that returns an error. step gives it to the core and then calls Said
// with what the core wants to send. A message of the replica's own that the core did not want to send in this replay is
// ErrOther. The log is read and decoded beside the steps: a start often shares a machine that others keep busy, and two threads get
// twice the share of one.
func (p *Replay) Run(log storage.Log, step func(Entry) error) error {
	reader := readAhead(log, p.from, p.decode)
	defer reader.close()
	for b := range reader.out {
		for i := range b.entries {
			if err := p.give(&b.entries[i], step); err != nil {
				return fmt.Errorf("record %d: %w", b.entries[i].In, err)
			}
		}
		if b.err != nil {
			return b.err
		}
	}
	return nil
}

// give has the next input stepped, after what only a replay of everything before it can add to it.
func (p *Replay) give(e *Entry, step func(Entry) error) error {
	p.last = max(p.last, e.Now)
	if e.Own {
		if err := p.own(e.Input.Message); err != nil {
			return err
		}
	}
	if e.job != (wire.Digest{}) {
		done, err := p.work(e.job)
		if err != nil {
			return err
		}
		e.Input.Done = done
	}
	return step(*e)
}

// Said takes what the core wants to send and to have done.
func (p *Replay) Said(sends []effect.Send, jobs []effect.Job) {
	p.jobs = append(p.jobs, jobs...)
	for i := range sends {
		s := &sends[i]
		if s.Msg == nil || !s.To.Has(p.header.Sender) {
			continue
		}
		p.said(s)
	}
}

func (p *Replay) said(s *effect.Send) {
	p.unsaid.Add(wire.NewEnvelope(p.header, p.complete(s.Msg)).Digest, s)
}

// work does the job with a name again.
func (p *Replay) work(name wire.Digest) (*effect.Done, error) {
	for i := range p.jobs {
		if nameOf(&p.jobs[i]) == name {
			done := p.do(p.jobs[i])
			p.jobs = slices.Delete(p.jobs, i, i+1)
			return &done, nil
		}
	}
	return nil, fmt.Errorf("%w: the replica once had something done that this program would not ask for", ErrOther)
}

// Undone is what the core wanted to have done, and was not when the log ends.
func (p *Replay) Undone() []effect.Job { return p.jobs }

// own checks that a message of the replica's own was wanted.
func (p *Replay) own(env *wire.Envelope) error {
	if !p.unsaid.Take(env.Digest) {
		return fmt.Errorf("%w: the replica once signed a %s that this program would not sign; start it with the version of Prime that "+
			"wrote the log, and please report this", ErrOther, env.Kind)
	}
	return nil
}

// Unsaid is what the core wanted to send, to the replica itself too, and nobody knows whether it left: it has to be signed and
// sent, perhaps again. It says the same as the first time.
func (p *Replay) Unsaid() []effect.Send { return p.unsaid.Sends() }

// Last is the instant of the last input.
func (p *Replay) Last() clock.Instant { return p.last }
