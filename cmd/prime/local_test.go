package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/appsocket"
	"github.com/primebft/prime/internal/local"
	"github.com/primebft/prime/internal/node"
	"github.com/primebft/prime/transport"
)

// standIn is a replica as the commands see it. An update that is a number waits for all smaller ones; some words fail.
type standIn struct {
	mu      sync.Mutex
	count   uint64
	records []app.Record
}

func (s *standIn) Info() local.Info { return local.Info{Replica: 3, Epoch: 1, UpdateBytes: 100} }

func (s *standIn) Submit(ctx context.Context, payload []byte, done func(local.Result, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch string(payload) {
	case "never":
		return
	case "full":
		done(local.Result{}, &local.Failure{Code: local.Overloaded, Text: "queue is full; try again later"})
		return
	}
	s.count++
	done(local.Result{Epoch: 1, Ordinal: s.count, Index: 2, Client: [32]byte{0xab}, Seq: 7, Result: payload}, nil)
}

func (s *standIn) Watch(ctx context.Context, from uint64, emit func([]app.Record) error) error {
	if from == 1 {
		return &local.Failure{Code: local.Gone, Oldest: 5, Text: "ordinal 1 is no longer held, the oldest is 5"}
	}
	if err := emit(s.records); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *standIn) Status() (any, error) {
	return node.Status{
		Replica: 3, State: "running", View: 1, Leader: 1, Epoch: 1, Ordinal: 12, Delivered: 40, StreamDigest: strings.Repeat("ab", 32),
		Connected: 3, Application: node.Application{Ordinal: 9, MissedFrom: 10}, Blacklist: []int{2},
		Peers: []transport.Peer{{ID: 1, Connected: true, Address: "h1:7100", SentBytes: 3 << 20}, {ID: 2, Why: "connection refused"}},
		Lanes: []node.Lane{{Origin: 1, Held: 5}, {Origin: 2}, {Origin: 3, Executed: 8}},
	}, nil
}

func serveStandIn(t *testing.T, s *standIn) string {
	t.Helper()
	dir := t.TempDir()
	server, err := local.Serve(dir, s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return dir
}

// primeIn runs a command line with standard input.
func primeIn(in io.Reader, args ...string) result {
	var out, err bytes.Buffer
	code := run(args, in, &out, &err)
	return result{code, out.String(), err.String()}
}

func TestSubmitCommand(t *testing.T) {
	t.Parallel()
	dir := serveStandIn(t, &standIn{})
	long := strings.Repeat("x", 101)
	for name, c := range map[string]struct {
		in    string
		args  []string
		code  int
		lines int    // of results; -1: it depends on how fast the machine is
		says  string // on standard error
	}{
		"one":               {"", []string{"text"}, 0, 1, ""},
		"a dash first":      {"", []string{"--", "-x"}, 0, 1, ""},
		"nothing":           {"", []string{""}, 0, 1, ""},
		"lines":             {"a\nb\n\nc\n", []string{"-"}, 0, 4, ""},
		"no last newline":   {"a\nb", []string{"-"}, 0, 2, ""},
		"no lines":          {"", []string{"-"}, 0, 0, ""},
		"many lines":        {strings.Repeat("a\n", 5000), []string{"-"}, 0, 5000, ""},
		"longest":           {long[1:] + "\n" + long[1:], []string{"-"}, 0, 2, ""},
		"full":              {"", []string{"full"}, 1, 0, "prime: queue is full; try again later\n"},
		"full in a line":    {"a\nfull\n", []string{"-"}, 1, 1, "prime: line 2: queue is full; try again later\n"},
		"too long":          {"", []string{long}, 1, 0, "101 bytes, the cluster allows 100"},
		"too long a line":   {"a\n" + long + "\nb\n", []string{"-"}, 1, 1, "line 2: the update has 101 bytes, the cluster allows 100"},
		"far too long":      {"a\n" + long + long + "\nb\n", []string{"-"}, 1, 1, "line 2: the update has more than the 100 bytes"},
		"too long, the end": {"a\n" + long, []string{"-"}, 1, 1, "line 2: the update has"},
		"no answer":         {"", []string{"--timeout", "1s", "never"}, 1, 0, " within 1s"},
		"no answer, one":    {"a\nnever\n", []string{"--timeout", "1s", "-"}, 1, -1, " within 1s"},
		"timeout of 0":      {"", []string{"--timeout", "0s", "x"}, 2, 0, "--timeout"},
	} {
		r := primeIn(strings.NewReader(c.in), append([]string{"submit", "--dir", dir}, c.args...)...)
		if r.code != c.code || (c.lines >= 0 && strings.Count(r.out, "\n") != c.lines) || !strings.Contains(r.err, c.says) || (r.err == "") != (c.says == "") {
			t.Errorf("%s: exit %d\n%.500s%s", name, r.code, r.out, r.err)
		}
	}
}

func TestSubmitPrints(t *testing.T) {
	t.Parallel()
	dir := serveStandIn(t, &standIn{})
	if out := must(t, "submit", "--dir", dir, "x"); out != "1.2\n" {
		t.Errorf("%q", out)
	}
	client := "ab" + strings.Repeat("0", 62)
	want := `{"epoch":1,"ordinal":2,"index":2,"client":"` + client + `","seq":7,"result":"aGk="}` + "\n"
	if out := must(t, "submit", "--dir", dir, "--json", "hi"); out != want {
		t.Errorf("%q", out)
	}
	if out := must(t, "submit", "--dir", dir, "--json", ""); !strings.HasSuffix(out, `"result":""}`+"\n") {
		t.Errorf("%q", out)
	}
}

// brokenReader fails after a line.
type brokenReader struct{ io.Reader }

func (b brokenReader) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = fmt.Errorf("the disk is gone")
	}
	return n, err
}

