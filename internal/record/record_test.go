package record

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/storage"
	"github.com/primebft/prime/storage/memory"
)

var (
	g      = group.MustNew(1, 0)
	header = wire.Header{Sender: 1, Epoch: 1, Incarnation: 1}
)

// raw makes an envelope that has bytes, and decode one of them; what a message says does not matter here.
func raw(text string) *wire.Envelope {
	env := wire.NewEnvelope(header, &wire.Commit{})
	env.Raw = []byte(text)
	return env
}

// as is a message as it is.
func as(m wire.Message) wire.Message { return m }

func decode(b []byte) (*wire.Envelope, error) {
	if len(b) == 0 {
		return nil, errors.New("empty")
	}
	return raw(string(b)), nil
}

// TestRoundTrip: what is written is read, in order and with its instants; what changes nothing is a tick.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	updates := []wire.Update{{Client: wire.ClientID{1}, Seq: 7, Payload: []byte("seven"), Sig: wire.Signature{9}}, {Seq: 1, Payload: []byte{}}}
	resumed := &core.Resumed{Wall: 17, Timing: core.Timing{Propose: time.Second, Suspect: core.Suspect{KLat: 2500}}}
	ping := raw("ping")
	ping.Kind = wire.KindPing
	var w Writer
	w.Input(5, core.Tick, false, false)
	w.Input(5, core.Input{Message: raw("one")}, false, false)
	w.Input(9, core.Input{Message: raw("known")}, true, false)
	w.Input(10, core.Input{Message: ping}, false, false)
	w.Input(11, core.Input{Submit: updates}, false, false)
	w.Input(12, core.Input{Transfer: true}, false, false)
	w.Input(12, core.Input{Resumed: resumed}, false, false)
	made := &core.Checkpointed{Ordinal: 8, Digest: wire.Digest{1, 31: 2}}
	state := &effect.State{Ordinal: 9, Time: 3, Vector: wire.Vector{{Incarnation: 1, Seq: 4}, {}}, Chain: wire.Digest{5},
		Transfers: []int64{0, 7}, Sessions: []byte("sessions")}
	w.Input(20, core.Input{Checkpointed: made}, false, false)
	w.Input(21, core.Input{Restored: state}, false, false)
	w.Input(40, core.Input{Message: raw("own")}, true, true)
	log := memory.New(0)
	if err := log.Commit(append([]storage.Record{Began{Behaviour: core.Behaviour}.Record()}, w.Take()...)); err != nil {
		t.Fatal(err)
	}
	if w.Bytes() != 0 || len(w.Take()) != 0 {
		t.Error("the writer is not empty")
	}
	type seen struct {
		now clock.Instant
		raw string
		own bool
		in  core.Input
	}
	var got []seen
	p := NewReplay(header, as, decode, nil)
	err := p.Run(log, func(e Entry) error {
		s := seen{now: e.Now, own: e.Own, in: e.Input}
		if e.Input.Message != nil {
			s.raw, s.in.Message = string(e.Input.Message.Raw), nil
		}
		got = append(got, s)
		if len(got) == 7 {
			p.Said([]effect.Send{{To: g.All(), Msg: &wire.Commit{}}, {To: g.Others(1), Msg: &wire.Status{}}}, nil)
		}
		return nil
	})
	want := []seen{{now: 5}, {now: 5, raw: "one"}, {now: 9}, {now: 10}, {now: 11, in: core.Input{Submit: updates}},
		{now: 12, in: core.Input{Transfer: true}}, {now: 12, in: core.Input{Resumed: resumed}}, {now: 20, in: core.Input{Checkpointed: made}},
		{now: 21, in: core.Input{Restored: state}}, {now: 40, raw: "own", own: true}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v\nwant\n%+v", err, got, want)
	}
	if p.Last() != 40 || len(p.Unsaid()) != 0 {
		t.Errorf("last %d, unsaid %v", p.Last(), p.Unsaid())
	}
}

