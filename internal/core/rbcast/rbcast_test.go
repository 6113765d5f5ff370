package rbcast

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// broadcast is reliable broadcast at all replicas of a group, in a network that keeps nothing in order and, between correct
// replicas, loses nothing. The last f replicas are Byzantine, the k before them are down.
type broadcast struct {
	t         *testing.T
	group     group.Group
	rng       *rand.Rand
	states    []*State // nil: faulty or down
	queue     []parcel
	delivered []map[group.ID]wire.Digest // by replica, then origin
	reports   map[wire.Digest]*wire.Envelope
}

type parcel struct {
	to  group.ID
	env *wire.Envelope
}

func newBroadcast(t *testing.T, rng *rand.Rand, f, k int) *broadcast {
	t.Helper()
	b := &broadcast{t: t, group: group.MustNew(f, k), rng: rng, reports: map[wire.Digest]*wire.Envelope{}}
	for i := range b.group.N() {
		b.delivered = append(b.delivered, map[group.ID]wire.Digest{})
		b.states = append(b.states, nil)
		if i < b.group.N()-f-k {
			b.states[i] = New(group.FromIndex(i), b.group)
		}
	}
	return b
}

// report is what a replica reports; different numbers are different reports.
func (b *broadcast) report(of group.ID, number uint64) *wire.Envelope {
	env := wire.NewEnvelope(wire.Header{Sender: of, Epoch: 1, Incarnation: 1}, &wire.Report{View: 2, Executed: number})
	env.Finish(wire.Proof{Count: 1})
	b.reports[env.Digest] = env
	return env
}

// start lets correct replicas begin, each with its own report.
func (b *broadcast) start() {
	for i, s := range b.states {
		if s != nil {
			var out effect.Output
			s.Start(&wire.Report{View: 2, Executed: uint64(i)}, &out)
			b.carry(group.FromIndex(i), &out)
		}
	}
}

func (b *broadcast) carry(from group.ID, out *effect.Output) {
	for _, s := range out.Sends {
		env := s.Signed
		if env == nil {
			env = wire.NewEnvelope(wire.Header{Sender: from, Epoch: 1, Incarnation: 1}, s.Msg)
			env.Finish(wire.Proof{Count: 1})
		}
		for to := range s.To.All() {
			b.queue = append(b.queue, parcel{to, env})
		}
	}
}

// lie sends a faulty replica's message to some.
func (b *broadcast) lie(env *wire.Envelope) {
	for to := range b.group.All().All() {
		if b.rng.IntN(2) == 0 {
			b.queue = append(b.queue, parcel{to, env})
		}
	}
}

// hear gives a replica a message, and notes what it delivers.
func (b *broadcast) hear(p parcel) {
	s := b.states[p.to.Index()]
	if s == nil {
		return
	}
	var out effect.Output
	var got *wire.Envelope
	switch p.env.Msg.(type) {
	case *wire.Report:
		got = s.OnReport(p.env, &out)
	case *wire.Echo:
		got = s.OnEcho(p.env, &out)
	case *wire.Ready:
		got = s.OnReady(p.env, &out)
	}
	b.carry(p.to, &out)
	if got == nil {
		return
	}
	if first, again := b.delivered[p.to.Index()][got.Sender]; again {
		b.t.Errorf("%s delivers twice for %s: %s and %s", p.to, got.Sender, first, got.Digest)
	}
	b.delivered[p.to.Index()][got.Sender] = got.Digest
}

// run delivers everything in a random order, what is recalled too.
func (b *broadcast) run() {
	for {
		for len(b.queue) > 0 {
			k, last := b.rng.IntN(len(b.queue)), len(b.queue)-1
			p := b.queue[k]
			b.queue[k], b.queue = b.queue[last], b.queue[:last]
			b.hear(p)
		}
		for i, s := range b.states {
			if s == nil {
				continue
			}
			for _, d := range s.Missing() {
				for _, other := range b.states {
					if other == nil || other == s {
						continue
					}
					if held := other.Holds(d); held != nil {
						b.queue = append(b.queue, parcel{group.FromIndex(i), held})
						break
					}
				}
			}
		}
		if len(b.queue) == 0 {
			return
		}
	}
}

