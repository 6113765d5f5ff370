package suspect

import (
	"fmt"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// watching is r2, which watches r1 lead.
func watching(f, k int) *State {
	s := New(Config{Self: 2, Group: group.MustNew(f, k), KLat: 2500, Delta: 20 * time.Millisecond, Floor: 8 * time.Millisecond,
		Ping: 100 * time.Millisecond, Check: 5 * time.Millisecond, Window: 10 * time.Second, MaxStall: 100 * time.Millisecond})
	s.Start(0, 1, true)
	return s
}

// from is what a replica says.
func from(id int, m wire.Message) *wire.Envelope {
	return &wire.Envelope{Header: wire.Header{Sender: group.ID(id), Kind: m.Kind()}, Msg: m}
}

// at is that many milliseconds.
func at(millis int) clock.Instant { return clock.Instant(time.Duration(millis) * time.Millisecond) }

// wants is what a matrix makes eligible.
func wants(seq uint64) wire.Vector { return wire.Vector{{Incarnation: 1, Seq: seq}, {}, {}, {}} }

// Section 5.4.3, figure 4 (B7, D2, D7): all three order statistics have the rank f+k+1, so that f lies and k silent replicas neither
// push nor hide anything. The worked example of the design: f=1, k=1.
func TestClaim54RanksCountLiarsAndTheAbsent(t *testing.T) {
	t.Parallel()
	s := watching(1, 1)
	ms := func(n uint64) uint64 { return n * uint64(time.Millisecond) }
	for id, tat := range map[int]uint64{3: 30, 4: 45, 5: 50, 6: 52} { // r1 leads and lies, r2 has said nothing
		s.OnTurnaround(from(id, &wire.Turnaround{View: 1, Number: 1, Nanos: ms(tat)}))
	}
	for id, bound := range map[int]uint64{1: 8, 2: 9, 3: 10, 4: 12, 6: 1000} { // r5 is down
		s.OnBound(from(id, &wire.Bound{View: 1, Nanos: ms(bound)}))
	}
	leader, acceptable, limit := s.Turnaround()
	if leader != 30*time.Millisecond || acceptable != 12*time.Millisecond || limit != 50*time.Millisecond {
		t.Errorf("leader %v, acceptable %v, limit %v; want 30 ms, 12 ms, 50 ms", leader, acceptable, limit)
	}
	for id, trip := range map[int]uint64{1: 20, 3: 5, 4: 6} { // r5 and r6 have measured nothing; to itself it is 0
		s.OnRoundTrip(from(id, &wire.RoundTrip{View: 1, Dest: 2, Nanos: ms(trip)}))
	}
	if alpha := s.rank(s.trips, true); alpha != 20*time.Millisecond {
		t.Errorf("alpha is %v, want 20 ms", alpha)
	}
}

// Section 5.4.3, figure 4 (A1-A4): what was measured in a view counts in no other.
func TestClaim54EachViewIsMeasuredAnew(t *testing.T) {
	t.Parallel()
	s := watching(1, 0)
	var out effect.Output
	s.Challenge(0, wants(1), nil)
	s.Advance(at(500), &out)
	for id := 1; id <= 4; id++ {
		s.OnTurnaround(from(id, &wire.Turnaround{View: 1, Number: 1, Nanos: uint64(time.Second)}))
		s.OnBound(from(id, &wire.Bound{View: 1, Nanos: 1}))
	}
	if !s.Suspicious() {
		t.Fatal("a turnaround of a second is accepted")
	}
	s.Start(at(600), 2, false)
	leader, acceptable, _ := s.Turnaround()
	if leader != 0 || acceptable != unknown || s.Suspicious() || s.longest != 0 || len(s.challenges) > 0 {
		t.Errorf("the new leader begins with a turnaround of %v, %v acceptable, %d challenges", leader, acceptable, len(s.challenges))
	}
	s.OnTurnaround(from(3, &wire.Turnaround{View: 1, Number: 1, Nanos: uint64(time.Second)})) // of the old leader
	s.OnTurnaround(from(4, &wire.Turnaround{View: 1, Number: 1, Nanos: uint64(time.Second)}))
	if leader, _, _ := s.Turnaround(); leader != 0 {
		t.Errorf("the new leader is charged with %v of the old one", leader)
	}
}

// Section 5.4.3, figure 4 (C11, D5): of round trips and bounds the lowest that was ever reported in the view counts, so a bound never
// rises.
func TestClaim54BoundsOnlyFall(t *testing.T) {
	t.Parallel()
	s := watching(1, 0)
	last := unknown
	for step, nanos := range []uint64{100e6, 50e6, 90e6, 20e6, 1 << 63, 30e6, 10e6} {
		for id := 1; id <= 4; id++ {
			s.OnBound(from(id, &wire.Bound{View: 1, Nanos: nanos}))
			s.OnRoundTrip(from(id, &wire.RoundTrip{View: 1, Dest: 2, Nanos: nanos}))
		}
		_, acceptable, _ := s.Turnaround()
		if alpha := s.rank(s.trips, true); acceptable > last || alpha > last || alpha > acceptable {
			t.Errorf("step %d: acceptable %v, alpha %v after %v", step, acceptable, alpha, last)
		}
		last = acceptable
	}
	if last != 10*time.Millisecond {
		t.Errorf("acceptable is %v at last, want 10 ms", last)
	}
}

// Section 5.4.2: the turnaround time ends with a proposal that covers what was shown, and not before.
func TestClaim54OnlyACoveringProposalEndsTheTurnaround(t *testing.T) {
	t.Parallel()
	s := watching(1, 0)
	s.Challenge(at(0), wants(3), nil)
	s.Challenge(at(10), wants(5), nil)
	s.Proposed(at(20), wants(2))
	if len(s.challenges) != 2 || s.longest != 0 {
		t.Fatalf("a stale proposal ends something: %d challenges, %v", len(s.challenges), s.longest)
	}
	s.Proposed(at(40), wants(4))
	if len(s.challenges) != 1 || s.longest != 40*time.Millisecond {
		t.Errorf("%d challenges and %v, want 1 and 40 ms", len(s.challenges), s.longest)
	}
	s.Proposed(at(60), wants(5))
	if len(s.challenges) != 0 || s.longest != 50*time.Millisecond {
		t.Errorf("%d challenges and %v, want 0 and 50 ms", len(s.challenges), s.longest)
	}
}

// Section 5.4.2, the predicate covers: rows of replicas proven faulty need not be covered, as the leader may hold others of theirs.
func TestClaim54RowsOfTheProvenFaultyNeedNoCover(t *testing.T) {
	t.Parallel()
	s := watching(1, 0)
	rows := make(wire.Rows, 4)
	rows[3] = from(4, &wire.Summary{Vector: wants(9)})
	s.Challenge(0, wants(9), rows)
	s.Proposed(at(5), wants(1))
	s.Discount(4, func(rows wire.Rows) wire.Vector {
		if rows[3] != nil {
			t.Error("the row of the faulty replica is still asked for")
		}
		return wants(1)
	})
	s.Proposed(at(6), wants(1))
	if len(s.challenges) != 0 || s.longest != 6*time.Millisecond {
		t.Errorf("%d challenges and %v, want 0 and 6 ms", len(s.challenges), s.longest)
	}
	if rows[3] == nil {
		t.Error("somebody else's rows were changed")
	}
}

// Section 5.4.2: a leader that proposes nothing is measured by its silence, without any message; and (defect 25 of
// protocol-core.md 10.3) an idle one by its answers to pings.
func TestClaim54SilenceIsMeasured(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"challenged", "idle"} {
		s := watching(1, 0)
		var out effect.Output
		if what == "challenged" {
			s.Challenge(0, wants(1), nil)
		}
		last := time.Duration(0)
		for ms := 0; ms <= 300; ms += 5 {
			out.Reset()
			s.Advance(at(ms), &out)
			for _, send := range out.Sends {
				if m, ok := send.Msg.(*wire.Turnaround); ok {
					last = time.Duration(m.Nanos)
				}
			}
		}
		if last < 250*time.Millisecond || s.longest != 300*time.Millisecond {
			t.Errorf("%s: after 300 ms of silence %v is reported and %v measured", what, last, s.longest)
		}
	}
}

