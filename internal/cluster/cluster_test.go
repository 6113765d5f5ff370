package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/group"
)

// behaviour makes the test program a stand-in for prime run, and says which.
const behaviour = "PRIME_TEST_REPLICA"

// tried names a file that a replica makes that finds its port taken.
const tried = "PRIME_TEST_TRIED"

func TestMain(m *testing.M) {
	if how := os.Getenv(behaviour); how != "" {
		os.Exit(standIn(how))
	}
	os.Exit(m.Run())
}

// standIn does as prime run would, as far as a cluster can see.
func standIn(how string) int {
	switch how {
	case "taken once":
		if f, err := os.OpenFile(os.Getenv(tried), os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			f.Close()
			fmt.Fprintln(os.Stderr, "prime: cannot listen:", syscall.EADDRINUSE)
			return 1
		}
	case "refuses":
		fmt.Fprintln(os.Stderr, "prime: out of order")
		return 2
	case "silent":
		select {}
	case "talks":
		go func() {
			lines := bufio.NewScanner(os.Stdin)
			for lines.Scan() {
				fmt.Println("heard " + lines.Text())
			}
		}()
	case "once":
		if _, err := os.Stat(filepath.Join(os.Args[len(os.Args)-1], LogFile+".used")); err == nil {
			fmt.Fprintln(os.Stderr, "prime: not twice")
			return 2
		}
		f, err := os.Create(filepath.Join(os.Args[len(os.Args)-1], LogFile+".used"))
		if err != nil {
			return 1
		}
		f.Close()
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Fprintln(os.Stderr, "some log line")
	fmt.Fprintln(os.Stderr, "ready")
	<-stop
	return 0
}

func start(t *testing.T, how string, ready time.Duration) (*Cluster, error) {
	t.Helper()
	t.Setenv(behaviour, how)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Start(t.Context(), Options{Command: []string{self}, Dir: filepath.Join(t.TempDir(), "c"), Group: group.MustNew(1, 0),
		Auth: config.AuthReplica, Node: config.Local(), Limits: config.DefaultLimits(), Ready: ready})
}

func TestStartKillStop(t *testing.T) {
	c, err := start(t, "normal", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Running()) != 4 || len(c.Config.Replicas) != 4 {
		t.Fatalf("%d of %d replicas run", len(c.Running()), len(c.Config.Replicas))
	}
	if err := config.Check(c.Dir); err != nil {
		t.Error(err)
	}
	r3 := c.Replica(3)
	if u, err := r3.Usage(); err != nil || u.RSS == 0 {
		t.Errorf("usage %+v, %v", u, err)
	}
	pid := r3.Pid()
	if err := r3.Kill(); err != nil {
		t.Fatal(err)
	}
	if r3.Running() || !r3.Killed() || len(c.Running()) != 3 || gone(pid) != nil {
		t.Errorf("r3 runs %v, killed %v, %d others run, %v", r3.Running(), r3.Killed(), len(c.Running()), gone(pid))
	}
	if _, err := r3.Usage(); err == nil {
		t.Error("a dead process uses something")
	}
	if err := r3.Kill(); err != nil {
		t.Errorf("killed twice: %v", err)
	}
	c.Stop()
	for _, r := range c.Replicas {
		if err := gone(r.Pid()); err != nil || r.Running() {
			t.Errorf("r%d: %v, running %v", r.ID, err, r.Running())
		}
	}
	log, err := os.ReadFile(filepath.Join(c.Replicas[0].Folder, LogFile))
	if err != nil || string(log) != "some log line\nready\n" {
		t.Errorf("log %q, %v", log, err)
	}
	c.Stop() // again
}

// gone finds whether a process that was waited for still exists.
func gone(pid int) error {
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("process %d still exists: %v", pid, err)
	}
	return nil
}

