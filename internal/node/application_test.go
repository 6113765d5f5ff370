package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/appsocket"
	"github.com/primebft/prime/internal/core/effect"
)

// The application socket is such an application.
var _ follower = (*appsocket.Server)(nil)

// hub carries the state of applications that transfer it themselves, and checks that who sends one at a position sends what the others
// send there.
type hub struct {
	states map[app.Position]string // as of a position
	down   bool                    // nobody answers
	bad    string
}

// own is an application that is the list of everything it was given, and goes its own way.
type own struct {
	hub    *hub
	self   int
	state  []string
	last   app.Position
	gap    bool
	events []string
	lost   func() bool // of what calls it
}

func (o *own) Deliver(batch []app.Record) [][]byte {
	results := make([][]byte, len(batch))
	for i, r := range batch {
		at := r.Position()
		next := at == app.Position{Ordinal: o.last.Ordinal, Index: o.last.Index + 1} || at == app.Position{Ordinal: o.last.Ordinal + 1, Index: 1}
		if o.gap || !next {
			o.hub.bad = fmt.Sprintf("r%d is given %s after %s, gap %v", o.self, at, o.last, o.gap)
		}
		o.last = at
		if r.Update() {
			o.state = append(o.state, string(r.Payload))
			results[i] = fmt.Appendf(nil, "%d", len(o.state))
		}
	}
	return results
}

func (o *own) Gap(after, next app.Position) {
	if after != o.last || !after.Less(next) {
		o.hub.bad = fmt.Sprintf("r%d: gap from %s to %s at %s", o.self, after, next, o.last)
	}
	if o.lost != nil && !o.lost() {
		o.hub.bad = fmt.Sprintf("r%d knows of a gap while updates are taken for it", o.self)
	}
	o.gap = true
	o.events = append(o.events, "gap")
}

func (o *own) TransferPoint(at app.Position, requester int) error {
	o.events = append(o.events, fmt.Sprintf("point %s r%d", at, requester))
	mine := strings.Join(o.state, ",")
	if requester != o.self {
		if at != o.last || o.gap {
			o.hub.bad = fmt.Sprintf("r%d helps at %s and is at %s", o.self, at, o.last)
		}
		if before, ok := o.hub.states[at]; ok && before != mine {
			o.hub.bad = fmt.Sprintf("two states as of %s", at)
		}
		o.hub.states[at] = mine
		return nil
	}
	if !o.gap {
		return nil // nothing is missing
	}
	state, ok := o.hub.states[at]
	if !ok || o.hub.down {
		return errors.New("nobody answers")
	}
	o.state, o.last, o.gap = nil, at, false
	if state != "" {
		o.state = strings.Split(state, ",")
	}
	return nil
}

func (o *own) Reset(uint32) { o.state, o.last = nil, app.Position{} }

// stream draws ordinals of updates, no-ops and transfer points, at least one of r3 at the end.
func stream(t *rapid.T) [][]app.Record {
	var all [][]app.Record
	for o := range uint64(rapid.IntRange(2, 30).Draw(t, "ordinals")) {
		n := rapid.IntRange(0, 4).Draw(t, "records")
		records := []app.Record{{Ordinal: o + 1, Index: 1, Total: 1}}
		if n > 0 {
			records = make([]app.Record, n)
		}
		for i := range n {
			records[i] = app.Record{Ordinal: o + 1, Index: uint32(i + 1), Total: uint32(n), Origin: rapid.IntRange(1, 4).Draw(t, "origin")}
			if rapid.IntRange(0, 5).Draw(t, "point") > 0 {
				records[i].Client, records[i].Payload = [32]byte{1}, fmt.Appendf(nil, "%d.%d", o+1, i)
			}
		}
		all = append(all, records)
	}
	last := uint64(len(all) + 1)
	return append(all, []app.Record{{Ordinal: last, Index: 1, Total: 2, Origin: 2}, {Ordinal: last, Index: 2, Total: 2, Origin: 3}})
}

