package core_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/heavy"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// TestScripts runs the golden scripts of testdata: what happens, in order, at every replica of a small group whose messages
// all take 1 ms. Run with -rewrite to accept what happens now; the diff is the review.
func TestScripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &script{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.log.Reset()
			s.run(t, d)
			if s.log.Len() == 0 {
				return "ok\n"
			}
			return s.log.String()
		})
	})
}

const latency = clock.Instant(time.Millisecond)

// script is the world of one golden script.
type script struct {
	group     group.Group
	now       clock.Instant
	machines  []*core.Replica
	attackers []core.Machine // of replicas that attack, around their machines; nil: nobody does
	workers   []*heavy.Worker
	queue     []packet // sent, by due time: all messages take the same time
	rules     []rule
	muted     map[trace.Kind]bool
	log       strings.Builder
	heard     func(at clock.Instant, to, from group.ID, env *wire.Envelope) // sees what arrives, for tests in Go; may be nil
	sent      func(at clock.Instant, from group.ID, to group.Set, env *wire.Envelope)
	stepped   func(id group.ID, out *effect.Output)
	shared    bool // proofs are threshold signatures
	loaded    int  // updates of load lines
	states    checkpoints
}

type packet struct {
	due clock.Instant
	to  group.ID
	env *wire.Envelope
	by  group.ID
}

// rule drops matching packets, or makes them late.
type rule struct {
	kinds    []wire.Kind
	from, to group.Set
	late     time.Duration // 0 drops
}

var kinds = map[string]wire.Kind{
	"PO-REQUEST": wire.KindPreorderRequest, "PO-ACK": wire.KindPreorderAck, "PO-SUMMARY": wire.KindSummary,
	"SUMMARY-MATRIX": wire.KindSummaryMatrix, "PRE-PREPARE": wire.KindPrePrepare, "PREPARE": wire.KindPrepare,
	"COMMIT": wire.KindCommit, "FETCH": wire.KindFetch, "STATUS": wire.KindStatus, "CERTIFICATE": wire.KindCertificate,
	"EVIDENCE": wire.KindEvidence, "RTT-PING": wire.KindPing, "RTT-PONG": wire.KindPong, "NEW-LEADER": wire.KindNewLeader,
	"NEW-LEADER-PROOF": wire.KindNewLeaderProof, "REPORT": wire.KindReport, "RB-ECHO": wire.KindEcho, "RB-READY": wire.KindReady,
	"VC-LIST": wire.KindStateList, "VC-PARTIAL-SIG": wire.KindStateShare, "VC-PROOF": wire.KindStateProof,
	"REPLAY": wire.KindReplay, "REPLAY-PREPARE": wire.KindReplayPrepare, "REPLAY-COMMIT": wire.KindReplayCommit,
	"CHECKPOINT": wire.KindCheckpoint, "CHECKPOINT-PROOF": wire.KindCheckpointProof,
	"WINDOW": wire.KindWindow, "RECALL": wire.KindRecall, "RECON": wire.KindPart, "OUTLINE-ASK": wire.KindOutlineAsk,
	"OUTLINE": wire.KindOutline, "SEGMENT-ASK": wire.KindSegmentAsk, "SEGMENT": wire.KindSegment,
}

func (s *script) run(t *testing.T, d *datadriven.TestData) {
	switch d.Cmd {
	case "group":
		s.start(t, d)
	case "submit":
		s.submit(t, d)
	case "load":
		s.load(t, d)
	case "transfer-point": // rI: the application of replica I asks for a transfer point
		for id := range parseSet(t, []string{d.CmdArgs[0].Key}).All() {
			s.step(id, core.Input{Transfer: true})
		}
	case "equivocate":
		s.equivocate(t, d)
	case "propose":
		s.propose(t, d)
	case "vote":
		s.vote(t, d)
	case "replay":
		s.replay(t, d)
	case "part":
		s.part(t, d)
	case "diverge", "transfer", "checkpoint", "proof":
		s.checkpointing(t, d)
	case "report":
		s.report(t, d)
	case "attack":
		s.attack(t, d)
	case "drop", "late":
		r := rule{from: s.group.All(), to: s.group.All()}
		for _, a := range d.CmdArgs {
			switch a.Key {
			case "type":
				for _, v := range a.Vals {
					r.kinds = append(r.kinds, kinds[v])
				}
			case "from":
				r.from = parseSet(t, a.Vals)
			case "to":
				r.to = parseSet(t, a.Vals)
			case "by":
				r.late, _ = time.ParseDuration(a.Vals[0])
			}
		}
		s.rules = append(s.rules, r)
	case "allow":
		s.rules = nil
	case "advance":
		span, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			t.Fatal(err)
		}
		s.advance(s.now.Add(span))
	case "status":
		s.status()
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
}

func parseSet(t *testing.T, names []string) (set group.Set) {
	for _, name := range names {
		id, err := strconv.Atoi(strings.TrimPrefix(name, "r"))
		if err != nil {
			t.Fatal(err)
		}
		set = set.With(group.ID(id))
	}
	return set
}

