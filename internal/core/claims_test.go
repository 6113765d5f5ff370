package core_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// The tests called TestClaim… and TestDefect… check one claim of the paper or one defect of the original engine each; docs/claims.md
// lists them. They drive the small world of the golden scripts in its own language, and judge what happened themselves where a
// script could only show it.

// claim is a world and what was said in it.
type claim struct {
	*script
	t    *testing.T
	said []said
}

// said is a message and when its sender, or whoever passes it on, said it.
type said struct {
	at  clock.Instant
	by  group.ID
	to  group.Set
	env *wire.Envelope
}

// newClaim is a world that a "group" line makes, with the lines that follow.
func newClaim(t *testing.T, lines ...string) *claim {
	t.Helper()
	c := &claim{script: &script{}, t: t}
	for _, line := range lines {
		c.do(line)
	}
	return c
}

// do runs a line of the script language, and returns what it would print.
func (c *claim) do(line string) string {
	c.t.Helper()
	cmd, args, err := datadriven.ParseLine(line)
	if err != nil {
		c.t.Fatal(err)
	}
	c.log.Reset()
	c.run(c.t, &datadriven.TestData{Pos: line, Cmd: cmd, CmdArgs: args})
	if cmd == "group" {
		c.sent = func(at clock.Instant, by group.ID, to group.Set, env *wire.Envelope) {
			c.said = append(c.said, said{at, by, to, env})
		}
	}
	return c.log.String()
}

// says is all messages of a kind that a replica signed itself, in order.
func (c *claim) says(by group.ID, kind wire.Kind) (list []said) {
	for _, s := range c.said {
		if s.by == by && s.env.Sender == by && s.env.Kind == kind {
			list = append(list, s)
		}
	}
	return list
}

// inject lets a replica sign and send something that its core did not ask for.
func (c *claim) inject(from group.ID, to group.Set, m wire.Message) *wire.Envelope {
	env := c.sign(from, m)
	c.send(from, effect.Send{To: to, Class: wire.Bounded, Signed: env})
	return env
}

// membership is the hash of the incarnations in every script.
func (c *claim) membership() wire.Digest {
	return wire.HashIncarnations(1, slices.Repeat([]uint32{1}, c.group.N()))
}

// proposal is an empty PRE-PREPARE, the same for equal arguments.
func (c *claim) proposal(view, ordinal uint64) *wire.PrePrepare {
	return &wire.PrePrepare{View: view, Ordinal: ordinal, Incarnations: c.membership(), Base: make(wire.Vector, c.group.N()),
		Rows: make(wire.Rows, c.group.N())}
}

// votes is a PREPARE or COMMIT for a proposal.
func (c *claim) votes(proposal *wire.Envelope) wire.Vote {
	m := proposal.Msg.(*wire.PrePrepare)
	return wire.Vote{View: m.View, Ordinal: m.Ordinal, Proposal: proposal.Digest, Incarnations: c.membership()}
}

// summary is a row that says the same position of every origin.
func (c *claim) summary(number, seq uint64) *wire.Summary {
	m := &wire.Summary{Number: number, Vector: make(wire.Vector, c.group.N())}
	for i := range m.Vector {
		if seq > 0 {
			m.Vector[i] = wire.Position{Incarnation: 1, Seq: seq}
		}
	}
	return m
}

// expect fails if a log lacks one of the words, or has one of those after "not".
func (c *claim) expect(log string, words ...string) {
	c.t.Helper()
	want := true
	for _, w := range words {
		if w == "not" {
			want = false
		} else if strings.Contains(log, w) != want {
			c.t.Errorf("%q is there: %v, want %v, in\n%s", w, !want, want, log)
		}
	}
}

// millis is a number of message delays.
func millis(n int) clock.Instant { return clock.Instant(n) * clock.Instant(time.Millisecond) }