// TestTransferPoints (protocol-recovery.md 10, I2): wherever replicas jump, whoever else wants a state in the same ordinal, whether it is
// needed, had at once or only at a later point, and although the application starts again: the state at a transfer point and the records
// after it are the state of a replica that never was away.
func TestTransferPoints(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all, h := stream(t), &hub{states: map[app.Position]string{}}
		always := &own{hub: h, self: 1}
		steady := &transferring{app: always, self: 1, request: func() {}}
		var apps [2]*own // r2 and r3
		var calls [2]*transferring
		asked := 0
		for i := range apps {
			apps[i] = &own{hub: h, self: i + 2}
			calls[i] = &transferring{app: apps[i], self: i + 2, request: func() { asked++ }}
			apps[i].lost = calls[i].lost
		}
		for o := 0; o < len(all); o++ {
			h.down = o+1 < len(all) && rapid.IntRange(0, 3).Draw(t, "down") == 0
			if _, err := steady.deliver(all[o]); err != nil {
				t.Fatal(err)
			}
			for i := range calls {
				at := all[o][len(all[o])-1].Position()
				switch rapid.IntRange(0, 9).Draw(t, "event") {
				case 0: // its records are lost
					if o+1 == len(all) {
						break
					}
					if err := calls[i].jump(at, nil); err != nil {
						t.Fatal(err)
					}
					continue
				case 1: // the application starts again, with nothing: as if everything were lost
					if o+1 == len(all) {
						break
					}
					apps[i] = &own{hub: h, self: i + 2}
					calls[i] = &transferring{app: apps[i], self: i + 2, request: func() { asked++ }}
					apps[i].lost = calls[i].lost
					if err := calls[i].jump(at, nil); err != nil {
						t.Fatal(err)
					}
					continue
				}
				results, err := calls[i].deliver(all[o])
				if err != nil || len(results) != len(all[o]) {
					t.Fatal(err, len(results))
				}
			}
		}
		for i := range apps {
			if calls[i].lost() || strings.Join(apps[i].state, ",") != strings.Join(always.state, ",") {
				t.Fatalf("r%d ends with %v, lost %v; want %v", i+2, apps[i].state, calls[i].lost(), always.state)
			}
		}
		if h.bad != "" {
			t.Fatal(h.bad)
		}
	})
}

// saved is an application that the replicas transfer.
type saved struct {
	state []byte
	err   error
}

func (s *saved) Deliver(batch []app.Record) [][]byte {
	results := make([][]byte, len(batch))
	for i := range batch {
		s.state = append(s.state, batch[i].Payload...)
		results[i] = bytes.Clone(s.state)
	}
	return results
}

func (s *saved) Snapshot() (app.Snapshot, error) { return app.Bytes(bytes.Clone(s.state)), s.err }

func (s *saved) Restore(from io.Reader) (err error) {
	s.state, err = io.ReadAll(from)
	return err
}