// forged is an ECHO or READY of a faulty replica for a report.
func (b *broadcast) forged(by group.ID, ready bool, of group.ID, digest wire.Digest) *wire.Envelope {
	receipt := wire.Receipt{View: 2, Origin: of, Report: digest}
	var m wire.Message = &wire.Echo{Receipt: receipt}
	if ready {
		m = &wire.Ready{Receipt: receipt}
	}
	env := wire.NewEnvelope(wire.Header{Sender: by, Epoch: 1, Incarnation: 1}, m)
	env.Finish(wire.Proof{Count: 1})
	return env
}

// Appendix A.3, reliable broadcast: correct replicas deliver at most one report of each origin, the same everywhere; if one does,
// all do; and of a correct origin they deliver what it sent. Faulty origins sign two reports and show each to whom they like;
// faulty replicas echo and confirm anything.
func TestClaimA3ReliableBroadcast(t *testing.T) {
	t.Parallel()
	agreed, none := 0, 0
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 3))
		fk := [][2]int{{1, 0}, {1, 1}, {2, 0}, {2, 1}, {0, 1}}[rng.IntN(5)]
		b := newBroadcast(t, rng, fk[0], fk[1])
		b.start()
		n := b.group.N()
		for i := n - fk[0]; i < n; i++ {
			id := group.FromIndex(i)
			both := []*wire.Envelope{b.report(id, 100), b.report(id, 200)}
			for range 1 + rng.IntN(3) {
				b.lie(both[rng.IntN(2)])
			}
			for range rng.IntN(12) {
				of, digest := group.FromIndex(rng.IntN(n)), both[rng.IntN(2)].Digest
				if rng.IntN(2) == 0 {
					of = id
				}
				b.lie(b.forged(id, rng.IntN(2) == 0, of, digest))
			}
		}
		b.run()
		a, e := b.judge(fmt.Sprintf("seed %d, %s", seed, b.group))
		agreed, none = agreed+a, none+e
	}
	if agreed < 50 || none < 50 {
		t.Errorf("of faulty origins %d reports are delivered and %d are not: the test is too one-sided", agreed, none)
	}
}

// judge checks the properties, and counts reports of faulty origins that were delivered, and that were not.
func (b *broadcast) judge(world string) (delivered, not int) {
	for o := range b.group.N() {
		origin := group.FromIndex(o)
		var digests []wire.Digest
		for i, s := range b.states {
			if s == nil {
				continue
			}
			d, ok := b.delivered[i][origin]
			if ok {
				digests = append(digests, d)
			}
			if own := b.states[o]; own != nil && (!ok || d != b.report(origin, uint64(o)).Digest) {
				b.t.Errorf("%s: %s does not deliver what %s, which is correct, reports", world, group.FromIndex(i), origin)
			}
			if ok && d != digests[0] {
				b.t.Errorf("%s: two reports of %s are delivered", world, origin)
			}
		}
		correct := 0
		for _, s := range b.states {
			if s != nil {
				correct++
			}
		}
		switch {
		case len(digests) != 0 && len(digests) != correct:
			b.t.Errorf("%s: %d of %d correct replicas deliver for %s", world, len(digests), correct, origin)
		case o < b.group.N()-b.group.F():
		case len(digests) > 0:
			delivered++
		default:
			not++
		}
	}
	return delivered, not
}

// Appendix A.3 and defect 17 of protocol-core.md 10.3: the first report that a replica sees of an origin does not bind it. Here r4
// shows r1 another report than the rest, before theirs.
func TestClaimA3FirstReportSeenDoesNotStick(t *testing.T) {
	t.Parallel()
	b := newBroadcast(t, rand.New(rand.NewPCG(1, 1)), 1, 0)
	b.start()
	b.queue = nil
	odd, real := b.report(4, 1), b.report(4, 2)
	for _, ready := range []bool{false, true} {
		b.queue = append(b.queue, parcel{2, b.forged(4, ready, 4, real.Digest)}, parcel{3, b.forged(4, ready, 4, real.Digest)})
	}
	b.hear(parcel{1, odd})
	b.hear(parcel{2, real})
	b.hear(parcel{3, real})
	for _, by := range []group.ID{2, 3, 4} {
		b.hear(parcel{1, b.forged(by, false, 4, real.Digest)})
		b.hear(parcel{1, b.forged(by, true, 4, real.Digest)})
	}
	b.run()
	for i := range 3 {
		if b.delivered[i][4] != real.Digest {
			t.Errorf("r%d delivers %v of r4, want %s", i+1, b.delivered[i][4], real.Digest)
		}
	}
}
