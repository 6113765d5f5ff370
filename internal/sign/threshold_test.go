package sign

import (
	"errors"
	"testing"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/threshold"
	"github.com/primebft/prime/threshold/bls"
)

// thresholdCluster is a cluster whose proofs are threshold signatures.
func thresholdCluster(t *testing.T) *cluster {
	t.Helper()
	var groups []threshold.Group
	c := newCluster(t, 1, 0, Ed25519{}, func(m *Membership) {
		n, quorum := m.Group.N(), m.Group.Quorum()
		keys, err := bls.Deal(n, quorum)
		if err != nil {
			t.Fatal(err)
		}
		for id := 0; id <= n; id++ {
			setup := threshold.Setup{Cluster: m.Cluster, Quorum: quorum, Keys: keys.Public, Self: id}
			if id > 0 {
				setup.Secret = keys.Secrets[id-1]
			}
			g, err := bls.Scheme{}.Open(setup)
			if err != nil {
				t.Fatal(err)
			}
			groups = append(groups, g)
		}
		m.Threshold = groups[0]
	})
	for i := range c.signers {
		c.signers[i].UseThreshold(groups[i+1])
	}
	c.limits.Threshold = true
	return c
}

// said is a message as its sender's signer completes and signs it.
func (c *cluster) said(from group.ID, m wire.Message) *wire.Envelope {
	c.tb.Helper()
	return c.one(from, c.signers[from.Index()].Complete(m))
}

// shares are the shares of these replicas for what follows in a view.
func (c *cluster) shares(view uint64, by ...group.ID) (list []*wire.Envelope) {
	for _, id := range by {
		list = append(list, c.said(id, &wire.StateShare{Resolution: c.resolution(view)}))
	}
	return list
}

func refused(err error) Reason {
	var why Reason
	errors.As(err, &why)
	return why
}

// TestThresholdProof: Q shares, whosever they are, make the same proof, which everybody accepts, from the leader too.
func TestThresholdProof(t *testing.T) {
	t.Parallel()
	c := thresholdCluster(t)
	v := c.verifier()
	var first *wire.Threshold
	for _, by := range [][]group.ID{{1, 2, 3}, {2, 3, 4}, {1, 3, 4}} {
		list := c.shares(4, by...)
		for _, e := range list {
			if err := v.Verify(e); err != nil {
				t.Errorf("the share of %v: %v", e.Sender, err)
			}
		}
		proof := wire.StateProof{Resolution: c.resolution(4), Shares: list}
		e := c.said(3, &proof)
		sig := e.Msg.(*wire.StateProof).Sig
		if first == nil {
			first = sig
		}
		if err := v.Verify(e); err != nil || *sig != *first {
			t.Errorf("the proof by %v: %v", by, err)
		}
		replay := c.said(4, &wire.Replay{Proof: proof})
		if err := v.Verify(replay); err != nil || *replay.Msg.(*wire.Replay).Proof.Sig != *first {
			t.Errorf("the replay by %v: %v", by, err)
		}
		if again := c.said(4, &wire.Replay{Proof: *e.Msg.(*wire.StateProof)}); again.Digest != replay.Digest {
			t.Errorf("a proof that was received is repeated as another")
		}
	}
}

// TestThresholdRefusals: a share that is not its sender's is refused as its sender's fault, and no false proof is accepted.
func TestThresholdRefusals(t *testing.T) {
	t.Parallel()
	c := thresholdCluster(t)
	r := c.resolution(4)
	shares := c.shares(4, 1, 2, 3)
	share := func(i int) *wire.Threshold { return shares[i].Msg.(*wire.StateShare).Share }
	proof := c.said(1, &wire.StateProof{Resolution: r, Shares: shares}).Msg.(*wire.StateProof).Sig
	other := r
	other.Start--
	mixed := append(c.shares(5, 1), shares[1:]...)
	wrong := func(s *wire.Threshold) *wire.Replay {
		return &wire.Replay{Proof: wire.StateProof{Resolution: r, Sig: s}}
	}
	for name, test := range map[string]verdict{
		"another's share":         {c.one(4, &wire.StateShare{Resolution: r, Share: share(0)}), BadShare},
		"share of something else": {c.one(1, &wire.StateShare{Resolution: other, Share: share(0)}), BadShare},
		"the proof as a share":    {c.one(1, &wire.StateShare{Resolution: r, Share: proof}), BadShare},
		"no point":                {c.one(1, &wire.StateShare{Resolution: r, Share: new(wire.Threshold)}), BadShare},
		"a share as the proof":    {c.one(3, &wire.StateProof{Resolution: r, Sig: share(0)}), BadShare},
		"proof of something else": {c.one(3, &wire.StateProof{Resolution: other, Sig: proof}), BadShare},
		"made of mixed shares":    {c.said(3, &wire.StateProof{Resolution: r, Shares: mixed}), BadShare},
		"replay without a proof":  {c.one(4, wrong(new(wire.Threshold))), BadShare},
		"replay of no leader":     {c.one(3, wrong(proof)), WrongLeader},
		"replay":                  {c.one(4, wrong(proof)), nil},
		"the same":                {c.one(3, &wire.StateProof{Resolution: r, Sig: proof}), nil},
	} {
		for _, v := range []*Verifier{c.verifier(), c.verifier()} {
			for range 2 { // what is remembered changes nothing
				if err := v.Verify(test.e); err != test.want {
					t.Errorf("%s: %v, want %v", name, err, test.want)
				}
			}
		}
	}
}

