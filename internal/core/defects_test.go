package core_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// Defect 14 of protocol-core.md 10.3: ordinals of an old view that are executed during the view change do not end the repetition of
// what it needs.
func TestDefect14ViewChangeIsRepeatedWhateverIsExecuted(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1"+quietly, "drop type=COMMIT to=(r2,r3)", "drop type=CERTIFICATE", "submit r2 a", "advance 10ms",
		"drop type=(NEW-LEADER,NEW-LEADER-PROOF) to=r4", "drop type=REPLAY", "vote view=2 from=(r1,r2,r3)", "advance 5ms")
	c.do("allow")
	c.do("drop type=(NEW-LEADER,NEW-LEADER-PROOF) to=r4")
	c.do("drop type=REPLAY")
	log := c.do("advance 300ms")
	c.expect(log, "r3: deliver 1: a(r2)", "not", "installed")
	from := c.now
	c.do("advance 300ms")
	for _, kind := range []wire.Kind{wire.KindNewLeaderProof, wire.KindReport, wire.KindEcho, wire.KindReady, wire.KindStateList} {
		count := 0
		for _, s := range c.says(3, kind) {
			if s.at >= from && s.to.Has(4) {
				count++
			}
		}
		if count == 0 {
			t.Errorf("r3 does not repeat its %s after it has executed an old ordinal", kind)
		}
	}
}

// Defect 15 of protocol-core.md 10.3: what waits for the in-flight window is introduced when it opens, without another update and
// before anything is repeated.
func TestDefect15WindowOpens(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1 inflight=1"+quietly)
	var all []string
	for seq := range 26 {
		all = append(all, fmt.Sprintf("a%d", seq+1))
	}
	log := c.do("submit r2 "+strings.Join(all, " ")) + c.do("advance 50ms")
	for _, name := range all {
		c.expect(log, name+"(r2)")
	}
}

// Defect 19 of protocol-core.md 10.3 and 29 of 10.4: an origin gets no more room than its window, and an ordinal neither, whatever
// numbers somebody makes up.
func TestDefect19ReceiversHaveWindows(t *testing.T) {
	t.Parallel()
	c := &claim{script: &script{group: group.MustNew(1, 0)}, t: t}
	r := lonely(t, 1, c.group)
	hear := func(from group.ID, m wire.Message) {
		var out effect.Output
		r.Step(0, core.Input{Message: c.sign(from, m)}, &out)
	}
	for seq := uint64(1); seq <= 500; seq++ {
		u := wire.Update{Client: wire.ClientID{1}, Seq: seq, Payload: []byte("x")}
		hear(4, &wire.PreorderRequest{Seq: seq, Updates: []wire.Update{u}})
		part := wire.AckPart{ID: wire.PreorderID{Origin: 3, Position: wire.Position{Incarnation: 1, Seq: seq}}, Digest: wire.Digest{1}}
		hear(4, &wire.PreorderAck{Incarnations: c.membership(), Parts: []wire.AckPart{part}})
		vote := wire.Vote{View: 1, Ordinal: seq, Proposal: wire.Digest{1}, Incarnations: c.membership()}
		hear(4, &wire.Prepare{Vote: vote})
		hear(4, &wire.Commit{Vote: vote})
	}
	st := r.Status()
	const most = 8 + 8 + 16 // window, in flight and of ordinals; as much again and 16 more are taken ahead; rings double
	if got := st.Lanes[3].Slots; got == 0 || got > most {
		t.Errorf("r4 has %d requests here, want at most %d", got, most)
	}
	if got := st.Lanes[2].Slots; got == 0 || got > most {
		t.Errorf("for r3 there are %d slots, want at most %d", got, most)
	}
	if st.OrdinalSlots == 0 || st.OrdinalSlots > most {
		t.Errorf("there are %d ordinals, want at most %d", st.OrdinalSlots, most)
	}
}

// Defect 27 of protocol-core.md 10.3: VC-PROOFs are repeated. Here all are lost at first, and the leader cannot make one itself.
func TestDefect27ProofsAreRepeated(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1"+quietly, "drop type=(VC-PROOF,VC-PARTIAL-SIG) to=r2", "vote view=2 from=(r1,r3,r4)")
	c.expect(c.do("advance 30ms"), "r2: preinstalled", "not", "installed ordinal")
	c.do("allow")
	c.do("drop type=VC-PARTIAL-SIG to=r2")
	c.expect(c.do("advance 250ms"), "r1: installed ordinal=1 view=2", "r2: installed ordinal=1 view=2")
}

// Defect 27 too: a leader that learns of its own view's beginning from others starts to propose at once.
func TestDefect27LeaderThatJumpsProposes(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1"+quietly, "drop type=(REPLAY-COMMIT,WINDOW) to=r2", "vote view=2 from=(r1,r3,r4)")
	c.expect(c.do("advance 20ms"), "r1: installed", "not", "r2: installed")
	c.do("submit r3 a")
	c.do("advance 20ms")
	c.do("allow")
	c.do("drop type=REPLAY-COMMIT to=r2")
	c.expect(c.do("advance 500ms"), "r2: installed ordinal=1 view=2", "r2: proposed ordinal=1 view=2", "r4: deliver 1: a(r3)")
	for _, s := range c.says(2, wire.KindPrePrepare) {
		if s.at > c.now-millis(1) {
			t.Errorf("proposed only at %v", s.at)
		}
	}
}

