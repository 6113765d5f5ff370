package wire

import (
	"encoding/binary"

	"github.com/primebft/prime/internal/group"
)

const (
	resolutionSize = 8 + 8 + 8 + 8 + digestSize
	replayVoteSize = 8 + digestSize
	receiptSize    = 8 + 1 + digestSize
	shareSize      = 4 + 64 // what travels of a share in a proof: incarnation, signature
	thresholdSize  = 48
)

func (s *Resolution) append(b []byte) []byte {
	b = appendU64s(b, s.View, uint64(s.Members), s.Base, s.Start)
	return append(b, s.Window[:]...)
}

// resolution reads a resolution; its window has at most l.Window ordinals.
func (l *Limits) resolution(r *Reader) Resolution {
	s := Resolution{View: view(r), Members: l.members(r), Base: r.U64(), Start: r.U64(), Window: r.Digest()}
	r.Check(s.Start > s.Base && s.Start-s.Base-1 <= uint64(l.Window), "length of the window")
	return s
}

// members reads a set of replicas.
func (l *Limits) members(r *Reader) group.Set {
	s := group.Set(r.U64())
	r.Check(s != 0 && (l.N >= 64 || s>>l.N == 0), "set of replicas")
	return s
}

func bindingsSize(w Bindings) int { return 4 + len(w)*digestSize }

func appendBindings(b []byte, w Bindings) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(w)))
	for i := range w {
		b = append(b, w[i][:]...)
	}
	return b
}

// bindings reads the bindings of a resolution and checks that it is about them.
func (l *Limits) bindings(r *Reader, s *Resolution, epoch uint32) Bindings {
	n := int64(r.U32())
	r.Check(n == int64(s.Start-s.Base-1) && n <= int64(r.Len()/digestSize), "number of bindings")
	if r.Err() != nil {
		return nil
	}
	w := make(Bindings, n)
	for i := range w {
		w[i] = r.Digest()
	}
	r.Check(w.Digest(epoch, s.View, s.Base) == s.Window, "bindings are not those of the resolution")
	return w
}

func (m *Report) size() int {
	n := 8 + 8 + 1 + 4
	if m.Carried != nil {
		n += resolutionSize + bindingsSize(m.Carried.Bindings) + signersSize(m.Carried.Prepares)
	}
	for i := range m.Prepared {
		n += voteSize + signersSize(m.Prepared[i].Prepares)
	}
	return n
}

func (m *Report) appendBody(b []byte) []byte {
	b = appendU64s(b, m.View, m.Executed)
	b = appendBool(b, m.Carried != nil)
	if c := m.Carried; c != nil {
		b = appendSigners(appendBindings(c.Resolution.append(b), c.Bindings), c.Prepares)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Prepared)))
	for i := range m.Prepared {
		b = appendSigners(m.Prepared[i].Vote.appendBody(b), m.Prepared[i].Prepares)
	}
	return b
}

// report reads a REPORT and checks what addendum A6 says follows from its bytes alone, but for quorums and leaders, which the
// core checks.
func (l *Limits) report(r *Reader, epoch uint32) *Report {
	m := &Report{View: view(r), Executed: r.U64()}
	after := uint64(0)
	if r.Bool() && r.Err() == nil {
		c := &Carried{Resolution: l.resolution(r)}
		c.Bindings = l.bindings(r, &c.Resolution, epoch)
		want := ReplayVote{View: c.Resolution.View, Replay: c.Resolution.Digest()}
		c.Prepares = l.signers(r, kindSet(KindReplayPrepare), aloneSize+replayVoteSize, func(e *Envelope) bool {
			return e.Msg.(*ReplayPrepare).ReplayVote == want && e.Epoch == epoch
		})
		r.Check(c.Resolution.View < m.View, "carried result of this view or a later one")
		m.Carried, after = c, c.Resolution.View
	}
	m.Prepared = make([]Prepared, r.Count0(l.Window, voteSize+1))
	last := m.Executed
	for i := range m.Prepared {
		p := &m.Prepared[i]
		p.Vote = vote(r)
		r.Check(p.Vote.Ordinal > last && p.Vote.Ordinal-m.Executed <= uint64(l.Window), "ordinal of a prepare certificate")
		r.Check(p.Vote.View < m.View && p.Vote.View >= after, "view of a prepare certificate")
		last = p.Vote.Ordinal
		p.Prepares = l.signers(r, kindSet(KindPrepare), aloneSize+voteSize, func(e *Envelope) bool {
			return e.Msg.(*Prepare).Vote == p.Vote && e.Epoch == epoch
		})
		if r.Err() != nil {
			return m
		}
	}
	return m
}

