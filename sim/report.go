package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// Violation is a promise that the protocol broke.
type Violation struct {
	Seed uint64
	At   time.Duration // since the world began, in its own time
	What string
}

// Report is what happened in one world.
type Report struct {
	Seed      uint64
	World     string // its size and its attackers, for people
	Violation *Violation
	Converged bool // convergence and the delay bound were demanded, and reached
	// Every update that a live correct replica took once the world had settled is held to a bound; see docs/protocol.md. Held is how
	// many were, 0 in worlds with origins that hide requests; Slowest what the one took that came closest, from when its origin had
	// room for it to its execution at the last replica; Bound what it was allowed to take.
	Held           int
	Slowest, Bound time.Duration
	// Closest is the highest ratio of taken to allowed: of updates under correct leaders, under others that kept their place, and
	// across changes of views; and of changes of views themselves, from the first correct replica that begins one to the last.
	Closest  [4]float64
	Changes  int           // views that began after the world had settled
	Allowed  int           // how many may, 2f+k
	Nested   bool          // a view began before the one before it was installed anywhere
	Peaceful bool          // nothing happened for which a leader may be replaced, and none was
	Starved  bool          // replicas were starved of their processors, and replaced a dead leader all the same
	Stalled  int           // standstills of replicas while updates were held to the bound
	Events   uint64        // inputs of replicas
	Virtual  time.Duration // how long the world lasted, in its own time
	Ordinals int           // ordinals executed
	Updates  int           // updates that took effect
	Restarts int           // of replicas that fell
	Images   int           // of cores that were taken for their logs
	Drops    int           // of beginnings of logs
	Reborn   int           // starts from images
	Views    uint64        // the highest view that a correct replica was in
	Rebound  int           // ordinals that view changes bound, no-ops included
	Refused  uint64        // updates that correct replicas refused
	Away     time.Duration // how long a replica was away in the end; 0: none was
	Back     time.Duration // how long it took it then to execute what others had; 0: nothing is demanded, or none was away
	BackMost time.Duration // how long it may have taken
	CaughtUp int           // ordinals that correct replicas executed from what others told
	// Checkpoints is the ordinals after which correct replicas made one, Stable the highest that one said is stable; Transfers how many
	// states were given to replicas that lacked what nobody kept.
	Checkpoints, Transfers int
	Stable                 uint64
	Repair                 Repair // what correct replicas sent to bring requests to those who lack them
	Forged                 uint64 // messages of attackers that receivers refused
	Hash                   uint64 // of everything that happened, in order: equal for equal seeds
}

// Replay is the command that shows this world again, event by event.
func (r *Report) Replay() string { return Replay(r.Seed, false) }

// Replay is the command that shows the world of a seed, event by event.
func Replay(seed uint64, realSignatures bool) string {
	command := fmt.Sprintf("prime sim --seeds %d-%d --trace", seed, seed)
	if realSignatures {
		command += " --real-signatures"
	}
	return command
}

func (w *world) report() Report {
	r := w.summary()
	if a := &w.plan.absence; a.who != 0 {
		r.Away, r.Back, r.BackMost = w.plan.stormEnd.Sub(a.from), a.took, w.plan.back()
	}
	return r
}

func (w *world) summary() Report {
	return Report{
		Seed: w.options.Seed, World: w.plan.String(), Violation: w.violation,
		Converged: w.calm.stage == resting || w.calm.stage == winding && w.plan.sound() && w.demands(),
		Held:      w.calm.held.count, Slowest: w.calm.held.slowest, Bound: w.calm.held.allowed, Closest: w.calm.held.closest,
		Changes: w.calm.held.replaced, Allowed: 2*w.plan.group.F() + w.plan.group.K(), Nested: w.nested, Peaceful: w.peaceful(), Stalled: len(w.calm.held.frozen), Starved: w.calm.starved,
		Events: w.events, Virtual: time.Duration(w.now), Ordinals: len(w.history.ordinals), Updates: len(w.history.done),
		Restarts: w.restarts, Images: w.images, Drops: w.drops, Reborn: w.reborn, Views: w.views.highest(), Rebound: w.views.bound(), Refused: w.refusals, Forged: w.refusedFrames, Hash: w.hash, Repair: w.repaired(), CaughtUp: w.history.learnt,
		Checkpoints: len(w.checkpoints.made), Transfers: w.checkpoints.transfers, Stable: slices.Max(w.checkpoints.stable),
	}
}

