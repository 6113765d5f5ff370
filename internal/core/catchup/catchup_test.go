package catchup

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

const fetch = 20 * time.Millisecond

// past is what replicas executed: the History of one that remembers ordinals from first on.
type past struct {
	ordinals []wire.SegmentOrdinal // of ordinal 1, 2, …
	links    []wire.Digest         // of ordinal 0, 1, …
	first    uint64
}

func (p *past) Held() (first, last uint64)      { return p.first, uint64(len(p.ordinals)) }
func (p *past) Link(ordinal uint64) wire.Digest { return p.links[ordinal] }
func (p *past) Ordinal(ordinal uint64) wire.SegmentOrdinal {
	o := p.ordinals[ordinal-1]
	o.Requests = slices.Clone(o.Requests)
	return o
}
func (p *past) Tell(to group.ID, out *effect.Output) {
	_, last := p.Held()
	v := make(wire.Vector, 4)
	m := &wire.Status{View: 1, Installed: 1, Executed: last, Oldest: p.first, Preorders: v, Held: v}
	out.Sends = append(out.Sends, effect.Send{To: group.SetOf(to), Class: wire.Bounded, Msg: m})
}

// newPast is so many ordinals, each with requests of r2 of one update with so many bytes.
func newPast(ordinals, requests, bytes int) *past {
	p := &past{links: make([]wire.Digest, 1), first: 1}
	seq := uint64(0)
	for k := range ordinals {
		o := wire.SegmentOrdinal{Time: int64(k), Eligible: make(wire.Vector, 4)}
		var digests []wire.Digest
		for range requests {
			seq++
			u := wire.Update{Client: wire.ClientID{1}, Seq: seq, Payload: make([]byte, bytes)}
			e := wire.WithoutProof(say(2, &wire.PreorderRequest{Seq: seq, Updates: []wire.Update{u}}))
			o.Requests = append(o.Requests, wire.SegmentRequest{Digest: e.Digest, Request: e})
			digests = append(digests, e.Digest)
		}
		o.Eligible[1] = wire.Position{Incarnation: 1, Seq: seq}
		p.ordinals = append(p.ordinals, o)
		p.links = append(p.links, effect.Link(p.links[k], uint64(k+1), o.Time, o.Eligible, digests))
	}
	return p
}

func say(from group.ID, m wire.Message) *wire.Envelope {
	e := wire.NewEnvelope(wire.Header{Sender: from, Epoch: 1, Incarnation: 1}, m)
	e.Finish(wire.Proof{Count: 1})
	return e
}

// TestWholeWay: all is executed, in little more than the bytes of the requests, and what one peer is asked is about a third.
func TestWholeWay(t *testing.T) {
	t.Parallel()
	r := newRace(t, newPast(1000, 3, 100))
	took := r.run(1000, time.Second)
	if c := r.r4.Counters(); r.executed != 1000 || c.Rounds != 1 || c.Ordinals != 1000 || c.Wrong+c.Late > 0 || took > 50*time.Millisecond {
		t.Errorf("%d executed after %v: %+v", r.executed, took, c)
	}
	if most := 3000 * (100 + 120); r.bytes > most {
		t.Errorf("%d bytes, more than %d", r.bytes, most)
	}
	for id, count := range r.asked {
		if count > 16 {
			t.Errorf("%s is asked %d times", id, count)
		}
	}
}

// TestAskersHearHowFarOthersAre: what r4 last heard is old, as after a restart. It need not wait for the next STATUS of anybody.
func TestAskersHearHowFarOthersAre(t *testing.T) {
	t.Parallel()
	r := newRace(t, newPast(1000, 3, 100))
	for id := range r.helpers {
		r.r4.OnStatus(id, &wire.Status{Executed: 100, Oldest: 1})
	}
	took := r.run(1000, time.Second)
	if c := r.r4.Counters(); r.executed != 1000 || c.Rounds != 2 || took > 50*time.Millisecond {
		t.Errorf("%d executed after %v: %+v", r.executed, took, c)
	}
}

