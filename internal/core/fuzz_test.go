package core_test

import (
	"slices"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/heavy"
	"github.com/primebft/prime/internal/wire"
)

// FuzzStep drives one replica with whatever the other three could sign, all of them liars at once. No input may break an
// invariant of the replica, make it sign two acks or votes that conflict, deliver out of order, or grow beyond its limits.
func FuzzStep(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x01\x05\x02\x03\x01\x01\x03\x01\x01\x01\x01\x05\x01\x01\x02\x03\x04\x06\x01\x01\x07\x01\x01"))
	f.Add(slices.Repeat([]byte{2, 1, 1, 3, 1, 1, 1, 1, 4, 1, 2, 2, 2, 2, 6, 1, 1, 1, 1, 1, 1, 7, 1, 0, 8, 1, 0}, 20))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := core.New(core.Config{
			Self: 2, Group: group.MustNew(1, 0), Epoch: 1, Incarnations: []uint32{1, 1, 1, 1}, Wall: int64(time.Hour), Check: true,
			Limits: core.Limits{UpdateBytes: 50, RequestBytes: 100, RequestUpdates: 3, InFlight: 3, PendingBytes: 1000,
				Sessions: 2, SessionWindow: 64, OrdinalWindow: 3, History: 2, Recon: true, CheckpointOrdinals: 2},
			Timing: core.Timing{Retransmit: 50 * time.Millisecond, Fetch: 5 * time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		l := &liars{t: t, data: data[:min(len(data), 2000)], machine: r, worker: newWorker(t, 2, group.MustNew(1, 0)), acked: map[wire.PreorderID][]wire.AckPart{},
			voted: map[vote]wire.Digest{}}
		for len(l.data) > 0 {
			l.once()
		}
	})
}

// liars is the three other replicas of a fuzzed world, and what the fuzzed one has signed so far.
type liars struct {
	t        *testing.T
	data     []byte
	now      clock.Instant
	machine  *core.Replica
	worker   *heavy.Worker
	rows     [4]*wire.Envelope
	seen     []*wire.Envelope
	acked    map[wire.PreorderID][]wire.AckPart
	voted    map[vote]wire.Digest
	executed uint64
}

type vote struct {
	kind    wire.Kind
	ordinal uint64
}

var incarnations = wire.HashIncarnations(1, []uint32{1, 1, 1, 1})

// pick is the next byte of the input, reduced to 0 … n-1.
func (l *liars) pick(n int) int {
	if len(l.data) == 0 {
		return 0
	}
	b := l.data[0]
	l.data = l.data[1:]
	return int(b) % n
}

func (l *liars) sign(from int, m wire.Message) *wire.Envelope {
	env := wire.NewEnvelope(wire.Header{Sender: group.FromIndex(from), Epoch: 1, Incarnation: 1}, m)
	env.Finish(wire.Proof{Count: 1})
	return env
}

func (l *liars) once() {
	op, from := l.pick(13), []int{0, 2, 3}[l.pick(3)]
	switch op {
	case 0:
		l.now += clock.Instant(l.pick(60)) * clock.Instant(time.Millisecond)
		l.step(core.Tick)
	case 1:
		l.step(core.Input{Submit: []wire.Update{{Client: wire.ClientID{byte(l.pick(4))}, Seq: uint64(l.pick(9)) + 1}}})
	case 12:
		l.step(core.Input{Restored: l.state()})
	case 11:
		if len(l.seen) > 0 {
			l.step(core.Input{Message: l.seen[l.pick(len(l.seen))]})
		}
	default:
		env := l.sign(from, l.message(op, from))
		if op == 4 {
			l.rows[from] = env
		}
		l.step(core.Input{Message: env})
	}
}

func (l *liars) id() wire.PreorderID {
	return wire.PreorderID{Origin: group.FromIndex(l.pick(4)), Position: wire.Position{Incarnation: 1, Seq: uint64(l.pick(10)) + 1}}
}

func (l *liars) vector() wire.Vector {
	v := make(wire.Vector, 4)
	for i := range v {
		if seq := uint64(l.pick(8)); seq > 0 {
			v[i] = wire.Position{Incarnation: 1, Seq: seq}
		}
	}
	return v
}

// digest is that of a message seen before, so that certificates can form, or of nothing.
func (l *liars) digest() wire.Digest {
	if k := l.pick(len(l.seen) + 1); k < len(l.seen) {
		return l.seen[k].Digest
	}
	return wire.Digest{1}
}

func (l *liars) message(op, from int) wire.Message {
	switch op {
	case 2:
		u := wire.Update{Client: wire.ClientID{byte(l.pick(4))}, Seq: uint64(l.pick(9)) + 1, Payload: []byte{byte(l.pick(3))}}
		return &wire.PreorderRequest{Seq: uint64(l.pick(10)) + 1, Updates: []wire.Update{u}}
	case 3:
		m := &wire.PreorderAck{Incarnations: incarnations}
		for range l.pick(4) + 1 {
			m.Parts = append(m.Parts, wire.AckPart{ID: l.id(), Digest: l.digest(), Certified: l.pick(2) == 1})
		}
		return m
	case 4:
		return &wire.Summary{Number: uint64(l.pick(5)) + 1, Time: int64(l.pick(9)), Vector: l.vector()}
	case 5:
		return &wire.SummaryMatrix{View: 1, Rows: slices.Clone(l.rows[:])}
	case 6:
		return l.proposal()
	case 7, 8:
		v := wire.Vote{View: 1, Ordinal: uint64(l.pick(8)) + 1, Proposal: l.digest(), Incarnations: incarnations}
		if op == 7 {
			return &wire.Prepare{Vote: v}
		}
		return &wire.Commit{Vote: v}
	case 9:
		if l.pick(2) == 1 {
			return l.part(from)
		}
		if l.pick(3) == 0 {
			return l.catchUp()
		}
		return &wire.Fetch{Wants: []wire.Want{{ID: l.id()}, {ID: l.id(), Digest: l.digest()}}}
	default:
		switch l.pick(4) {
		case 0:
			return &wire.Status{View: 1, Executed: uint64(l.pick(9)), Preorders: l.vector(), Held: l.vector()}
		case 1:
			return l.certificate()
		case 2:
			return &wire.Checkpoint{Ordinal: uint64(l.pick(9)) + 1, Digest: wire.Digest{byte(l.pick(2))}}
		default:
			m := &wire.CheckpointProof{Checkpoint: wire.Checkpoint{Ordinal: uint64(l.pick(9)) + 1, Digest: wire.Digest{byte(l.pick(2))}}}
			for _, from := range []int{0, 2, 3}[l.pick(3):] {
				m.Votes = append(m.Votes, l.sign(from, &wire.Checkpoint{Ordinal: m.Ordinal, Digest: m.Digest}))
			}
			return m
		}
	}
}

// state is one that may come after what was executed, or not.
func (l *liars) state() *effect.State {
	s := &effect.State{Ordinal: uint64(l.pick(9)) + 1, Time: int64(l.pick(9)), Vector: slices.Clone(l.machine.ExecutionVector()),
		Sessions: make([]byte, 8+l.pick(2))}
	for i, p := range l.vector() {
		if s.Vector[i].Less(p) {
			s.Vector[i] = p
		}
	}
	return s
}

func (l *liars) proposal() *wire.PrePrepare {
	base := slices.Clone(l.machine.ExecutionVector())
	if l.pick(4) == 0 {
		base = l.vector()
	}
	return &wire.PrePrepare{View: 1, Ordinal: uint64(l.pick(8)) + 1, Incarnations: incarnations, Base: base,
		Rows: slices.Clone(l.rows[:])}
}

// part is one of a request that was seen before, right or wrong, or of nothing.
func (l *liars) part(from int) wire.Message {
	m := &wire.Part{ID: l.id(), Digest: l.digest(), Length: 80, Path: make([]wire.Digest, 2), Bytes: make([]byte, 40), Origin: wire.Proof{Count: 1}}
	if len(l.seen) > 0 {
		if e := l.seen[l.pick(len(l.seen))]; e.Kind == wire.KindPreorderRequest {
			self, err := heavy.New(group.FromIndex(from), group.MustNew(1, 0), wire.Limits{}, nil)
			if err != nil {
				l.t.Fatal(err)
			}
			m = self.Do(effect.Job{Request: e}).Part
		}
	}
	m.Bytes[l.pick(len(m.Bytes))] ^= byte(l.pick(2))
	m.Root = wire.PartRoot(from, m.Length, m.Bytes, m.Path)
	return &wire.Parts{List: []wire.Part{*m}}
}

// catchUp is a question or an answer about what was executed, right or wrong.
func (l *liars) catchUp() wire.Message {
	from := uint64(l.pick(8))
	to := from + 1 + uint64(l.pick(8))
	switch l.pick(4) {
	case 0:
		return &wire.OutlineAsk{From: from, To: to}
	case 1:
		return &wire.Outline{From: from, To: to, Links: make([]wire.Digest, wire.Links(from, to))}
	case 2:
		return &wire.SegmentAsk{From: from, To: to, Skip: uint32(l.pick(3))}
	}
	o := wire.SegmentOrdinal{Time: int64(l.pick(9)), Eligible: l.vector()}
	for k := l.pick(3); k > 0 && len(l.seen) > 0; k-- {
		if e := l.seen[l.pick(len(l.seen))]; e.Kind == wire.KindPreorderRequest {
			o.Requests = append(o.Requests, wire.SegmentRequest{Digest: e.Digest, Request: wire.WithoutProof(e)})
		}
	}
	return &wire.Segment{From: from, To: from + 1, Ordinals: []wire.SegmentOrdinal{o}}
}

func (l *liars) certificate() wire.Message {
	p := l.proposal()
	m := &wire.Certificate{PrePrepare: l.sign(0, p)}
	for _, from := range []int{0, 2, 3} {
		v := wire.Vote{View: 1, Ordinal: p.Ordinal, Proposal: m.PrePrepare.Digest, Incarnations: incarnations}
		m.Commits = append(m.Commits, l.sign(from, &wire.Commit{Vote: v}))
	}
	return m
}

// step gives the replica one input, and its own signed messages back until it says nothing new to itself.
func (l *liars) step(in core.Input) {
	for inputs := []core.Input{in}; len(inputs) > 0; inputs = inputs[1:] {
		if m := inputs[0].Message; m != nil {
			l.seen = append(l.seen, m)
		}
		var out effect.Output
		l.machine.Step(l.now, inputs[0], &out)
		for _, s := range out.Sends {
			if s.Msg == nil {
				continue
			}
			l.check(s.Msg)
			if s.To.Has(2) {
				env := l.sign(1, s.Msg)
				if env.Kind == wire.KindSummary {
					l.rows[1] = env
				}
				inputs = append(inputs, core.Input{Message: env})
			}
		}
		for _, j := range out.Jobs {
			done := l.worker.Do(j)
			inputs = append(inputs, core.Input{Done: &done})
		}
		for _, d := range out.Deliver {
			if l.executed++; d.Ordinal != l.executed && (d.Jump == nil || d.Ordinal < l.executed) {
				l.t.Fatalf("delivers %d after %d", d.Ordinal, l.executed-1)
			}
			if l.executed = d.Ordinal; d.State != nil {
				inputs = append(inputs, core.Input{Checkpointed: &core.Checkpointed{Ordinal: d.Ordinal, Digest: d.State.Chain}})
			}
		}
	}
	st := l.machine.Status()
	if st.OrdinalSlots > 64 || st.Blacklist.Has(2) {
		l.t.Fatalf("holds %d ordinals, blacklists %s", st.OrdinalSlots, st.Blacklist)
	}
	for _, lane := range st.Lanes {
		if lane.Slots > 128 {
			l.t.Fatalf("a lane holds %d slots", lane.Slots)
		}
	}
}

// check: a replica acknowledges one digest for a request, or a second that is certified, and votes once.
func (l *liars) check(m wire.Message) {
	switch m := m.(type) {
	case *wire.PreorderAck:
		for _, p := range m.Parts {
			before := l.acked[p.ID]
			same := slices.ContainsFunc(before, func(b wire.AckPart) bool { return b.Digest == p.Digest })
			if !same && len(before) > 0 && !p.Certified {
				l.t.Fatalf("acknowledges two digests for %v", p.ID)
			}
			if !same {
				l.acked[p.ID] = append(before, p)
			}
		}
	case *wire.Prepare:
		l.voteOnce(vote{wire.KindPrepare, m.Ordinal}, m.Proposal)
	case *wire.Commit:
		l.voteOnce(vote{wire.KindCommit, m.Ordinal}, m.Proposal)
	case *wire.Checkpoint:
		l.voteOnce(vote{wire.KindCheckpoint, m.Ordinal}, m.Digest)
	}
}

func (l *liars) voteOnce(v vote, d wire.Digest) {
	if before, ok := l.voted[v]; ok && before != d {
		l.t.Fatalf("votes for two proposals: %v", v)
	}
	l.voted[v] = d
}