// String describes a plan in one line.
func (p *plan) String() string {
	s := p.group.String()
	for i := range p.replicas {
		r := &p.replicas[i]
		for _, name := range r.attacks {
			s += fmt.Sprintf(", %s %s", group.FromIndex(i), name)
		}
		if r.crash != clock.Never {
			s += fmt.Sprintf(", %s crashes", group.FromIndex(i))
		}
	}
	if p.disks != nil {
		s += ", durable"
	}
	if a := p.absence.who; a != 0 {
		s += fmt.Sprintf(", %s is away", a)
	}
	if p.threshold {
		s += ", threshold proofs"
	}
	if p.limits.CheckpointOrdinals > 0 {
		s += fmt.Sprintf(", checkpoints every %d", p.limits.CheckpointOrdinals)
	}
	if !p.judged {
		s += ", leaders are not judged"
	}
	return s
}

// print writes to the trace, if there is one.
func (w *world) print(format string, args ...any) {
	if w.options.Trace != nil {
		fmt.Fprintf(w.options.Trace, format, args...)
	}
}

// note writes one line of the trace.
func (w *world) note(at clock.Instant, what string, who, from group.ID, env *wire.Envelope) {
	if w.options.Trace == nil {
		return
	}
	line := fmt.Sprintf("%-14v ", time.Duration(at))
	if who != 0 {
		line += who.String() + " "
	}
	line += what
	if env != nil {
		line += " " + describe(env)
	}
	if from != 0 {
		line += " from " + from.String()
	}
	w.print("%s\n", line)
}

// describe is a message in one line.
func describe(env *wire.Envelope) string {
	s := fmt.Sprintf("%s of %s", env.Kind, env.Sender)
	switch m := env.Msg.(type) {
	case *wire.PreorderRequest:
		return s + fmt.Sprintf(" seq=%d updates=%d digest=%s", m.Seq, len(m.Updates), env.Digest)
	case *wire.PreorderAck:
		for _, part := range m.Parts[:min(len(m.Parts), 8)] {
			s += fmt.Sprintf(" %s/%d=%s", part.ID.Origin, part.ID.Seq, part.Digest)
			if part.Certified {
				s += "!"
			}
		}
		return s
	case *wire.Summary:
		return s + fmt.Sprintf(" number=%d vector=%s", m.Number, seqs(m.Vector))
	case *wire.SummaryMatrix:
		return s + rowSeqs(m.Rows)
	case *wire.PrePrepare:
		return s + fmt.Sprintf(" view=%d ordinal=%d digest=%s base=%s", m.View, m.Ordinal, env.Digest, seqs(m.Base)) + rowSeqs(m.Rows)
	case *wire.Prepare:
		return s + fmt.Sprintf(" view=%d ordinal=%d proposal=%s", m.View, m.Ordinal, m.Proposal)
	case *wire.Commit:
		return s + fmt.Sprintf(" view=%d ordinal=%d proposal=%s", m.View, m.Ordinal, m.Proposal)
	case *wire.Fetch:
		for _, want := range m.Wants[:min(len(m.Wants), 8)] {
			s += fmt.Sprintf(" %s/%d", want.ID.Origin, want.ID.Seq)
		}
		return s
	case *wire.Status:
		return s + fmt.Sprintf(" view=%d executed=%d oldest=%d preordered=%s held=%s", m.View, m.Executed, m.Oldest, seqs(m.Preorders), seqs(m.Held))
	case *wire.OutlineAsk:
		return s + fmt.Sprintf(" after=%d to=%d", m.From, m.To)
	case *wire.Outline:
		return s + fmt.Sprintf(" after=%d to=%d links=%v", m.From, m.To, m.Links)
	case *wire.SegmentAsk:
		return s + fmt.Sprintf(" after=%d to=%d skip=%d", m.From, m.To, m.Skip)
	case *wire.Segment:
		return s + fmt.Sprintf(" after=%d to=%d before=%s", m.From, m.To, m.Before)
	case *wire.Certificate:
		return s + " for " + describe(m.PrePrepare)
	case *wire.Evidence:
		return s + " against " + describe(m.First)
	}
	return s
}

func seqs(v wire.Vector) string {
	s := "["
	for i, p := range v {
		if i > 0 {
			s += " "
		}
		s += fmt.Sprint(p.Seq)
	}
	return s + "]"
}

func rowSeqs(rows wire.Rows) string {
	s := " rows"
	for _, row := range rows {
		if row == nil {
			s += " -"
		} else if m, ok := row.Msg.(*wire.Summary); ok {
			s += " " + seqs(m.Vector)
		}
	}
	return s
}