// Section 5.4.3, B2: the longest turnaround counts, however many short ones follow. Here: for one window at least and two at most, so
// that rare hiccups of a good leader do not add up for ever (defect 22 of protocol-core.md 10.3).
func TestClaim54TheLongestCountsForAWindow(t *testing.T) {
	t.Parallel()
	s := watching(1, 0)
	var out effect.Output
	s.windowAt = at(10_000)
	s.measure(70 * time.Millisecond)
	for second := range 31 {
		out.Reset()
		s.Advance(at(1000*second), &out)
		s.OnPong(at(1000*second+5), from(1, &wire.Pong{View: 1, Dest: 2, Seq: s.pinged}), &out) // it is prompt otherwise
		reported := time.Duration(0)
		for _, send := range out.Sends {
			if m, ok := send.Msg.(*wire.Turnaround); ok {
				reported = time.Duration(m.Nanos)
			}
		}
		if second < 10 && reported < 70*time.Millisecond {
			t.Errorf("after %d s %v is reported: the longest of the window is forgotten", second, reported)
		}
		if second > 21 && reported >= 70*time.Millisecond {
			t.Errorf("after %d s %v is reported: it adds up for ever", second, reported)
		}
	}
}

// Section 5.4.3: a larger KLat gives a leader more room, and nothing that f liars report does: what they add is at most what a correct
// replica measured.
func TestClaim54LiarsGiveNoRoom(t *testing.T) {
	t.Parallel()
	for _, fk := range [][2]int{{1, 0}, {1, 1}, {2, 0}, {3, 1}} {
		g := group.MustNew(fk[0], fk[1])
		for _, lie := range []uint64{0, 1, 1 << 62, 1<<64 - 1} {
			s := watching(fk[0], fk[1])
			for i := range g.N() {
				nanos := uint64(10+i) * uint64(time.Millisecond)
				if i < g.F() {
					nanos = lie
				}
				if i < g.F() || i >= g.F()+g.K() {
					s.OnBound(from(i+1, &wire.Bound{View: 1, Nanos: nanos}))
				}
			}
			_, acceptable, limit := s.Turnaround()
			slowest := time.Duration(10+g.N()-1) * time.Millisecond
			if acceptable > slowest || limit > slowest*5/2+20*time.Millisecond {
				t.Errorf("%s, lie %d: acceptable %v, limit %v; the slowest correct one needs %v", g, lie, acceptable, limit, slowest)
			}
			s.cfg.KLat *= 2
			if _, _, more := s.Turnaround(); more <= limit {
				t.Errorf("%s, lie %d: a limit of %v with KLat 2.5, %v with KLat 5", g, lie, limit, more)
			}
		}
	}
}

