package core_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// Section 5.2, the total order on operations: whatever matrices are ordered, the operations executed are those of the sets
// M(T_q), each set less those before it, in lexicographic order of their identifiers. The test has the definition in sets; the
// core has vectors.
func TestClaim52TotalOrderOfOperations(t *testing.T) {
	t.Parallel()
	const requests = 5
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 52))
		c := &claim{script: &script{group: group.MustNew(1, 0)}, t: t}
		r := lonely(t, 4, c.group)
		var got []string
		hear := func(from group.ID, m wire.Message) {
			var out effect.Output
			r.Step(c.now, core.Input{Message: c.sign(from, m)}, &out)
			for _, d := range out.Deliver {
				for _, u := range d.Updates {
					got = append(got, string(u.Payload))
				}
			}
		}
		for origin := range c.group.All().All() {
			preordered(c, origin, requests, hear)
		}
		var want []string
		done := map[string]bool{}
		for ordinal := uint64(1); ordinal <= 4; ordinal++ {
			p := c.proposal(1, ordinal)
			for i := range p.Rows {
				if rng.IntN(5) == 0 {
					continue
				}
				row := c.summary(ordinal, 0)
				for j := range row.Vector {
					if seq := rng.Uint64N(requests + 1); seq > 0 {
						row.Vector[j] = wire.Position{Incarnation: 1, Seq: seq}
					}
				}
				p.Rows[i] = c.sign(group.FromIndex(i), row)
			}
			for _, name := range eligible(c.group, p.Rows, requests) {
				if !done[name] {
					done[name] = true
					want = append(want, name)
				}
			}
			certify(c, p, hear)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: executed %v, want %v", seed, got, want)
		}
	}
}

// lonely is a replica that hears only what a test tells it.
func lonely(t *testing.T, self group.ID, g group.Group) *core.Replica {
	t.Helper()
	r, err := core.New(core.Config{
		Self: self, Group: g, Epoch: 1, Incarnations: slices.Repeat([]uint32{1}, g.N()), Check: true,
		Limits: core.Limits{UpdateBytes: 100, RequestBytes: 1000, RequestUpdates: 10, InFlight: 8, PendingBytes: 10000,
			Sessions: 64, SessionWindow: 64, OrdinalWindow: 8, History: 16},
		Timing: core.Timing{Retransmit: time.Hour, Fetch: time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// preordered gives a replica the requests of an origin, and says that they are preordered.
func preordered(c *claim, origin group.ID, requests uint64, hear func(group.ID, wire.Message)) {
	for seq := uint64(1); seq <= requests; seq++ {
		m := &wire.PreorderRequest{Seq: seq, Updates: []wire.Update{{
			Client: wire.ClientID{byte(origin), byte(seq)}, Seq: 1, Payload: fmt.Appendf(nil, "%d.%d", origin, seq)}}}
		hear(origin, m)
		part := wire.AckPart{ID: wire.PreorderID{Origin: origin, Position: wire.Position{Incarnation: 1, Seq: seq}},
			Digest: c.sign(origin, m).Digest, Certified: true}
		for _, by := range []group.ID{1, 2} {
			hear(by, &wire.PreorderAck{Incarnations: c.membership(), Parts: []wire.AckPart{part}})
		}
	}
}

// eligible is M(T) of the paper, in lexicographic order.
func eligible(g group.Group, rows wire.Rows, requests uint64) (names []string) {
	for i := range g.N() {
		for seq := uint64(1); seq <= requests; seq++ {
			reach := 0
			for _, row := range rows {
				if row != nil && row.Msg.(*wire.Summary).Vector[i].Seq >= seq {
					reach++
				}
			}
			if reach >= 2*g.F()+g.K()+1 {
				names = append(names, fmt.Sprintf("%d.%d", i+1, seq))
			}
		}
	}
	return names
}

// certify tells a replica that a proposal is ordered.
func certify(c *claim, p *wire.PrePrepare, hear func(group.ID, wire.Message)) {
	proposal := c.sign(c.group.Leader(p.View), p)
	cert := &wire.Certificate{PrePrepare: proposal}
	for id := group.ID(1); int(id) <= c.group.Quorum(); id++ {
		cert.Commits = append(cert.Commits, c.sign(id, &wire.Commit{Vote: c.votes(proposal)}))
	}
	hear(1, cert)
}
