package core_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// The tests of protocol-recovery.md 2 and 10 (I4 to I10): catching up, and partitions.

// apart is a world in which a replica is cut off from all others.
func apart(t *testing.T, who string, group string, lines ...string) *claim {
	t.Helper()
	return newClaim(t, append([]string{"group " + group + quietly, "drop to=" + who, "drop from=" + who}, lines...)...)
}

// back lets time pass until a replica has executed an ordinal, and returns how long that took.
func (c *claim) back(who group.ID, ordinal uint64, most time.Duration) time.Duration {
	c.t.Helper()
	from := c.now
	for c.machines[who.Index()].Status().Executed < ordinal {
		if c.now.Sub(from) > most {
			c.t.Fatalf("%s has executed %d of %d after %v", who, c.machines[who.Index()].Status().Executed, ordinal, most)
		}
		c.advance(c.now + latency)
	}
	return c.now.Sub(from)
}

// sentTo is how many messages of a kind others sent to a replica since, and their bytes.
func (c *claim) sentTo(to group.ID, kind wire.Kind, since clock.Instant) (count, bytes int) {
	for _, s := range c.said {
		if s.at >= since && s.by != to && s.to.Has(to) && s.env.Kind == kind {
			count, bytes = count+1, bytes+len(s.env.Raw)
		}
	}
	return count, bytes
}

// A replica that was away for very long, but not longer than the others remember, is back within a second, however much there was, for
// little more than the bytes of the requests; nobody sends it certificates, and its view and all that it executed only rise.
func TestCatchUpAfterALongAbsence(t *testing.T) {
	t.Parallel()
	c := apart(t, "r4", "f=1 window=8 history=3000", "load r2 count=1500 every=4ms")
	c.said = nil
	c.do("allow")
	from := c.now
	took := c.back(4, 1500, time.Second)
	segments, bytes := c.sentTo(4, wire.KindSegment, from)
	certificates, _ := c.sentTo(4, wire.KindCertificate, from)
	requests, _ := c.sentTo(4, wire.KindPreorderRequest, from)
	t.Logf("%v, %d segments, %d bytes, %d certificates, %d requests", took, segments, bytes, certificates, requests)
	if segments < 1500/wire.Spacing || segments > 1500/wire.Spacing+8 || bytes > 1500*200 || certificates > 60 {
		t.Errorf("%d segments of %d bytes, %d certificates", segments, bytes, certificates)
	}
	st := c.machines[3].Status()
	if st.CatchUp.Ordinals < 1400 || st.CatchUp.Wrong > 0 || st.CatchUp.Late > 0 {
		t.Errorf("caught up: %+v", st.CatchUp)
	}
	c.expect(c.do("submit r4 z")+c.do("advance 50ms"), "r4: deliver 1501: z(r4)", "r1: deliver 1501: z(r4)")
}

// Lag is noticed in less than a second however seldom a replica repeats itself: it says twice a second where it is.
func TestCatchUpLagIsNoticed(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1 retransmit=10s"+quietly, "drop to=r4", "drop from=r4", "load r2 count=10 every=20ms", "allow")
	if took := c.back(4, 10, time.Second); took > 700*time.Millisecond {
		t.Errorf("it took %v", took)
	}
}

