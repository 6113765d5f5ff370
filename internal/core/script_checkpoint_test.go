package core_test

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// checkpoints is what the nodes of a script keep of them. A checkpoint is the core's state alone.
type checkpoints struct {
	states   map[uint64]*effect.State // of every ordinal at which one was due, of whoever made it first
	digests  map[uint64]wire.Digest
	diverged group.Set // whose application is not deterministic
	lacks    map[group.ID]*effect.Stable
	by       map[group.ID][]*effect.State // made by each, in order
}

// keepStates makes the checkpoint that is due, and remembers what a replica lacks.
func (s *script) keepStates(id group.ID, out *effect.Output) {
	c := &s.states
	if c.states == nil {
		*c = checkpoints{states: map[uint64]*effect.State{}, digests: map[uint64]wire.Digest{}, diverged: c.diverged,
			lacks: map[group.ID]*effect.Stable{}, by: map[group.ID][]*effect.State{}}
	}
	if out.Lacks != nil {
		c.lacks[id] = out.Lacks
	}
	for _, d := range out.Deliver {
		if d.State == nil {
			continue
		}
		digest := wire.Digest(sha256.Sum256(d.State.Append(nil)))
		if c.states[d.Ordinal] == nil {
			c.states[d.Ordinal], c.digests[d.Ordinal] = d.State, digest
		} else if digest != c.digests[d.Ordinal] {
			fmt.Fprintf(&s.log, "%s has another state after %d\n", id, d.Ordinal)
		}
		c.by[id] = append(c.by[id], d.State)
		if c.diverged.Has(id) {
			digest[0] ^= 0xff
		}
		s.step(id, core.Input{Checkpointed: &core.Checkpointed{Ordinal: d.Ordinal, Digest: digest}})
	}
}

// checkpointing is
//
//	diverge rI: from now on replica I makes other checkpoints than the others;
//	transfer rI [ordinal=N]: it is given the state that it said it lacks, or that of an ordinal;
//	checkpoint rI ordinal=N digest=B to=…: it signs a CHECKPOINT, as a liar would;
//	proof rI ordinal=N of=(…) to=…: it sends the proof that these have signed the true digest; of nothing true if there is none.
func (s *script) checkpointing(t *testing.T, d *datadriven.TestData) {
	from, to, of, ordinal, b := group.ID(0), s.group.All(), group.Set(0), uint64(0), 0
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "ordinal":
			ordinal, _ = strconv.ParseUint(a.Vals[0], 10, 64)
		case "digest":
			b, _ = strconv.Atoi(a.Vals[0])
		case "to":
			to = parseSet(t, a.Vals)
		case "of":
			of = parseSet(t, a.Vals)
		default:
			for id := range parseSet(t, []string{a.Key}).All() {
				from = id
			}
		}
	}
	switch d.Cmd {
	case "diverge":
		s.states.diverged = s.states.diverged.With(from)
	case "transfer":
		if ordinal == 0 {
			if s.states.lacks[from] == nil {
				t.Fatalf("%s: %s lacks nothing", d.Pos, from)
			}
			ordinal = s.states.lacks[from].Ordinal
		}
		s.step(from, core.Input{Restored: s.states.states[ordinal]})
	case "checkpoint":
		s.send(from, effect.Send{To: to, Class: wire.Bounded, Msg: &wire.Checkpoint{Ordinal: ordinal, Digest: wire.Digest{byte(b)}}})
	case "proof":
		m := &wire.CheckpointProof{Checkpoint: wire.Checkpoint{Ordinal: ordinal, Digest: s.states.digests[ordinal]}}
		for id := range of.All() {
			m.Votes = append(m.Votes, s.sign(id, &wire.Checkpoint{Ordinal: ordinal, Digest: m.Digest}))
		}
		s.send(from, effect.Send{To: to, Class: wire.Bounded, Msg: m})
	}
}
