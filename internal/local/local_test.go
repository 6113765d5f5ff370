package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/localframe"
	"github.com/primebft/prime/internal/unixsock"
)

const generous = 30 * time.Second

func failure(t *testing.T, err error, code Code) *Failure {
	t.Helper()
	var f *Failure
	if !errors.As(err, &f) || f.Code != code || f.Text == "" || strings.Contains(f.Text, "\n") {
		t.Fatalf("got %v, want a failure with code %d", err, code)
	}
	return f
}

func TestSubmit(t *testing.T) {
	t.Parallel()
	_, _, dir := serve(t)
	c := dial(t, dir)
	if c.Info() != (Info{Replica: 3, Epoch: 2, UpdateBytes: 1000}) {
		t.Fatalf("info %+v", c.Info())
	}
	for i, payload := range []string{"a", "", strings.Repeat("x", 1000)} {
		r, err := c.Submit(t.Context(), []byte(payload))
		if err != nil || r.Ordinal != uint64(i+1) || r.Index != 1 || r.Epoch != 2 || r.Client != [32]byte{1, 31: 2} ||
			r.Seq != uint64(i+1) || string(r.Result) != payload {
			t.Fatalf("update %d: %+v, %v", i, r, err)
		}
	}
	_, err := c.Submit(t.Context(), []byte("overload"))
	failure(t, err, Overloaded)
	_, err = c.Submit(t.Context(), []byte("odd"))
	if f := failure(t, err, Other); f.Text != "an error of its own" {
		t.Fatal(f.Text)
	}
	_, err = c.Submit(t.Context(), make([]byte, 1001))
	if f := failure(t, err, Oversized); !strings.Contains(f.Text, "limits.update_bytes") || !strings.Contains(f.Text, "1000") {
		t.Fatal(f.Text)
	}
	c.info.UpdateBytes = maxUpdate // a client that does not look: the replica does
	_, err = c.Submit(t.Context(), make([]byte, 1001))
	failure(t, err, Oversized)
	if _, err := c.Submit(t.Context(), []byte("still here")); err != nil {
		t.Fatal(err)
	}
	c.info.UpdateBytes = 4 << 20 // and one that sends more than any cluster allows
	_, err = c.Submit(t.Context(), make([]byte, 2<<20))
	if err == nil {
		t.Fatal("a frame over the limit was taken")
	}
}

func TestAnswersComeInAnyOrder(t *testing.T) {
	t.Parallel()
	f, _, dir := serve(t)
	f.hold = true
	c := dial(t, dir)
	var outcomes []<-chan Outcome
	for i := range 100 {
		o, err := c.Send(fmt.Append(nil, i))
		if err != nil {
			t.Fatal(err)
		}
		outcomes = append(outcomes, o)
	}
	f.await(t, "all updates", func() bool { return len(f.held) == 100 })
	if text, err := c.Status(t.Context()); err != nil || string(text) != `{"ordinal":100}` {
		t.Fatalf("status between updates: %s, %v", text, err)
	}
	f.release()
	for i, o := range outcomes {
		if r := <-o; r.Err != nil || string(r.Result.Result) != fmt.Sprint(i) || r.Result.Ordinal != uint64(i+1) {
			t.Fatalf("update %d: %+v", i, r)
		}
	}
}

// TestFloodIsHeldBack: a client that never takes answers stops being read; others do not notice.
func TestFloodIsHeldBack(t *testing.T) {
	t.Parallel()
	f, _, dir := serve(t)
	f.hold = true
	flooder := dial(t, dir)
	go func() {
		for range 3 * maxWaiting {
			if _, err := flooder.Send([]byte("flood")); err != nil {
				return
			}
		}
	}()
	f.await(t, "the flood", func() bool { return f.calls == maxWaiting })
	other := dial(t, dir)
	o, err := other.Send([]byte("other"))
	if err != nil {
		t.Fatal(err)
	}
	f.await(t, "the other's update", func() bool { return string(f.records[len(f.records)-1].Payload) == "other" })
	if f.calls != maxWaiting+1 {
		t.Fatalf("%d updates were let in", f.calls)
	}
	f.release()
	if r := <-o; r.Err != nil {
		t.Fatal(r.Err)
	}
	f.await(t, "more of the flood, after answers", func() bool { return f.calls > maxWaiting+1 })
}

func TestBytesAreHeldBack(t *testing.T) {
	t.Parallel()
	f, _, dir := serve(t)
	f.hold, f.update = true, maxUpdate
	c := dial(t, dir)
	go func() {
		for range 2 * maxBytes / maxUpdate {
			if _, err := c.Send(make([]byte, maxUpdate)); err != nil {
				return
			}
		}
	}()
	f.await(t, "the first updates", func() bool { return f.calls == maxBytes/maxUpdate })
	if _, err := dial(t, dir).Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.calls != maxBytes/maxUpdate {
		t.Fatalf("%d large updates were let in", f.calls)
	}
	f.release()
	f.await(t, "the rest", func() bool { return f.calls == 2*maxBytes/maxUpdate })
}