// What a view change bound has no commit certificate; catching up goes on across it (defects 16 and 17 of protocol-recovery.md 9.2), into a
// view that is far later, from which no message is of use before.
func TestCatchUpAcrossManyViews(t *testing.T) {
	t.Parallel()
	c := apart(t, "r4", "f=1 window=4 history=500")
	for view := 2; view <= 9; view++ {
		c.do("load r2 count=20 every=5ms")
		c.do("drop type=COMMIT from=(r1,r2,r3)")
		c.do("submit r3 y" + fmt.Sprint(view))
		c.do("advance 10ms")
		c.rules = c.rules[:2]
		c.do(fmt.Sprintf("vote view=%d from=(r1,r2,r3)", view))
		c.do("advance 100ms")
	}
	st := c.machines[0].Status()
	if st.View != 9 || st.Executed < 100 {
		t.Fatalf("r1 is in view %d and has executed %d", st.View, st.Executed)
	}
	c.do("allow")
	c.do("drop type=CERTIFICATE")
	took := c.back(4, st.Executed, time.Second)
	c.do("advance 300ms")
	if at := c.machines[3].Status(); at.View != 9 || !at.Installed {
		t.Errorf("r4 is in view %d, installed %v", at.View, at.Installed)
	}
	t.Logf("back after %v", took)
	c.expect(c.do("submit r4 z")+c.do("advance 60ms"), "r4: deliver", "z(r4)")
}

// I10: without a quorum nothing is delivered and no view begins, however long that lasts; what was submitted meanwhile is ordered soon
// after healing.
func TestPartitionWithoutQuorum(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1 judged"+quietly, "advance 200ms", "drop from=(r1,r2) to=(r3,r4)", "drop from=(r3,r4) to=(r1,r2)")
	log := c.do("submit r2 a") + c.do("submit r3 b") + c.do("advance 5s")
	c.expect(log, "not", "deliver", "preinstalled", "installed")
	c.do("allow")
	log = c.do("advance 1s")
	for _, id := range []string{"r1", "r2", "r3", "r4"} {
		got := delivered(log, id)
		if !strings.Contains(got, "a(r2)") || !strings.Contains(got, "b(r3)") {
			t.Errorf("%s delivers\n%s", id, log)
		}
	}
}

// I10: a minority with a stale view and updates of its own rejoins by itself, and its updates are ordered under their old numbers.
func TestPartitionMinorityRejoins(t *testing.T) {
	t.Parallel()
	c := apart(t, "r4", "f=1 window=4 history=500", "submit r4 m1 m2", "load r2 count=30 every=5ms", "vote view=2 from=(r1,r2,r3)",
		"advance 50ms", "load r3 count=30 every=5ms")
	before := c.machines[3].Status().Lanes[3].Held
	c.do("allow")
	log := c.do("advance 1s")
	c.expect(log, "r1: deliver", "m1(r4) m2(r4)")
	st := c.machines[3].Status()
	if st.View != 2 || st.Executed < 60 || before == 0 || st.Lanes[3].Executed != before {
		t.Errorf("r4: view %d, executed %d, own requests %d of %d", st.View, st.Executed, st.Lanes[3].Executed, before)
	}
	if requests := c.says(4, wire.KindPreorderRequest); len(requests) == 0 {
		t.Error("r4 introduced nothing")
	}
}

// What was got by catching up is told to others, but never passed on as if its origin's signature were here.
func TestCatchUpIsToldNotPassedOn(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1 k=1 window=4 history=500"+quietly, "drop to=(r5,r6)", "drop from=(r5,r6)", "load r2 count=60 every=5ms",
		"allow", "drop to=r5", "drop from=r5", "drop type=(CERTIFICATE,FETCH)")
	c.back(6, 60, time.Second)
	c.do("allow")
	c.do("drop to=r5 from=(r1,r2,r3)") // so that r6 is one of the two who can vouch
	c.said = nil
	wants := &wire.Fetch{}
	for seq := uint64(1); seq <= 60; seq++ {
		wants.Wants = append(wants.Wants, wire.Want{ID: wire.PreorderID{Origin: 2, Position: wire.Position{Incarnation: 1, Seq: seq}}})
	}
	c.inject(1, group.SetOf(6), wants)
	c.back(5, 60, 2*time.Second)
	near := &wire.Status{View: 1, Installed: 1, Executed: 57, Oldest: 1, Help: true, Preorders: make(wire.Vector, 6), Held: make(wire.Vector, 6)}
	near.Preorders[1], near.Held[1] = wire.Position{Incarnation: 1, Seq: 57}, wire.Position{Incarnation: 1, Seq: 57}
	for range 4 { // as if r3 lacked what r6 can tell, but not prove
		c.inject(3, group.SetOf(6), near)
		c.do("advance 25ms")
	}
	told := 0
	for _, s := range c.said {
		switch {
		case s.by != 6:
		case s.env.Kind == wire.KindPreorderRequest && s.env.Sender != 6:
			t.Fatalf("r6 passes on request %d of %s, without its signature", s.env.Msg.(*wire.PreorderRequest).Seq, s.env.Sender)
		case s.env.Kind == wire.KindCertificate:
			t.Fatalf("r6 proves ordinal %d", s.env.Msg.(*wire.Certificate).PrePrepare.Msg.(*wire.PrePrepare).Ordinal)
		case s.env.Kind == wire.KindSegment || s.env.Kind == wire.KindOutline:
			told++
		}
	}
	if told == 0 {
		t.Error("r6 tells r5 nothing")
	}
}

