package wire

import "github.com/primebft/prime/internal/group"

// resolution is one whose window is bindings, or of two digests and a no-op if there are none.
func (s *sampler) resolution(bindings Bindings) (Resolution, Bindings) {
	if bindings == nil {
		bindings = Bindings{s.digest(), Digest{}, s.digest()}
	}
	r := Resolution{View: s.number(), Members: group.Set(1)<<s.n - 1, Base: s.number()}
	if s.n == 64 {
		r.Members = ^group.Set(0)
	}
	r.Start = r.Base + uint64(len(bindings)) + 1
	r.Window = bindings.Digest(7, r.View, r.Base)
	return r, bindings
}

// each is m signed by every replica from first on.
func (s *sampler) each(first group.ID, count uint8, m Message) (list []*Envelope) {
	for id := first; int(id) <= s.n; id++ {
		list = append(list, s.seal(id, count, m))
	}
	return list
}

func (s *sampler) stateProof(first group.ID) StateProof {
	r, _ := s.resolution(nil)
	return StateProof{Resolution: r, Shares: s.each(first, 1, &StateShare{Resolution: r})}
}

func (s *sampler) carried(count uint8, first group.ID, bindings Bindings) *Carried {
	c := new(Carried)
	c.Resolution, c.Bindings = s.resolution(bindings)
	vote := ReplayVote{View: c.Resolution.View, Replay: c.Resolution.Digest()}
	c.Prepares = s.each(first, count, &ReplayPrepare{vote})
	return c
}

func (s *sampler) window(count uint8, first group.ID, bindings Bindings) *Window {
	w := new(Window)
	w.Resolution, w.Bindings = s.resolution(bindings)
	vote := ReplayVote{View: w.Resolution.View, Replay: w.Resolution.Digest()}
	w.Commits = s.each(first, count, &ReplayCommit{vote})
	return w
}

// report has a carried result and prepare certificates for the ordinals executed+1 and executed+3.
func (s *sampler) report() *Report {
	m := &Report{Carried: s.carried(2, 2, nil), Executed: s.number()}
	for _, ahead := range []uint64{1, 3} {
		v := s.vote()
		v.Ordinal = m.Executed + ahead
		m.Prepared = append(m.Prepared, Prepared{Vote: v, Prepares: s.each(2, uint8(ahead), &Prepare{v})})
	}
	m.View = s.number()
	return m
}

func (s *sampler) votes(count uint8) *NewLeaderProof {
	m := &NewLeaderProof{View: s.number()}
	m.Votes = s.each(1, count, &NewLeader{m.View})
	return m
}

func (s *sampler) receipt() Receipt { return Receipt{s.number(), group.ID(s.n), s.digest()} }

func (s *sampler) replayVote() ReplayVote { return ReplayVote{s.number(), s.digest()} }

// viewSamples has envelopes of every kind of monitoring, election and view change.
func viewSamples(s *sampler) []sample {
	share, _ := s.resolution(nil)
	empty := &Window{Resolution: Resolution{View: 2, Members: 3, Base: 9, Start: 10, Window: Bindings{}.Digest(7, 2, 9)},
		Bindings: Bindings{}}
	vote := ReplayVote{View: 2, Replay: empty.Resolution.Digest()}
	empty.Commits = s.each(1, 1, &ReplayCommit{vote})
	return []sample{
		{"rtt_ping", s.seal(1, 1, &Ping{s.number(), s.number()})},
		{"rtt_pong", s.seal(2, 1, &Pong{s.number(), 3, s.number()})},
		{"rtt_measure", s.seal(3, 2, &RoundTrip{s.number(), 4, s.number()})},
		{"tat_ub", s.seal(4, 3, &Bound{s.number(), s.number()})},
		{"tat_measure", s.seal(1, 4, &Turnaround{s.number(), s.number(), s.number()})},
		{"new_leader", s.seal(2, 1, &NewLeader{s.number()})},
		{"new_leader_proof", s.seal(3, 1, s.votes(2))},
		{"report", s.seal(4, 2, s.report())},
		{"report_empty", s.seal(4, 1, &Report{View: 2, Prepared: []Prepared{}})},
		{"rb_echo", s.seal(1, 64, &Echo{s.receipt()})},
		{"rb_ready", s.seal(2, 33, &Ready{s.receipt()})},
		{"vc_list", s.seal(3, 1, &StateList{s.number(), 0b1011})},
		{"vc_partial_sig", s.seal(4, 1, &StateShare{Resolution: share})},
		{"vc_proof", s.seal(1, 1, func() *StateProof { p := s.stateProof(1); return &p }())},
		{"replay", s.seal(2, 2, &Replay{s.stateProof(2)})},
		{"replay_prepare", s.seal(3, 1, &ReplayPrepare{s.replayVote()})},
		{"replay_commit", s.seal(4, 5, &ReplayCommit{s.replayVote()})},
		{"window", s.seal(1, 1, s.window(3, 2, nil))},
		{"window_empty", s.seal(1, 1, empty)},
		{"recall", s.seal(2, 1, &Recall{[]Digest{s.digest(), s.digest()}})},
		{"evidence_replay", s.seal(1, 1, &Evidence{s.seal(2, 1, &Replay{s.stateProof(1)}), s.seal(2, 3, &Replay{s.stateProof(2)})})},
	}
}
