package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/appsocket"
	"github.com/primebft/prime/internal/unixsock"
)

func TestMain(m *testing.M) {
	if socket := os.Getenv(childSocket); socket != "" {
		child(socket, os.Getenv(childState))
		return
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T) (*appsocket.Server, string) {
	t.Helper()
	return listen(t, appsocket.Info{Replica: 2, Cluster: [32]byte{7}, Epoch: 1})
}

// startReplaying is start for a durable replica, which may have started again: its application can be ahead of it.
func startReplaying(t *testing.T) (*appsocket.Server, string) {
	t.Helper()
	return listen(t, appsocket.Info{Replica: 2, Cluster: [32]byte{7}, Epoch: 1, Replays: true})
}

// attached waits until a process is.
func attached(t *testing.T, s *appsocket.Server) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !s.Attached(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("no process attaches")
		}
	}
}

func listen(t *testing.T, info appsocket.Info) (*appsocket.Server, string) {
	t.Helper()
	s, dir := appsocket.New(info, slog.New(slog.DiscardHandler)), t.TempDir()
	if err := s.Listen(dir, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, filepath.Join(dir, appsocket.SocketName)
}

func batch(from, to uint64) []app.Record {
	var b []app.Record
	for o := from; o <= to; o++ {
		b = append(b, app.Record{Epoch: 1, Ordinal: o, Index: 1, Total: 1, Origin: 1, Client: [32]byte{9}, Seq: o, Payload: fmt.Append(nil, o)})
	}
	return b
}

func want(t *testing.T, results [][]byte, from, to uint64) {
	t.Helper()
	if len(results) != int(to-from+1) {
		t.Fatalf("%d results for %d..%d", len(results), from, to)
	}
	for i, r := range results {
		if string(r) != fmt.Sprint("did ", from+uint64(i)) {
			t.Fatalf("result of %d: %q", from+uint64(i), r)
		}
	}
}

// ledger is an application that demands every record once.
type ledger struct {
	t    *testing.T
	mu   sync.Mutex
	last uint64
}

func (l *ledger) Deliver(batch []app.Record) [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	var results [][]byte
	for _, r := range batch {
		if r.Ordinal != l.last+1 {
			l.t.Errorf("ordinal %d after %d", r.Ordinal, l.last)
		}
		l.last = r.Ordinal
		results = append(results, []byte("did "+string(r.Payload)))
	}
	return results
}

// serve runs Serve until the test ends or stop is called, which returns its error.
func serve(t *testing.T, socket string, a app.Application, o Options) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, socket, a, o) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	return stop
}

func TestServe(t *testing.T) {
	t.Parallel()
	s, socket := start(t)
	stop := serve(t, socket, &ledger{t: t}, Options{Cluster: [32]byte{7}, Epoch: 1})
	for o := uint64(1); o < 100; o += 7 {
		want(t, s.Deliver(batch(o, o+6)), o, o+6)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestServeWaitsForReplica(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	serve(t, filepath.Join(dir, appsocket.SocketName), &ledger{t: t}, Options{})
	s := appsocket.New(appsocket.Info{Replica: 1}, slog.New(slog.DiscardHandler))
	if err := s.Listen(dir, ""); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want(t, s.Deliver(batch(1, 3)), 1, 3)
}

// relay stands between the application and its replica, and drops connections when it is told to: after the replica's frames
// have arrived, with the application's answer lost.
type relay struct {
	listener *unixsock.Listener
	target   string
	mu       sync.Mutex
	lose     bool // the next answer
	lost     int
	wg       sync.WaitGroup
}

func newRelay(t *testing.T, socket string) (*relay, string) {
	t.Helper()
	dir := t.TempDir()
	l, err := unixsock.Listen(dir, "relay.sock")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, target: filepath.Dir(socket)}
	r.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { r.pass(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); r.wg.Wait() })
	return r, filepath.Join(dir, "relay.sock")
}

