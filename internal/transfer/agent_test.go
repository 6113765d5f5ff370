package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/snapshot"
)

// TestAgents: four agents on goroutines; one fetches what the others have, and then gives it to another.
func TestAgents(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	app := state(1, 300*testBlock)
	agents := make([]*Agent, 5)
	stores := make([]*snapshot.Store, 5)
	done := make(chan Target, 1)
	failed := make(chan error, 1)
	var target Target
	for id := group.ID(1); id <= 4; id++ {
		disk := snapshot.NewMemory(1 << 30)
		if id == 4 {
			disk = snapshot.NewMemory(100 * testBlock)
		}
		stores[id] = openStore(t, disk)
		if id < 3 {
			target = put(t, stores[id], 10, app)
		}
		agents[id] = NewAgent(AgentOptions{
			Fetch:  Options{Self: id, N: 4, F: 1, Strategy: Latency, Session: 1, Store: stores[id]},
			Serve:  ServerOptions{N: 4, Store: stores[id], Rate: -1},
			Send:   func(to group.ID, frame []byte) { running.Go(func() { agents[to].Deliver(ctx, id, frame) }) },
			Done:   func(at Target, _ *snapshot.Checkpoint) { done <- at },
			Failed: func(_ Target, err error) { failed <- err },
		})
	}
	for id := 1; id <= 4; id++ {
		running.Go(func() { agents[id].Run(ctx) })
	}
	agents[3].Fetch(target)
	select {
	case at := <-done:
		if at != target {
			t.Errorf("fetched %v", at)
		}
	case err := <-failed:
		t.Fatal(err)
	}
	got, err := io.ReadAll(stores[3].Find(target.Digest).Application())
	if err != nil || !bytes.Equal(got, app) {
		t.Errorf("it is not what was written: %v", err)
	}
	agents[3].Fetch(target)
	if at := <-done; at != target {
		t.Error("what is here is not done")
	}
	agents[4].Fetch(target)
	if err := <-failed; !errors.Is(err, snapshot.ErrFull) {
		t.Errorf("on a small disk: %v", err)
	}
	if p := agents[4].Progress(); p.Phase != "failed" || p.Why == "" {
		t.Errorf("%+v", p)
	}
	agents[4].Passed(target.Ordinal)
	if p := agents[4].Progress(); p.Phase != "idle" || p.String() == "" {
		t.Errorf("%v", p)
	}
	if len(agents[1].InUse()) != 1 {
		t.Error("nobody fetches anything")
	}
}
