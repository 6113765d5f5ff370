package group

import (
	"math"
	"testing"
)

// sizes calls f with every group there is.
func sizes(t *testing.T, f func(g Group)) {
	t.Helper()
	count := 0
	for faulty := 0; 3*faulty+1 <= MaxReplicas; faulty++ {
		for unavailable := 0; 3*faulty+2*unavailable+1 <= MaxReplicas; unavailable++ {
			g, err := New(faulty, unavailable)
			if err != nil {
				t.Fatalf("f=%d k=%d: %v", faulty, unavailable, err)
			}
			if g.F() != faulty || g.K() != unavailable || g.N() != 3*faulty+2*unavailable+1 {
				t.Fatalf("f=%d k=%d: got %v", faulty, unavailable, g)
			}
			f(g)
			count++
		}
	}
	if count < 300 {
		t.Fatalf("only %d groups", count)
	}
}

// What the proofs of Prime use of its quorums holds for every size.
func TestQuorums(t *testing.T) {
	t.Parallel()
	sizes(t, func(g Group) {
		n, f, k, q := g.N(), g.F(), g.K(), g.Quorum()
		checks := []struct {
			what string
			ok   bool
		}{
			{"two quorums share f+1 replicas", 2*q-n >= f+1},
			{"a quorum of correct, connected replicas exists", n-f-k >= q},
			{"no smaller quorum would do", 2*(q-1)-n < f+1},
			{"a prepare certificate is a quorum with the leader", g.Prepares()+1 == q},
			{"a quorum outnumbers the others", 2*q > n},
			{"f+1 replicas include a correct one", g.OneCorrect() == f+1},
			{"the rank-th highest is reached by some replica of every quorum", g.Rank() == n-q+1},
			{"the rank exceeds the faulty and unavailable", g.Rank() == f+k+1},
			{"a quorum's correct, available members hold every request", q-f >= f+k+1},
		}
		for _, c := range checks {
			if !c.ok {
				t.Errorf("%v: not true that %s", g, c.what)
			}
		}
	})
}

func TestLeaders(t *testing.T) {
	t.Parallel()
	sizes(t, func(g Group) {
		if g.Leader(0) != 0 {
			t.Errorf("%v: view 0 has leader %v", g, g.Leader(0))
		}
		want := ID(1)
		for view := uint64(1); view <= uint64(2*g.N()); view++ {
			if got := g.Leader(view); got != want {
				t.Fatalf("%v: view %d is led by %v, want %v", g, view, got, want)
			}
			if want++; !g.Has(want) {
				want = 1
			}
		}
		if last := g.Leader(math.MaxUint64); !g.Has(last) {
			t.Errorf("%v: the last view is led by %v", g, last)
		}
	})
}

func TestMembers(t *testing.T) {
	t.Parallel()
	sizes(t, func(g Group) {
		all := g.All()
		if all.Len() != g.N() {
			t.Errorf("%v: All has %d members", g, all.Len())
		}
		for i := 0; i <= math.MaxUint8; i++ {
			id := ID(i)
			want := i >= 1 && i <= g.N()
			if g.Has(id) != want || all.Has(id) != want {
				t.Errorf("%v: Has(%d) = %v, All().Has = %v", g, i, g.Has(id), all.Has(id))
			}
			if !want {
				continue
			}
			if FromIndex(id.Index()) != id || id.Index() != i-1 {
				t.Errorf("%v has index %d", id, id.Index())
			}
			if others := g.Others(id); others.Has(id) || others.With(id) != all || others.Len() != g.N()-1 {
				t.Errorf("%v: Others(%v) = %v", g, id, others)
			}
		}
	})
}

func TestForSize(t *testing.T) {
	t.Parallel()
	for n := -3; n <= 2*MaxReplicas; n++ {
		wantF, wantK := -1, -1 // the largest f, found by trying everything
		for f := 0; f <= n; f++ {
			for k := 0; k <= n; k++ {
				if 3*f+2*k+1 == n && n <= MaxReplicas {
					wantF, wantK = f, k
				}
			}
		}
		g, err := ForSize(n)
		switch {
		case (err != nil) != (wantF < 0):
			t.Errorf("ForSize(%d): error %v, want f=%d k=%d", n, err, wantF, wantK)
		case err == nil && (g.F() != wantF || g.K() != wantK):
			t.Errorf("ForSize(%d) = %v, want f=%d k=%d", n, g, wantF, wantK)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]int{
		{-1, 0}, {0, -1}, {-2, 3}, {21, 1}, {22, 0}, {0, 32}, {math.MaxInt, 0}, {0, math.MaxInt}, {math.MaxInt, math.MaxInt},
		{1 << 62, 0}, {math.MinInt, 0}, {256, 0}, {0, 256},
	} {
		if g, err := New(c[0], c[1]); err == nil {
			t.Errorf("New(%d, %d) = %v, want an error", c[0], c[1], g)
		}
	}
}

func TestMustNewPanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("MustNew(-1, 0) did not panic")
		}
	}()
	MustNew(-1, 0)
}

func TestText(t *testing.T) {
	t.Parallel()
	if got := MustNew(1, 1).String(); got != "n=6 (f=1, k=1)" {
		t.Errorf("group is %q", got)
	}
	if got := ID(12).String(); got != "r12" {
		t.Errorf("replica is %q", got)
	}
	if got := SetOf(3, 1, 64).String(); got != "r1,r3,r64" {
		t.Errorf("set is %q", got)
	}
	if got := Set(0).String(); got != "" {
		t.Errorf("empty set is %q", got)
	}
}