// Addendum A11: a certificate of a later view tells a replica that its own is dead, and it orders nothing more there.
func TestAddendumA11CertificateOfALaterView(t *testing.T) {
	t.Parallel()
	c := &claim{script: &script{group: group.MustNew(1, 0)}, t: t}
	r := lonely(t, 3, c.group)
	prepares := 0
	hear := func(from group.ID, m wire.Message) {
		var out effect.Output
		r.Step(0, core.Input{Message: c.sign(from, m)}, &out)
		for _, s := range out.Sends {
			if s.Msg != nil && s.Msg.Kind() == wire.KindPrepare {
				prepares++
			}
		}
	}
	certify(c, c.proposal(2, 1), hear)
	if st := r.Status(); st.Executed != 1 || st.View != 1 {
		t.Fatalf("the certificate does not order its ordinal: %+v", st)
	}
	hear(1, c.proposal(1, 2)) // of the leader of view 1, which is over
	if prepares != 0 {
		t.Error("a replica prepares in a view that it knows to be over")
	}
}

// Addendum D 11: a genuine replay certificate with other bindings than those that its replicas prepared is refused, because the
// digest of the bindings is in what they signed.
func TestAddendumD11CertificateWithOtherBindings(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1"+quietly, "drop type=COMMIT", "submit r2 a", "advance 8ms", "vote view=2 from=(r1,r2,r3)", "advance 20ms",
		"vote view=3 from=(r1,r2,r3)", "advance 20ms")
	limits := wire.Limits{N: 4, UpdateBytes: 100, RequestBytes: 1000, RequestUpdates: 10, AckParts: 64, Wants: 64, Window: 16, Recalls: 16}
	found := false
	for _, s := range c.says(4, wire.KindReport) {
		m := s.env.Msg.(*wire.Report)
		if m.View != 3 || m.Carried == nil || len(m.Carried.Bindings) == 0 {
			continue
		}
		found = true
		if _, err := limits.Decode(s.env.Raw); err != nil {
			t.Fatalf("the genuine report: %v", err)
		}
		for _, change := range []func(*wire.Carried){
			func(r *wire.Carried) { r.Bindings[0] = wire.Digest{} },
			func(r *wire.Carried) { r.Bindings[0][5] ^= 1 },
			func(r *wire.Carried) { r.Bindings = append(r.Bindings, wire.Digest{}); r.Resolution.Start++ },
			func(r *wire.Carried) { r.Bindings = r.Bindings[1:]; r.Resolution.Base++ },
			func(r *wire.Carried) { r.Resolution.Window = r.Bindings.Digest(1, 2, r.Resolution.Base+1) },
		} {
			lie, carried := *m, *m.Carried
			carried.Bindings = append(wire.Bindings(nil), m.Carried.Bindings...)
			change(&carried)
			lie.Carried = &carried
			if _, err := limits.Decode(c.sign(4, &lie).Raw); err == nil {
				t.Errorf("bindings %v of %+v are believed", carried.Bindings, carried.Resolution)
			}
		}
	}
	if !found {
		t.Fatal("nothing was carried into view 3")
	}
}

// Two different REPORTs of one replica for one view convict it at whoever holds both; the view change goes on without them if need be
// (protocol-core.md 11.1, invariant 3: at most one for each view). A REPORT that is only repeated convicts nobody.
func TestTwoReportsConvict(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1 judged"+quietly, "submit r2 a", "advance 8ms", "vote view=2 from=(r1,r2,r3)", "advance 1ms")
	c.inject(4, group.SetOf(1, 2), &wire.Report{View: 2, Executed: 0})
	log := c.do("advance 300ms")
	c.expect(log, "r1: blacklisted peer=r4", "r2: blacklisted peer=r4", "r1: installed", "r3: installed", "not", "peer=r1", "peer=r3",
		"suspected")
	c = newClaim(t, "group f=1 judged"+quietly, "drop type=REPLAY from=r2", "vote view=2 from=(r1,r2,r3)")
	c.expect(c.do("advance 500ms"), "not", "blacklisted")
}

// Addendum A12: a replica may have executed ordinals of a view before it installs that view, by commit certificates; it installs it all
// the same, and takes nothing back.
func TestAddendumA12ExecutedBeforeInstalling(t *testing.T) {
	t.Parallel()
	c := newClaim(t, "group f=1"+quietly, "drop type=(REPLAY-COMMIT,WINDOW) to=r4", "vote view=2 from=(r1,r2,r3)", "advance 20ms", "submit r3 a")
	c.expect(c.do("advance 400ms"), "r4: deliver 1: a(r3)", "not", "r4: installed")
	c.do("allow")
	c.expect(c.do("advance 500ms"), "r4: installed ordinal=1 view=2", "not", "deliver")
	c.expect(c.do("submit r4 b")+c.do("advance 20ms"), "r4: deliver 2: b(r4)", "r2: deliver 2: b(r4)")
}

// Receivers take more ahead than a small window lets a correct origin send: others may go through several windows while a message
// is on its way here, and what is refused then comes again only when it is repeated.
func TestSmallWindowsLeaveRoom(t *testing.T) {
	t.Parallel()
	c := &claim{script: &script{group: group.MustNew(1, 0)}, t: t}
	r := lonely(t, 1, c.group)
	const most = 8 + 16 // the window in flight, and what is taken ahead of it
	for seq := uint64(1); seq <= most; seq++ {
		u := wire.Update{Client: wire.ClientID{1}, Seq: seq, Payload: []byte("x")}
		var out effect.Output
		r.Step(0, core.Input{Message: c.sign(4, &wire.PreorderRequest{Seq: seq, Updates: []wire.Update{u}})}, &out)
	}
	if held := r.Status().Lanes[3].Held; held != most {
		t.Errorf("%d requests of r4 are held, want %d", held, most)
	}
}
