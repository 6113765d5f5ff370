// Package e2e runs the built commands as a user does: real processes, real sockets, real signals. Its tests say what has to
// happen and wait for it; they never say how fast.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for something that has to happen.
const patience = 90 * time.Second

// binaries has the built commands.
var binaries string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "prime-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries = dir
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./cmd/prime", "./examples/app-socket", "./examples/own-transfer")
	build.Dir = filepath.Join("..", "..")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building the commands:", err)
		return 1
	}
	return m.Run()
}

// result is what a command did.
type result struct {
	code     int
	out, err string
}

// prime runs a command to its end.
func prime(t *testing.T, in io.Reader, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	c := exec.CommandContext(ctx, filepath.Join(binaries, "prime"), args...)
	c.Stdin, c.Stdout, c.Stderr = in, &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("prime %s did not end\n%s%s", strings.Join(args, " "), out.String(), errs.String())
	}
	return result{c.ProcessState.ExitCode(), out.String(), errs.String()}
}

// must runs a command that has to succeed, and returns what it printed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := prime(t, nil, args...)
	if r.code != 0 || r.err != "" {
		t.Fatalf("prime %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r.out
}

// refuse runs a command that has to fail with one clear line that says all of these.
func refuse(t *testing.T, code int, args []string, says ...string) {
	t.Helper()
	r := prime(t, nil, args...)
	if r.code != code || r.out != "" || strings.Count(r.err, "\n") != 1 || !strings.HasPrefix(r.err, "prime: ") {
		t.Errorf("prime %s: exit %d, want %d and one line\n%s%s", strings.Join(args, " "), r.code, code, r.out, r.err)
	}
	for _, s := range says {
		if !strings.Contains(r.err, s) {
			t.Errorf("prime %s does not say %q: %s", strings.Join(args, " "), s, r.err)
		}
	}
}

// process is one that runs on.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	ended chan struct{}

	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{} // closed when text grows
}

// spawn starts a command, which is killed when the test ends if it still runs.
func spawn(t *testing.T, command string, args ...string) *process {
	t.Helper()
	return spawnWith(t, nil, command, args...)
}

// spawnWith is spawn with something to read, which is closed here.
func spawnWith(t *testing.T, in *os.File, command string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: command + " " + strings.Join(args, " "), ended: make(chan struct{}), changed: make(chan struct{})}
	p.cmd = exec.Command(filepath.Join(binaries, command), args...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if in != nil {
		p.cmd.Stdin = in
		defer in.Close()
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.ended
		if t.Failed() {
			t.Logf("%s said:\n%s", p.name, p.said())
		}
	})
	return p
}

// Write takes what the process prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Write(b)
	close(p.changed)
	p.changed = make(chan struct{})
	return len(b), nil
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// line waits until the process has printed a line that is exactly this.
func (p *process) line(want string) {
	p.t.Helper()
	p.until("line "+want, func(text string) bool { return strings.Contains("\n"+text, "\n"+want+"\n") })
}

// until waits for what the process prints.
func (p *process) until(what string, ok func(text string) bool) {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		text, changed := p.text.String(), p.changed
		p.mu.Unlock()
		if ok(text) {
			return
		}
		select {
		case <-changed:
		case <-p.ended:
			if !ok(p.said()) {
				p.t.Fatalf("%s ended without: %s", p.name, what)
			}
			return
		case <-timeout:
			p.t.Fatalf("%s: waited in vain for: %s", p.name, what)
		}
	}
}

// signal sends a signal, if the process still runs.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// exit waits for the end and returns the exit code, -1 if it was killed.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.name)
		return 0
	}
}

// ports finds count free ports in a row, below those that systems give away by themselves.
func ports(t *testing.T, count int) int {
	t.Helper()
	for range 1000 {
		base := 12_000 + rand.IntN(18_000)
		var taken []net.Listener
		for i := range count {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+i))
			if err != nil {
				break
			}
			taken = append(taken, l)
		}
		for _, l := range taken {
			_ = l.Close()
		}
		if len(taken) == count {
			return base
		}
	}
	t.Fatal("no free ports")
	return 0
}

// cluster is a cluster folder and the replicas that run.
type cluster struct {
	t    *testing.T
	dir  string
	base int
	run  []*process // by replica, from 1; nil: it was not started
}

// newCluster makes the folder of a cluster of four.
func newCluster(t *testing.T, dir string, flags ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: dir, base: ports(t, 8), run: make([]*process, 5)}
	must(t, append([]string{"init", "--dir", dir, "--base-port", fmt.Sprint(c.base)}, flags...)...)
	return c
}

func (c *cluster) folder(i int) string { return filepath.Join(c.dir, fmt.Sprintf("r%d", i)) }

// start runs replicas, and waits until they are ready if all are running then.
func (c *cluster) start(ids ...int) {
	c.t.Helper()
	for _, i := range ids {
		c.run[i] = spawn(c.t, "prime", "run", "--dir", c.folder(i))
	}
	for _, i := range ids {
		c.run[i].line("ready")
	}
}

// status is the part of prime status --json that tests look at.
type status struct {
	Replica   int             `json:"replica"`
	State     string          `json:"state"`
	View      uint64          `json:"view"`
	Installed bool            `json:"installed"`
	Changes   uint64          `json:"view_changes"`
	Leader    int             `json:"leader"`
	Epoch     uint32          `json:"epoch"`
	Ordinal   uint64          `json:"ordinal"`
	Delivered uint64          `json:"delivered"`
	Digest    string          `json:"stream_digest"`
	Peers     json.RawMessage `json:"peers"`
	Blacklist []int           `json:"blacklist"`
	Storage   struct {
		Bytes int64 `json:"log_bytes"`
	} `json:"storage"`
	Checkpoints struct {
		Made     uint64 `json:"made"`
		Stable   uint64 `json:"stable"`
		Restored uint64 `json:"restored"`
	} `json:"checkpoints"`
	Counters struct {
		Submitted uint64 `json:"submitted"`
	} `json:"counters"`
}

func (c *cluster) status(i int) status {
	c.t.Helper()
	text := must(c.t, "status", "--dir", c.folder(i), "--json")
	var s status
	if err := json.Unmarshal([]byte(text), &s); err != nil || strings.Contains(text, "null") {
		c.t.Fatalf("%v in %s", err, text)
	}
	return s
}

// agree waits until these replicas have delivered at least so many records and are at the same place of the same stream.
func (c *cluster) agree(delivered uint64, ids ...int) status {
	c.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		first, equal := c.status(ids[0]), true
		for _, i := range ids[1:] {
			s := c.status(i)
			if s.Ordinal == first.Ordinal && s.Epoch == first.Epoch && (s.Digest != first.Digest || s.Delivered != first.Delivered) {
				c.t.Fatalf("two streams: %+v and %+v", first, s)
			}
			equal = equal && s.Ordinal == first.Ordinal
		}
		if equal && first.Delivered >= delivered {
			return first
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("replicas %v do not come to the same place after %d records: %+v", ids, delivered, first)
		}
	}
}
