package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/appsocket"
)

// register is an application of the engine's way: its state is the payloads, after filling that makes it large.
type register struct {
	mu       sync.Mutex
	state    []byte
	released int
	refuse   error // Restore fails
	hold     chan struct{}
}

func (r *register) Deliver(batch []app.Record) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	results := make([][]byte, len(batch))
	for i := range batch {
		r.state = append(r.state, batch[i].Payload...)
		results[i] = []byte("did " + string(batch[i].Payload))
	}
	return results
}

// taken is a snapshot that waits, if there is something to wait for, before it is written.
type taken struct {
	r     *register
	state []byte
}

func (t *taken) WriteTo(w io.Writer) (int64, error) {
	if t.r.hold != nil {
		<-t.r.hold
	}
	return io.Copy(w, bytes.NewReader(t.state))
}

func (t *taken) Release() {
	t.r.mu.Lock()
	t.r.released++
	t.r.mu.Unlock()
}

func (r *register) Snapshot() (app.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &taken{r, bytes.Clone(r.state)}, nil
}

func (r *register) Restore(from io.Reader) error {
	state, err := io.ReadAll(from)
	if err != nil || r.refuse != nil {
		return errors.Join(err, r.refuse)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = state
	return nil
}

func (r *register) content() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.state)
}

func opened(state string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(state)), nil }
}

// TestSnapshots: a snapshot of several pieces is of the record that it was asked for at, although delivery goes on before it is written.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	s, socket := start(t)
	r := &register{state: bytes.Repeat([]byte("x"), 5*appsocket.MaxPiece/2), hold: make(chan struct{})}
	serve(t, socket, r, Options{})
	want(t, s.Deliver(batch(1, 5)), 1, 5)
	at5 := r.content()
	if s.Way() != app.EnginesWay {
		t.Fatal(s.Way())
	}
	snapshot, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	done := make(chan error, 1)
	go func() {
		_, err := snapshot.WriteTo(&got)
		snapshot.Release()
		done <- err
	}()
	for o := uint64(6); o < 60; o++ { // delivery does not wait for it
		want(t, s.Deliver(batch(o, o)), o, o)
	}
	close(r.hold)
	if err := <-done; err != nil || got.String() != at5 {
		t.Fatalf("%v, %d bytes, want %d", err, got.Len(), len(at5))
	}
	// One that is given up, and one after it.
	if snapshot, err = s.Snapshot(); err != nil {
		t.Fatal(err)
	}
	snapshot.Release()
	if snapshot, err = s.Snapshot(); err != nil {
		t.Fatal(err)
	}
	got.Reset()
	if _, err := snapshot.WriteTo(&got); err != nil || got.String() != r.content() {
		t.Fatalf("%v, %d bytes", err, got.Len())
	}
	want(t, s.Deliver(batch(60, 61)), 60, 61)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.released != 3 {
		t.Errorf("%d of 3 snapshots released", r.released)
	}
}

// TestRestore: a process gets the snapshot of a jump and the records after it, whether it was attached before the replica jumped or
// comes then; one that has later records gets none.
func TestRestore(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("state ", appsocket.MaxPiece/2)
	at := app.Position{Ordinal: 20, Index: 3}
	for name, c := range map[string]struct {
		after app.Position
		has   uint64 // delivered to it before
		want  string
	}{
		"new":       {app.Position{}, 0, large + "21" + "22"},
		"older":     {app.Position{Ordinal: 7, Index: 1}, 0, large + "21" + "22"},
		"mid":       {app.Position{Ordinal: 20, Index: 2}, 0, large + "21" + "22"},
		"the same":  {at, 0, "mine" + "21" + "22"},
		"one later": {app.Position{Ordinal: 21, Index: 1}, 0, "mine" + "22"},
		"attached":  {app.Position{}, 3, large + "21" + "22"},
	} {
		for _, first := range []string{"process", "jump"} {
			if first == "jump" && c.has > 0 {
				continue
			}
			t.Run(name+", the "+first+" first", func(t *testing.T) {
				t.Parallel()
				s, socket := startReplaying(t)
				r := &register{state: []byte("mine")}
				jumped := make(chan error, 1)
				jump := func() { jumped <- s.Jump(at, opened(large)) }
				if first == "jump" {
					go jump()
					serve(t, socket, r, Options{After: c.after})
				} else {
					serve(t, socket, r, Options{After: c.after})
					attached(t, s)
					if c.has > 0 {
						want(t, s.Deliver(batch(1, c.has)), 1, c.has)
					}
					go jump()
				}
				if err := <-jumped; err != nil {
					t.Fatal(err)
				}
				if len(s.Deliver(batch(21, 22))) != 2 || r.content() != c.want {
					t.Fatalf("state of %d bytes, want %d", len(r.content()), len(c.want))
				}
			})
		}
	}
}

// TestRestoreFails: an application that cannot restore ends, and so does the replica's wait for it.
func TestRestoreFails(t *testing.T) {
	t.Parallel()
	s, socket := start(t)
	r := &register{refuse: errors.New("unreadable")}
	ended := make(chan error, 1)
	go func() { ended <- Serve(t.Context(), socket, r, Options{}) }()
	if err := s.Jump(app.Position{Ordinal: 20, Index: 1}, opened("x")); err == nil || !strings.Contains(err.Error(), "unreadable") {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrState) {
		t.Fatal(err)
	}
}

