package wire

import (
	"math"
	"slices"
	"testing"

	"github.com/primebft/prime/internal/group"
)

// notFor is what a part says that is not for the whole.
const notFor = Malformed("is not for what it is part of")

// elsewhere is m of a replica in another epoch.
func (s *sampler) elsewhere(sender group.ID, m Message) *Envelope {
	e := NewEnvelope(Header{Sender: sender, Epoch: 8}, m)
	e.Finish(s.proof(1))
	return e
}

func TestRefusesMonitoringMessages(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	raw := func(m Message) []byte { return s.seal(1, 1, m).Raw }
	refuseAll(t, limitsFor(4), []refusal{
		{"ping of view 0", raw(&Ping{0, 1}), "view 0"},
		{"pong of view 0", raw(&Pong{0, 1, 1}), "view 0"},
		{"pong to nobody", raw(&Pong{1, 0, 1}), "not a member"},
		{"pong to a fifth", raw(&Pong{1, 5, 1}), "not a member"},
		{"round trip of view 0", raw(&RoundTrip{0, 1, 1}), "view 0"},
		{"round trip to a fifth", raw(&RoundTrip{1, 5, 1}), "not a member"},
		{"bound of view 0", raw(&Bound{0, 1}), "view 0"},
		{"turnaround of view 0", raw(&Turnaround{0, 1, 1}), "view 0"},
		{"vote for view 0", raw(&NewLeader{0}), "view 0"},
	})
}

func TestRefusesProofsOfElection(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	with := func(f func(m *NewLeaderProof)) []byte {
		m := s.votes(1)
		f(m)
		return s.seal(1, 1, m).Raw
	}
	refuseAll(t, limitsFor(4), []refusal{
		{"view 0", with(func(m *NewLeaderProof) { m.View = 0 }), "view 0"},
		{"no votes", with(func(m *NewLeaderProof) { m.Votes = nil }), "number of signers"},
		{"five votes", with(func(m *NewLeaderProof) { m.Votes = append(m.Votes, m.Votes[0]) }), "number of signers"},
		{"one voter twice", with(func(m *NewLeaderProof) { m.Votes[2] = m.Votes[1] }), "signers do not ascend"},
		{"voters descend", with(func(m *NewLeaderProof) { slices.Reverse(m.Votes) }), "signers do not ascend"},
		{"vote for another view", with(func(m *NewLeaderProof) { m.View++ }), notFor},
		{"vote of another epoch", with(func(m *NewLeaderProof) { m.Votes[0] = s.elsewhere(1, &NewLeader{m.View}) }), notFor},
		{"other kind among votes", with(func(m *NewLeaderProof) { m.Votes[0] = s.seal(1, 1, &Ping{m.View, 1}) }), "kind"},
		{"nil vote", with(func(m *NewLeaderProof) { m.Votes[0] = nil }), Truncated},
	})
}

func TestRefusesReports(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	with := func(f func(m *Report)) []byte {
		m := s.report()
		f(m)
		return s.seal(1, 1, m).Raw
	}
	carried := func(f func(c *Carried)) []byte { return with(func(m *Report) { f(m.Carried) }) }
	refuseAll(t, limitsFor(4), []refusal{
		{"view 0", with(func(m *Report) { m.View = 0 }), "view 0"},
		{"carried result of its own view", with(func(m *Report) { m.View = m.Carried.Resolution.View }),
			"carried result of this view or a later one"},
		{"carried result without members", carried(func(c *Carried) { c.Resolution.Members = 0 }), "set of replicas"},
		{"carried result with a fifth member", carried(func(c *Carried) { c.Resolution.Members = 0b10001 }), "set of replicas"},
		{"carried result that begins before its base", carried(func(c *Carried) { c.Resolution.Start = c.Resolution.Base }),
			"length of the window"},
		{"carried window of seven", carried(func(c *Carried) { c.Resolution.Start = c.Resolution.Base + 8 }), "length of the window"},
		{"a binding too few", carried(func(c *Carried) { c.Bindings = c.Bindings[1:] }), "number of bindings"},
		{"a binding too many", carried(func(c *Carried) { c.Bindings = append(c.Bindings, s.digest()) }), "number of bindings"},
		{"other bindings", carried(func(c *Carried) { c.Bindings[1][31] ^= 1 }), "bindings are not those of the resolution"},
		{"replay prepares for others", carried(func(c *Carried) { c.Resolution.Members &^= 1 }), notFor},
		{"replay prepare of another epoch", carried(func(c *Carried) {
			c.Prepares[0] = s.elsewhere(2, c.Prepares[0].Msg)
		}), notFor},
		{"replay commit for a prepare", carried(func(c *Carried) {
			c.Prepares[0] = s.seal(2, 1, &ReplayCommit{c.Prepares[0].Msg.(*ReplayPrepare).ReplayVote})
		}), "kind"},
		{"no replay prepares", carried(func(c *Carried) { c.Prepares = nil }), "number of signers"},
		{"replay prepares of one replica", carried(func(c *Carried) { c.Prepares[1] = c.Prepares[0] }), "signers do not ascend"},
	})
	e := s.seal(1, 1, &Report{View: 2})
	refuseAll(t, limitsFor(4), []refusal{
		{"carried is 2", changed(e, func(c []byte) { c[headerSize+16] = 2 }), "boolean"},
	})
	highest := s.report() // what a peer says it has executed is not added to
	highest.Executed, highest.Prepared = math.MaxUint64, []Prepared{}
	if _, err := limitsFor(4).Decode(s.seal(1, 1, highest).Raw); err != nil {
		t.Errorf("a report that all was executed: %v", err)
	}
}