func TestSubmitOfBrokenInput(t *testing.T) {
	t.Parallel()
	dir := serveStandIn(t, &standIn{})
	r := primeIn(brokenReader{strings.NewReader("a\nhalf a line")}, "submit", "--dir", dir, "-")
	if r.code != 1 || r.out != "1.2\n" || r.err != "prime: line 2: the disk is gone\n" {
		t.Errorf("exit %d\n%s%s", r.code, r.out, r.err)
	}
}

func TestWatchCommand(t *testing.T) {
	t.Parallel()
	client := [32]byte{0xab, 31: 1}
	record := func(ordinal uint64, payload string) app.Record {
		return app.Record{Epoch: 1, Ordinal: ordinal, Index: 1, Total: 1, Origin: 2, Client: client, Seq: 9, Time: 11, Payload: []byte(payload)}
	}
	s := &standIn{records: []app.Record{
		{Epoch: 1, Ordinal: 5, Index: 1, Total: 1, Time: 4}, record(6, "open breaker 7"), record(7, "two\nlines"), record(8, `"quoted"`),
		record(9, ""), record(10, "naïve ✓"), record(11, "bad \xff"), record(12, "\x1b[2J"), record(13, "last"),
	}}
	dir := serveStandIn(t, s)
	id := hex.EncodeToString(client[:])
	want := "1 5 1 1 - " + strings.Repeat("0", 64) + " 0 \"\"\n"
	for i, payload := range []string{"open breaker 7", `"two\nlines"`, `"\"quoted\""`, `""`, "naïve ✓", `"bad \xff"`, `"\x1b[2J"`} {
		want += fmt.Sprintf("1 %d 1 1 r2 %s 9 %s\n", i+6, id, payload)
	}
	if out := must(t, "watch", "--dir", dir, "--from", "5", "--count", "8"); out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
	want = `{"epoch":1,"ordinal":5,"index":1,"total":1,"origin":0,"client":"` + strings.Repeat("0", 64) +
		`","seq":0,"time":4,"payload":""}` + "\n" +
		`{"epoch":1,"ordinal":6,"index":1,"total":1,"origin":2,"client":"` + id + `","seq":9,"time":11,"payload":"b3BlbiBicmVha2VyIDc="}` + "\n"
	if out := must(t, "watch", "--dir", dir, "--count", "2", "--json"); out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
	r := command("watch", "--dir", dir, "--from", "1")
	if r.code != 1 || r.err != "prime: ordinal 1 is no longer held, the oldest is 5\n" {
		t.Errorf("what is gone: exit %d: %s", r.code, r.err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe()
	go func() {
		_, _ = in.Read(make([]byte, 1)) // it has begun
		cancel()
		_, _ = io.Copy(io.Discard, in)
	}()
	var errs bytes.Buffer
	if code := runContext(ctx, []string{"watch", "--dir", dir}, nil, out, &errs); code != 0 || errs.Len() > 0 {
		t.Errorf("interrupted: exit %d: %s", code, errs.String())
	}
	in, out = io.Pipe()
	_ = in.Close()
	if code := runContext(t.Context(), []string{"watch", "--dir", dir}, nil, out, &errs); code != 0 || errs.Len() > 0 {
		t.Errorf("reader gone: exit %d: %s", code, errs.String())
	}
}

func TestStatusCommand(t *testing.T) {
	t.Parallel()
	dir := serveStandIn(t, &standIn{})
	out := must(t, "status", "--dir", dir)
	for _, want := range []string{"r3, running", "1, led by r1", "12 (", "40 records", strings.Repeat("ab", 32),
		"MISSED everything from ordinal 10", "proven faulty  r2", "3 of 3", "h1:7100", "3.0 MiB", "r2: connection refused"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	got := map[string]any{}
	for key, value := range decode[map[string]any](t, strings.ReplaceAll(must(t, "status", "--dir", dir, "--json"), "null", "[]")) {
		got[key] = value
	}
	for _, key := range []string{"replica", "view", "leader", "epoch", "ordinal", "delivered", "stream_digest", "peers", "state"} {
		if _, ok := got[key]; !ok {
			t.Errorf("%s is missing", key)
		}
	}
}

func TestNoReplica(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, args := range [][]string{{"submit", "--dir", dir, "x"}, {"watch", "--dir", dir}, {"status", "--dir", dir}} {
		if r := command(args...); r.code != 1 || !strings.Contains(r.err, "no replica runs in this folder: start it with prime run --dir "+dir) {
			t.Errorf("%v: exit %d: %s", args, r.code, r.err)
		}
		args[2] = filepath.Join(dir, "nowhere")
		if r := command(args...); r.code != 2 || !strings.Contains(r.err, "there is no folder") {
			t.Errorf("%v: exit %d: %s", args, r.code, r.err)
		}
	}
}

func TestApplications(t *testing.T) {
	t.Parallel()
	batch := []app.Record{{Epoch: 1, Ordinal: 1, Index: 1, Total: 1}, {Epoch: 1, Ordinal: 2, Index: 1, Total: 1, Origin: 1, Client: [32]byte{9}, Payload: []byte("x")}}
	kind := func(k string) (app.Application, *appsocket.Server) {
		return application(config.Config{Node: config.Node{App: config.App{Kind: k}}}, slog.New(slog.DiscardHandler))
	}
	a, _ := kind("echo")
	if results := a.Deliver(batch); len(results) != 2 || string(results[1]) != "x" {
		t.Errorf("echo: %q", results)
	}
	a, _ = kind("digest")
	results := a.Deliver(batch)
	var chain app.Chain
	for i := range batch {
		chain.Add(batch[i])
		if !bytes.Equal(results[i], chain.Sum[:]) {
			t.Errorf("digest of %d: %x", i, results[i])
		}
	}
	if a, s := kind("socket"); s == nil || a != app.Application(s) {
		t.Error("the socket's server is not the application")
	}
}
