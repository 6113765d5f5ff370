package appsocket

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/localframe"
	"github.com/primebft/prime/internal/unixsock"
)

const generous = 30 * time.Second

var cluster = [32]byte{7, 31: 7}

func start(t *testing.T) (*Server, string) {
	t.Helper()
	s, dir := New(Info{Replica: 2, Cluster: cluster, Epoch: 1}, slog.New(slog.DiscardHandler)), t.TempDir()
	if err := s.Listen(dir, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, dir
}

// batch is ordinals from..to with two records each.
func batch(from, to uint64) []app.Record {
	var b []app.Record
	for o := from; o <= to; o++ {
		for i := uint32(1); i <= 2; i++ {
			b = append(b, app.Record{Epoch: 1, Ordinal: o, Index: i, Total: 2, Origin: 1, Seq: o, Payload: fmt.Appendf(nil, "%d.%d", o, i)})
		}
	}
	return b
}

// deliver calls Deliver on a goroutine, as a replica does.
func deliver(s *Server, batch []app.Record) <-chan [][]byte {
	done := make(chan [][]byte, 1)
	go func() { done <- s.Deliver(batch) }()
	return done
}

// peer is the other end of the socket, frame by frame.
type peer struct {
	t      *testing.T
	sock   *net.UnixConn
	frames *localframe.Reader
}

func connect(t *testing.T, dir string) *peer {
	t.Helper()
	sock, err := unixsock.Dial(t.Context(), dir, SocketName)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sock.Close() })
	_ = sock.SetDeadline(time.Now().Add(generous))
	return &peer{t, sock, localframe.NewReader(bufio.NewReader(sock), MaxFrame)}
}

func (p *peer) send(frame []byte) {
	p.t.Helper()
	if _, err := p.sock.Write(frame); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) next(want byte) []byte {
	p.t.Helper()
	kind, body, err := p.frames.Next()
	if err != nil || kind != want {
		p.t.Fatalf("frame %d, %v; want %d: %s", kind, err, want, body)
	}
	return body
}

func (p *peer) attach(a Attach) Welcome {
	p.t.Helper()
	a.Version = Version
	p.send(a.Append(nil))
	w, err := ParseWelcome(p.next(KindWelcome))
	if err != nil || w.Replica != 2 || w.Cluster != cluster || w.Epoch != 1 {
		p.t.Fatalf("%+v, %v", w, err)
	}
	return w
}

