package sign

import (
	"slices"
	"testing"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

func (c *cluster) resolution(view uint64) wire.Resolution {
	return wire.Resolution{
		View: view, Members: 0b0111, Base: 8, Start: 10, Window: wire.Bindings{{}}.Digest(7, view, 8),
	}
}

// votes is a proof of a view by these replicas, whatever their number and order.
func (c *cluster) votes(view uint64, by ...group.ID) *wire.NewLeaderProof {
	m := &wire.NewLeaderProof{View: view}
	for _, id := range by {
		m.Votes = append(m.Votes, c.one(id, &wire.NewLeader{View: view}))
	}
	return m
}

func (c *cluster) proof(view uint64, by ...group.ID) wire.StateProof {
	m := wire.StateProof{Resolution: c.resolution(view)}
	for _, id := range by {
		m.Shares = append(m.Shares, c.one(id, &wire.StateShare{Resolution: m.Resolution}))
	}
	return m
}

func (c *cluster) replay(view uint64) *wire.Replay {
	return &wire.Replay{Proof: c.proof(view, 1, 2, 4)}
}

func (c *cluster) window(view uint64, by ...group.ID) *wire.Window {
	m := &wire.Window{Resolution: c.resolution(view), Bindings: wire.Bindings{{}}}
	vote := wire.ReplayVote{View: view, Replay: m.Resolution.Digest()}
	for _, id := range by {
		m.Commits = append(m.Commits, c.one(id, &wire.ReplayCommit{ReplayVote: vote}))
	}
	return m
}

// checkpoint is a proof by these replicas, whatever their number and order.
func (c *cluster) checkpoint(ordinal uint64, by ...group.ID) *wire.CheckpointProof {
	m := &wire.CheckpointProof{Checkpoint: wire.Checkpoint{Ordinal: ordinal, Digest: wire.Digest{byte(ordinal)}}}
	for _, id := range by {
		m.Votes = append(m.Votes, c.one(id, &wire.Checkpoint{Ordinal: ordinal, Digest: m.Digest}))
	}
	return m
}

// prepared is a prepare certificate of view 2, which r2 leads, every signature in a batch of its own.
func (c *cluster) prepared(ordinal uint64, by ...group.ID) wire.Prepared {
	p := wire.Prepared{Vote: wire.Vote{View: 2, Ordinal: ordinal, Proposal: wire.Digest{byte(ordinal)}}}
	for _, id := range by {
		p.Prepares = append(p.Prepares, c.one(id, &wire.Prepare{Vote: p.Vote}))
	}
	return p
}

// report carries the result of view 2, and prepare certificates of it for the ordinals from 1 on.
func (c *cluster) report(view uint64, certificates int) *wire.Report {
	carried := &wire.Carried{Resolution: c.resolution(2), Bindings: wire.Bindings{{}}}
	vote := wire.ReplayVote{View: 2, Replay: carried.Resolution.Digest()}
	for id := group.ID(1); id <= 3; id++ {
		carried.Prepares = append(carried.Prepares, c.one(id, &wire.ReplayPrepare{ReplayVote: vote}))
	}
	m := &wire.Report{View: view, Carried: carried}
	for i := range certificates {
		m.Prepared = append(m.Prepared, c.prepared(uint64(i+1), 1, 3))
	}
	return m
}

func TestElectionAndViewChange(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, Ed25519{}, nil)
	votes := func(f func(m *wire.NewLeaderProof)) *wire.Envelope {
		m := c.votes(2, 1, 2, 4)
		f(m)
		return c.sealed(3, m)
	}
	replay := func(sender group.ID, f func(m *wire.StateProof)) *wire.Envelope {
		m := c.replay(4)
		f(&m.Proof)
		return c.sealed(sender, m)
	}
	proof := func(f func(m *wire.StateProof)) *wire.Envelope {
		m := c.proof(4, 1, 2, 4)
		f(&m)
		return c.sealed(3, &m)
	}
	window := func(f func(m *wire.Window)) *wire.Envelope {
		m := c.window(2, 1, 2, 4)
		f(m)
		return c.sealed(3, m)
	}
	repeat := func(list []*wire.Envelope) { list[1] = list[0] }
	steal := func(list []*wire.Envelope) { list[2] = stolen(list[2], list[1]) }
	old := func(list []*wire.Envelope) { // of an earlier incarnation
		h := list[0].Header
		h.Incarnation--
		e := wire.NewEnvelope(h, list[0].Msg)
		c.signers[h.Sender.Index()].Sign([]*wire.Envelope{e})
		list[0] = e
	}
	all := map[string]verdict{
		"votes":                {votes(func(*wire.NewLeaderProof) {}), nil},
		"two votes":            {votes(func(m *wire.NewLeaderProof) { m.Votes = m.Votes[:2] }), NoQuorum},
		"no votes":             {votes(func(m *wire.NewLeaderProof) { m.Votes = nil }), NoQuorum},
		"vote repeated":        {votes(func(m *wire.NewLeaderProof) { repeat(m.Votes) }), Malformed},
		"vote forged":          {votes(func(m *wire.NewLeaderProof) { steal(m.Votes) }), BadMember},
		"vote of an old life":  {votes(func(m *wire.NewLeaderProof) { old(m.Votes) }), BadMember},
		"ping among votes":     {votes(func(m *wire.NewLeaderProof) { m.Votes[0] = c.one(1, &wire.Ping{View: 2}) }), Malformed},
		"proof":                {proof(func(*wire.StateProof) {}), nil},
		"two shares":           {proof(func(m *wire.StateProof) { m.Shares = m.Shares[1:] }), NoQuorum},
		"share repeated":       {proof(func(m *wire.StateProof) { repeat(m.Shares) }), Malformed},
		"share forged":         {proof(func(m *wire.StateProof) { steal(m.Shares) }), BadMember},
		"replay":               {replay(4, func(*wire.StateProof) {}), nil},
		"replay of no leader":  {replay(3, func(*wire.StateProof) {}), WrongLeader},
		"replay of too few":    {replay(4, func(m *wire.StateProof) { m.Shares = m.Shares[1:] }), NoQuorum},
		"replay, share forged": {replay(4, func(m *wire.StateProof) { steal(m.Shares) }), BadMember},
		"window":               {window(func(*wire.Window) {}), nil},
		"window of too few":    {window(func(m *wire.Window) { m.Commits = m.Commits[1:] }), NoQuorum},
		"window, repeated":     {window(func(m *wire.Window) { repeat(m.Commits) }), Malformed},
		"window, forged":       {window(func(m *wire.Window) { steal(m.Commits) }), BadMember},
		"two replays": {c.sealed(1, &wire.Evidence{First: c.one(4, c.replay(4)),
			Second: c.one(4, &wire.Replay{Proof: c.proof(4, 1, 2, 3)})}), nil},
		"two replays of no leader": {c.sealed(1, &wire.Evidence{First: c.one(3, c.replay(4)),
			Second: c.one(3, &wire.Replay{Proof: c.proof(4, 1, 2, 3)})}), BadMember},
	}
	// A proof travels without the messages that its shares were: shares of another resolution do not make it.
	altered := proof(func(*wire.StateProof) {})
	altered.Msg.(*wire.StateProof).Resolution.Start--
	m := *altered.Msg.(*wire.StateProof)
	all["shares of another resolution"] = verdict{c.decode(c.sealed(3, &m).Raw), BadMember}
	c.checkVerdicts(t, all)
}

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, Ed25519{}, nil)
	proof := func(f func(m *wire.CheckpointProof)) *wire.Envelope {
		m := c.checkpoint(9, 1, 2, 4)
		f(m)
		return c.sealed(3, m)
	}
	two := func(first, second uint64) *wire.Envelope {
		return c.sealed(1, &wire.Evidence{First: c.one(4, &wire.Checkpoint{Ordinal: first}),
			Second: c.one(4, &wire.Checkpoint{Ordinal: second, Digest: wire.Digest{1}})})
	}
	forged := two(9, 9)
	evidence := forged.Msg.(*wire.Evidence)
	c.checkVerdicts(t, map[string]verdict{
		"proof":             {proof(func(*wire.CheckpointProof) {}), nil},
		"of f+1":            {proof(func(m *wire.CheckpointProof) { m.Votes = m.Votes[1:] }), nil},
		"of f":              {proof(func(m *wire.CheckpointProof) { m.Votes = m.Votes[2:] }), NoQuorum},
		"one vote twice":    {proof(func(m *wire.CheckpointProof) { m.Votes[1] = m.Votes[0] }), Malformed},
		"one vote forged":   {proof(func(m *wire.CheckpointProof) { m.Votes[2] = stolen(m.Votes[2], m.Votes[1]) }), BadMember},
		"a ping among them": {proof(func(m *wire.CheckpointProof) { m.Votes[0] = c.one(1, &wire.Ping{View: 2}) }), Malformed},
		"two votes":         {two(9, 9), nil},
		"two honest votes":  {two(9, 10), nil}, // signed by one replica; that they prove nothing is for the core to say
		"a vote and a forged one": {c.sealed(1, &wire.Evidence{First: evidence.First,
			Second: stolen(evidence.Second, evidence.First)}), BadMember},
	})
}