// TestEdgesOfHistory: what is held is told, from the first ordinal to the last; what is not, is not (I7).
func TestEdgesOfHistory(t *testing.T) {
	t.Parallel()
	p := newPast(100, 1, 10)
	p.first = 41
	for _, c := range []struct {
		executed uint64
		back     bool
	}{{38, false}, {39, false}, {40, true}, {41, true}, {64, true}, {91, true}} {
		r := newRace(t, p)
		r.executed = c.executed
		r.run(100, 2*time.Second)
		if back := r.executed == 100; back != c.back || r.r4.Lacks() == c.back {
			t.Errorf("from %d: executed %d, lacks %v", c.executed, r.executed, r.r4.Lacks())
		}
	}
	r := newRace(t, p)
	r.executed = 100
	if r.run(101, time.Second); r.r4.Lacks() || len(r.asked) > 0 {
		t.Error("nothing is missing, and it asks")
	}
	var out effect.Output
	h := r.helpers[1]
	h.state.OnSegmentAsk(r.now, say(4, &wire.SegmentAsk{From: 99, To: 101}), h.past, &out)
	h.state.OnSegmentAsk(r.now, say(4, &wire.SegmentAsk{From: 39, To: 41}), h.past, &out)
	h.state.OnOutlineAsk(r.now, say(4, &wire.OutlineAsk{From: 64, To: 101}), h.past, &out)
	if len(out.Sends) > 0 {
		t.Error("it tells what it does not hold")
	}
	if h.state.OnSegmentAsk(r.now, say(4, &wire.SegmentAsk{From: 98, To: 100}), h.past, &out); len(out.Sends) != 2 {
		t.Error("it does not tell what it holds, and how far it is")
	}
}

// TestLargeOrdinals: an ordinal whose requests are far more than a frame comes in several, and so does a segment whose digests alone are.
func TestLargeOrdinals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ ordinals, requests, bytes int }{{40, 120, 5_000}, {70, 1, 900_000}, {64, 500, 10}} {
		r := newRace(t, newPast(c.ordinals, c.requests, c.bytes))
		took := r.run(uint64(c.ordinals), 20*time.Second)
		if r.executed != uint64(c.ordinals) || r.r4.Counters().Wrong > 0 {
			t.Errorf("%+v: executed %d after %v, %+v", c, r.executed, took, r.r4.Counters())
		}
		t.Logf("%+v: %d frames, %d bytes, %d waited, %v", c, r.frames, r.bytes, r.most, took)
	}
}

// TestBuffersAreBounded: no more waits than MaxBuffered, and what may be under way then.
func TestBuffersAreBounded(t *testing.T) {
	t.Parallel()
	r := newRace(t, newPast(32*24, 1, 50_000)) // 1.6 MB each segment
	for _, h := range r.helpers {
		h.does = func(m wire.Message) wire.Message {
			if segment, ok := m.(*wire.Segment); ok && segment.From < wire.Spacing && r.now < clock.Instant(time.Second) {
				return nil // whoever waits for the first segment has all others waiting
			}
			return m
		}
	}
	r.run(32*24, time.Minute)
	if under := Active * 2 * SegmentBytes; r.executed != 32*24 || r.most > MaxBuffered+under {
		t.Errorf("%d executed, %d bytes waited", r.executed, r.most)
	}
}

// TestLongWays: a way with more links than an outline may have is caught up in several rounds.
func TestLongWays(t *testing.T) {
	t.Parallel()
	most := uint64(MaxLinks * wire.Spacing)
	r := newRace(t, newPast(int(most)+100, 0, 0))
	r.executed = 5
	r.run(most+100, time.Minute)
	if c := r.r4.Counters(); r.executed != most+100 || c.Rounds != 2 {
		t.Errorf("%d executed: %+v", r.executed, c)
	}
}

