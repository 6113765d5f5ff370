package wire

import "testing"

func TestPositionsAreLexicographic(t *testing.T) {
	t.Parallel()
	ascending := []Position{{0, 0}, {0, 1}, {0, 1 << 40}, {1, 0}, {1, 1}, {2, 0}, {1<<32 - 1, 1<<64 - 1}}
	for i, p := range ascending {
		for j, q := range ascending {
			if p.Less(q) != (i < j) {
				t.Errorf("%v before %v: %v", p, q, p.Less(q))
			}
		}
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	base := Vector{{1, 5}, {1, 5}}
	for _, c := range []struct {
		v    Vector
		want bool
	}{
		{Vector{{1, 5}, {1, 5}}, true},
		{Vector{{1, 6}, {2, 0}}, true},
		{Vector{{1, 4}, {9, 9}}, false},
		{Vector{{9, 9}, {0, 99}}, false},
	} {
		if got := c.v.Covers(base); got != c.want {
			t.Errorf("%v covers %v: %v", c.v, base, got)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{Timely.String(), "timely"}, {Bounded.String(), "bounded"}, {Recon.String(), "recon"}, {Bulk.String(), "bulk"},
		{Class(0).String(), "unknown"}, {Class(Classes + 1).String(), "unknown"},
		{Digest{0xab, 7: 0xcd, 8: 0xff}.String(), "ab000000000000cd"},
		{ClientID{0xab}.String()[:4], "ab00"}, {Malformed("x").Error(), "wire: malformed: x"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	if got := len(ClientID{}.String()); got != 64 {
		t.Errorf("a client's text has %d characters", got)
	}
}