func TestReports(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, Ed25519{}, nil)
	report := func(f func(m *wire.Report)) *wire.Envelope {
		m := c.report(3, 2)
		f(m)
		return c.sealed(4, m)
	}
	item := func(by ...group.ID) *wire.Envelope {
		return report(func(m *wire.Report) { m.Prepared[1] = c.prepared(2, by...) })
	}
	steal := func(list []*wire.Envelope) { list[1] = stolen(list[1], list[0]) }
	c.checkVerdicts(t, map[string]verdict{
		"report":                     {report(func(*wire.Report) {}), nil},
		"of nothing":                 {c.sealed(4, &wire.Report{View: 3}), nil},
		"forged":                     {stolen(c.one(4, c.report(3, 1)), c.one(4, c.status(1))), BadSignature},
		"without a quorum carried":   {report(func(m *wire.Report) { m.Carried.Prepares = m.Carried.Prepares[1:] }), NoQuorum},
		"carried prepare forged":     {report(func(m *wire.Report) { steal(m.Carried.Prepares) }), BadMember},
		"carried prepare repeated":   {report(func(m *wire.Report) { m.Carried.Prepares[1] = m.Carried.Prepares[0] }), Malformed},
		"certificate of three":       {item(1, 3, 4), nil},
		"certificate of one":         {item(3), NoQuorum},
		"certificate of one, twice":  {item(3, 3), Malformed},
		"certificate of the leader":  {item(1, 2), WrongLeader},
		"signature forged":           {report(func(m *wire.Report) { steal(m.Prepared[1].Prepares) }), BadMember},
		"commit among its prepares":  {report(func(m *wire.Report) { m.Prepared[0].Prepares[0] = c.one(1, c.status(1)) }), Malformed},
		"both certificates the same": {report(func(m *wire.Report) { m.Prepared[1] = m.Prepared[0] }), nil}, // wire refuses it
	})
}

