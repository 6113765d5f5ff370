package core_test

import (
	"strings"
	"testing"

	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// The Base of a proposal (docs/divergence.md, 5.2) has to be what the ordinal before it makes eligible; the attack "wrong
// last-executed" of protocol-core.md 11.4 gets no PREPARE, and the leader's turnaround goes on.
func TestClaim52BaseHasToFollow(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1 judged"+quietly, "advance 100ms", "drop type=PRE-PREPARE from=r1", "submit r2 a", "advance 4ms", "allow")
	c.do("drop from=r1")
	c.do("drop to=r1")
	for ordinal, base := range []wire.Position{{}, {Incarnation: 1, Seq: 7}} { // right, then wrong
		p := c.proposal(1, uint64(ordinal+1))
		p.Base[1] = base
		c.queue = append(c.queue, packet{due: c.now + latency, to: 2, env: c.sign(1, p), by: 1})
	}
	log := c.do("advance 5ms")
	said := c.says(2, wire.KindPrepare)
	if len(said) != 1 || said[0].env.Msg.(*wire.Prepare).Ordinal != 1 {
		t.Errorf("r2 prepares %v, want ordinal 1 only\n%s", said, log)
	}
	if !strings.Contains(c.do("advance 60ms"), "suspected view=1 peer=r1") {
		t.Error("a leader with wrong bases keeps its role")
	}
}

// Summaries of which one covers the other are no proof of anything (5.1): a correct replica signs many.
func TestClaim51GrowingSummariesConvictNobody(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1"+quietly)
	for number, seq := range []uint64{0, 1, 2, 2, 5} {
		c.inject(4, group.SetOf(2, 3), c.summary(uint64(number)+1, seq))
	}
	c.expect(c.do("advance 5ms"), "not", "blacklisted")
	older, newer := c.sign(4, c.summary(9, 6)), c.sign(4, c.summary(10, 7))
	c.inject(1, group.SetOf(2), &wire.Evidence{First: older, Second: newer})
	c.expect(c.do("advance 5ms"), "not", "blacklisted")
	sideways := c.summary(11, 7)
	sideways.Vector[2].Seq = 1
	c.inject(1, group.SetOf(2), &wire.Evidence{First: newer, Second: c.sign(4, sideways)})
	c.expect(c.do("advance 5ms"), "r2: blacklisted peer=r4", "r3: blacklisted peer=r4")
}

// Defect 8 of protocol-core.md 10.2: an update that two replicas introduce takes effect once.
func TestDefect8UpdateTakesEffectOnce(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1"+quietly, "submit r2 a1", "submit r3 a1")
	log := c.do("advance 20ms") + c.do("submit r4 a1") + c.do("advance 20ms")
	for id := range c.group.All().All() {
		if n := strings.Count(log, id.String()+": deliver 1: a1"); n != 1 || strings.Count(log, "a1(") != c.group.N() {
			t.Errorf("%s executes a1 %d times:\n%s", id, n, log)
		}
	}
}

// Defect 3 of protocol-core.md 10.2, as far as the core counts: certificates short of a quorum are worth nothing. That their signers
// are distinct is checked by the decoder (internal/wire, TestRefuses…).
func TestDefect3ShortCertificatesProveNothing(t *testing.T) {
	t.Parallel()
	for _, fk := range [][2]int{{1, 0}, {1, 1}, {2, 0}} {
		c := &claim{script: &script{group: group.MustNew(fk[0], fk[1])}, t: t}
		r := lonely(t, 2, c.group)
		hear := func(m wire.Message) core.Status {
			var out effect.Output
			r.Step(0, core.Input{Message: c.sign(3, m)}, &out)
			return r.Status()
		}
		proposal := c.sign(1, c.proposal(1, 1))
		cert := &wire.Certificate{PrePrepare: proposal}
		window := &wire.Window{Resolution: wire.Resolution{View: 3, Members: c.group.All(), Start: 1, Window: wire.Bindings{}.Digest(1, 3, 0)}}
		vote := wire.ReplayVote{View: 3, Replay: window.Resolution.Digest()}
		for id := group.ID(1); int(id) < c.group.Quorum(); id++ {
			cert.Commits = append(cert.Commits, c.sign(id, &wire.Commit{Vote: c.votes(proposal)}))
			window.Commits = append(window.Commits, c.sign(id, &wire.ReplayCommit{ReplayVote: vote}))
		}
		if st := hear(cert); st.Executed != 0 || st.Ordered != 0 {
			t.Errorf("%s: %d COMMITs order", c.group, len(cert.Commits))
		}
		if st := hear(window); st.View != 1 {
			t.Errorf("%s: %d REPLAY-COMMITs install a view", c.group, len(window.Commits))
		}
		last := group.ID(c.group.Quorum())
		window.Commits = append(window.Commits, c.sign(last, &wire.ReplayCommit{ReplayVote: vote}))
		if st := hear(window); st.View != 3 || !st.Installed {
			t.Errorf("%s: %d REPLAY-COMMITs do not install a view", c.group, len(window.Commits))
		}
	}
}