// TestNoWay: an application that cannot follow a jump is refused, and says why; one that can takes its place.
func TestNoWay(t *testing.T) {
	t.Parallel()
	s, socket := start(t)
	ended := make(chan error, 1)
	go func() { ended <- Serve(t.Context(), socket, &ledger{t: t}, Options{}) }()
	want(t, s.Deliver(batch(1, 3)), 1, 3)
	jumped := make(chan error, 1)
	go func() { jumped <- s.Jump(app.Position{Ordinal: 20, Index: 1}, opened("x")) }()
	if err := <-ended; !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), "no way to get the state") {
		t.Fatal(err)
	}
	r := &register{}
	serve(t, socket, r, Options{})
	if err := <-jumped; err != nil {
		t.Fatal(err)
	}
	if want(t, s.Deliver(batch(21, 21)), 21, 21); r.content() != "x21" {
		t.Fatal(r.content())
	}
}

// nomad is an application of its own way; it notes what it is told.
type nomad struct {
	mu    sync.Mutex
	notes []string
	fail  int // so many own transfer points fail
}

func (n *nomad) note(format string, a ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes = append(n.notes, fmt.Sprintf(format, a...))
}

func (n *nomad) Deliver(batch []app.Record) [][]byte {
	for _, r := range batch {
		n.note("%s", r.Position())
	}
	return make([][]byte, len(batch))
}

func (n *nomad) Gap(after, next app.Position) { n.note("gap %s %s", after, next) }

func (n *nomad) Reset(epoch uint32) { n.note("reset %d", epoch) }

func (n *nomad) TransferPoint(at app.Position, requester int) error {
	n.note("point %s r%d", at, requester)
	if requester == 2 && n.fail > 0 {
		n.fail--
		return errors.New("nobody answers")
	}
	return nil
}

func (n *nomad) told(t *testing.T, want ...string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Equal(n.notes, want) {
		t.Fatalf("%q\nwant\n%q", n.notes, want)
	}
	n.notes = nil
}

// points is an ordinal whose records are transfer points of these replicas and, for 0, an update.
func points(ordinal uint64, of ...int) []app.Record {
	b := make([]app.Record, len(of))
	for i, id := range of {
		b[i] = app.Record{Epoch: 1, Ordinal: ordinal, Index: uint32(i + 1), Total: uint32(len(of)), Origin: id}
		if id == 0 {
			b[i].Origin, b[i].Client = 1, [32]byte{9}
		}
	}
	return b
}

// TestOwnWay: gaps, transfer points of others and of its own, two in one ordinal, one that is not needed, and one that fails.
func TestOwnWay(t *testing.T) {
	t.Parallel()
	s, socket := start(t)
	requests := make(chan struct{}, 8)
	s.Attend(func() { requests <- struct{}{} })
	n, ask := &nomad{fail: 1}, make(chan struct{})
	serve(t, socket, n, Options{Transfer: ask})
	all := func(results [][]byte, known ...bool) {
		t.Helper()
		for i, r := range results {
			if s.Unknown(r) == known[i] {
				t.Fatalf("result %d of %d: known is %v", i, len(results), !known[i])
			}
		}
		if len(results) != len(known) {
			t.Fatalf("%d results", len(results))
		}
	}
	all(s.Deliver(points(1, 0, 3, 0)), true, true, true)
	n.told(t, "reset 1", "1.1", "1.2", "point 1.2 r3", "1.3")
	if err := s.Jump(app.Position{Ordinal: 20, Index: 1}, opened("x")); err != nil || !s.Lost() {
		t.Fatal(err)
	}
	<-requests
	all(s.Deliver(points(21, 0, 3, 0)), false, false, false)
	all(s.Deliver(append(points(22, 0, 2, 3), points(23, 0)...)), false, false, false, false) // fails: everybody is away
	<-requests
	all(s.Deliver(points(24, 3, 2, 3, 0)), false, false, true, true)
	n.told(t, "gap 1.3 21.1", "point 22.2 r2", "point 24.2 r2", "24.3", "point 24.3 r3", "24.4")
	if s.Lost() {
		t.Fatal("lost")
	}
	ask <- struct{}{}
	<-requests
	all(s.Deliver(points(25, 0, 2, 0)), true, true, true)
	n.told(t, "25.1", "25.2", "point 25.2 r2", "25.3")
}

// TestOwnWayRestart: an application that starts again with nothing gets a gap and a transfer point, while the replica goes on.
func TestOwnWayRestart(t *testing.T) {
	t.Parallel()
	s, socket := start(t)
	requests := make(chan struct{}, 8)
	s.Attend(func() { requests <- struct{}{} })
	n := &nomad{}
	stop := serve(t, socket, n, Options{})
	s.Deliver(points(1, 0, 0))
	_ = stop()
	n.told(t, "reset 1", "1.1", "1.2")
	again := &nomad{}
	serve(t, socket, again, Options{})
	<-requests
	if results := s.Deliver(points(2, 0, 2, 0)); !s.Unknown(results[0]) || s.Unknown(results[2]) {
		t.Fatal(results)
	}
	again.told(t, "reset 1", "gap 0.0 2.1", "point 2.2 r2", "2.3")
}
