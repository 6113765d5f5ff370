// Command app-socket is an application in a process of its own: a counter for each word. An update is a word; its result is
// how often the word has been ordered. It attaches to a replica that was configured with app.kind = "socket":
//
//	prime init --dir demo && sed -i 's/#kind = "echo"/kind = "socket"/' demo/r?/node.toml
//	prime run --dir demo/r1 &  # and the others
//	go run ./examples/app-socket demo/r1/app.sock demo/r1/words.json
//	prime submit --dir demo/r1 --json hello
//
// The state is a file that is replaced whole after every batch, together with the position that it is of. So the program may be
// killed at any moment: when it is started again, it goes on with the record that it has not seen.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/app/remote"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: app-socket SOCKET STATE-FILE")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "app-socket:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends or the replica stops.
func run(ctx context.Context, socket, path string) error {
	w, err := load(path)
	if err != nil {
		return err
	}
	err = remote.Serve(ctx, socket, w, remote.Options{After: w.After, Log: slog.Default()})
	if errors.Is(err, context.Canceled) || errors.Is(err, remote.ErrStopped) {
		return nil
	}
	return err
}

// words is the state of the application.
type words struct {
	After remote.Position // last record that Count has
	Count map[string]int
	path  string
}

func load(path string) (*words, error) {
	w := &words{Count: map[string]int{}, path: path}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	if err == nil {
		err = json.Unmarshal(text, w)
	}
	return w, err
}

// Deliver implements app.Application.
func (w *words) Deliver(batch []app.Record) [][]byte {
	results := make([][]byte, len(batch))
	for i, r := range batch {
		if !r.Update() {
			continue
		}
		w.Count[string(r.Payload)]++
		results[i] = strconv.AppendInt(nil, int64(w.Count[string(r.Payload)]), 10)
	}
	last := batch[len(batch)-1]
	w.After = remote.Position{Ordinal: last.Ordinal, Index: last.Index}
	if err := w.save(); err != nil {
		// What cannot be saved must not be acknowledged: end, and let it be delivered again.
		fmt.Fprintln(os.Stderr, "app-socket:", err)
		os.Exit(1)
	}
	return results
}

// Snapshot implements app.Snapshotter: replicas transfer the state to one that was away for too long. JSON writes a map sorted, so equal
// states are equal bytes at every replica.
func (w *words) Snapshot() (app.Snapshot, error) {
	text, err := json.Marshal(w)
	return app.Bytes(text), err
}

// Restore implements app.Snapshotter.
func (w *words) Restore(from io.Reader) error {
	text, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	restored := words{path: w.path}
	if err := json.Unmarshal(text, &restored); err != nil {
		return err
	}
	*w = restored
	return w.save()
}

// save replaces the state file whole. (A program that must survive a loss of power would also sync the file and its folder.)
func (w *words) save() error {
	text, err := json.Marshal(w)
	if err != nil {
		return err
	}
	if err := os.WriteFile(w.path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(w.path+".new", w.path)
}
