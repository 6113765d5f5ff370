package session

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

const now = int64(1000 * time.Hour)

func client(i int) wire.ClientID { return wire.ClientID{byte(i + 1)} }

// TestOnceEach: whatever the order of arrival, an update takes effect at most once, even after its session was forgotten and
// came back.
func TestOnceEach(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		table := New(rapid.IntRange(1, 4).Draw(t, "sessions"), 64)
		type key struct {
			client int
			seq    uint64
		}
		done := map[key]bool{}
		for range rapid.IntRange(1, 400).Draw(t, "updates") {
			k := key{rapid.IntRange(0, 6).Draw(t, "client"), rapid.Uint64Range(1, 300).Draw(t, "seq")}
			if table.Execute(client(k.client), k.seq, now) == 0 {
				if done[k] {
					t.Fatalf("client %d executed %d twice", k.client, k.seq)
				}
				done[k] = true
			}
		}
		if table.Len() > 4 {
			t.Fatalf("%d sessions", table.Len())
		}
	})
}

// TestAnyOrderWithinWindow: with room for the session, every number of a window executes, in any order.
func TestAnyOrderWithinWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		table, base := New(2, 1024), rapid.Uint64Range(0, 1<<40).Draw(t, "base")
		seqs := make([]uint64, 1024)
		for i := range seqs {
			seqs[i] = base + uint64(i) + 1
		}
		for _, seq := range rapid.Permutation(seqs).Draw(t, "order") {
			if why := table.Execute(client(0), seq, int64(1)<<60); why != 0 {
				t.Fatalf("%d: %d", seq, why)
			}
			if why := table.Execute(client(0), seq, int64(1)<<60); why != effect.Duplicate {
				t.Fatalf("%d again: %d", seq, why)
			}
		}
	})
}

// TestRules is one case per rule of the package comment.
func TestRules(t *testing.T) {
	t.Parallel()
	table := New(2, 64)
	limit := uint64(now/1000) + uint64(Ahead/time.Microsecond)
	steps := []struct {
		client int
		seq    uint64
		want   effect.Why
		what   string
	}{
		{0, 100, 0, "a first number"},
		{0, 36, effect.Expired, "below the window"},
		{0, 37, 0, "the lowest of the window"},
		{0, limit + 1, effect.Expired, "beyond the ceiling"},
		{0, limit, 0, "at the ceiling"},
		{0, 100, effect.Expired, "left behind by a jump"},
		{1, 500, 0, "another client"},
		{2, 7, 0, "a third forgets the first"},
		{0, limit, effect.Expired, "forgotten: at the floor"},
		{3, 7, effect.Expired, "a new session below the floor"},
		{1, 500, effect.Duplicate, "a session that stayed"},
		{1, 501, 0, "and goes on below the floor, which binds only new sessions"},
	}
	for _, s := range steps {
		if got := table.Execute(client(s.client), s.seq, now); got != s.want {
			t.Errorf("%s: client %d seq %d: %d, want %d", s.what, s.client, s.seq, got, s.want)
		}
	}
}

// TestEqualHistoriesGiveEqualTables: the state is a function of what was executed.
func TestEqualHistoriesGiveEqualTables(t *testing.T) {
	t.Parallel()
	a, b := New(3, 64), New(3, 64)
	for i := range 1000 {
		c, seq := client(i*7%5), uint64(i*13%257+1)
		if a.Execute(c, seq, now) != b.Execute(c, seq, now) {
			t.Fatal("verdicts differ")
		}
	}
	if !bytes.Equal(a.AppendState(nil), b.AppendState(nil)) {
		t.Fatal("tables differ")
	}
}
