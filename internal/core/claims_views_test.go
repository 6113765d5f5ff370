package core_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// Appendix A.2: a replica that suspects the leader goes on taking part in its view, until a quorum has voted. Here all suspect it
// and their votes are lost, and ordinals are ordered that need them.
func TestClaimA2SuspectsGoOnTakingPart(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1 judged"+quietly, "advance 100ms", "drop type=NEW-LEADER", "late type=PRE-PREPARE from=r1 by=100ms",
		"submit r2 a", "advance 190ms")
	for _, id := range []group.ID{2, 3, 4} {
		if !c.machines[id.Index()].Status().Judgement.Voted {
			t.Fatalf("%s does not suspect the leader", id)
		}
	}
	c.do("allow")
	c.do("drop type=NEW-LEADER")
	log := c.do("submit r3 b") + c.do("advance 10ms")
	c.expect(log, "r1: deliver 2: b(r3)", "r2: deliver 2: b(r3)", "r3: deliver 2: b(r3)", "r4: deliver 2: b(r3)", "not", "preinstalled")
}

// Appendix A.2: a quorum of votes of distinct replicas moves a replica, and nothing less.
func TestClaimA2QuorumOfVotes(t *testing.T) {
	t.Parallel()
	for _, fk := range [][2]int{{1, 0}, {0, 1}, {1, 1}, {2, 0}} {
		g := group.MustNew(fk[0], fk[1])
		c := &claim{script: &script{group: g}, t: t}
		r := lonely(t, 1, g)
		hear := func(from group.ID, m wire.Message) uint64 {
			var out effect.Output
			r.Step(0, core.Input{Message: c.sign(from, m)}, &out)
			return r.Status().View
		}
		quorum := 2*fk[0] + fk[1] + 1
		for id := group.ID(1); int(id) < quorum; id++ {
			for range 3 {
				if hear(id, &wire.NewLeader{View: 2}) != 1 {
					t.Fatalf("%s: %s moves to view 2 with %d votes", g, group.ID(1), id)
				}
			}
		}
		proof := &wire.NewLeaderProof{View: 2}
		for id := group.ID(1); int(id) < quorum; id++ {
			proof.Votes = append(proof.Votes, c.sign(id, &wire.NewLeader{View: 2}))
		}
		if hear(2, proof) != 1 {
			t.Errorf("%s: a proof of %d votes is believed", g, len(proof.Votes))
		}
		if hear(group.ID(quorum), &wire.NewLeader{View: 3}) != 1 {
			t.Errorf("%s: votes for different views count together", g)
		}
		if hear(group.ID(quorum+1), &wire.NewLeader{View: 2}) != 2 {
			t.Errorf("%s: %d votes do not move anybody", g, quorum)
		}
	}
}

// Appendix A.2: who moves to a view passes the proof on, so all correct replicas follow within one round, even if the votes
// reached only one of them, and even if that one tells only one other.
func TestClaimA2AllFollowInOneRound(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1 k=1"+quietly, "drop type=NEW-LEADER to=(r1,r3,r4,r5,r6)", "drop type=NEW-LEADER-PROOF from=r2 to=(r4,r5,r6)",
		"vote view=2 from=(r1,r2,r3,r4)")
	c.expect(c.do("advance 1ms"), "r2: preinstalled view=2", "not", "r1:", "r3:", "r4:")
	c.expect(c.do("advance 1ms"), "r1: preinstalled view=2", "r3: preinstalled view=2", "not", "r4:", "r5:", "r6:")
	c.expect(c.do("advance 1ms"), "r4: preinstalled view=2", "r5: preinstalled view=2", "r6: preinstalled view=2")
}

// Appendix A.2 and A.3: messages clock elections and view changes, not timers. With timers a hundred times as long, everything
// happens at the same instants.
func TestClaimA2NoTimers(t *testing.T) {
	t.Parallel()
	var logs []string
	for _, scale := range []time.Duration{1, 100} {
		c := newClaim(t, "group f=1 k=1"+quietly)
		for i := range c.machines {
			r, err := core.New(core.Config{
				Self: group.FromIndex(i), Group: c.group, Epoch: 1, Incarnations: []uint32{1, 1, 1, 1, 1, 1}, Check: true,
				Limits: core.Limits{UpdateBytes: 100, RequestBytes: 1000, RequestUpdates: 10, InFlight: 8, PendingBytes: 10000,
					Sessions: 16, SessionWindow: 64, OrdinalWindow: 8, History: 16},
				Timing: core.Timing{Request: time.Millisecond, Ack: time.Millisecond, Summary: time.Millisecond,
					Matrix: time.Millisecond, Propose: time.Millisecond, Retransmit: 50 * time.Millisecond * scale,
					Fetch: 20 * time.Millisecond * scale},
			})
			if err != nil {
				t.Fatal(err)
			}
			c.machines[i] = r
		}
		log := c.do("submit r2 a") + c.do("advance 4ms") + c.do("vote view=2 from=(r1,r2,r3,r4)") + c.do("advance 20ms")
		c.expect(log, "r1: installed", "r6: installed")
		logs = append(logs, log)
	}
	if logs[0] != logs[1] {
		t.Errorf("with long timers\n%s\nwith short ones\n%s", logs[1], logs[0])
	}
}