// TestOwnMessages: what the core wanted to say and what came back are compared; what did not come back is said again.
func TestOwnMessages(t *testing.T) {
	t.Parallel()
	say := func(seq uint64) effect.Send {
		return effect.Send{To: g.All(), Msg: &wire.PreorderRequest{Seq: seq, Updates: []wire.Update{{}}}}
	}
	p := NewReplay(header, as, decode, nil)
	back := func(seq uint64) error { return p.own(wire.NewEnvelope(header, say(seq).Msg)) }
	for seq := range uint64(5000) {
		p.Said([]effect.Send{say(seq), say(seq)}, nil)
		if err := back(seq); err != nil {
			t.Fatal(err)
		}
	}
	for seq := range uint64(4998) {
		if err := back(seq); err != nil {
			t.Fatal(err)
		}
	}
	left := p.Unsaid()
	if len(left) != 2 || !reflect.DeepEqual(left, []effect.Send{say(4998), say(4999)}) {
		t.Fatalf("unsaid: %v", left)
	}
	if err := back(3); !errors.Is(err, ErrOther) {
		t.Errorf("a message that the core did not want: %v", err)
	}
	if len(p.unsaid.sends) > 3000 {
		t.Errorf("%d places are kept for 2 messages", len(p.unsaid.sends))
	}
}

// TestFirst: an empty log, one of this program, of another behaviour, and of something else.
func TestBeginning(t *testing.T) {
	t.Parallel()
	log := memory.New(0)
	if _, begun, err := first(log); begun || err != nil {
		t.Errorf("empty: %v, %v", begun, err)
	}
	b := Began{Behaviour: core.Behaviour, Wall: 5, Seed: [32]byte{1}, Timing: core.Timing{Ack: 1}}
	log.Commit([]storage.Record{b.Record()})
	if got, begun, err := first(log); !begun || err != nil || got != b {
		t.Errorf("%+v, %v, %v", got, begun, err)
	}
	for _, r := range []storage.Record{Began{Behaviour: core.Behaviour + 1}.Record(), {Kind: kindBegan, Data: []byte(`{"New":1}`)},
		{Kind: kindInputs}} {
		log := memory.New(0)
		log.Commit([]storage.Record{r})
		if _, _, err := first(log); !errors.Is(err, ErrOther) {
			t.Errorf("%s: %v", r.Data, err)
		}
	}
}

// FuzzInputs: any bytes give inputs or an error, and never much memory for few bytes.
func FuzzInputs(f *testing.F) {
	var w Writer
	w.Input(5, core.Input{Message: raw("one")}, false, false)
	w.Input(6, core.Input{Submit: []wire.Update{{Payload: []byte("p")}}}, false, false)
	w.Input(7, core.Tick, false, false)
	w.Input(8, core.Input{Checkpointed: &core.Checkpointed{Ordinal: 8}}, false, false)
	w.Input(9, core.Input{Restored: &effect.State{Ordinal: 9, Vector: make(wire.Vector, 4)}}, false, false)
	f.Add(w.Take()[0].Data)
	f.Fuzz(func(t *testing.T, b []byte) {
		var last clock.Instant
		var again Writer
		err := parseInputs(b, decode, func(e Entry) error {
			if e.Now < last {
				t.Errorf("time goes from %d to %d", last, e.Now)
			}
			last = e.Now
			again.Input(e.Now, e.Input, false, e.Own)
			return nil
		})
		if err != nil || again.Bytes() == 0 {
			return
		}
		count := 0
		if err := parseInputs(again.Take()[0].Data, decode, func(Entry) error { count++; return nil }); err != nil || count == 0 {
			t.Errorf("what was read from %x cannot be written and read: %v", bytes.Clone(b), err)
		}
	})
}

// first is the beginning of a log that has no images.
func first(log storage.Log) (Began, bool, error) {
	s, begun, err := Find(log, func(uint64) bool { return false })
	return s.Began, begun, err
}