// start makes a group: f, k, whether leaders are judged, whether proofs are threshold signatures, and the limits inflight, window, history and checkpoint (ordinals), beat
// (ordered time after which a checkpoint is due); quiet names events that are not shown; with recon
// requests are sent in parts to those who lack them.
func (s *script) start(t *testing.T, d *datadriven.TestData) {
	f, k, inflight, window, history, every := 1, 0, 8, 8, 16, 0
	for key, at := range map[string]*int{"f": &f, "k": &k, "inflight": &inflight, "window": &window, "history": &history, "checkpoint": &every} {
		d.MaybeScanArgs(t, key, at)
	}
	var judged core.Suspect
	retransmit, historyBytes, beat := "200ms", 0, "0s"
	d.MaybeScanArgs(t, "beat", &beat)
	d.MaybeScanArgs(t, "historybytes", &historyBytes)
	d.MaybeScanArgs(t, "retransmit", &retransmit)
	repeat, _ := time.ParseDuration(retransmit)
	idle, _ := time.ParseDuration(beat)
	if d.HasArg("judged") {
		judged = core.Suspect{KLat: 2500, Delta: 10 * time.Millisecond, Floor: 4 * time.Millisecond, Ping: 50 * time.Millisecond,
			Check: 5 * time.Millisecond, Window: 10 * time.Second, MaxStall: time.Second}
	}
	*s = script{group: group.MustNew(f, k), shared: d.HasArg("threshold"), muted: map[trace.Kind]bool{}}
	incarnations := slices.Repeat([]uint32{1}, s.group.N())
	for id := range s.group.All().All() {
		r, err := core.New(core.Config{
			Self: id, Group: s.group, Epoch: 1, Incarnations: incarnations, Wall: int64(1000 * time.Hour), Check: true,
			Limits: core.Limits{UpdateBytes: 100, RequestBytes: 1000, RequestUpdates: 10, InFlight: inflight,
				PendingBytes: 10000, Sessions: 16, SessionWindow: 64, OrdinalWindow: window, History: history, HistoryBytes: historyBytes, Recon: d.HasArg("recon"),
				CheckpointOrdinals: every, CheckpointTime: idle},
			Timing: core.Timing{Request: time.Millisecond, Ack: time.Millisecond, Summary: time.Millisecond,
				Matrix: time.Millisecond, Propose: time.Millisecond, Retransmit: repeat,
				Fetch: 20 * time.Millisecond, Suspect: judged},
		})
		if err != nil {
			t.Fatal(err)
		}
		s.machines = append(s.machines, r)
		s.workers = append(s.workers, newWorker(t, id, s.group))
	}
	for _, a := range d.CmdArgs {
		if a.Key == "quiet" {
			for kind := trace.RequestSent; kind.String() != "unknown"; kind++ {
				s.muted[kind] = s.muted[kind] || slices.Contains(a.Vals, kind.String())
			}
		}
	}
}

// submit rI TEXT…: clients of replica I submit updates, numbered by their text so that equal texts are one update.
func (s *script) submit(t *testing.T, d *datadriven.TestData) {
	var id group.ID
	for i := range parseSet(t, []string{d.CmdArgs[0].Key}).All() {
		id = i
	}
	var updates []wire.Update
	for _, a := range d.CmdArgs[1:] {
		updates = append(updates, update(a.Key))
	}
	s.step(id, core.Input{Submit: updates})
}

// update is the update with a text: its client is the first letter, its number the rest or 1.
func update(text string) wire.Update {
	seq, err := strconv.ParseUint(text[1:], 10, 64)
	if err != nil {
		seq = 1
	}
	return wire.Update{Client: wire.ClientID{text[0]}, Seq: seq, Payload: []byte(text)}
}

// equivocate rI seq=N a=TEXT to=… b=TEXT to=…: replica I signs two requests under one number.
func (s *script) equivocate(t *testing.T, d *datadriven.TestData) {
	from, seq, text := group.ID(0), uint64(1), ""
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "seq":
			seq, _ = strconv.ParseUint(a.Vals[0], 10, 64)
		case "a", "b":
			text = a.Vals[0]
		case "to":
			m := &wire.PreorderRequest{Seq: seq, Updates: []wire.Update{update(text)}}
			s.send(from, effect.Send{To: parseSet(t, a.Vals), Class: wire.Bounded, Msg: m})
		default:
			for id := range parseSet(t, []string{a.Key}).All() {
				from = id
			}
		}
	}
}