// installedAt is when each replica installed a view, Never if it did not.
func (c *claim) installedAt(log string) []clock.Instant {
	at := make([]clock.Instant, c.group.N())
	for i := range at {
		at[i] = clock.Never
		for line := range strings.Lines(log) {
			when, what, _ := strings.Cut(line, " ")
			if strings.HasPrefix(what, group.FromIndex(i).String()+": installed") {
				span, err := time.ParseDuration(when)
				if err != nil {
					c.t.Fatal(err)
				}
				at[i] = clock.Instant(span)
			}
		}
	}
	return at
}

// Appendix A.3: correct replicas disseminate their states and prove lists among themselves; f faulty and k absent replicas,
// silent or not, neither stop nor slow them down.
func TestClaimA3FaultyReplicasCannotDelay(t *testing.T) {
	t.Parallel()
	var first []clock.Instant
	for _, line := range []string{"allow", "drop from=(r5,r6)", "drop to=r6", "drop from=(r5,r6) type=(REPORT,VC-LIST,VC-PARTIAL-SIG)"} {
		c := newClaim(t, "group f=1 k=1"+quietly, "submit r2 a", "advance 4ms", line)
		at := c.installedAt(c.do("vote view=2 from=(r1,r2,r3,r4)") + c.do("advance 20ms"))
		if first == nil {
			first = at
		}
		for i := range 4 {
			if at[i] != first[i] || at[i] == clock.Never {
				t.Errorf("%s: r%d installs view 2 at %v, want %v as without faults", line, i+1, at[i], first[i])
			}
		}
	}
}

// Appendix A.3: the leader answers a VC-PROOF at once, even if it has nobody's state. Here no REPORT ever reaches r2, which leads
// view 2.
func TestClaimA3LeaderNeedsNoState(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1"+quietly, "drop type=(REPORT,RB-ECHO,RB-READY,VC-LIST,VC-PARTIAL-SIG) to=r2", "vote view=2 from=(r1,r3,r4)")
	c.do("advance 12ms")
	proofs, replays := clock.Never, c.says(2, wire.KindReplay)
	for _, s := range c.said {
		if s.env.Kind == wire.KindStateProof {
			proofs = min(proofs, s.at)
		}
	}
	if len(replays) == 0 || replays[0].at != proofs+latency {
		t.Fatalf("a proof is sent at %v, the leader says %v", proofs, replays)
	}
}

// Appendix A.3: a replica measures the time from its VC-PROOF to the REPLAY of the leader, whichever REPLAY that is; a leader that
// sends none is replaced.
func TestClaimA3SilentLeaderIsReplaced(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1 judged"+quietly, "advance 100ms", "drop type=REPLAY from=r2", "vote view=2 from=(r1,r3,r4)")
	c.expect(c.do("advance 150ms"), "suspected view=2 peer=r2", "r4: installed ordinal=1 view=3", "not", "installed ordinal=1 view=2")
}

// Appendix A.3: nobody answers a REPLAY before it has the complete state of all on its list, which includes to have executed as
// much as they have.
func TestClaimA3NoAnswerWithoutState(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1"+quietly, "drop to=r4 type=(PRE-PREPARE,PREPARE,COMMIT,CERTIFICATE)", "submit r2 a", "advance 20ms",
		"vote view=2 from=(r1,r2,r3)", "advance 20ms")
	if got := c.machines[3].Status(); got.Executed != 0 || got.View != 2 {
		t.Fatalf("r4 is not what this test is about: %+v", got)
	}
	for _, kind := range []wire.Kind{wire.KindReplayPrepare, wire.KindReplayCommit} {
		if said := c.says(4, kind); len(said) > 0 {
			t.Errorf("r4 says %s at %v without having executed what the list has executed", kind, said[0].at)
		}
	}
	for _, id := range []group.ID{1, 2, 3} {
		if len(c.says(id, wire.KindReplayPrepare)) == 0 {
			t.Errorf("%s does not answer", id)
		}
	}
	c.do("allow")
	c.expect(c.do("advance 500ms"), "r4: deliver 1: a(r2)", "r4: installed")
}