func TestRefusesPrepareCertificates(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	with := func(f func(m *Report)) []byte {
		m := s.report()
		f(m)
		return s.seal(1, 1, m).Raw
	}
	item := func(f func(p *Prepared)) []byte { return with(func(m *Report) { f(&m.Prepared[1]) }) }
	// again is a certificate with another vote, all of whose parts agree.
	again := func(f func(m *Report, v *Vote)) []byte {
		return with(func(m *Report) {
			v := m.Prepared[1].Vote
			f(m, &v)
			m.Prepared[1] = Prepared{v, s.each(2, 1, &Prepare{v})}
		})
	}
	vote := func(p *Prepared, f func(v *Vote)) {
		v := p.Vote
		f(&v)
		p.Prepares[1] = s.seal(p.Prepares[1].Sender, 1, &Prepare{v})
	}
	many := func(m *Report, n int) {
		m.Prepared = nil
		for i := range n {
			v := s.vote()
			v.Ordinal, v.View = m.Executed+1+uint64(i), m.View-1
			m.Prepared = append(m.Prepared, Prepared{v, s.each(4, 1, &Prepare{v})})
		}
	}
	refuseAll(t, limitsFor(4), []refusal{
		{"an ordinal that is executed", with(func(m *Report) {
			v := m.Prepared[0].Vote
			v.Ordinal = m.Executed
			m.Prepared = []Prepared{{v, s.each(2, 1, &Prepare{v})}}
		}), "ordinal of a prepare certificate"},
		{"an ordinal twice", again(func(m *Report, v *Vote) { v.Ordinal = m.Executed + 1 }), "ordinal of a prepare certificate"},
		{"an ordinal beyond the window", again(func(m *Report, v *Vote) { v.Ordinal = m.Executed + 7 }),
			"ordinal of a prepare certificate"},
		{"a certificate of this view", again(func(m *Report, v *Vote) { v.View = m.View }), "view of a prepare certificate"},
		{"a certificate older than the carried result", again(func(m *Report, v *Vote) { v.View = m.Carried.Resolution.View - 1 }),
			"view of a prepare certificate"},
		{"a certificate without signers", item(func(p *Prepared) { p.Prepares = nil }), "number of signers"},
		{"one preparer twice", item(func(p *Prepared) { p.Prepares[1] = p.Prepares[0] }), "signers do not ascend"},
		{"prepare for another view", item(func(p *Prepared) { vote(p, func(v *Vote) { v.View-- }) }), notFor},
		{"prepare for another ordinal", item(func(p *Prepared) { vote(p, func(v *Vote) { v.Ordinal++ }) }), notFor},
		{"prepare for another proposal", item(func(p *Prepared) { vote(p, func(v *Vote) { v.Proposal[0] ^= 1 }) }), notFor},
		{"prepare of another membership", item(func(p *Prepared) { vote(p, func(v *Vote) { v.Incarnations[0] ^= 1 }) }), notFor},
		{"prepare of another epoch", item(func(p *Prepared) { p.Prepares[0] = s.elsewhere(2, p.Prepares[0].Msg) }), notFor},
		{"commit among prepares", item(func(p *Prepared) { p.Prepares[0] = s.seal(2, 1, &Commit{p.Vote}) }), "kind"},
		{"seven certificates of six", with(func(m *Report) { many(m, 7) }), "count out of range"},
	})
}

