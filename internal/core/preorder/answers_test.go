package preorder

import (
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

const fetch = 20 * time.Millisecond

// holder is a replica of four that holds so many requests of r2, each with a payload of so many bytes.
func holder(requests, payload int) *State {
	g := group.MustNew(1, 0)
	s := New(Config{
		Self: 1, Group: g, Incarnations: slices.Repeat([]uint32{1}, 4), UpdateBytes: 1 << 20, RequestBytes: 1 << 20,
		RequestUpdates: 1, EagerBytes: 1 << 20, InFlight: 64, Ahead: 200, PendingBytes: 1 << 20, Parts: true, Fetch: fetch,
	})
	var out effect.Output
	for k := range requests {
		s.OnRequest(0, say(2, &wire.PreorderRequest{Seq: uint64(k + 1), Updates: []wire.Update{{Seq: 1, Payload: make([]byte, payload)}}}), &out)
	}
	return s
}

func say(from group.ID, m wire.Message) *wire.Envelope {
	e := wire.NewEnvelope(wire.Header{Sender: from, Epoch: 1, Incarnation: 1}, m)
	e.Finish(wire.Proof{Count: 1})
	return e
}

// asks has r4 ask for requests of r2, and returns those that it is sent.
func asks(s *State, now clock.Instant, seqs ...uint64) (got []uint64) {
	m := &wire.Fetch{}
	for _, seq := range seqs {
		m.Wants = append(m.Wants, wire.Want{ID: s.id(1, seq)})
	}
	var out effect.Output
	s.OnFetch(now, say(4, m), &out)
	for _, send := range out.Sends {
		if send.Signed != nil {
			got = append(got, send.Signed.Msg.(*wire.PreorderRequest).Seq)
		}
	}
	return got
}

// acknowledges has r4 say that it holds requests of r2.
func acknowledges(s *State, now clock.Instant, seqs []uint64) {
	m := &wire.PreorderAck{}
	for _, seq := range seqs {
		m.Parts = append(m.Parts, wire.AckPart{ID: s.id(1, seq), Digest: s.lanes[1].slots.At(seq).request.Digest})
	}
	var out effect.Output
	s.OnAck(now, say(4, m), &out)
}

func numbers(from, to uint64) (all []uint64) {
	for ; from <= to; from++ {
		all = append(all, from)
	}
	return all
}

// TestAnswersTakeWhatTheLinkCarries: a peer is sent twice as much each time while all of it arrives before it asks for more, less when it
// asks again for what is under way, and nothing twice.
func TestAnswersTakeWhatTheLinkCarries(t *testing.T) {
	t.Parallel()
	s, now, next := holder(150, 4000), clock.Instant(0), uint64(1)
	for _, want := range []uint64{7, 15, 31} { // of 32, 64 and 128 KiB
		got := asks(s, now, numbers(next, next+63)...)
		if !slices.Equal(got, numbers(next, next+want-1)) {
			t.Fatalf("r4 is sent %v, want %d from %d on", got, want, next)
		}
		acknowledges(s, now, got)
		next, now = next+want, now.Add(fetch)
	}
	first := asks(s, now, numbers(next, next+9)...)
	if again := asks(s, now.Add(fetch), first...); len(first) != 10 || len(again) > 0 || s.peers[3].answers.window != 128<<10 {
		t.Fatalf("%v is sent, %v again while that is under way, the window then is %d", first, again, s.peers[3].answers.window)
	}
	if again := asks(s, now.Add(patient*fetch), first...); !slices.Equal(again, first) {
		t.Errorf("%v is sent when %v is lost", again, first)
	}
}

// TestAnswersToWhoSaysNothing: a peer that asks all the time and never says that it got anything is sent little, but always one request,
// however large.
func TestAnswersToWhoSaysNothing(t *testing.T) {
	t.Parallel()
	s, sent := holder(100, 4000), 0
	for k := range clock.Instant(100) {
		sent += len(asks(s, k*clock.Instant(fetch), numbers(uint64(1+k%50), uint64(1+k%50)+50)...))
	}
	if most := 7 * 100 / patient; sent > most || sent < most/2 {
		t.Errorf("%d requests are sent, want at most %d", sent, most)
	}
	if got := asks(holder(2, 200_000), 0, 1, 2); !slices.Equal(got, []uint64{1}) {
		t.Errorf("%v is sent of two large requests", got)
	}
}

// TestPartsOnTheirWayAreNotAskedFor: while f+1 replicas send parts of earlier requests of a lane, those of the next are on their way; it is asked
// for when they stop, and when it takes too long.
func TestPartsOnTheirWayAreNotAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		senders []group.ID
		stops   int // after so many Fetch intervals no parts come any more
		asked   int // in which interval the last request is asked for
	}{
		{[]group.ID{1, 3}, 6, 5 + recent},
		{[]group.ID{3}, 99, 1},            // it may lie
		{[]group.ID{1, 3}, 99, waits + 1}, // it was first heard of a moment after 0
	} {
		s := holder(0, 0)
		s.cfg.Self = 4
		var out effect.Output
		s.Expect(0, wire.Vector{{}, {Incarnation: 1, Seq: 100}, {}, {}})
		for k := range 30 {
			now := clock.Instant(k) * clock.Instant(fetch)
			for _, from := range c.senders {
				if k < c.stops {
					s.OnParts(now, say(from, &wire.Parts{List: []wire.Part{{ID: s.id(1, uint64(1+k))}}}), &out)
				}
			}
			out.Reset()
			s.Advance(now, &out)
			asked := slices.ContainsFunc(out.Sends, func(send effect.Send) bool {
				m, ok := send.Msg.(*wire.Fetch)
				return ok && slices.ContainsFunc(m.Wants, func(w wire.Want) bool { return w.ID.Seq == 60 })
			})
			if asked != (k == c.asked) {
				t.Errorf("parts of %v for %d intervals: the last is asked for in interval %d: %v, want %d", c.senders, c.stops, k, asked, c.asked)
			}
			if asked {
				break
			}
		}
	}
}