func (r *relay) pass(client *net.UnixConn) {
	defer client.Close()
	server, err := unixsock.Dial(context.Background(), r.target, appsocket.SocketName)
	if err != nil {
		return
	}
	defer server.Close()
	r.wg.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		r.mu.Lock()
		lose := r.lose
		r.lose = false
		if lose {
			r.lost++
		}
		r.mu.Unlock()
		if lose {
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestLostAnswers: the application dealt with records, and the connection broke before the replica knew. They are not dealt with
// again, and their results still arrive.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	s, socket := start(t)
	r, through := newRelay(t, socket)
	serve(t, through, &ledger{t: t}, Options{})
	want(t, s.Deliver(batch(1, 2)), 1, 2)
	for i := uint64(3); i < 30; i += 5 {
		r.mu.Lock()
		r.lose = true
		r.mu.Unlock()
		want(t, s.Deliver(batch(i, i+4)), i, i+4)
	}
	if r.lost != 6 {
		t.Fatalf("%d answers were lost", r.lost)
	}
}

func TestServeEnds(t *testing.T) {
	t.Parallel()
	s, socket := start(t)
	serve(t, socket, &ledger{t: t}, Options{})
	want(t, s.Deliver(batch(1, 3)), 1, 3)
	if err := Serve(t.Context(), socket, &ledger{t: t}, Options{}); !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	_, socket = start(t)
	for _, c := range []struct {
		o    Options
		want error
	}{
		{Options{Cluster: [32]byte{9}}, ErrForeign}, {Options{Epoch: 9}, ErrForeign}, {Options{After: Position{Ordinal: 9, Index: 1}}, ErrAhead},
	} {
		if err := Serve(t.Context(), socket, &ledger{t: t}, c.o); !errors.Is(err, c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
}

func TestMissedRecords(t *testing.T) {
	t.Parallel()
	s, socket := start(t)
	stop := serve(t, socket, &ledger{t: t}, Options{})
	want(t, s.Deliver(batch(1, 3)), 1, 3)
	_ = stop()
	if err := Serve(t.Context(), socket, &ledger{t: t}, Options{}); !errors.Is(err, ErrGone) {
		t.Fatalf("a new state in the middle of the stream: %v", err)
	}
	if err := Serve(t.Context(), socket, &ledger{t: t}, Options{After: Position{Ordinal: 2, Index: 1}}); !errors.Is(err, ErrGone) {
		t.Fatalf("an old state: %v", err)
	}
	stop = serve(t, socket, &ledger{t: t, last: 3}, Options{After: Position{Ordinal: 3, Index: 1}})
	want(t, s.Deliver(batch(4, 5)), 4, 5)
	_ = stop()
	serve(t, socket, &ledger{t: t, last: 5}, Options{AnyPosition: true})
	want(t, s.Deliver(batch(6, 7)), 6, 7)
}

func TestReplicaStops(t *testing.T) {
	t.Parallel()
	s, socket := start(t)
	ended := make(chan error, 1)
	go func() { ended <- Serve(context.Background(), socket, &ledger{t: t}, Options{}) }()
	want(t, s.Deliver(batch(1, 3)), 1, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
}

type wrong func(batch []app.Record) [][]byte

func (w wrong) Deliver(batch []app.Record) [][]byte { return w(batch) }

func TestWrongResults(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]wrong{
		"too few":   func(b []app.Record) [][]byte { return make([][]byte, len(b)-1) },
		"too large": func(b []app.Record) [][]byte { return [][]byte{make([]byte, appsocket.MaxResult+1), nil} },
	} {
		s, socket := start(t)
		go s.Deliver(batch(1, 2))
		if err := Serve(t.Context(), socket, w, Options{}); !errors.Is(err, ErrResults) {
			t.Errorf("%s: %v", name, err)
		}
		_ = s.Close()
	}
}

// TestLargeResults: results that do not fit one frame together.
func TestLargeResults(t *testing.T) {
	t.Parallel()
	s, socket := start(t)
	serve(t, socket, app.Func(func(app.Record) []byte { return make([]byte, appsocket.MaxResult) }), Options{})
	results := s.Deliver(batch(1, 40))
	if len(results) != 40 || len(results[0]) != appsocket.MaxResult || len(results[39]) != appsocket.MaxResult {
		t.Fatalf("%d results", len(results))
	}
}

const (
	childSocket = "PRIME_TEST_CHILD_SOCKET"
	childState  = "PRIME_TEST_CHILD_STATE"
)

// saved is the state of the application that child runs: the sum of the payloads, and the position it is of.
type saved struct {
	Last Position
	Sum  uint64
}

// child is an application in a process of its own, whose state is a file that is replaced whole for each batch.
func child(socket, path string) {
	var state saved
	if b, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(b, &state); err != nil {
			panic(err)
		}
	}
	apply := wrong(func(batch []app.Record) [][]byte {
		var results [][]byte
		for _, r := range batch {
			var n uint64
			if _, err := fmt.Sscan(string(r.Payload), &n); err != nil {
				panic(err)
			}
			state.Sum += n
			state.Last = Position{Ordinal: r.Ordinal, Index: r.Index}
			results = append(results, fmt.Append(nil, state.Sum))
		}
		b, err := json.Marshal(state)
		if err == nil {
			err = os.WriteFile(path+".new", b, 0o600)
		}
		if err == nil {
			err = os.Rename(path+".new", path)
		}
		if err != nil {
			panic(err)
		}
		return results
	})
	fmt.Fprintln(os.Stderr, Serve(context.Background(), socket, apply, Options{After: state.Last}))
	os.Exit(1)
}

// TestKilledApplication kills a real process again and again while it works; its successor goes on with the state on disk, and no
// record is missed or counted twice.
func TestKilledApplication(t *testing.T) {
	t.Parallel()
	s, socket := start(t)
	state := filepath.Join(t.TempDir(), "state.json")
	spawn := func() *exec.Cmd {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), childSocket+"="+socket, childState+"="+state)
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := spawn()
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	const rounds, per = 5, 200
	next := uint64(1)
	for range rounds {
		done := make(chan [][]byte, 1)
		for range per - 1 { // one record at a time, so that the kill hits somewhere in the middle of the work
			results := s.Deliver(batch(next, next))
			if len(results) != 1 || string(results[0]) != fmt.Sprint(next*(next+1)/2) {
				t.Fatalf("result of %d: %q", next, results)
			}
			next++
		}
		from := next
		go func() { done <- s.Deliver(batch(from, from)) }()
		next++
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
		c = spawn()
		// The result is lost if the process was killed between writing its state and answering.
		if r := <-done; len(r) != 1 || len(r[0]) > 0 && string(r[0]) != fmt.Sprint(from*(from+1)/2) {
			t.Fatalf("result of %d: %q", from, r)
		}
	}
	if results := s.Deliver(batch(next, next)); string(results[0]) != fmt.Sprint(next*(next+1)/2) {
		t.Fatalf("in the end: %q", results)
	}
}
