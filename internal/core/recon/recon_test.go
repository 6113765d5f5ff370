package recon

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// holdings is what preordering says, as a table.
type holdings struct {
	requests map[wire.PreorderID]*wire.Envelope // preordered
	here     map[wire.Digest]bool               // held, preordered or not
	holders  group.Set                          // of everything
	lacks    map[group.ID]group.Set             // or who lacks the requests of an origin
	behind   group.Set
}

func (h *holdings) Preordered(origin group.ID, seq uint64) *wire.Envelope {
	return h.requests[name(origin, seq)]
}

func (h *holdings) Has(_ group.ID, _ uint64, digest wire.Digest) bool { return h.here[digest] }

func (h *holdings) Holders(origin group.ID, _ uint64) group.Set {
	if h.lacks != nil {
		return ^h.lacks[origin]
	}
	return h.holders
}

func (h *holdings) Behind() group.Set { return h.behind }

func name(origin group.ID, seq uint64) wire.PreorderID {
	return wire.PreorderID{Origin: origin, Position: wire.Position{Incarnation: 1, Seq: seq}}
}

func say(from group.ID, m wire.Message) *wire.Envelope {
	e := wire.NewEnvelope(wire.Header{Sender: from, Epoch: 1, Incarnation: 1}, m)
	e.Finish(wire.Proof{Count: 1})
	return e
}

func request(origin group.ID, seq uint64) *wire.Envelope {
	return say(origin, &wire.PreorderRequest{Seq: seq, Updates: []wire.Update{{Seq: seq, Payload: []byte("payload")}}})
}

// part is something that claims to be a part; root stands for what the bytes would give.
func part(from, origin group.ID, seq uint64, digest, root byte) *wire.Envelope {
	return say(from, &wire.Parts{List: []wire.Part{
		{ID: name(origin, seq), Digest: wire.Digest{digest}, Length: 100, Root: wire.Digest{root}, Bytes: make([]byte, 34)},
	}})
}

// only is the only part of a RECON.
func only(e *wire.Envelope) *wire.Part { return &e.Msg.(*wire.Parts).List[0] }

func newState(self group.ID, g group.Group, stored int) *State {
	return New(Config{Self: self, Group: g, Incarnations: slices.Repeat([]uint32{1}, g.N()), Ahead: 20, Stored: stored})
}

// TestGroupsOfParts compares with the obvious: of each sender the first part counts, and a digest and root are tried when f+1
// senders agree on them.
func TestGroupsOfParts(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	g := group.MustNew(2, 0)
	jobs := 0
	for range 3000 {
		s, known := newState(7, g, 1<<20), &holdings{}
		first, tried := map[group.ID][2]byte{}, map[byte]bool{}
		for range 12 {
			from, lie := group.ID(1+rng.IntN(6)), [2]byte{byte(1 + rng.IntN(2)), byte(1 + rng.IntN(3))}
			var out effect.Output
			s.OnParts(part(from, 2, 5, lie[0], lie[1]), known, &out)
			s.Check()
			want := 0
			if _, again := first[from]; !again {
				first[from] = lie
				for _, other := range first {
					if other == lie {
						want++
					}
				}
			}
			if due := want >= g.OneCorrect() && !tried[lie[1]]; due != (len(out.Jobs) == 1) {
				t.Fatalf("%v: %d jobs, due: %v", first, len(out.Jobs), due)
			} else if due {
				jobs++
				tried[lie[1]] = true
				var senders group.Set
				for _, e := range out.Jobs[0].Parts {
					if p := only(e); p.Digest != (wire.Digest{lie[0]}) || p.Root != (wire.Digest{lie[1]}) || senders.Has(e.Sender) {
						t.Fatalf("a job with a part of %s that does not belong to it", e.Sender)
					}
					senders = senders.With(e.Sender)
				}
			}
		}
	}
	if jobs < 500 {
		t.Errorf("%d jobs: the parts test nothing", jobs)
	}
}

