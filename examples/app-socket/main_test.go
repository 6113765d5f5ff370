package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/appsocket"
)

// TestWords is a replica's side of the socket: the program counts, ends, begins again and goes on where it was.
// test/e2e has it attached to a real replica.
func TestWords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := appsocket.New(appsocket.Info{Replica: 1, Epoch: 1}, slog.New(slog.DiscardHandler))
	if err := s.Listen(dir, ""); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ordinal := uint64(0)
	deliver := func(word, want string) {
		t.Helper()
		ordinal++
		r := app.Record{Epoch: 1, Ordinal: ordinal, Index: 1, Total: 1, Origin: 1, Client: [32]byte{9}, Seq: ordinal, Payload: []byte(word)}
		noop := app.Record{Epoch: 1, Ordinal: ordinal + 1, Index: 1, Total: 1}
		ordinal++
		if results := s.Deliver([]app.Record{r, noop}); len(results) != 2 || string(results[0]) != want || len(results[1]) != 0 {
			t.Fatalf("%s: %q, want %s", word, results, want)
		}
	}
	serve := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- run(ctx, filepath.Join(dir, appsocket.SocketName), filepath.Join(dir, "words.json")) }()
		return func() {
			t.Helper()
			cancel()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
		}
	}
	stop := serve()
	deliver("ja", "1")
	deliver("nein", "1")
	deliver("ja", "2")
	stop()
	stop = serve()
	deliver("ja", "3")
	deliver("nein", "2")
	stop()
}