// TestServingIsLimited: a peer that asks for everything all the time is answered ServeBytes in a Fetch interval, and one message more;
// MaxAsks of its questions wait.
func TestServingIsLimited(t *testing.T) {
	t.Parallel()
	p := newPast(2000, 4, 10_000)
	s := New(Config{Self: 1, Group: group.MustNew(1, 0), Fetch: fetch, Threshold: 8})
	sent := 0
	for ms := range 1000 {
		now := clock.Instant(ms) * clock.Instant(time.Millisecond)
		var out effect.Output
		for k := range uint64(3) {
			from := (uint64(ms)*3 + k) % 60 * wire.Spacing
			s.OnSegmentAsk(now, say(4, &wire.SegmentAsk{From: from, To: from + wire.Spacing}), p, &out)
		}
		s.Serve(now, p, &out)
		for _, send := range out.Sends {
			sent += len(say(1, send.Msg).Raw)
		}
		if waits := len(s.askers[3].asks); waits > MaxAsks {
			t.Fatalf("%d questions wait", waits)
		}
	}
	most := int(time.Second/fetch) * (ServeBytes + 2*SegmentBytes)
	if sent > most || sent < most/2 {
		t.Errorf("%d bytes in a second, at most %d", sent, most)
	}
}

// TestSilentHelpers: f that do not answer cost at most Outstanding waits in a round, and the rest does not wait for them.
func TestSilentHelpers(t *testing.T) {
	t.Parallel()
	r := newRace(t, newPast(3000, 1, 100))
	r.helpers[2].does = func(m wire.Message) wire.Message {
		if _, ok := m.(*wire.Segment); ok {
			return nil
		}
		return m
	}
	took := r.run(3000, 10*time.Second)
	if c := r.r4.Counters(); r.executed != 3000 || c.Late > Outstanding || r.asked[2] > Outstanding {
		t.Errorf("%d executed after %v: %+v, asked %v", r.executed, took, c, r.asked)
	}
	if took > 2*fetches*fetch {
		t.Errorf("it took %v", took)
	}
}

// TestWrongSegments: whatever is changed in a segment, it is found out; its sender is asked nothing more in the round (I8).
func TestWrongSegments(t *testing.T) {
	t.Parallel()
	changes := map[string]func(m *wire.Segment){
		"time":     func(m *wire.Segment) { m.Ordinals[len(m.Ordinals)-1].Time++ },
		"eligible": func(m *wire.Segment) { m.Ordinals[0].Eligible = make(wire.Vector, 4) },
		"before":   func(m *wire.Segment) { m.Before[5] ^= 1 },
		"order": func(m *wire.Segment) {
			q := m.Ordinals[0].Requests
			q[0], q[1] = q[1], q[0]
		},
		"missing": func(m *wire.Segment) { m.Ordinals[0].Requests = m.Ordinals[0].Requests[1:] },
		"twice": func(m *wire.Segment) {
			m.Ordinals[0].Requests = append(m.Ordinals[0].Requests, m.Ordinals[0].Requests[0])
		},
		"content": func(m *wire.Segment) {
			e := m.Ordinals[0].Requests[0].Request
			u := e.Msg.(*wire.PreorderRequest).Updates[0]
			u.Payload = binary.LittleEndian.AppendUint64(nil, 1)
			other := wire.WithoutProof(say(2, &wire.PreorderRequest{Seq: 1, Updates: []wire.Update{u}}))
			m.Ordinals[0].Requests[0] = wire.SegmentRequest{Digest: other.Digest, Request: other}
		},
		"shifted": func(m *wire.Segment) { m.From, m.To = m.From+1, m.To+1 },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRace(t, newPast(500, 2, 100))
			r.helpers[1].does = func(m wire.Message) wire.Message {
				if s, ok := m.(*wire.Segment); ok {
					change(s)
				}
				return m
			}
			took := r.run(500, 5*time.Second)
			c := r.r4.Counters()
			if r.executed != 500 || r.asked[1] > Outstanding || took > time.Second || name != "shifted" && c.Wrong != 1 {
				t.Errorf("%d executed after %v: %+v, asked %v", r.executed, took, c, r.asked)
			}
		})
	}
}

// TestNothingUnasked: what nobody asked for is not looked at.
func TestNothingUnasked(t *testing.T) {
	t.Parallel()
	p := newPast(200, 1, 10)
	r := newRace(t, p)
	flood := func() {
		var out effect.Output
		for k := range uint64(6) {
			m, _ := told(&wire.SegmentAsk{From: k * 32, To: k*32 + 32}, p)
			m.Ordinals[0].Time++
			r.r4.OnSegment(r.now, say(1, m), &out)
			r.r4.OnOutline(r.now, say(1, outline(k, 150, p)), &out)
		}
		for _, e := range out.Events {
			if e.Reason != "segment that was not asked for" && e.Reason != "outline that was not asked for" {
				t.Fatalf("%v", e)
			}
		}
	}
	flood()
	if r.r4.Active() || r.r4.Counters() != (Counters{}) {
		t.Errorf("%+v", r.r4.Counters())
	}
}