func TestRefusesAgreementOnStates(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	raw := func(m Message) []byte { return s.seal(1, 1, m).Raw }
	receipt := func(f func(r *Receipt)) []byte {
		r := s.receipt()
		f(&r)
		return raw(&Ready{r})
	}
	share := func(f func(r *Resolution)) *StateShare {
		r, _ := s.resolution(nil)
		f(&r)
		return &StateShare{Resolution: r}
	}
	proof := s.stateProof(1)
	cut := func(bytes int) []byte {
		c := s.seal(1, 1, &proof).Content
		return frame(c[:len(c)-bytes])
	}
	bitmap := func(low byte, rest byte) []byte {
		return changed(s.seal(1, 1, &proof), func(c []byte) {
			for i := range 8 {
				c[headerSize+resolutionSize+i] = rest
			}
			c[headerSize+resolutionSize] = low
		})
	}
	refuseAll(t, limitsFor(4), []refusal{
		{"receipt of view 0", receipt(func(r *Receipt) { r.View = 0 }), "view 0"},
		{"receipt of nobody's report", receipt(func(r *Receipt) { r.Origin = 0 }), "not a member"},
		{"echo of a fifth's report", raw(&Echo{Receipt{1, 5, s.digest()}}), "not a member"},
		{"list of view 0", raw(&StateList{0, 1}), "view 0"},
		{"list of nobody", raw(&StateList{1, 0}), "set of replicas"},
		{"list with a fifth", raw(&StateList{1, 1 << 4}), "set of replicas"},
		{"share in a batch", s.seal(1, 2, share(func(*Resolution) {})).Raw, "a share must be signed alone"},
		{"share for view 0", raw(share(func(r *Resolution) { r.View = 0 })), "view 0"},
		{"share of nobody's states", raw(share(func(r *Resolution) { r.Members = 0 })), "set of replicas"},
		{"share that begins at its base", raw(share(func(r *Resolution) { r.Start = r.Base })), "length of the window"},
		{"share of a window of seven", raw(share(func(r *Resolution) { r.Start = r.Base + 8 })), "length of the window"},
		{"share around the end of numbers", raw(share(func(r *Resolution) { r.Base, r.Start = math.MaxUint64, 3 })),
			"length of the window"},
		{"proof with a share too few", cut(shareSize), Truncated},
		{"proof with half a share", cut(1), Truncated},
		{"proof without signers", bitmap(0, 0), "set of replicas"},
		{"proof that a fifth signed", bitmap(0x1f, 0), "set of replicas"},
		{"proof that sixty signed", bitmap(0xff, 0xff), "set of replicas"},
		{"proof with a share that nobody signed", bitmap(0b0111, 0), Trailing},
		{"replay of view 0", raw(&Replay{StateProof{Resolution: Resolution{Members: 1, Start: 1}, Shares: proof.Shares}}), "view 0"},
		{"vote for a replay of view 0", raw(&ReplayPrepare{}), "view 0"},
		{"commit to a replay of view 0", raw(&ReplayCommit{}), "view 0"},
	})
}

func TestRefusesWindowsAndRecalls(t *testing.T) {
	t.Parallel()
	s := &sampler{n: 4}
	with := func(f func(w *Window)) []byte {
		w := s.window(1, 2, nil)
		f(w)
		return s.seal(1, 1, w).Raw
	}
	replay := s.seal(2, 1, &Replay{s.stateProof(1)})
	refuseAll(t, limitsFor(4), []refusal{
		{"window of view 0", with(func(w *Window) { w.Resolution.View = 0 }), "view 0"},
		{"a binding too few", with(func(w *Window) { w.Bindings = w.Bindings[1:] }), "number of bindings"},
		{"other bindings", with(func(w *Window) { w.Bindings[0], w.Bindings[2] = w.Bindings[2], w.Bindings[0] }),
			"bindings are not those of the resolution"},
		{"another base", with(func(w *Window) { w.Resolution.Base++; w.Resolution.Start++ }),
			"bindings are not those of the resolution"},
		{"another list", with(func(w *Window) { w.Resolution.Members &^= 2 }), notFor},
		{"prepare among commits", with(func(w *Window) {
			w.Commits[0] = s.seal(2, 1, &ReplayPrepare{w.Commits[0].Msg.(*ReplayCommit).ReplayVote})
		}), "kind"},
		{"commit of another epoch", with(func(w *Window) { w.Commits[1] = s.elsewhere(3, w.Commits[1].Msg) }), notFor},
		{"no commits", with(func(w *Window) { w.Commits = nil }), "number of signers"},
		{"signers descend", with(func(w *Window) { slices.Reverse(w.Commits) }), "signers do not ascend"},
		{"recall of nothing", s.seal(1, 1, &Recall{}).Raw, "count out of range"},
		{"recall of four of three", s.seal(1, 1, &Recall{make([]Digest, 4)}).Raw, "count out of range"},
		{"evidence of one replay", s.seal(1, 1, &Evidence{replay, replay}).Raw, "the same message twice"},
		{"evidence of shares", s.seal(1, 1, &Evidence{s.stateProof(1).Shares[0], s.stateProof(1).Shares[0]}).Raw, "kind"},
	})
}
