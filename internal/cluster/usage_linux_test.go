package cluster

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	const rest = " S 1 1 1 0 -1 4194560 5 6 7 8 250 50 0 0 20 0 12 0 999 123456 77 184467"
	for _, name := range []string{"(prime)", "(a b) c)", "(1 2 3 4 5 6 7 8 9 10 11 12 13 14)"} {
		u, err := parseStat([]byte("4711 "+name+rest), 4096)
		if want := (Usage{CPU: 3 * time.Second, RSS: 77 * 4096}); err != nil || u != want {
			t.Errorf("%s: %+v, %v; want %+v", name, u, err, want)
		}
	}
	for _, text := range []string{"", "1", "1 (x) S 1 2", "4711 (x) S 1 1 1 0 -1 4194560 5 6 7 8 a 50 0 0 20 0 12 0 999 123456 77 0"} {
		if u, err := parseStat([]byte(text), 4096); err == nil {
			t.Errorf("%q gives %+v", text, u)
		}
	}
	if u, err := usage(os.Getpid()); err != nil || u.RSS < 1<<20 {
		t.Errorf("this process: %+v, %v", u, err)
	}
}