// TestEverybodyWhoLacksItGetsQParts: all replicas plan one proposal; whoever is not known to hold a request is sent one part of it by
// each of the first Q replicas whose rows reach it, and nobody is sent a second, whatever other proposals follow.
func TestEverybodyWhoLacksItGetsQParts(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(2, 2))
	for range 500 {
		g := group.MustNew(1+rng.IntN(2), rng.IntN(3))
		n, top := g.N(), uint64(1+rng.IntN(3))
		from, to := make(wire.Vector, n), make(wire.Vector, n)
		to[1] = wire.Position{Incarnation: 1, Seq: top}
		rows, reach := make(wire.Rows, n), group.Set(0)
		for _, i := range rng.Perm(n) { // at least Q of the rows reach
			v := make(wire.Vector, n)
			if v[1] = to[1]; reach.Len() >= g.Quorum() && rng.IntN(2) == 0 {
				v[1].Seq = uint64(rng.IntN(int(top)))
			}
			if v[1].Seq == top {
				reach = reach.With(group.FromIndex(i))
			}
			rows[i] = say(group.FromIndex(i), &wire.Summary{Number: 1, Vector: v})
		}
		known := &holdings{requests: map[wire.PreorderID]*wire.Envelope{}, holders: reach}
		for seq := uint64(1); seq <= top; seq++ {
			known.requests[name(2, seq)] = request(2, seq)
		}
		lacking, senders := g.All().Minus(reach).Without(2), group.Set(0)
		for id := range reach.All() {
			if senders.Len() < g.Quorum() {
				senders = senders.With(id)
			}
		}
		got := map[group.ID]map[uint64]group.Set{} // senders, by receiver and number
		for id := range reach.All() {
			s := newState(id, g, 1<<20)
			for round := range 2 {
				var out effect.Output
				s.Plan(clock.Instant(round), rows, from, to, known)
				s.Advance(clock.Instant(round), known, &out)
				done := effect.Output{}
				for _, k := range rng.Perm(len(out.Jobs)) { // they are done in any order
					j := out.Jobs[k]
					s.Done(&effect.Done{Job: j, Part: &wire.Part{ID: j.ID, Bytes: []byte{1}}}, known, &done)
				}
				for _, send := range done.Sends {
					for _, p := range send.Msg.(*wire.Parts).List {
						for to := range send.To.All() {
							if got[to] == nil {
								got[to] = map[uint64]group.Set{}
							}
							if got[to][p.ID.Seq].Has(id) {
								t.Fatalf("%s sends %s its part of %d twice", id, to, p.ID.Seq)
							}
							got[to][p.ID.Seq] = got[to][p.ID.Seq].With(id)
						}
					}
				}
			}
		}
		for id := range g.All().All() {
			for seq := uint64(1); seq <= top; seq++ {
				if want := map[bool]group.Set{true: senders, false: 0}[lacking.Has(id)]; got[id][seq] != want {
					t.Fatalf("%s, rows of %s reach: %s is sent parts of %d by %s, want %s", g, reach, id, seq, got[id][seq], want)
				}
			}
		}
	}
}

// TestPartsGoTogether: parts of one proposal go in as few RECONs as hold them: for each replica the same ones, whoever lacks what.
func TestPartsGoTogether(t *testing.T) {
	t.Parallel()
	g := group.MustNew(2, 0)
	s := New(Config{Self: 1, Group: g, Incarnations: slices.Repeat([]uint32{1}, 7), Ahead: 100, Stored: 1 << 20})
	known := &holdings{requests: map[wire.PreorderID]*wire.Envelope{}, lacks: map[group.ID]group.Set{2: group.SetOf(6, 7), 3: group.SetOf(7)}}
	to, rows := make(wire.Vector, 7), make(wire.Rows, 7)
	to[1], to[2] = wire.Position{Incarnation: 1, Seq: 70}, wire.Position{Incarnation: 1, Seq: 2}
	for i := range 5 {
		rows[i] = say(group.FromIndex(i), &wire.Summary{Number: 1, Vector: to})
	}
	for seq := uint64(1); seq <= 70; seq++ {
		known.requests[name(2, seq)], known.requests[name(3, seq)] = request(2, seq), request(3, seq)
	}
	var out effect.Output
	s.Plan(0, rows, make(wire.Vector, 7), to, known)
	s.Advance(0, known, &out)
	got, messages := map[group.ID]int{}, 0
	for k, j := range out.Jobs {
		if s.Done(&effect.Done{Job: j, Part: &wire.Part{ID: j.ID, Bytes: make([]byte, 200)}}, known, &out); k < len(out.Jobs)-1 && len(out.Sends) > 0 {
			t.Fatalf("%d parts go before all %d are cut", k, len(out.Jobs))
		}
	}
	for _, send := range out.Sends {
		list, size := send.Msg.(*wire.Parts).List, 0
		for k := range list {
			size += list[k].Size()
			if k > 0 && (list[k-1].ID.Origin > list[k].ID.Origin || list[k-1].ID.Origin == list[k].ID.Origin && list[k-1].ID.Seq >= list[k].ID.Seq) {
				t.Error("parts do not ascend")
			}
		}
		if len(list) > wire.MaxParts || size > wire.ReconBytes {
			t.Errorf("a RECON has %d parts of %d bytes", len(list), size)
		}
		for id := range send.To.All() {
			got[id] += len(list)
			messages++
		}
	}
	if len(got) != 2 || got[6] != 70 || got[7] != 72 || messages > 2*(1+70*300/wire.ReconBytes) || s.Counters().Sent != 142 || len(s.batches) != 0 {
		t.Errorf("r6 and r7 get %v parts in %d messages, counted %d", got, messages, s.Counters().Sent)
	}
	large := []wire.Part{{Bytes: make([]byte, 20<<10)}, {Bytes: make([]byte, 20<<10)}}
	if n := fitting(large); n != 1 {
		t.Errorf("%d large parts go together", n)
	}
}