// TestOneCorrectOutline: f equal outlines are no outline, whoever is first, and claims of f replicas are no target.
func TestOneCorrectOutline(t *testing.T) {
	t.Parallel()
	r := newRace(t, newPast(200, 1, 10))
	r.helpers[1].does = func(m wire.Message) wire.Message {
		if o, ok := m.(*wire.Outline); ok {
			o.Links[0][0] ^= 1
		}
		return m
	}
	r.helpers[2].late, r.helpers[3].late = 20*time.Millisecond, 30*time.Millisecond
	r.run(200, 5*time.Second)
	if r.executed != 200 || r.asked[1] > 0 {
		t.Errorf("%d executed, r1 is asked %d times", r.executed, r.asked[1])
	}
	s := New(Config{Self: 4, Group: group.MustNew(1, 0), Fetch: fetch, Threshold: 8})
	s.OnStatus(1, &wire.Status{Executed: 1 << 60})
	if s.Target() != 0 {
		t.Errorf("one replica says that it executed much, and the target is %d", s.Target())
	}
	s.OnStatus(2, &wire.Status{Executed: 7})
	if s.Target() != 7 {
		t.Errorf("the target is %d", s.Target())
	}
}

// TestLackIsSeen: if f+1 have forgotten the next ordinal and too few are left it lacks a state, and if nobody can agree on an outline too;
// not because f say so, nor because nobody can be heard.
func TestLackIsSeen(t *testing.T) {
	t.Parallel()
	p := newPast(200, 1, 10)
	r := newRace(t, p)
	r.r4.OnStatus(1, &wire.Status{Executed: 200, Oldest: 100})
	if r.r4.Lacks() {
		t.Error("one says that it has forgotten, and that is believed")
	}
	r.r4.OnStatus(2, &wire.Status{Executed: 200, Oldest: 100})
	if !r.r4.Lacks() {
		t.Error("two have forgotten, one alone cannot vouch, and no state is asked for")
	}
	mute := func(m wire.Message) wire.Message { return nil }
	for _, alive := range []bool{false, true} {
		r = newRace(t, p)
		for id, h := range r.helpers {
			if h.does = mute; id == 1 {
				h.does = nil
			}
		}
		for range 20 {
			r.run(200, 300*time.Millisecond)
			for id := group.ID(1); alive && id <= 3; id++ {
				r.r4.OnStatus(id, &wire.Status{Executed: 200, Oldest: 1})
			}
		}
		if r.r4.Lacks() != alive {
			t.Errorf("nobody agrees on an outline, others are heard: %v, lacks: %v", alive, r.r4.Lacks())
		}
	}
}

// That others could not agree once is forgotten when this replica gets on in another way, on part of the way or on all of it: a small
// lag later needs no state.
func TestLackIsForgotten(t *testing.T) {
	t.Parallel()
	for _, executed := range []uint64{50, 100} {
		s := New(Config{Self: 4, Group: group.MustNew(1, 0), Fetch: 20 * time.Millisecond, Threshold: 5})
		now, out := clock.Instant(0), new(effect.Output)
		hears := func(executed uint64) {
			for id := group.ID(1); id <= 3; id++ {
				s.OnStatus(id, &wire.Status{Executed: executed, Oldest: 1})
			}
		}
		for range 20 {
			hears(100)
			s.Advance(now, 0, false, out)
			now = now.Add(500 * time.Millisecond)
		}
		if !s.Lacks() || s.Suffices() {
			t.Error("nobody agreed on an outline, and nothing follows from that")
		}
		now = now.Add(2 * time.Second)
		s.Advance(now, executed, false, out) // certificates came
		hears(103)
		s.Advance(now, executed, false, out)
		if s.Lacks() {
			t.Errorf("executed %d, and a state is asked for because others could not agree before", executed)
		}
	}
}