func TestWatch(t *testing.T) {
	t.Parallel()
	f, _, dir := serve(t)
	c := dial(t, dir)
	const n = 2000
	var submitting sync.WaitGroup
	defer submitting.Wait()
	submitting.Go(func() {
		for i := range n {
			if _, err := c.Submit(t.Context(), fmt.Append(nil, i)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	f.await(t, "some records", func() bool { return len(f.records) > 10 })
	next := uint64(3)
	done := errors.New("enough")
	err := dial(t, dir).Watch(t.Context(), 3, func(records []app.Record) error {
		for _, r := range records {
			if r.Ordinal != next || string(r.Payload) != fmt.Sprint(next-1) {
				t.Errorf("record %+v, want ordinal %d", r, next)
			}
			next++
		}
		if next > n {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Fatal(err)
	}
}

func TestWatchFromNow(t *testing.T) {
	t.Parallel()
	_, _, dir := serve(t)
	c := dial(t, dir)
	if _, err := c.Submit(t.Context(), []byte("before")); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- dial(t, dir).Watch(ctx, 0, func(records []app.Record) error {
			got <- string(records[0].Payload)
			return nil
		})
	}()
	var first string
	for first == "" { // when the watch began cannot be seen, only that it has
		if _, err := c.Submit(t.Context(), []byte("after")); err != nil {
			t.Fatal(err)
		}
		select {
		case first = <-got:
		default:
		}
	}
	if first != "after" {
		t.Fatalf("the first record is %q", first)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestWatchOfWhatIsGone(t *testing.T) {
	t.Parallel()
	f, _, dir := serve(t)
	c := dial(t, dir)
	for range 9 {
		if _, err := c.Submit(t.Context(), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	f.mu.Lock()
	f.oldest = 6
	f.mu.Unlock()
	err := dial(t, dir).Watch(t.Context(), 5, func([]app.Record) error { return nil })
	if failure(t, err, Gone).Oldest != 6 {
		t.Fatal(err)
	}
}

// TestSlowWatcher: a watcher that does not read holds nobody up, and is told when it lost its place.
func TestSlowWatcher(t *testing.T) {
	t.Parallel()
	f, _, dir := serve(t)
	slow := dial(t, dir)
	started, goOn := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	var last uint64
	go func() {
		ended <- slow.Watch(t.Context(), 1, func(records []app.Record) error {
			if last == 0 {
				close(started)
				<-goOn
			}
			for _, r := range records {
				if r.Ordinal != last+1 {
					t.Errorf("ordinal %d after %d", r.Ordinal, last)
				}
				last = r.Ordinal
			}
			return nil
		})
	}()
	c := dial(t, dir)
	big := make([]byte, 1000)
	submit := func(n int) {
		for range n {
			if _, err := c.Submit(t.Context(), big); err != nil {
				t.Fatal(err)
			}
		}
	}
	submit(1)
	<-started
	submit(3000) // far more than the socket's buffers hold
	f.mu.Lock()
	f.oldest = 3001
	f.mu.Unlock()
	close(goOn)
	if failure(t, <-ended, Gone).Oldest != 3001 || last == 0 || last > 3000 {
		t.Fatalf("last ordinal %d", last)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	f, s, dir := serve(t)
	f.hold = true
	c := dial(t, dir)
	o, err := c.Send([]byte("accepted"))
	if err != nil {
		t.Fatal(err)
	}
	watching := make(chan error, 1)
	seen := make(chan struct{}, 8)
	w := dial(t, dir)
	go func() {
		watching <- w.Watch(t.Context(), 1, func([]app.Record) error { seen <- struct{}{}; return nil })
	}()
	<-seen
	idle, stalled := dial(t, dir), dial(t, dir)
	if _, err := stalled.sock.Write(request{kind: kindWatch, number: 1}.append(nil)); err != nil {
		t.Fatal(err)
	}
	f.release()
	f.close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if r := <-o; r.Err != nil || string(r.Result.Result) != "accepted" {
		t.Fatalf("an update that was executed before the end: %+v", r)
	}
	failure(t, <-watching, Closed)
	if _, err := idle.Status(t.Context()); err == nil {
		t.Fatal("status of a replica that has stopped")
	}
	if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
		t.Fatal(err)
	}
}

func TestClosedReplicaRefuses(t *testing.T) {
	t.Parallel()
	f, _, dir := serve(t)
	f.close()
	_, err := dial(t, dir).Submit(t.Context(), []byte("x"))
	failure(t, err, Closed)
}

func TestTooManyClients(t *testing.T) {
	t.Parallel()
	_, _, dir := serve(t)
	clients := make([]*Client, MaxClients)
	for i := range clients {
		clients[i] = dial(t, dir)
	}
	_, err := Dial(t.Context(), dir)
	failure(t, err, Busy)
	if _, err := clients[0].Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := clients[1].Close(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(generous)
	for {
		c, err := Dial(t.Context(), dir)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a place was not given back: %v", err)
		}
	}
}

func TestSecondServerIsRefused(t *testing.T) {
	t.Parallel()
	_, _, dir := serve(t)
	if _, err := Serve(dir, newFake(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatal(err)
	}
}

// talk sends raw bytes after a good Hello, if hello is set, and returns the failure that comes back.
func talk(t *testing.T, dir string, hello bool, raw []byte) *Failure {
	t.Helper()
	sock, err := unixsock.Dial(t.Context(), dir, SocketName)
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	_ = sock.SetDeadline(time.Now().Add(generous))
	frames := localframe.NewReader(bufio.NewReader(sock), maxAnswer)
	if hello {
		raw = append(request{kind: kindHello, version: version}.append(nil), raw...)
	}
	if _, err := sock.Write(raw); err != nil {
		t.Fatal(err)
	}
	for {
		kind, body, err := frames.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
				t.Fatal(err)
			}
			return nil
		}
		a, err := parseAnswer(kind, body, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.kind == kindFailure {
			return &a.failure
		}
	}
}

func TestBadClients(t *testing.T) {
	t.Parallel()
	_, _, dir := serve(t)
	frame := func(kind byte, body ...byte) []byte {
		b, start := localframe.Begin(nil, kind)
		return localframe.End(append(b, body...), start)
	}
	twice := append(request{kind: kindStatus}.append(nil), request{kind: kindWatch}.append(nil)...)
	for name, c := range map[string]struct {
		hello bool
		raw   []byte
		says  string // empty: the connection is simply closed
	}{
		"another program":   {false, []byte("GET / HTTP/1.1\r\n\r\n"), ""},
		"another version":   {false, request{kind: kindHello, version: 9}.append(nil), "version 9"},
		"no hello":          {false, request{kind: kindStatus}.append(nil), "Hello"},
		"wrong magic":       {false, frame(kindHello, 'p', 'r', 'i', 'm', 'a', 1, 0), "not a client"},
		"unknown request":   {true, frame(200), "unknown request"},
		"short status":      {true, frame(kindStatus, 1, 2), "too early"},
		"long status":       {true, frame(kindStatus, 1, 2, 3, 4, 5, 6, 7, 8, 9), "too many"},
		"oversized frame":   {true, []byte{0, 0, 0, 2, kindSubmit}, "too long"},
		"watch, not first":  {true, twice, "not allowed"},
		"hello, not first":  {true, request{kind: kindHello, version: version}.append(nil), "not allowed"},
		"frame of no bytes": {true, make([]byte, 4), "without a kind"},
	} {
		f := talk(t, dir, c.hello, c.raw)
		switch {
		case c.says == "" && f != nil:
			t.Errorf("%s: %v", name, f)
		case c.says != "" && (f == nil || f.Code != Protocol || !strings.Contains(f.Text, c.says)):
			t.Errorf("%s: %+v", name, f)
		}
	}
	if _, err := dial(t, dir).Status(t.Context()); err != nil {
		t.Fatalf("afterwards: %v", err)
	}
}

func TestDialGivesUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := unixsock.Listen(dir, SocketName) // somebody who listens and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, dir); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(byte(kindHello), []byte("prime\x01\x00"))
	f.Add(byte(kindSubmit), make([]byte, 20))
	f.Add(byte(kindWatch), make([]byte, 8))
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		q, err := parseRequest(kind, body)
		if err != nil {
			return
		}
		b, start := localframe.Begin(nil, kind)
		if want := localframe.End(append(b, body...), start); !bytes.Equal(q.append(nil), want) {
			t.Fatal("the encoding is not canonical")
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, a := range []answer{
		{kind: kindWelcome, version: version, info: Info{3, 2, 1000}}, {kind: kindReport, report: []byte("{}")},
		{kind: kindResult, result: Result{Ordinal: 4, Result: []byte("r")}}, {kind: kindFailure, failure: Failure{Gone, 4, "gone"}},
		{kind: kindRecords, records: []app.Record{{Ordinal: 1, Index: 1, Total: 1, Payload: []byte("p")}}},
	} {
		f.Add(a.kind, a.append(nil)[5:])
	}
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		a, err := parseAnswer(kind, body, nil)
		if err != nil || kind == kindWelcome && a.version != version {
			return
		}
		b, start := localframe.Begin(nil, kind)
		if want := localframe.End(append(b, body...), start); !bytes.Equal(a.append(nil), want) {
			t.Fatal("the encoding is not canonical")
		}
	})
}
