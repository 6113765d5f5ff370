package core_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// away is a group whose r4 is cut off and has executed nothing, and the state of the others after two ordinals.
func away(t *testing.T) (*script, *effect.State) {
	t.Helper()
	s := &script{}
	cmd := func(cmd string, args ...datadriven.CmdArg) { s.run(t, &datadriven.TestData{Cmd: cmd, CmdArgs: args}) }
	cmd("group", datadriven.CmdArg{Key: "checkpoint", Vals: []string{"2"}})
	cmd("drop", datadriven.CmdArg{Key: "to", Vals: []string{"r4"}})
	for _, text := range []string{"a", "b"} {
		cmd("submit", datadriven.CmdArg{Key: "r1"}, datadriven.CmdArg{Key: text})
		s.advance(s.now.Add(20 * time.Millisecond))
	}
	if s.states.states[2] == nil {
		t.Fatal("no checkpoint was made")
	}
	return s, s.states.states[2]
}

// TestJumpNeverGoesBack is I4 for jumps, and protocol-recovery.md 9.2, 2: a state that is not beyond what is executed changes
// nothing, and one that does not follow from it is taken for what it is: somebody has executed something else.
func TestJumpNeverGoesBack(t *testing.T) {
	t.Parallel()
	s, state := away(t)
	give := func(state *effect.State) *effect.Output {
		out := new(effect.Output)
		s.machines[3].Step(s.now, core.Input{Restored: state}, out)
		return out
	}
	fresh := s.machines[3].Status()
	for name, f := range map[string]func(s *effect.State){
		"of five replicas": func(s *effect.State) { s.Vector = append(s.Vector, wire.Position{}) },
		"other incarnation": func(s *effect.State) {
			s.Vector = append(wire.Vector(nil), s.Vector...)
			s.Vector[0].Incarnation = 9
		},
		"bad sessions": func(s *effect.State) { s.Sessions = s.Sessions[:5] },
	} {
		bad := *state
		f(&bad)
		if out := give(&bad); out.Diverged == nil || len(out.Deliver) != 0 || s.machines[3].Status().Executed != fresh.Executed {
			t.Errorf("%s: diverged %+v, delivers %v", name, out.Diverged, out.Deliver)
		}
	}
	out := give(state)
	if len(out.Deliver) != 1 || out.Deliver[0].Jump != state || out.Deliver[0].Ordinal != 2 {
		t.Fatalf("delivers %+v", out.Deliver)
	}
	if got, want := s.machines[3].SessionDigest(), s.machines[0].SessionDigest(); got != want {
		t.Error("the sessions differ from those of who executed")
	}
	later := *state
	later.Ordinal, later.Vector = 3, make(wire.Vector, 4) // executes less than 2 did
	if out := give(&later); out.Diverged == nil {
		t.Error("a state that takes execution back is not noticed")
	}
	for _, old := range []*effect.State{state, {Ordinal: 1}} {
		if out := give(old); len(out.Deliver) != 0 || out.Diverged != nil {
			t.Errorf("%d again: %+v", old.Ordinal, out)
		}
	}
	if st := s.machines[3].Status(); st.Executed != 2 || st.Collected != 2 {
		t.Errorf("executed %d, holds what is after %d", st.Executed, st.Collected)
	}
}

// TestJumpKeepsNumbers: own requests beyond the state keep their numbers and are ordered; a new one has a new number.
func TestJumpKeepsNumbers(t *testing.T) {
	t.Parallel()
	s, state := away(t)
	var seqs []uint64
	s.sent = func(_ clock.Instant, from group.ID, _ group.Set, env *wire.Envelope) {
		if m, ok := env.Msg.(*wire.PreorderRequest); ok && from == 4 && env.Sender == 4 {
			seqs = append(seqs, m.Seq)
		}
	}
	s.step(4, core.Input{Submit: []wire.Update{update("x")}})
	s.step(4, core.Input{Restored: state})
	s.advance(s.now.Add(2 * time.Millisecond))
	s.rules = nil
	s.step(4, core.Input{Submit: []wire.Update{update("y")}})
	s.advance(s.now.Add(time.Second))
	for k, seq := range seqs {
		if k > 0 && seq < seqs[k-1] && seq != 1 || seq > 2 {
			t.Errorf("introduces %v", seqs)
			break
		}
	}
	for i, m := range s.machines {
		if lane := m.Status().Lanes[3]; lane.Executed != 2 {
			t.Errorf("r%d executed %d requests of r4, want 2", i+1, lane.Executed)
		}
	}
}