// TestNothingIsSentInVain: who acknowledges while the part waits or is cut gets none, nor does who is proven faulty or far behind.
func TestNothingIsSentInVain(t *testing.T) {
	t.Parallel()
	g := group.MustNew(1, 0)
	s := New(Config{Self: 1, Group: g, Incarnations: slices.Repeat([]uint32{1}, 4), Ahead: 20, Stored: 1 << 20, Wait: time.Millisecond})
	to, rows := make(wire.Vector, 4), make(wire.Rows, 4)
	to[1] = wire.Position{Incarnation: 1, Seq: 3}
	for i := range 3 {
		rows[i] = say(group.FromIndex(i), &wire.Summary{Number: 1, Vector: to})
	}
	known := &holdings{requests: map[wire.PreorderID]*wire.Envelope{}}
	for seq := range uint64(3) {
		known.requests[name(2, seq+1)] = request(2, seq+1)
	}
	s.Plan(0, rows, make(wire.Vector, 4), to, known)
	var out effect.Output
	far := *s
	known.behind = group.SetOf(3, 4)
	if far.Advance(s.Deadline(), known, &out); len(out.Jobs) > 0 {
		t.Fatalf("%d parts are cut for those who are far behind", len(out.Jobs))
	}
	known.behind = 0
	if s.Advance(0, known, &out); len(out.Jobs) > 0 || s.Deadline() != clock.Instant(time.Millisecond) {
		t.Fatalf("%d parts are cut at once, the next at %v", len(out.Jobs), s.Deadline())
	}
	s.Blacklist(3)
	if s.Advance(s.Deadline(), known, &out); len(out.Jobs) != 3 || out.Jobs[0].To != group.SetOf(4) || s.Deadline() != clock.Never {
		t.Fatalf("%+v", out.Jobs)
	}
	known.holders = group.SetOf(4)
	for _, j := range out.Jobs {
		if s.Done(&effect.Done{Job: j, Part: &wire.Part{ID: j.ID}}, known, &out); len(out.Sends) != 0 {
			t.Errorf("a part goes to %s, which has acknowledged the request", out.Sends[0].To)
		}
	}
}

// TestLimits: what is kept of one sender in one lane is bounded, and so is how far ahead; others are not affected.
func TestLimits(t *testing.T) {
	t.Parallel()
	g := group.MustNew(1, 0)
	s, known := newState(4, g, 3*(34+512)), &holdings{}
	var out effect.Output
	for seq := range uint64(40) {
		s.OnParts(part(1, 2, seq+1, 1, 1), known, &out)
		s.Check()
	}
	if s.Stored(1) != 3*(34+512) || s.Stored(3) != 0 || len(out.Events) != 37 {
		t.Errorf("%d and %d bytes are kept, %d parts dropped", s.Stored(1), s.Stored(3), len(out.Events))
	}
	s.OnParts(part(1, 3, 1, 1, 1), known, &out) // another lane
	s.OnParts(part(3, 2, 20, 1, 1), known, &out)
	if s.Stored(1) != 4*(34+512) || s.Stored(3) != 34+512 {
		t.Errorf("%d and %d bytes are kept", s.Stored(1), s.Stored(3))
	}
	executed := make(wire.Vector, 4)
	executed[1] = wire.Position{Incarnation: 1, Seq: 2}
	s.Executed(executed)
	s.Check()
	if s.Stored(1) != 2*(34+512) {
		t.Errorf("%d bytes are kept of what is executed", s.Stored(1))
	}
	before := s.Stored(1)
	for _, e := range []*wire.Envelope{part(1, 2, 1, 1, 1), part(1, 2, 23, 1, 1)} {
		if s.OnParts(e, known, &out); s.Stored(1) != before {
			t.Errorf("a part of request %d is kept", only(e).ID.Seq)
		}
	}
	wrong := part(1, 2, 5, 1, 1)
	only(wrong).ID.Incarnation = 2
	if s.OnParts(wrong, known, &out); s.Stored(1) != before {
		t.Error("a part of another incarnation is kept")
	}
}