// Defects of protocol-core.md 11.4: turnarounds of nothing, of ages and negative ones; pongs before their pings, again, from others
// and of other views change nothing.
func TestClaim54AbsurdMeasuresAndEarlyPongs(t *testing.T) {
	t.Parallel()
	s := watching(1, 0)
	var out effect.Output
	s.Advance(at(0), &out)
	first := s.pinged
	for name, pong := range map[string]*wire.Envelope{
		"before its ping":      from(3, &wire.Pong{View: 1, Dest: 2, Seq: first + 1}),
		"long before its ping": from(3, &wire.Pong{View: 1, Dest: 2, Seq: first + uint64(len(s.pings))}),
		"to another":           from(3, &wire.Pong{View: 1, Dest: 4, Seq: first}),
		"of another view":      from(3, &wire.Pong{View: 2, Dest: 2, Seq: first}),
		"of number 0":          from(3, &wire.Pong{View: 1, Dest: 2}),
		"of its own":           from(2, &wire.Pong{View: 1, Dest: 2, Seq: first}),
	} {
		out.Reset()
		if s.OnPong(at(3), pong, &out); len(out.Sends) > 0 {
			t.Errorf("a pong %s is answered with %v", name, out.Sends[0].Msg)
		}
	}
	out.Reset()
	if s.OnPong(at(3), from(3, &wire.Pong{View: 1, Dest: 2, Seq: first}), &out); len(out.Sends) != 1 {
		t.Fatalf("a true pong is answered with %v", out.Sends)
	} else if m := out.Sends[0].Msg.(*wire.RoundTrip); m.Nanos != uint64(3*time.Millisecond) || m.Dest != 3 {
		t.Errorf("it took %v", m)
	}
	for id, nanos := range map[int]uint64{1: 1<<64 - 1, 3: 1 << 63, 4: 0} {
		for _, m := range []wire.Message{&wire.Turnaround{View: 1, Number: 1, Nanos: nanos}, &wire.Bound{View: 1, Nanos: nanos},
			&wire.RoundTrip{View: 1, Dest: 2, Nanos: nanos}} {
			switch env := from(id, m); m.(type) {
			case *wire.Turnaround:
				s.OnTurnaround(env)
			case *wire.Bound:
				s.OnBound(env)
			default:
				s.OnRoundTrip(env)
			}
		}
	}
	for i, values := range [][]time.Duration{s.reported, s.bounds, s.trips} {
		for j, v := range values {
			if v < 0 {
				t.Errorf("value %d of list %d is %v", j, i, v)
			}
		}
	}
	leader, acceptable, limit := s.Turnaround()
	if leader < 0 || acceptable < 0 || limit < 0 {
		t.Error(fmt.Sprint(leader, acceptable, limit))
	}
}

