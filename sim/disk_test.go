package sim

import (
	"io"
	"testing"

	"github.com/primebft/prime/app"
)

// TestDisks runs worlds whose replicas are durable, and fall and start again in the middle of anything. They break no promise
// that they made before they fell, do again what they did, and deliver to new applications what the old ones had.
func TestDisks(t *testing.T) {
	t.Parallel()
	last, restarts := uint64(40), 0
	if underRace {
		last = 6
	}
	seeds := []uint64{425} // once failed: the leader of a view change was forgiven what it owed a replica that had been away
	for seed := uint64(1); seed <= last; seed++ {
		seeds = append(seeds, seed)
	}
	for _, seed := range seeds {
		r := Run(Options{Seed: seed, Disks: true, App: func(int) app.Application { return &chained{} }})
		if r.Violation != nil {
			t.Errorf("seed %d (%s) at %v: %s\n%s --disks", seed, r.World, r.Violation.At, r.Violation.What, r.Replay())
		}
		restarts += r.Restarts
	}
	if restarts < int(last) {
		t.Errorf("only %d restarts in %d worlds", restarts, last)
	}
}

// chained is an application whose results depend on everything that it was given.
type chained struct{ chain app.Chain }

func (c *chained) Deliver(batch []app.Record) [][]byte {
	results := make([][]byte, len(batch))
	for i := range batch {
		c.chain.Add(batch[i])
		sum := c.chain.Sum
		results[i] = sum[:]
	}
	return results
}

// Snapshot implements app.Snapshotter.
func (c *chained) Snapshot() (app.Snapshot, error) {
	sum := c.chain.Sum
	return app.Bytes(sum[:]), nil
}

// Restore implements app.Snapshotter.
func (c *chained) Restore(from io.Reader) error {
	_, err := io.ReadFull(from, c.chain.Sum[:])
	return err
}

// TestOneSeedOneWorldWithDisks runs a seed twice and expects the same events.
func TestOneSeedOneWorldWithDisks(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{3, 9} {
		a, b := Run(Options{Seed: seed, Disks: true}), Run(Options{Seed: seed, Disks: true})
		if a.Hash != b.Hash || a.Events != b.Events || a.Restarts != b.Restarts {
			t.Fatalf("seed %d: hash %x after %d events, then %x after %d", seed, a.Hash, a.Events, b.Hash, b.Events)
		}
	}
}