// TestLimitOfMessages: a part keeps the whole RECON in memory that it came in, so those are bounded too.
func TestLimitOfMessages(t *testing.T) {
	t.Parallel()
	g := group.MustNew(1, 0)
	s, known := newState(4, g, 1<<14), &holdings{}
	var out effect.Output
	for seq := range uint64(19) {
		e := part(1, 2, seq+1, 1, 1)
		stale := wire.Part{ID: name(3, 1), Bytes: make([]byte, 15<<10)}
		stale.ID.Incarnation = 2
		e = say(1, &wire.Parts{List: []wire.Part{*only(e), stale}})
		s.OnParts(e, known, &out)
		s.Check()
	}
	if s.pinned[0] > 4<<14 || s.pinned[0] < 3<<14 || s.Stored(1) > 5*(34+512) {
		t.Errorf("%d bytes of parts keep %d bytes of messages", s.Stored(1), s.pinned[0])
	}
	executed := make(wire.Vector, 4)
	executed[1] = wire.Position{Incarnation: 1, Seq: 20}
	if s.Executed(executed); s.pinned[0] != 0 {
		t.Errorf("%d bytes are kept of what is executed", s.pinned[0])
	}
}

// TestWrongRootsAreEvidence: once a request came together, parts of it with another root convict their senders, early or late;
// parts of other digests do not, and right ones never.
func TestWrongRootsAreEvidence(t *testing.T) {
	t.Parallel()
	g := group.MustNew(1, 0)
	s, known := newState(4, g, 1<<20), &holdings{here: map[wire.Digest]bool{}, requests: map[wire.PreorderID]*wire.Envelope{}}
	r := request(2, 1)
	claim := func(from group.ID, root byte) *wire.Envelope {
		e := part(from, 2, 1, 0, root)
		only(e).Digest = r.Digest
		return e
	}
	var out effect.Output
	s.OnParts(claim(1, 9), known, &out)
	s.OnParts(claim(2, 1), known, &out)
	s.OnParts(claim(3, 1), known, &out)
	if len(out.Jobs) != 1 {
		t.Fatalf("%d jobs", len(out.Jobs))
	}
	if got := s.Done(&effect.Done{Job: out.Jobs[0], Joined: r}, known, &out); got != r {
		t.Fatal("the request is lost")
	}
	if len(out.Evidence) != 1 || out.Evidence[0].First.Sender != 1 || out.Evidence[0].Second != r {
		t.Fatalf("evidence %+v", out.Evidence)
	}
	s.Check()
	if s.Stored(1)+s.Stored(2)+s.Stored(3) != 0 {
		t.Error("parts are kept of a request that is here")
	}

	late, known := newState(4, group.MustNew(2, 0), 1<<20), known
	out.Reset()
	for _, id := range []group.ID{1, 2, 3} {
		late.OnParts(claim(id, 1), known, &out)
	}
	late.Done(&effect.Done{Job: out.Jobs[0], Joined: r}, known, &out)
	known.here[r.Digest], known.requests[name(2, 1)] = true, r
	late.OnParts(claim(5, 1), known, &out)
	late.OnParts(part(6, 2, 1, 77, 1), known, &out)
	if len(out.Evidence) != 0 {
		t.Fatalf("evidence %+v", out.Evidence)
	}
	late.OnParts(claim(7, 2), known, &out)
	if len(out.Evidence) != 1 || out.Evidence[0].First.Sender != 7 {
		t.Fatalf("evidence %+v", out.Evidence)
	}
}