func (p *peer) records() []app.Record {
	p.t.Helper()
	records, err := ParseRecords(p.next(KindRecords), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return records
}

func (p *peer) refused(code Code) *Refused {
	p.t.Helper()
	r, err := ParseRefused(p.next(KindRefused))
	if err != nil || r.Code != code || r.Text == "" {
		p.t.Fatalf("%+v, %v; want code %d", r, err, code)
	}
	return r
}

// answer acknowledges records, the result of each being its payload.
func (p *peer) answer(records []app.Record) {
	p.t.Helper()
	r := Results{First: PositionOf(&records[0])}
	for i := range records {
		r.Results = append(r.Results, records[i].Payload)
	}
	p.send(r.Append(nil))
}

func wantEcho(t *testing.T, done <-chan [][]byte, records []app.Record) {
	t.Helper()
	results := <-done
	if len(results) != len(records) {
		t.Fatalf("%d results for %d records", len(results), len(records))
	}
	for i := range records {
		if string(results[i]) != string(records[i].Payload) {
			t.Fatalf("result %d is %q", i, results[i])
		}
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	s, dir := start(t)
	done := deliver(s, batch(1, 3)) // before anybody is attached
	p := connect(t, dir)
	if w := p.attach(Attach{Resume: true}); w.After != (Position{}) {
		t.Fatalf("%+v", w)
	}
	p.answer(p.records())
	wantEcho(t, done, batch(1, 3))
	for from := uint64(4); from < 60; from += 10 { // and while it is; acknowledged in two parts
		b := batch(from, from+9)
		done := deliver(s, b)
		got := p.records()
		if len(got) != len(b) || PositionOf(&got[0]) != PositionOf(&b[0]) {
			t.Fatalf("%d records from %v", len(got), got[0])
		}
		p.answer(got[:5])
		p.answer(got[5:])
		wantEcho(t, done, b)
	}
	if !s.Attached() {
		t.Fatal("not attached?")
	}
}

// TestLargeBatchIsSplit: frames stay within their limits, and the next is sent when the last is acknowledged.
func TestLargeBatchIsSplit(t *testing.T) {
	t.Parallel()
	s, dir := start(t)
	var b []app.Record
	for o := uint64(1); o <= 5; o++ {
		b = append(b, app.Record{Ordinal: o, Index: 1, Total: 1, Origin: 1, Payload: make([]byte, 700<<10)})
	}
	for o := uint64(6); o < 6+maxRecords+100; o++ {
		b = append(b, app.Record{Ordinal: o, Index: 1, Total: 1})
	}
	done := deliver(s, b)
	p := connect(t, dir)
	p.attach(Attach{})
	count, frames := 0, 0
	for count < len(b) {
		got := p.records()
		if len(got) > maxRecords || len(got) > 1 && len(got[0].Payload) > 0 && len(got[1].Payload) > 0 {
			t.Fatalf("a frame of %d records", len(got))
		}
		count += len(got)
		frames++
		p.answer(got)
	}
	wantEcho(t, done, b)
	if frames < 6 {
		t.Fatalf("%d frames", frames)
	}
}

func TestSecondOwnerIsRefused(t *testing.T) {
	t.Parallel()
	s, dir := start(t)
	first := connect(t, dir)
	first.attach(Attach{})
	second := connect(t, dir)
	second.send((&Attach{Version: Version}).Append(nil))
	if r := second.refused(Busy); !strings.Contains(r.Text, "stop it first") {
		t.Fatal(r.Text)
	}
	done := deliver(s, batch(1, 1)) // the first is not disturbed
	first.answer(first.records())
	wantEcho(t, done, batch(1, 1))
	_ = first.sock.Close()
	connect(t, dir).attach(Attach{}) // and whoever comes after it is welcome at once
}

func TestUnacknowledgedIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	s, dir := start(t)
	b := batch(1, 5)
	done := deliver(s, b)
	p := connect(t, dir)
	p.attach(Attach{})
	got := p.records()
	p.answer(got[:3]) // up to 2.1, then it is killed
	_ = p.sock.Close()
	p = connect(t, dir)
	if w := p.attach(Attach{}); w.After != (Position{Ordinal: 2, Index: 1}) {
		t.Fatalf("after %s", w.After)
	}
	got = p.records()
	if len(got) != 7 || PositionOf(&got[0]) != (Position{Ordinal: 2, Index: 2}) {
		t.Fatalf("%d records from %v", len(got), got[0])
	}
	p.answer(got)
	wantEcho(t, done, b)
}

func TestResume(t *testing.T) {
	t.Parallel()
	s, dir := start(t)
	done := deliver(s, batch(1, 3))
	p := connect(t, dir)
	p.attach(Attach{})
	p.answer(p.records())
	<-done
	b := batch(4, 6)
	done = deliver(s, b)
	p.answer(p.records()[:1]) // up to 4.1
	_ = p.sock.Close()

	for name, c := range map[string]struct {
		a    Attach
		code Code
		at   Position
	}{
		"behind":        {Attach{Resume: true, After: Position{Ordinal: 3, Index: 2}}, Gone, Position{Ordinal: 4, Index: 1}},
		"new state":     {Attach{Resume: true}, Gone, Position{Ordinal: 4, Index: 1}},
		"ahead":         {Attach{Resume: true, After: Position{Ordinal: 7, Index: 1}}, Ahead, Position{Ordinal: 4, Index: 1}},
		"no such index": {Attach{Resume: true, After: Position{Ordinal: 5, Index: 3}}, Ahead, Position{Ordinal: 4, Index: 1}},
		"other cluster": {Attach{Cluster: [32]byte{1}}, Foreign, Position{}},
		"other epoch":   {Attach{Epoch: 2}, Foreign, Position{}},
	} {
		p := connect(t, dir)
		c.a.Version = Version
		p.send(c.a.Append(nil))
		if r := p.refused(c.code); r.At != c.at {
			t.Errorf("%s: %+v", name, r)
		}
	}
	// It had dealt with records up to 5.1 and could not say so.
	p = connect(t, dir)
	if w := p.attach(Attach{Resume: true, After: Position{Ordinal: 5, Index: 1}, Cluster: cluster, Epoch: 1}); w.After != (Position{Ordinal: 5, Index: 1}) {
		t.Fatalf("after %s", w.After)
	}
	got := p.records()
	if PositionOf(&got[0]) != (Position{Ordinal: 5, Index: 2}) {
		t.Fatalf("from %v", got[0])
	}
	p.answer(got)
	results := <-done
	if len(results) != 6 || string(results[0]) != "4.1" || len(results[1]) != 0 || len(results[2]) != 0 || string(results[3]) != "5.2" {
		t.Fatalf("%q", results)
	}
}

func TestBadApplications(t *testing.T) {
	t.Parallel()
	s, dir := start(t)
	b := batch(1, 2)
	done := deliver(s, b)
	result := func(first Position, n int) []byte {
		return (&Results{First: first, Results: make([][]byte, n)}).Append(nil)
	}
	for name, c := range map[string]struct {
		attached bool
		raw      []byte
		says     string
	}{
		"results first":     {false, result(Position{Ordinal: 1, Index: 1}, 1), "begins with Attach"},
		"other version":     {false, (&Attach{Version: 7}).Append(nil), "version 7"},
		"other program":     {false, []byte{5, 0, 0, 0, KindAttach, 'x', 'y', 'z', 'w'}, "not an application"},
		"too many results":  {true, result(Position{Ordinal: 1, Index: 1}, 5), "5 results for the 4"},
		"no results":        {true, result(Position{Ordinal: 1, Index: 1}, 0), "must have 1"},
		"wrong position":    {true, result(Position{Ordinal: 1, Index: 2}, 1), "1.1"},
		"other frame":       {true, (&Attach{Version: Version}).Append(nil), "which no application sends"},
		"oversized frame":   {true, []byte{0, 0, 0, 0x7f, KindResults}, "too long"},
		"frame of no bytes": {true, make([]byte, 4), "without a kind"},
	} {
		p := connect(t, dir)
		if c.attached {
			if w := p.attach(Attach{}); w.After != (Position{}) {
				t.Fatalf("%s: after %s: something was acknowledged", name, w.After)
			}
			p.records()
		}
		p.send(c.raw)
		if r := p.refused(Protocol); !strings.Contains(r.Text, c.says) {
			t.Errorf("%s: %s", name, r.Text)
		}
		_ = p.sock.Close()
	}
	p := connect(t, dir)
	p.attach(Attach{})
	p.answer(p.records())
	wantEcho(t, done, b)
}

// TestStrangers: connections that never attach cannot keep the application out for ever, nor take what is bounded.
func TestStrangers(t *testing.T) {
	t.Parallel()
	_, dir := start(t)
	var silent []*peer
	for range 3 * maxStrangers {
		silent = append(silent, connect(t, dir))
	}
	for _, p := range silent[maxStrangers:] {
		if _, err := p.sock.Read(make([]byte, 1)); err == nil {
			t.Fatal("it said something")
		}
	}
	for _, p := range silent {
		_ = p.sock.Close()
	}
	deadline := time.Now().Add(generous)
	for { // places are given back when the closing is noticed
		p := connect(t, dir)
		_, err := p.sock.Write((&Attach{Version: Version}).Append(nil))
		if err == nil {
			if kind, _, err := p.frames.Next(); err == nil && kind == KindWelcome {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the application is kept out")
		}
	}
}

// TestReplicaStartsAgain: a replica that delivers everything again after its start skips what the application says it has, and
// goes on after that, wherever the replica is when the application attaches.
func TestReplicaStartsAgain(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"application", "replica"} {
		dir := t.TempDir()
		s := New(Info{Replica: 2, Cluster: cluster, Epoch: 1, Replays: true}, slog.New(slog.DiscardHandler))
		if err := s.Listen(dir, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		var done <-chan [][]byte
		if first == "replica" {
			done = deliver(s, batch(1, 3))
			s.mu.Lock()
			for s.batch == nil {
				s.wait(s.closed)
			}
			s.mu.Unlock()
		}
		p := connect(t, dir)
		if w := p.attach(Attach{Resume: true, After: Position{Ordinal: 5, Index: 1}}); w.After != (Position{Ordinal: 5, Index: 1}) {
			t.Errorf("records follow after %v", w.After)
		}
		if first == "application" {
			done = deliver(s, batch(1, 3))
		}
		if results := <-done; len(results) != 6 || len(results[5]) != 0 {
			t.Fatalf("skipped: %q", results)
		}
		done = deliver(s, batch(4, 6))
		records := p.records()
		if len(records) != 3 || PositionOf(&records[0]) != (Position{Ordinal: 5, Index: 2}) {
			t.Fatalf("%d records, the first %v", len(records), PositionOf(&records[0]))
		}
		p.answer(records)
		if results := <-done; len(results) != 6 || len(results[0]) != 0 || len(results[3]) == 0 {
			t.Fatalf("%q", results)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	s, dir := start(t)
	p := connect(t, dir)
	p.attach(Attach{})
	done := deliver(s, batch(1, 2))
	p.answer(p.records()[:3])
	waiting := connect(t, dir) // for the first to go
	waiting.send((&Attach{Version: Version}).Append(nil))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if results := <-done; results != nil {
		t.Fatalf("results of a batch that was not dealt with: %q", results)
	}
	p.refused(Stopped)
	if _, err := unixsock.Dial(t.Context(), dir, SocketName); !errors.Is(err, unixsock.ErrNotRunning) {
		t.Fatal(err)
	}
	if s.Deliver(batch(1, 1)) != nil {
		t.Fatal("Deliver after Close")
	}
}

// TestCloseOfStuckOwner: an owner that does not read what it is sent does not hold up the end.
func TestCloseOfStuckOwner(t *testing.T) {
	t.Parallel()
	s, dir := start(t)
	p := connect(t, dir)
	p.attach(Attach{})
	b := []app.Record{{Ordinal: 1, Index: 1, Total: 1, Origin: 1, Payload: make([]byte, 8<<20)}}
	done := deliver(s, b)
	if _, err := p.sock.Read(make([]byte, 100)); err != nil { // it is being sent
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if <-done != nil {
		t.Fatal("results?")
	}
}