// Appendix A.3: a list is signed by whoever has all states of it; Q equal signatures prove it, and nothing less does.
func TestClaimA3ProofNeedsQuorumOfEqualShares(t *testing.T) {
	t.Parallel()
	for _, fk := range [][2]int{{1, 0}, {1, 1}, {2, 0}} {
		c, hear := inChange(t, fk[0], fk[1])
		quorum, liar := group.ID(c.group.Quorum()), group.ID(c.group.N())
		resolution := wire.Resolution{View: 2, Members: c.group.All(), Base: 0, Start: 1, Window: wire.Bindings{}.Digest(1, 2, 0)}
		other := resolution
		other.Start, other.Window = 2, (wire.Bindings{{}}).Digest(1, 2, 0)
		if proofs := hear(liar, &wire.StateShare{Resolution: other}); len(proofs) > 0 {
			t.Errorf("%s: one share is a proof", c.group)
		}
		short := wire.Resolution{View: 2, Members: group.Set(1), Start: 1, Window: wire.Bindings{}.Digest(1, 2, 0)}
		for id := group.ID(1); id <= quorum; id++ {
			if said := hear(id, &wire.StateShare{Resolution: short}); len(said) > 0 {
				t.Errorf("%s: a list of one is proven", c.group)
			}
			proofs := hear(id, &wire.StateShare{Resolution: resolution})
			if (len(proofs) > 0) != (id == quorum) {
				t.Errorf("%s: %d equal shares, %d proofs", c.group, id, len(proofs))
			}
			for _, m := range proofs {
				if got := m.(*wire.StateProof).Resolution; got != resolution {
					t.Errorf("%s: what is proven is %v", c.group, got)
				}
			}
			hear(id, &wire.StateShare{Resolution: resolution}) // twice is once
		}
	}
}

// inChange is a replica, r1, in the change to view 2, and a function that tells it something and returns the VC-PROOFs that it
// sends then.
func inChange(t *testing.T, f, k int) (*claim, func(group.ID, wire.Message) []wire.Message) {
	t.Helper()
	c := &claim{script: &script{group: group.MustNew(f, k)}, t: t}
	r := lonely(t, 1, c.group)
	hear := func(from group.ID, m wire.Message) (proofs []wire.Message) {
		var out effect.Output
		r.Step(0, core.Input{Message: c.sign(from, m)}, &out)
		for _, s := range out.Sends {
			if s.Msg != nil && s.Msg.Kind() == wire.KindStateProof {
				proofs = append(proofs, s.Msg)
			}
		}
		return proofs
	}
	for id := group.ID(1); int(id) <= c.group.Quorum(); id++ {
		hear(id, &wire.NewLeader{View: 2})
	}
	if v := r.Status(); v.View != 2 || v.Installed {
		t.Fatalf("not in a view change: %+v", v)
	}
	return c, hear
}

// Appendix A.3: what nobody reports is bound to a no-op, what somebody reports to its certificate, and when the REPLAY is committed
// the whole window is executed at once.
func TestClaimA3WindowIsOneBatch(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1"+quietly, "drop type=PREPARE", "submit r2 a", "advance 8ms", "allow", "drop type=COMMIT", "submit r3 b",
		"advance 8ms")
	log := c.do("vote view=2 from=(r1,r2,r3)") + c.do("advance 15ms")
	for id := range c.group.All().All() {
		installed := c.installedAt(log)[id.Index()]
		for ordinal, what := range []string{"", "a(r2) b(r3)"} {
			want := fmt.Sprintf("%s %s: deliver %d: %s\n", time.Duration(installed), id, ordinal+1, what)
			c.expect(log, want)
		}
	}
}

// Appendix A.3: a REPLAY that reaches one correct replica reaches all, because it is passed on as proposals are.
func TestClaimA3ReplayIsPassedOn(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1 k=1"+quietly, "drop type=REPLAY from=r2 to=(r1,r4,r5,r6)", "vote view=2 from=(r1,r3,r4,r5)")
	at := c.installedAt(c.do("advance 12ms"))
	for i := range at {
		if at[i] == clock.Never {
			t.Errorf("r%d does not install view 2", i+1)
		}
	}
}

// Appendix A.3: a REPLAY is agreed on like a proposal. With one REPLAY-PREPARE less than Q a replica does not commit to it, with one
// REPLAY-COMMIT less it does not install the view.
func TestClaimA3ReplayNeedsItsQuorums(t *testing.T) {
	t.Parallel()
	for _, kind := range []wire.Kind{wire.KindReplayPrepare, wire.KindReplayCommit} {
		for _, missing := range []string{"(r4,r5)", "(r3,r4,r5)"} { // of six: r6 has four, itself included, or three
			c := newClaim(t, "group f=1 k=1"+quietly, fmt.Sprintf("drop type=%s from=%s to=r6", kind, missing),
				"vote view=2 from=(r1,r2,r3,r4)")
			log := c.do("advance 15ms")
			done := len(c.says(6, wire.KindReplayCommit)) > 0
			if kind == wire.KindReplayCommit {
				done = c.installedAt(log)[5] != clock.Never
			}
			if done != (missing == "(r4,r5)") {
				t.Errorf("without %s of %s r6 goes on: %v", kind, missing, done)
			}
		}
	}
}