// TAT-MEASUREs are numbered: the newest word of a replica counts, in whatever order they come and however often they are repeated by
// others.
func TestClaim54OldReportsDoNotCount(t *testing.T) {
	t.Parallel()
	s := watching(1, 0)
	say := func(number, millis uint64) time.Duration {
		for id := 1; id <= 4; id++ {
			s.OnTurnaround(from(id, &wire.Turnaround{View: 1, Number: number, Nanos: millis * uint64(time.Millisecond)}))
		}
		leader, _, _ := s.Turnaround()
		return leader
	}
	for _, step := range []struct{ number, millis, want uint64 }{{1, 90, 90}, {3, 20, 20}, {1, 90, 20}, {2, 500, 20}, {3, 70, 20}, {4, 30, 30}} {
		if got := say(step.number, step.millis); got != time.Duration(step.want)*time.Millisecond {
			t.Errorf("after report %d of %d ms the leader has %v, want %d ms", step.number, step.millis, got, step.want)
		}
	}
}

// A flood of RTT-PINGs of one peer is answered within limits, because every answer has to be signed; others are answered as ever.
func TestClaim54PingsAreAnsweredWithinLimits(t *testing.T) {
	t.Parallel()
	s := watching(1, 0)
	var out effect.Output
	for seq := range uint64(1000) {
		s.OnPing(at(int(seq/100)), from(4, &wire.Ping{View: 1, Seq: seq + 1}), &out)
	}
	if n := len(out.Sends); n == 0 || n > 20 {
		t.Errorf("1,000 pings in 10 ms are answered %d times", n)
	}
	out.Reset()
	if s.OnPing(at(10), from(3, &wire.Ping{View: 1, Seq: 1}), &out); len(out.Sends) != 1 {
		t.Errorf("another peer's ping is answered %d times", len(out.Sends))
	}
	out.Reset()
	if s.OnPing(at(200), from(4, &wire.Ping{View: 1, Seq: 1001}), &out); len(out.Sends) != 1 {
		t.Errorf("an interval later the peer's ping is answered %d times", len(out.Sends))
	}
}

// A replica that lags behind accepts nothing, and shows the leader more and more: it keeps so many challenges, the oldest and the newest.
func TestChallengesAreBounded(t *testing.T) {
	t.Parallel()
	s := watching(1, 0)
	const last = 3 * MaxChallenges
	for seq := 1; seq <= last; seq++ {
		s.Challenge(at(seq), wants(uint64(seq)), nil)
	}
	if n := len(s.challenges); n != MaxChallenges || s.challenges[0].since != at(1) || s.challenges[n-1].want[0].Seq != last {
		t.Fatalf("%d challenges are kept, since %v, up to %v", n, s.challenges[0].since, s.challenges[n-1].want[0])
	}
	s.Proposed(at(last+5), wants(last))
	if len(s.challenges) != 0 || s.longest != time.Duration(at(last+5)-at(1)) {
		t.Errorf("%d challenges are left, the longest took %v", len(s.challenges), s.longest)
	}
}
