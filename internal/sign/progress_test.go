package sign

import (
	"testing"

	"github.com/primebft/prime/internal/wire"
)

// TestUselessMessages: votes and certificates of ordinals that the consumer does not look at are not verified, so that one which has
// fallen behind catches up; all others are, forged ones included, and everything is as long as nobody says how far the consumer is.
func TestUselessMessages(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, Ed25519{}, nil)
	p := c.pool(t, 1, 1<<20)
	vote := func(ordinal uint64) wire.Vote { return wire.Vote{View: 1, Ordinal: ordinal, Proposal: wire.Digest{1}} }
	p.Offer(2, wire.Bounded, c.one(2, &wire.Prepare{Vote: vote(1 << 40)}).Raw)
	collect(t, p, 1)
	p.Progress(10, 12, 20)
	for _, m := range []struct {
		msg  wire.Message
		used bool
	}{
		{&wire.Prepare{Vote: vote(10)}, false}, {&wire.Prepare{Vote: vote(11)}, true}, {&wire.Prepare{Vote: vote(20)}, true},
		{&wire.Prepare{Vote: vote(21)}, false}, {&wire.Commit{Vote: vote(3)}, false}, {&wire.Commit{Vote: vote(12)}, true},
		{&wire.Commit{Vote: vote(1 << 50)}, false}, {c.certificate(12, 1, 2, 3), false}, {c.certificate(13, 1, 2, 3), true},
		{c.certificate(21, 1, 2, 3), false}, {c.proposal(3), true}, {c.proposal(20), true}, {c.proposal(99), false}, {c.status(3), true},
	} {
		from := c.one(1, m.msg)
		before := p.Stats()[0]
		p.Offer(1, wire.Bounded, from.Raw)
		until(t, "a verdict", func() bool {
			after := p.Stats()[0]
			return after.Accepted+after.Refused[Superseded] > before.Accepted+before.Refused[Superseded]
		})
		if used := p.Stats()[0].Accepted > before.Accepted; used != m.used {
			t.Errorf("%s %+v: taken %v, want %v", from.Kind, m.msg, used, m.used)
		}
		p.Take(nil, wire.Bounded, 1)
	}
	forged := append([]byte(nil), c.one(1, &wire.Commit{Vote: vote(15)}).Raw...)
	forged[len(forged)-1] ^= 1
	p.Offer(1, wire.Bounded, forged)
	until(t, "a forged vote refused", func() bool { s := p.Stats()[0]; return s.Refused[BadSignature]+s.Refused[Malformed] == 1 })
}