// TestTell: replicas are told lines and heard; one that is paused answers when it goes on, and can be stopped while it is paused.
func TestTell(t *testing.T) {
	t.Setenv(behaviour, "talks")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 100)
	c, err := Start(t.Context(), Options{Command: []string{self}, Dir: filepath.Join(t.TempDir(), "c"), Group: group.MustNew(1, 0),
		Auth: config.AuthReplica, Node: config.Local(), Limits: config.DefaultLimits(), Ready: time.Minute,
		Heard: func(id int, line []byte) { heard <- fmt.Sprintf("r%d %s", id, line) }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	r2 := c.Replica(2)
	if err := r2.Tell("one"); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got != "r2 heard one" {
		t.Errorf("heard %q", got)
	}
	if err := r2.Pause(); err != nil {
		t.Fatal(err)
	}
	if r2.Running() || !r2.Paused() || len(c.Running()) != 3 {
		t.Errorf("a paused replica: running %v, paused %v, %d others", r2.Running(), r2.Paused(), len(c.Running()))
	}
	if err := r2.Tell("two"); err != nil {
		t.Fatal(err)
	}
	if err := r2.Resume(); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got != "r2 heard two" || !r2.Running() {
		t.Errorf("heard %q, running %v", got, r2.Running())
	}
	if err := c.Replica(3).Pause(); err != nil {
		t.Fatal(err)
	}
	c.Stop()
	if err := gone(c.Replica(3).Pid()); err != nil {
		t.Error(err)
	}
	if err := r2.Pause(); err == nil {
		t.Error("a replica that has ended was paused")
	}
}

// TestRestart: the program of a killed replica is started in its folder again; if it refuses, why is said. Whoever watches hears only of
// processes that end by themselves.
func TestRestart(t *testing.T) {
	c, err := start(t, "once", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	r := c.Replica(1)
	died := make(chan string, 10)
	watched := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(watched)
		r.Watch(ctx, func(words string) { died <- words })
	}()
	if err := r.Restart(); err == nil {
		t.Error("a second process was started beside the first")
	}
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := r.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := r.Answers(t.Context()); err == nil || !strings.Contains(err.Error(), "not twice") {
		t.Errorf("started again: %v", err)
	}
	if r.Running() || !r.Killed() {
		t.Errorf("running %v, killed %v", r.Running(), r.Killed())
	}
	cancel()
	<-watched
	if len(died) > 0 {
		t.Errorf("it ended by itself: %s", <-died)
	}
}

// TestTakenPort: other ports are tried, in a folder where nothing has been started.
func TestTakenPort(t *testing.T) {
	t.Setenv(tried, filepath.Join(t.TempDir(), "tried"))
	c, err := start(t, "taken once", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	if filepath.Base(c.Dir) != "again1" || len(c.Running()) != 4 {
		t.Errorf("%d replicas run in %s", len(c.Running()), c.Dir)
	}
}

// TestFailedStart: the error has the replica's last words, and nothing is left running.
func TestFailedStart(t *testing.T) {
	if c, err := start(t, "refuses", time.Minute); err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("%v, %v", c, err)
	}
	if c, err := start(t, "silent", 50*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", c, err)
	}
	if _, err := Attach(t.Context(), t.TempDir()); err == nil {
		t.Error("attached to an empty folder")
	}
}

func TestLockHolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for text, want := range map[string]int{"": 0, "123\n": 123, "x": 0, "-5": 0, "0": 0} {
		if err := os.WriteFile(filepath.Join(dir, "lock"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := lockHolder(dir); got != want {
			t.Errorf("lockHolder of %q = %d, want %d", text, got, want)
		}
	}
	if err := os.Remove(filepath.Join(dir, "lock")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if got := lockHolder(dir); got != 0 {
		t.Errorf("lockHolder without a file = %d", got)
	}
}

func TestFreePorts(t *testing.T) {
	t.Parallel()
	base, err := FreePorts(4)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(base+3)))
	if err != nil {
		t.Skip("another program was faster")
	}
	defer l.Close()
	if portsAreFree(base, 4) {
		t.Errorf("ports from %d are free, though %d is taken", base, base+3)
	}
}