// An outline of f replicas is believed by nobody: here the f that lie agree, and are first.
func TestCatchUpNeedsOneCorrectOutline(t *testing.T) {
	t.Parallel()
	c := apart(t, "r7", "f=2 window=4 history=500", "load r2 count=60 every=5ms", "attack r1 wrong-outline", "attack r3 wrong-outline", "allow",
		"late type=OUTLINE from=(r2,r4,r5,r6) by=50ms", "drop type=CERTIFICATE")
	c.back(7, 60, 2*time.Second)
	st := c.machines[6].Status()
	if st.CatchUp.Rounds == 0 || st.CatchUp.Wrong > 0 {
		t.Errorf("%+v", st.CatchUp)
	}
}

// I8: whatever f helpers do, a replica is back in bounded time; each is found out by one wrong segment at most in a round, and is asked
// nothing more.
func TestCatchUpWithLiars(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"wrong-outline", "wrong-segment", "silent-helper", "slow-helper", "flood-segments"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := apart(t, "r7", "f=2 window=4 history=1000", "load r2 count=400 every=5ms", "attack r1 "+name, "attack r3 "+name, "allow")
			took := c.back(7, 400, 3*time.Second)
			st := c.machines[6].Status()
			t.Logf("%v, %+v", took, st.CatchUp)
			if st.CatchUp.Wrong > 2*st.CatchUp.Rounds || st.CatchUp.Late > 4*st.CatchUp.Rounds || st.CatchUp.Ordinals < 300 {
				t.Errorf("%+v", st.CatchUp)
			}
			if name == "wrong-segment" && st.CatchUp.Wrong == 0 {
				t.Error("nobody lied")
			}
		})
	}
}

// The votes and prepare certificates of a replica for ordinals above those that it catches up stay (defect 3 of 9.2, I6).
func TestCatchUpKeepsWhatIsAbove(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1 window=4 history=500"+quietly, "drop type=(COMMIT,CERTIFICATE) to=r4", "load r2 count=3 every=5ms")
	prepared := c.says(4, wire.KindCommit) // r4 has prepare certificates of all three, and executed nothing
	if len(prepared) != 3 || c.machines[3].Status().Executed != 0 {
		t.Fatalf("r4 committed %d, executed %d", len(prepared), c.machines[3].Status().Executed)
	}
	// It learns of the first only.
	for _, id := range []group.ID{1, 2} {
		m := &wire.Status{View: 1, Installed: 1, Executed: 1, Oldest: 1, Preorders: make(wire.Vector, 4), Held: make(wire.Vector, 4)}
		c.send(id, effect.Send{To: group.SetOf(4), Class: wire.Bounded, Msg: m})
	}
	c.do("drop type=(STATUS,COMMIT,CERTIFICATE) to=r4")
	c.do("advance 400ms")
	if st := c.machines[3].Status(); st.Executed != 1 || st.CatchUp.Ordinals != 1 {
		t.Fatalf("r4 executed %d: %+v", st.Executed, st.CatchUp)
	}
	c.do("vote view=2 from=(r1,r2,r3)")
	c.do("advance 100ms")
	reports := c.says(4, wire.KindReport)
	if len(reports) == 0 {
		t.Fatal("r4 reports nothing")
	}
	for _, s := range reports {
		m := s.env.Msg.(*wire.Report)
		for _, p := range prepared {
			if v := p.env.Msg.(*wire.Commit).Vote; v.Ordinal > m.Executed && !contains(m, v) {
				t.Errorf("the report of r4, which executed %d, leaves out ordinal %d", m.Executed, v.Ordinal)
			}
		}
	}
}

