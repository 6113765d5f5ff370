package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/config"
)

// TestSnapshotsOfApplications: of every built-in application, a snapshot is of the record that it was taken at whatever follows before
// it is written, equal at two replicas, and goes on as its original does.
func TestSnapshotsOfApplications(t *testing.T) {
	t.Parallel()
	record := func(o uint64) []app.Record {
		return []app.Record{{Ordinal: o, Index: 1, Total: 2, Origin: 1, Client: [32]byte{9}, Seq: o, Payload: fmt.Appendf(nil, "update %d", o)},
			{Ordinal: o, Index: 2, Total: 2, Origin: 2}}
	}
	for _, kind := range []string{"echo", "digest", "store"} {
		fresh := func() app.Snapshotter {
			cfg := config.Config{Node: config.Node{App: config.App{Kind: kind, StoreBytes: 64 << 10}}}
			a, _ := application(cfg, slog.New(slog.DiscardHandler))
			return a.(app.Snapshotter)
		}
		a, b, c := fresh(), fresh(), fresh()
		if name := fmt.Sprint(a); !strings.Contains(name, "app.kind = \""+kind+"\"") {
			t.Errorf("%s calls itself %q", kind, name)
		}
		for o := uint64(1); o <= 40; o++ {
			a.Deliver(record(o))
			b.Deliver(record(o))
		}
		of, err := a.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		a.Deliver(record(41))
		other, _ := b.Snapshot()
		var first, second bytes.Buffer
		if n, err := of.WriteTo(&first); err != nil || n != int64(first.Len()) {
			t.Fatalf("%s: %d bytes, %v", kind, n, err)
		}
		_, _ = other.WriteTo(&second)
		of.Release()
		other.Release()
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s: two replicas' snapshots differ", kind)
		}
		if err := c.Restore(&first); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		b.Deliver(record(41))
		c.Deliver(record(41))
		last, again := b.Deliver(record(42)), c.Deliver(record(42))
		if !bytes.Equal(last[0], again[0]) || len(last[0]) == 0 {
			t.Errorf("%s: goes on with %x, the original with %x", kind, again[0], last[0])
		}
		x, _ := b.Snapshot()
		y, _ := c.Snapshot()
		first.Reset()
		second.Reset()
		_, _ = x.WriteTo(&first)
		_, _ = y.WriteTo(&second)
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s: a restored state goes another way", kind)
		}
		if kind != "echo" {
			if err := fresh().Restore(bytes.NewReader(first.Bytes()[:7])); err == nil {
				t.Errorf("%s: restores part of a snapshot", kind)
			}
		} else if err := fresh().Restore(bytes.NewReader([]byte("x"))); err == nil {
			t.Error("echo restores a state")
		}
	}
}