// propose rI ordinal=N view=V to=…: replica I signs an empty proposal, as a leader that lies would.
func (s *script) propose(t *testing.T, d *datadriven.TestData) {
	m := &wire.PrePrepare{View: 1, Ordinal: 1, Incarnations: wire.HashIncarnations(1, slices.Repeat([]uint32{1}, s.group.N())),
		Base: make(wire.Vector, s.group.N()), Rows: make(wire.Rows, s.group.N())}
	from, to := group.ID(0), group.Set(0)
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "ordinal":
			m.Ordinal, _ = strconv.ParseUint(a.Vals[0], 10, 64)
		case "view":
			m.View, _ = strconv.ParseUint(a.Vals[0], 10, 64)
		case "to":
			to = parseSet(t, a.Vals)
		default:
			for id := range parseSet(t, []string{a.Key}).All() {
				from = id
			}
		}
	}
	s.send(from, effect.Send{To: to, Class: wire.Timely, Msg: m})
}

func (s *script) step(id group.ID, in core.Input) {
	var out effect.Output
	s.machine(id).Step(s.now, in, &out)
	for _, e := range out.Events {
		if !s.muted[e.Kind] {
			fmt.Fprintf(&s.log, "%s %s: %s\n", time.Duration(s.now), id, e)
		}
	}
	for _, d := range out.Deliver {
		if d.Jump != nil {
			fmt.Fprintf(&s.log, "%s %s: goes on after %d\n", time.Duration(s.now), id, d.Ordinal)
			continue
		}
		texts := []string{}
		for i, u := range d.Updates {
			text := string(u.Payload)
			if u.TransferPoint() {
				text = "transfer-point"
			}
			texts = append(texts, fmt.Sprintf("%s(%s)", text, d.Origins[i]))
		}
		fmt.Fprintf(&s.log, "%s %s: deliver %d: %s\n", time.Duration(s.now), id, d.Ordinal, strings.Join(texts, " "))
	}
	for _, r := range out.Refused {
		fmt.Fprintf(&s.log, "%s %s: refused %c%d: %d\n", time.Duration(s.now), id, r.Client[0], r.Seq, r.Why)
	}
	for _, send := range out.Sends {
		s.send(id, send)
	}
	if s.stepped != nil {
		s.stepped(id, &out)
	}
	s.keepStates(id, &out)
	for _, job := range out.Jobs {
		done := s.workers[id.Index()].Do(job)
		s.step(id, core.Input{Done: &done})
	}
}

// sign is a message as that replica signs it.
func (s *script) sign(from group.ID, m wire.Message) *wire.Envelope {
	env := wire.NewEnvelope(wire.Header{Sender: from, Epoch: 1, Incarnation: 1}, m)
	env.Finish(wire.Proof{Count: 1})
	return env
}

func (s *script) send(from group.ID, send effect.Send) {
	env := send.Signed
	if env == nil {
		env = wire.NewEnvelope(wire.Header{Sender: from, Epoch: 1, Incarnation: 1}, s.complete(from, send.Msg))
		env.Finish(wire.Proof{Count: 1})
	}
	if s.sent != nil {
		s.sent(s.now, from, send.To, env)
	}
	for to := range send.To.All() {
		match := slices.IndexFunc(s.rules, func(r rule) bool {
			return r.from.Has(from) && r.to.Has(to) && from != to && (len(r.kinds) == 0 || slices.Contains(r.kinds, env.Kind))
		})
		due := s.now + latency
		if to == from {
			due = s.now
		} else if match >= 0 {
			if s.rules[match].late == 0 {
				continue
			}
			due = due.Add(s.rules[match].late)
		}
		s.queue = append(s.queue, packet{due: due, to: to, env: env, by: from})
	}
}

// advance lets time pass: packets arrive when due, in the order sent, and machines are ticked at their deadlines.
func (s *script) advance(until clock.Instant) {
	for {
		next := clock.Never
		for _, p := range s.queue {
			next = min(next, p.due)
		}
		for i := range s.machines {
			next = min(next, s.machine(group.FromIndex(i)).Deadline())
		}
		if next > until {
			s.now = until
			return
		}
		s.now = max(s.now, next)
		for i := 0; i < len(s.queue); {
			if p := s.queue[i]; p.due <= s.now {
				s.queue = slices.Delete(s.queue, i, i+1)
				if s.heard != nil {
					s.heard(s.now, p.to, p.by, p.env)
				}
				s.step(p.to, core.Input{Message: p.env})
				i = 0
				continue
			}
			i++
		}
		for i := range s.machines {
			if id := group.FromIndex(i); s.machine(id).Deadline() <= s.now {
				s.step(id, core.Tick)
			}
		}
	}
}

func (s *script) status() {
	for i, m := range s.machines {
		st := m.Status()
		if st.View > 1 || !st.Installed {
			fmt.Fprintf(&s.log, "%s: view=%d installed=%v executed=%d\n", group.FromIndex(i), st.View, st.Installed, st.Executed)
			continue
		}
		fmt.Fprintf(&s.log, "%s: executed=%d lanes=", group.FromIndex(i), st.Executed)
		for _, l := range st.Lanes {
			fmt.Fprintf(&s.log, "[%d %d %d]", l.Held, l.Preordered, l.Executed)
		}
		if st.Blacklist != 0 {
			fmt.Fprintf(&s.log, " blacklist=%s", st.Blacklist)
		}
		s.log.WriteByte('\n')
	}
}