// A report with more signatures than a slice does not keep the worker from what others send, and costs only its sender.
func TestReportIsCheckedInSlices(t *testing.T) {
	t.Parallel()
	scheme := newGate()
	c := newCluster(t, 1, 0, scheme, nil)
	raw, other := c.one(4, c.report(3, 60)).Raw, c.one(2, c.status(1)).Raw
	timely := c.one(3, c.status(1)).Raw
	scheme.set(true)
	p := c.pool(t, 1, 1<<20)
	p.Offer(4, wire.Bounded, raw)
	scheme.arrived(1) // the worker is at the report
	p.Offer(2, wire.Bounded, other)
	p.Offer(3, wire.Timely, timely)
	scheme.set(false)
	got := collect(t, p, 3)
	until(t, "all accepted", func() bool { return p.Stats()[3].Accepted == 1 })
	if i := slices.IndexFunc(got, func(e *wire.Envelope) bool { return e.Kind == wire.KindReport }); i != 2 {
		t.Errorf("the report came as number %d, before what costs less", i)
	}
	scheme.mu.Lock()
	defer scheme.mu.Unlock()
	if want := 1 + 3 + 60*2 + 2; len(scheme.log) != want {
		t.Errorf("%d verifications, want %d", len(scheme.log), want)
	}
	first := len(scheme.log) // the report's own signature is r4's alone: r2 and r3 sign parts of it and what was offered later
	for i, k := range scheme.log {
		if k.Equal(c.keyring.PublicKey(4)) {
			first = i
		}
	}
	if first != 0 {
		t.Errorf("the report's own signature was verified as number %d", first)
	}
}

// What was verified once, as it is for a report that recalls show again, costs nothing.
func TestKnownPartsCostNothing(t *testing.T) {
	t.Parallel()
	scheme := new(counting)
	c := newCluster(t, 1, 0, scheme, nil)
	v, share := c.verifier(), c.proof(4, 1, 2, 3)
	for _, e := range share.Shares {
		if err := v.Verify(e); err != nil {
			t.Fatal(err)
		}
	}
	own := c.one(4, &wire.StateShare{Resolution: share.Resolution})
	v.Remember(own)
	share.Shares = append(share.Shares, own)
	before := scheme.verified.Load()
	if err := v.Verify(c.one(4, &wire.Replay{Proof: share})); err != nil {
		t.Fatal(err)
	}
	if got := scheme.verified.Load() - before; got != 1 {
		t.Errorf("a REPLAY of known shares costs %d verifications, want its own", got)
	}
	if batch := c.sign(2, c.status(1), &wire.StateShare{Resolution: share.Resolution}, c.status(2)); batch[1].Proof.Count != 1 ||
		batch[2].Proof.Count != 2 {
		t.Error("a share is signed in a batch")
	}
	m := c.draft(2, &wire.StateShare{Resolution: share.Resolution})
	c.signers[1].batch = []*wire.Envelope{m, c.draft(2, c.status(1))}
	c.signers[1].seal()
	if err := v.Verify(m); err != Malformed {
		t.Errorf("a share in a batch: %v", err)
	}
}