// TestThresholdFewShares: fewer than Q shares are never put together, and what is sent then is nothing.
func TestThresholdFewShares(t *testing.T) {
	t.Parallel()
	c := thresholdCluster(t)
	for _, by := range [][]group.ID{{}, {1}, {1, 2}, {1, 2, 2}, {1, 2, 3, 4}} {
		list := c.shares(4, by...)
		m := c.signers[0].Complete(&wire.StateProof{Resolution: c.resolution(4), Shares: list}).(*wire.StateProof)
		if m.Sig != nil {
			t.Errorf("the shares of %v make a proof", by)
		}
	}
}

// TestThresholdClusters: forms of one kind of cluster mean nothing in the other; nor does a share in another configuration.
func TestThresholdClusters(t *testing.T) {
	t.Parallel()
	c, lists := thresholdCluster(t), newCluster(t, 1, 0, Ed25519{}, nil)
	share := c.shares(4, 1)[0]
	bare := lists.one(1, &wire.StateShare{Resolution: c.resolution(4)})
	if why := refused(lists.verifier().Verify(share)); why != Malformed {
		t.Errorf("a share where proofs are lists: %v", why)
	}
	if why := refused(c.verifier().Verify(bare)); why != Malformed {
		t.Errorf("a list's share where proofs are threshold signatures: %v", why)
	}
	list := lists.proof(4, 1, 2, 3)
	if why := refused(c.verifier().Verify(lists.sealed(3, &list))); why != Malformed {
		t.Errorf("a list where proofs are threshold signatures: %v", why)
	}
	proof := c.said(1, &wire.StateProof{Resolution: c.resolution(4), Shares: c.shares(4, 1, 2, 3)})
	both := *proof.Msg.(*wire.StateProof)
	both.Shares = list.Shares
	if why := refused(c.verifier().Verify(c.sealed(1, &both))); why != Malformed {
		t.Errorf("both forms at once: %v", why)
	}
	moved := c.keyring.m
	moved.Config = [32]byte{9}
	k, err := NewKeyring(moved)
	if err != nil {
		t.Fatal(err)
	}
	r := c.resolution(4)
	if string(k.appendProof(nil, &r)) == string(c.keyring.appendProof(nil, &r)) {
		t.Error("a share is the same under another configuration")
	}
	moved.Config, moved.Incarnations = c.keyring.m.Config, []uint32{1, 2, 3, 5}
	if k, err = NewKeyring(moved); err != nil {
		t.Fatal(err)
	}
	if string(k.appendProof(nil, &r)) == string(c.keyring.appendProof(nil, &r)) {
		t.Error("a share is the same with other incarnations")
	}
}

// TestThresholdMemory: what was found good is not verified again, however often it comes, and a lane is charged for what is.
func TestThresholdMemory(t *testing.T) {
	t.Parallel()
	c := thresholdCluster(t)
	v := c.verifier()
	list := c.shares(4, 1, 2, 3)
	proof := c.said(3, &wire.StateProof{Resolution: c.resolution(4), Shares: list})
	for n, e := range append(list, proof) {
		i := v.newInspection()
		if why := i.message(e); why != 0 || i.cost != 1+thresholdCost {
			t.Errorf("message %d: %v, costs %d", n, why, i.cost)
		}
		i.cost = 0
		if why := i.message(e); why != 0 || i.cost != 0 {
			t.Errorf("message %d again: %v, costs %d", n, why, i.cost)
		}
	}
	i := v.newInspection()
	if why := i.message(c.said(4, proof.Msg)); why != 0 || i.cost != 1 {
		t.Errorf("the proof by another: %v, costs %d", why, i.cost)
	}
	bad := c.one(4, &wire.StateShare{Resolution: c.resolution(4), Share: new(wire.Threshold)})
	for range 2 {
		i.cost = 0
		if why := i.message(bad); why != BadShare || i.cost < thresholdCost {
			t.Errorf("a false share: %v, costs %d", why, i.cost)
		}
	}
}

// TestSupersededShares: when a view has its threshold signature, shares for it and for earlier ones are not verified any more;
// those for later views are.
func TestSupersededShares(t *testing.T) {
	t.Parallel()
	c := thresholdCluster(t)
	p := c.pool(t, 1, 1<<20)
	list := c.shares(4, 1, 2, 3)
	proof := wire.StateProof{Resolution: c.resolution(4), Shares: list}
	p.Offer(1, wire.Bounded, list[0].Raw)
	forged := c.one(3, &wire.StateProof{Resolution: c.resolution(9), Sig: new(wire.Threshold)})
	p.Offer(3, wire.Timely, forged.Raw)
	until(t, "the forged proof refused", func() bool { return p.Stats()[2].Refused[BadShare] == 1 })
	p.Offer(4, wire.Timely, c.said(4, &wire.Replay{Proof: proof}).Raw)
	collect(t, p, 2)
	p.Offer(2, wire.Bounded, list[1].Raw)
	p.Offer(2, wire.Bounded, c.shares(3, 2)[0].Raw)
	p.Offer(2, wire.Bounded, c.shares(5, 2)[0].Raw)
	collect(t, p, 1)
	until(t, "two superseded", func() bool { return p.Stats()[1].Refused[Superseded] == 2 })
	p.Offer(2, wire.Bounded, c.one(2, &wire.StateShare{Resolution: c.resolution(5), Share: new(wire.Threshold)}).Raw)
	until(t, "a false share refused", func() bool { return p.Stats()[1].Refused[BadShare] == 1 })
}