func contains(m *wire.Report, v wire.Vote) bool {
	for i := range m.Prepared {
		if m.Prepared[i].Vote.Ordinal == v.Ordinal && m.Prepared[i].Vote.Proposal == v.Proposal {
			return true
		}
	}
	return false
}

// A replica does not answer its own questions, which somebody passes on to it.
func TestOwnQuestionsAreNotAnswered(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1"+quietly, "submit r2 a", "advance 30ms")
	c.said = nil
	want := wire.Want{ID: wire.PreorderID{Origin: 2, Position: wire.Position{Incarnation: 1, Seq: 1}}}
	own := c.sign(3, &wire.Fetch{Wants: []wire.Want{want}})
	c.send(1, effect.Send{To: group.SetOf(3), Class: wire.Bounded, Signed: own})
	c.send(1, effect.Send{To: group.SetOf(3), Class: wire.Bounded, Signed: c.sign(3, &wire.SegmentAsk{From: 0, To: 1})})
	c.do("advance 5ms")
	for _, s := range c.said {
		if s.by == 3 && s.to.Has(3) {
			t.Errorf("r3 answers itself with a %s", s.env.Kind)
		}
	}
}

// Whoever asks for segments hears how far the replica is that answers, without waiting for its next STATUS.
func TestWhoAsksHearsHowFarOthersAre(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1"+quietly, "submit r2 a", "advance 30ms")
	c.said = nil
	c.send(1, effect.Send{To: group.SetOf(3), Class: wire.Bounded, Signed: c.sign(1, &wire.OutlineAsk{From: 0, To: 1})})
	c.do("advance 5ms")
	executed := c.machines[2].Status().Executed
	for _, s := range c.said {
		if m, ok := s.env.Msg.(*wire.Status); ok && s.by == 3 && s.to == group.SetOf(1) && m.Executed == executed && executed > 0 {
			return
		}
	}
	t.Errorf("r3, which executed %d ordinals, does not say so", executed)
}

// What is kept for others has limits of its own, in ordinals and in bytes, and what proves ordinals is forgotten before they are.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1 window=1 history=3000 historybytes=300000"+quietly, "load r2 count=300 every=5ms")
	st := c.machines[0].Status()
	if kept := st.Executed - st.Collected; st.HistoryBytes > 300_000 || kept < 80 || kept > 160 {
		t.Errorf("%d ordinals of %d bytes are kept", kept, st.HistoryBytes)
	}
	if proven := uint64(4 * 17); c.machines[0].Proves(st.Executed-proven) || !c.machines[0].Proves(st.Executed-proven+1) {
		t.Error("ordinals are proven for another time")
	}
	c = newClaim(t, "group f=1 window=1 history=100"+quietly, "load r2 count=300 every=5ms")
	if st := c.machines[0].Status(); st.Executed-st.Collected != 100 {
		t.Errorf("%d ordinals are kept", st.Executed-st.Collected)
	}
	// What nobody else may have executed stays whatever its bytes.
	c = newClaim(t, "group f=1 window=1 history=3000 historybytes=1"+quietly, "load r2 count=300 every=5ms")
	if st := c.machines[0].Status(); st.Executed-st.Collected != 17 {
		t.Errorf("%d ordinals are kept", st.Executed-st.Collected)
	}
}
