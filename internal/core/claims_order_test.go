package core_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// quietly is what scripts of this file do not show.
const quietly = " quiet=(request-sent,preordered,executed,collected,fetched)"

// Section 5.2: a PRE-PREPARE carries the leader's newest summaries, row i signed by i or empty.
func TestClaim52ProposalIsTheNewestSummaries(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1", "drop from=r4", "submit r2 a b", "advance 4ms", "submit r3 c", "advance 20ms")
	newest, number := map[group.ID]*wire.Envelope{}, 0
	c2 := c.says(1, wire.KindPrePrepare)
	if len(c2) == 0 {
		t.Fatal("nothing was proposed")
	}
	last := c2[len(c2)-1]
	for _, s := range c.said {
		if m, ok := s.env.Msg.(*wire.Summary); ok && s.env.Sender == s.by && s.at < last.at {
			if had := newest[s.by]; had == nil || had.Msg.(*wire.Summary).Number < m.Number {
				newest[s.by] = s.env
			}
		}
	}
	for i, row := range last.env.Msg.(*wire.PrePrepare).Rows {
		switch id := group.FromIndex(i); {
		case id == 4 && row != nil:
			t.Errorf("row 4 is %v, although nobody heard of r4", row.Msg)
		case id == 4:
		case row == nil || row.Sender != id || row.Kind != wire.KindSummary:
			t.Errorf("row %d is not a summary of r%d", i+1, id)
		case id != 1 && row.Digest != newest[id].Digest:
			t.Errorf("row %d is not the newest summary of r%d", i+1, id)
		default:
			number++
		}
	}
	if number != 3 {
		t.Errorf("%d rows are as they should be, want 3", number)
	}
}

// Section 5.2: whoever signed a row that contradicts what a receiver holds is blacklisted, and the proof passed on.
func TestClaim52InconsistentRowConvictsItsSigner(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1"+quietly)
	one, other := c.summary(1, 0), c.summary(2, 0)
	one.Vector[0] = wire.Position{Incarnation: 1, Seq: 5}
	other.Vector[1] = wire.Position{Incarnation: 1, Seq: 5}
	c.inject(4, group.SetOf(2), one)
	c.do("advance 2ms")
	p := c.proposal(1, 1)
	p.Rows[3] = c.sign(4, other)
	c.inject(1, group.SetOf(2), p)
	c.expect(c.do("advance 1ms"), "r2: blacklisted peer=r4", "not", "r3: blacklisted")
	c.expect(c.do("advance 1ms"), "r3: blacklisted peer=r4", "r1: blacklisted peer=r4", "not", "peer=r1", "peer=r2", "peer=r3")
}

// Section 5.2, condition 1: a replica answers proposals of its current view only.
func TestClaim52AnswersOnlyTheCurrentView(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1"+quietly)
	c.inject(2, c.group.All(), c.proposal(2, 1)) // r2 leads view 2
	c.inject(3, c.group.All(), c.proposal(1, 1)) // r3 does not lead view 1
	c.do("advance 5ms")
	for id := range c.group.All().All() {
		if said := c.says(id, wire.KindPrepare); len(said) > 0 {
			t.Errorf("%s answers %v in view 1", id, said[0].env.Msg)
		}
	}
	c.do("vote view=2 from=(r1,r2,r3)")
	c.do("drop type=(NEW-LEADER-PROOF,REPORT,RB-ECHO,RB-READY)")
	c.expect(c.do("advance 1ms"), "r3: preinstalled")
	c.inject(1, c.group.All(), c.proposal(1, 1)) // its leader, but too late
	c.do("advance 5ms")
	for id := range c.group.All().All() {
		if said := c.says(id, wire.KindPrepare); len(said) > 0 {
			t.Errorf("%s answers %v in view 2", id, said[0].env.Msg)
		}
	}
}

// Section 5.2, condition 2: of two proposals for one ordinal of a view a replica answers the first, and what it has is proof. A
// leader that is proven faulty is voted out without any measurement.
func TestClaim52ConflictingProposalsEndTheView(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1 judged"+quietly)
	other := c.proposal(1, 1)
	other.Rows[0] = c.sign(1, c.summary(1, 0))
	c.inject(1, group.SetOf(2, 3), c.proposal(1, 1))
	c.inject(1, group.SetOf(4), other)
	log := c.do("advance 4ms")
	for id := range c.group.Others(1).All() {
		if n := len(c.says(id, wire.KindPrepare)); n != 1 {
			t.Errorf("%s answers %d proposals", id, n)
		}
		c.expect(log, fmt.Sprintf("%s: blacklisted peer=r1", id), fmt.Sprintf("%s: suspected view=1 peer=r1", id))
	}
	c.expect(c.do("advance 12ms"), "r2: installed ordinal=2 view=2", "r3: installed", "r4: installed")
}