func (*Receipt) size() int { return receiptSize }

func (m *Receipt) appendBody(b []byte) []byte {
	b = append(appendU64s(b, m.View), byte(m.Origin))
	return append(b, m.Report[:]...)
}

func (l *Limits) receipt(r *Reader) Receipt {
	return Receipt{View: view(r), Origin: l.id(r), Report: r.Digest()}
}

func (*StateList) size() int { return 16 }

func (m *StateList) appendBody(b []byte) []byte { return appendU64s(b, m.View, uint64(m.Members)) }

func (s *Threshold) size() int {
	if s == nil {
		return 0
	}
	return thresholdSize
}

func (s *Threshold) append(b []byte) []byte {
	if s == nil {
		return b
	}
	return append(b, s[:]...)
}

// threshold reads a threshold signature or a share of one: nil in clusters that have none.
func (l *Limits) threshold(r *Reader) *Threshold {
	if !l.Threshold {
		return nil
	}
	s := new(Threshold)
	copy(s[:], r.Bytes(thresholdSize))
	return s
}

func (m *StateShare) size() int { return resolutionSize + m.Share.size() }

func (m *StateShare) appendBody(b []byte) []byte { return m.Share.append(m.Resolution.append(b)) }

func (m *StateProof) size() int {
	if m.Sig != nil {
		return resolutionSize + thresholdSize
	}
	return resolutionSize + 8 + len(m.Shares)*shareSize
}

func (m *StateProof) appendBody(b []byte) []byte {
	b = m.Resolution.append(b)
	if m.Sig != nil {
		return m.Sig.append(b)
	}
	var signers group.Set
	for _, e := range m.Shares {
		signers = signers.With(e.Sender)
	}
	b = appendU64s(b, uint64(signers))
	for _, e := range m.Shares {
		b = binary.LittleEndian.AppendUint32(b, e.Incarnation)
		b = append(b, e.Proof.Sig[:]...)
	}
	return b
}

// stateProof reads a proof and rebuilds the shares, whose content follows from the resolution and the signer.
func (l *Limits) stateProof(r *Reader, epoch uint32) StateProof {
	m := StateProof{Resolution: l.resolution(r), Sig: l.threshold(r)}
	if m.Sig != nil {
		return m
	}
	signers := l.members(r)
	if r.Err() != nil || signers.Len() > r.Len()/shareSize {
		r.Fail(Truncated)
		return m
	}
	for id := range signers.All() {
		e := NewEnvelope(Header{Sender: id, Epoch: epoch, Incarnation: r.U32()}, &StateShare{Resolution: m.Resolution})
		p := Proof{Count: 1}
		copy(p.Sig[:], r.Bytes(len(p.Sig)))
		e.Finish(p)
		m.Shares = append(m.Shares, e)
	}
	return m
}

func (m *Replay) size() int                  { return m.Proof.size() }
func (m *Replay) appendBody(b []byte) []byte { return m.Proof.appendBody(b) }

func (*ReplayVote) size() int { return replayVoteSize }

func (m *ReplayVote) appendBody(b []byte) []byte {
	return append(appendU64s(b, m.View), m.Replay[:]...)
}

func replayVote(r *Reader) ReplayVote { return ReplayVote{View: view(r), Replay: r.Digest()} }

func (m *Window) size() int {
	return resolutionSize + bindingsSize(m.Bindings) + signersSize(m.Commits)
}

func (m *Window) appendBody(b []byte) []byte {
	return appendSigners(appendBindings(m.Resolution.append(b), m.Bindings), m.Commits)
}

func (l *Limits) window(r *Reader, epoch uint32) *Window {
	m := &Window{Resolution: l.resolution(r)}
	m.Bindings = l.bindings(r, &m.Resolution, epoch)
	want := ReplayVote{View: m.Resolution.View, Replay: m.Resolution.Digest()}
	m.Commits = l.signers(r, kindSet(KindReplayCommit), aloneSize+replayVoteSize, func(e *Envelope) bool {
		return e.Msg.(*ReplayCommit).ReplayVote == want && e.Epoch == epoch
	})
	return m
}

func (m *Recall) size() int { return 4 + len(m.Digests)*digestSize }

func (m *Recall) appendBody(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Digests)))
	for i := range m.Digests {
		b = append(b, m.Digests[i][:]...)
	}
	return b
}
