package stall

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// asWatcher makes the test program the watcher process.
const asWatcher = "PRIME_TEST_STALL_WATCHER"

func TestMain(m *testing.M) {
	if os.Getenv(asWatcher) == "1" {
		if err := Watch(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestWatcherProcess: what a watcher reports covers the window that is asked for, and lies inside it.
func TestWatcherProcess(t *testing.T) {
	t.Setenv(asWatcher, "1")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d, err := Start(self)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	start := Now()
	if _, err := d.Stalled(ctx, Span{start, start}); err != nil {
		t.Fatal(err)
	}
	window := Span{start, start + int64(100*time.Millisecond)}
	stalls, err := d.Stalled(ctx, window)
	if err != nil {
		t.Fatal(err)
	}
	if now := Now(); now < window.To {
		t.Errorf("answered %v too early", time.Duration(window.To-now))
	}
	for _, s := range stalls {
		if s.From < window.From || s.To > window.To || s.From >= s.To {
			t.Errorf("stall %v is not inside %v", s, window)
		}
	}
	if err := d.Close(); err != nil {
		t.Errorf("the watcher ended badly: %v", err)
	}
	if _, err := d.Stalled(ctx, Span{window.To, window.To + int64(time.Hour)}); err == nil {
		t.Error("a watcher that has ended knows the future")
	}
}

// TestReports: only time in which every thread reports a gap is stalled, and an answer waits for the slowest thread.
func TestReports(t *testing.T) {
	t.Parallel()
	d := &Detector{changed: make(chan struct{})}
	reports := "2\n0 10 10\n1 11 11\n0 10 50\n1 30 60\n0 60 60\n"
	if err := d.read(strings.NewReader(reports)); err != nil {
		t.Fatal(err)
	}
	got, err := d.Stalled(t.Context(), Span{0, 55})
	if err != nil || len(got) != 1 || got[0] != (Span{30, 50}) {
		t.Errorf("Stalled = %v, %v; want 30 to 50", got, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := d.Stalled(ended, Span{0, 61}); err == nil {
		t.Errorf("Stalled up to 61 = %v, but no thread has got there", got)
	}
}

// TestNonsense: a report that makes no sense ends the reading with an error.
func TestNonsense(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"x\n", "0\n", "-1\n", "99999999\n", "1\n0 1\n", "1\n1 2 3\n", "1\n-1 2 3\n", "1\n0 a 3\n", "1\n0 1 2 3\n"} {
		d := &Detector{changed: make(chan struct{})}
		if err := d.read(strings.NewReader(text)); err == nil {
			t.Errorf("%q was believed", text)
		}
	}
}