// TestJumps: what becomes of applications of each way when the stream goes on after a jump.
func TestJumps(t *testing.T) {
	t.Parallel()
	at := app.Position{Ordinal: 9, Index: 1}
	open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("nine")), nil }
	next := []app.Record{{Ordinal: 10, Index: 1, Total: 1, Origin: 1, Client: [32]byte{1}, Payload: []byte("+")}}
	s := newApplication(&saved{}, 1, 1, nil)
	if err := s.jump(at, open); err != nil {
		t.Fatal(err)
	}
	if got, err := s.deliver(next); err != nil || string(got[0]) != "nine+" {
		t.Fatalf("%q, %v", got, err)
	}
	if err := s.jump(at, nil); err == nil || !strings.Contains(err.Error(), "do not write snapshots") {
		t.Error(err)
	}
	broken := errors.New("broken")
	if err := s.jump(at, func() (io.ReadCloser, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	p := newApplication(app.Func(func(app.Record) []byte { return nil }), 1, 1, nil)
	if err := p.jump(at, open); err == nil || !strings.Contains(err.Error(), "app.Snapshotter") {
		t.Error(err)
	}
}

// TestRecordsJump: watchers are told where the stream goes on, the application follows, and digest and count continue those of the
// checkpoint.
func TestRecordsJump(t *testing.T) {
	t.Parallel()
	whole, r := newRecords(1, 1, 1<<20, 1<<20), newRecords(1, 1, 1<<20, 1<<20)
	var head *due
	for o := uint64(1); o <= 20; o++ {
		d := delivery(o, int(o%3), 10)
		if o == 10 || o == 20 {
			d.State = &effect.State{Ordinal: o}
		}
		whole.append(d)
		if o <= 3 {
			r.append(d)
		}
	}
	var next turn
	for head == nil && whole.nextForApp(nil, &next) {
		head = next.due
		whole.ack(next.batch[len(next.batch)-1].Ordinal)
	}
	if head.State.Ordinal != 10 || head.at().Ordinal != 10 || next.batch[len(next.batch)-1].Ordinal != 10 {
		t.Fatalf("the batch of the checkpoint ends at %v", head.at())
	}
	r.jump(head, nil)
	var gone *RecordsGone
	if _, err := r.Next(t.Context(), 4); !errors.As(err, &gone) || gone.Oldest != 11 {
		t.Fatalf("%v", err)
	}
	if p := r.Position(); p.Ordinal != 10 || p.Digest != head.Digest || p.Count != head.Delivered {
		t.Fatalf("%+v", p)
	}
	for o := uint64(11); o <= 20; o++ {
		d := delivery(o, int(o%3), 10)
		if o == 20 {
			d.State = &effect.State{Ordinal: o}
		}
		r.append(d)
	}
	if got, want := r.Position(), whole.Position(); got != want {
		t.Fatalf("%+v, want %+v", got, want)
	}
	if !r.nextForApp(nil, &next) || next.jump == nil || next.jump.at != head.at() || len(next.batch) > 0 {
		t.Fatalf("%+v", next)
	}
	if !r.nextForApp(nil, &next) || next.jump != nil || next.batch[0].Ordinal != 11 {
		t.Fatalf("%+v", next)
	}
	var theirs turn
	for theirs.due == nil && whole.nextForApp(nil, &theirs) {
		whole.ack(theirs.batch[len(theirs.batch)-1].Ordinal)
	}
	if got, want := next.due, theirs.due; got == nil || got.Delivered != want.Delivered || got.Digest != want.Digest || got.at() != want.at() {
		t.Fatalf("the next checkpoint has %+v, that of who was never away %+v", got, want)
	}
	r.ack(3) // of a batch from before
	r.ack(20)
	if b := r.app(); b.bytes != 0 || b.taken != 20 {
		t.Fatalf("%+v", b)
	}
}

// TestRecordsRejoin: an application that was too far behind can go on after a gap, one that has failed cannot.
func TestRecordsRejoin(t *testing.T) {
	t.Parallel()
	r := newRecords(1, 1, 1000, 1000)
	if r.rejoin() {
		t.Fatal("it was not behind")
	}
	for o := uint64(1); o <= 200; o++ {
		r.append(delivery(o, 1, 100))
	}
	var next turn
	for r.nextForApp(nil, &next) {
		r.ack(next.batch[len(next.batch)-1].Ordinal)
	}
	if !r.rejoin() || !r.nextForApp(nil, &next) || next.jump == nil || next.jump.at != (app.Position{Ordinal: 200, Index: 1}) {
		t.Fatalf("%+v", next)
	}
	r.giveUp()
	if r.jump(&due{State: &effect.State{Ordinal: 300}}, nil); r.rejoin() || r.nextForApp(nil, &next) {
		t.Fatal("a failed application goes on")
	}
}