// Section 5.2: a prepare certificate is the PRE-PREPARE and 2f+k PREPAREs of distinct replicas that do not lead, all for it; only
// then a replica commits. 2f+k+1 COMMITs for it, the leader's included, order it.
func TestClaim52CertificatesNeedTheirQuorums(t *testing.T) {
	t.Parallel()
	for _, fk := range [][2]int{{0, 1}, {1, 0}, {1, 1}, {2, 0}, {2, 1}} {
		c := newClaim(t, fmt.Sprintf("group f=%d k=%d", fk[0], fk[1])+quietly)
		n, quorum := group.ID(c.group.N()), 2*fk[0]+fk[1]+1
		last := n // the last replica is looked at, and hears nothing but what is injected
		c.do(fmt.Sprintf("drop to=%s from=%s", n, members(c.group.Others(n))))
		c.do(fmt.Sprintf("drop type=(PREPARE,COMMIT) to=%s", n))
		hear := func(from group.ID, m wire.Message) {
			c.queue = append(c.queue, packet{due: c.now + latency, to: n, env: c.sign(from, m), by: from})
			c.do("advance 1ms")
		}
		proposal := c.sign(1, c.proposal(1, 1))
		vote := c.votes(proposal)
		wrong := vote
		wrong.Proposal[0] ^= 1
		hear(1, c.proposal(1, 1))
		if len(c.says(last, wire.KindPrepare)) != 1 {
			t.Fatalf("%s: the proposal is not answered", c.group)
		}
		hear(1, &wire.Prepare{Vote: vote}) // the leader's counts for nothing
		for id := group.ID(2); int(id) < quorum-1; id++ {
			hear(id, &wire.Prepare{Vote: vote})
			hear(id, &wire.Prepare{Vote: vote}) // twice is once
		}
		if quorum < int(n)-1 {
			hear(group.ID(quorum), &wire.Prepare{Vote: wrong}) // for something else
		}
		if got := len(c.says(last, wire.KindCommit)); got != 0 && quorum > 2 {
			t.Errorf("%s: commits with %d PREPAREs", c.group, quorum-2)
		}
		if quorum > 2 {
			hear(group.ID(quorum-1), &wire.Prepare{Vote: vote}) // with its own, the last that is needed
		}
		if quorum > 2 && len(c.says(last, wire.KindCommit)) != 1 {
			t.Errorf("%s: does not commit with %d PREPAREs", c.group, quorum-1)
		}
		commitsOrder(c, vote, wrong, quorum, hear)
	}
}

// commitsOrder is the second half of TestClaim52CertificatesNeedTheirQuorums: the last replica has committed.
func commitsOrder(c *claim, vote, wrong wire.Vote, quorum int, hear func(group.ID, wire.Message)) {
	last := c.machines[c.group.N()-1]
	for id := group.ID(1); int(id) < quorum-1; id++ {
		hear(id, &wire.Commit{Vote: vote})
		hear(id, &wire.Commit{Vote: vote})
	}
	if quorum < c.group.N()-1 {
		hear(group.ID(quorum), &wire.Commit{Vote: wrong})
	}
	if last.Status().Ordered != 0 && quorum > 2 {
		c.t.Errorf("%s: orders with %d COMMITs", c.group, quorum-1)
	}
	hear(group.ID(quorum-1), &wire.Commit{Vote: vote})
	if last.Status().Ordered != 1 {
		c.t.Errorf("%s: does not order with %d COMMITs", c.group, quorum)
	}
}

// members is a set in the script language.
func members(set group.Set) string {
	var names []string
	for id := range set.All() {
		names = append(names, id.String())
	}
	return "(" + strings.Join(names, ",") + ")"
}

// Section 5.2, flooding: one correct receiver of a PRE-PREPARE is enough. All have it one round later, and then no faulty replica
// can keep the correct ones from ordering it: here r5 is silent and r6 down.
func TestClaim52OneReceiverIsEnough(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1 k=1"+quietly, "drop from=(r5,r6)", "drop type=PRE-PREPARE from=r1 to=(r3,r4,r5,r6)", "submit r3 a")
	c.do("advance 20ms")
	got := c.says(1, wire.KindPrePrepare)
	if len(got) == 0 {
		t.Fatal("nothing was proposed")
	}
	for id, rounds := range map[group.ID]int{2: 1, 3: 2, 4: 2} {
		said := c.says(id, wire.KindPrepare)
		if len(said) == 0 || said[0].at != got[0].at+millis(rounds) {
			t.Errorf("%s answers %v, want after %d rounds", id, said, rounds)
		}
	}
	for i, m := range c.machines {
		if m.Status().Executed != 1 {
			t.Errorf("r%d has executed %d ordinals", i+1, m.Status().Executed)
		}
	}
}
