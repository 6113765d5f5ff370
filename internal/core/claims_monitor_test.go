package core_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// Section 5.4.1: matrices tell the leader what it is expected to propose, and it adopts every row that is newer than what it has.
// Here no summary reaches it any other way.
func TestClaim54MatricesTellTheLeader(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1"+quietly, "drop type=PO-SUMMARY to=r1", "submit r2 a")
	c.expect(c.do("advance 20ms"), "r1: deliver 1: a(r2)", "r4: deliver 1: a(r2)")
	if len(c.says(2, wire.KindSummaryMatrix)) == 0 {
		t.Error("no matrix was sent")
	}
	// With summaries no matrix is needed (docs/divergence.md, 5.1).
	c = newClaim(t, "group f=1"+quietly, "submit r2 a", "advance 20ms")
	if said := c.says(2, wire.KindSummaryMatrix); len(said) != 0 {
		t.Errorf("matrices are sent at %v although the leader has proposed", said[0].at)
	}
}

// Section 5.4.1: what the leader has to receive and send has a size that depends on the number of replicas alone, and a rate that
// depends on the timers alone.
func TestClaim54LeaderWorkIsIndependentOfLoad(t *testing.T) {
	t.Parallel()
	sizes := map[wire.Kind]int{}
	for _, updates := range []int{1, 10, 300} {
		c := newClaim(t, "group f=1 inflight=64 window=64 history=64"+quietly, "drop type=PO-SUMMARY to=r1")
		for id := range c.group.All().All() {
			var all []string
			for i := range updates {
				all = append(all, fmt.Sprintf("%c%d", 'a'+byte(id), i+1))
			}
			c.do(fmt.Sprintf("submit %s %s", id, strings.Join(all, " ")))
		}
		c.do("advance 20ms")
		counts := map[wire.Kind]int{}
		for _, s := range c.said {
			switch m := s.env.Msg.(type) {
			case *wire.SummaryMatrix:
				whole(sizes, s.env, m.Rows, t)
			case *wire.PrePrepare:
				whole(sizes, s.env, m.Rows, t)
			}
			if s.env.Sender == s.by {
				counts[s.env.Kind]++
			}
		}
		if counts[wire.KindPrePrepare] > 21 || counts[wire.KindSummaryMatrix] > 3*21 {
			t.Errorf("%d updates: %d proposals and %d matrices in 20 ms, with intervals of 1 ms", updates,
				counts[wire.KindPrePrepare], counts[wire.KindSummaryMatrix])
		}
		if counts[wire.KindPrePrepare] == 0 || counts[wire.KindSummaryMatrix] == 0 {
			t.Fatalf("%d updates: nothing happened: %v", updates, counts)
		}
	}
}

// whole checks that messages of a kind with all rows are as long as any other.
func whole(sizes map[wire.Kind]int, env *wire.Envelope, rows wire.Rows, t *testing.T) {
	t.Helper()
	for _, row := range rows {
		if row == nil {
			return
		}
	}
	if had := sizes[env.Kind]; had != 0 && had != len(env.Raw) {
		t.Errorf("a %s has %d bytes, another %d", env.Kind, len(env.Raw), had)
	}
	sizes[env.Kind] = len(env.Raw)
}

// Section 5.4.2, condition 2: only a proposal for the next ordinal that is expected ends a turnaround. A leader that proposes the
// newest matrix under the ordinal after the next at once, and the next never, orders nothing and is replaced; one that proposes both
// is not.
func TestClaim54OnlyTheNextOrdinalCounts(t *testing.T) {
	t.Parallel()
	for _, both := range []bool{false, true} {
		c := newClaim(t, "group f=1 judged"+quietly, "advance 100ms", "drop type=PRE-PREPARE from=r1", "submit r2 a", "advance 4ms")
		rows, ordinals := make(wire.Rows, 4), []uint64{2}
		for _, s := range c.said {
			if s.env.Kind == wire.KindSummary && s.env.Sender == s.by {
				rows[s.by.Index()] = s.env
			}
		}
		if both {
			ordinals = []uint64{1, 2}
		}
		c.do("allow")
		for _, ordinal := range ordinals {
			p := c.proposal(1, ordinal)
			p.Rows = rows
			if ordinal == 2 && both {
				p.Base[1] = wire.Position{Incarnation: 1, Seq: 1}
			}
			c.inject(1, c.group.Others(1), p)
		}
		c.do("drop from=r1")
		c.do("drop to=r1")
		log := c.do("advance 60ms")
		if suspected := strings.Contains(log, "suspected view=1 peer=r1"); suspected == both {
			t.Errorf("ordinals %v are proposed in time, suspected: %v\n%s", ordinals, suspected, log)
		}
	}
}

// Defect 9 of protocol-core.md 10.3: what the old leader was shown, the new one is shown again, at once after it is installed.
// Otherwise it could withhold it.
func TestDefect9NewLeaderIsShownEverythingAgain(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1"+quietly, "drop type=PRE-PREPARE from=r1", "drop type=PO-SUMMARY to=r2", "submit r3 a", "advance 10ms")
	if len(c.says(3, wire.KindSummaryMatrix)) == 0 {
		t.Fatal("the old leader was not shown anything")
	}
	log := c.do("vote view=2 from=(r1,r3,r4)") + c.do("advance 20ms")
	installed, shown := c.installedAt(log)[2], clock.Never
	for _, s := range c.says(3, wire.KindSummaryMatrix) {
		if s.to == group.SetOf(2) {
			shown = min(shown, s.at)
		}
	}
	if shown > installed+millis(2) {
		t.Errorf("view 2 is installed at %v, its leader is shown a matrix at %v", installed, shown)
	}
	c.expect(log, "r1: deliver 1: a(r3)", "r4: deliver 1: a(r3)")
}
