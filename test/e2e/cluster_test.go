package e2e

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// numbered is so many updates, one per line.
func numbered(name string, count int) string {
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, "%s %d\n", name, i)
	}
	return b.String()
}

// TestCluster is the main job: four replicas order what is submitted at each of them, one is killed, and they go on.
func TestCluster(t *testing.T) {
	c := newCluster(t, filepath.Join(t.TempDir(), "c"), "--storage", "ephemeral")
	c.start(1, 2, 3, 4)
	if out := must(t, "submit", "--dir", c.folder(1), "hello world"); !regexp.MustCompile(`^[1-9][0-9]*\.[1-9][0-9]*\n$`).MatchString(out) {
		t.Fatalf("submit printed %q", out)
	}
	c.submitJSON()
	const each = 300
	var wg sync.WaitGroup
	for i := 1; i <= 4; i++ {
		wg.Go(func() {
			r := prime(t, strings.NewReader(numbered(fmt.Sprintf("from r%d", i), each)), "submit", "--dir", c.folder(i), "-")
			if r.code != 0 || r.err != "" || strings.Count(r.out, "\n") != each {
				t.Errorf("submit at r%d: exit %d, %d lines\n%s", i, r.code, strings.Count(r.out, "\n"), r.err)
			}
			inOrder(t, r.out)
		})
	}
	wg.Wait()
	place := c.agree(2+4*each, 1, 2, 3, 4)
	if place.Leader != leaderOf(place.View) || place.Epoch != 1 || !strings.HasPrefix(place.State, "running") || len(place.Digest) != 64 {
		t.Errorf("status %+v", place)
	}
	c.watchAll(place)
	c.secondProcess()

	c.run[4].signal(syscall.SIGKILL)
	c.run[4].exit()
	refuse(t, 1, []string{"run", "--dir", c.folder(4)}, "has been used", "prime init")
	refuse(t, 1, []string{"submit", "--dir", c.folder(4), "x"}, "no replica runs", "prime run --dir")
	refuse(t, 1, []string{"status", "--dir", c.folder(4), "--json"}, "no replica runs")
	must(t, "submit", "--dir", c.folder(2), "after the kill")
	c.agree(place.Delivered+1, 1, 2, 3)
	c.stopAll()
}

// submitJSON checks the object of one update: fields, and the result of the echo application.
func (c *cluster) submitJSON() {
	t := c.t
	t.Helper()
	text := must(t, "submit", "--dir", c.folder(2), "--json", "payload\nwith two lines")
	var got map[string]any
	if err := json.Unmarshal([]byte(text), &got); err != nil || strings.Count(text, "\n") != 1 {
		t.Fatalf("%v in %q", err, text)
	}
	result, err := base64.StdEncoding.DecodeString(fmt.Sprint(got["result"]))
	if err != nil || string(result) != "payload\nwith two lines" || len(got) != 6 || got["epoch"] != 1.0 || got["index"] != 1.0 ||
		got["ordinal"].(float64) < 2 || got["seq"].(float64) < 1 || len(fmt.Sprint(got["client"])) != 64 {
		t.Fatalf("%s", text)
	}
}

// inOrder checks that ordinal.index rises from line to line: updates of one replica are ordered as they were submitted.
func inOrder(t *testing.T, out string) {
	t.Helper()
	var ordinal, index uint64
	for line := range strings.Lines(out) {
		var o, i uint64
		if _, err := fmt.Sscanf(line, "%d.%d", &o, &i); err != nil || o < ordinal || o == ordinal && i <= index {
			t.Errorf("%s after %d.%d: %v", line, ordinal, index, err)
			return
		}
		ordinal, index = o, i
	}
}

// watchAll reads the whole stream at two replicas, as text and as JSON, and checks that nothing is missing in it.
func (c *cluster) watchAll(place status) {
	t := c.t
	t.Helper()
	count := fmt.Sprint(place.Delivered)
	text := must(t, "watch", "--dir", c.folder(1), "--from", "1", "--count", count)
	if other := must(t, "watch", "--dir", c.folder(3), "--from", "1", "--count", count); other != text {
		t.Fatal("r1 and r3 show different streams")
	}
	if !strings.Contains(text, " hello world\n") || !strings.Contains(text, ` "payload\nwith two lines"`+"\n") {
		t.Errorf("payloads are missing, or not quoted:\n%.2000s", text)
	}
	lines := bufio.NewScanner(strings.NewReader(must(t, "watch", "--dir", c.folder(2), "--from", "1", "--count", count, "--json")))
	var before struct{ Ordinal, Index, Total uint64 }
	seen := uint64(0)
	for ; lines.Scan(); seen++ {
		r := before
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		next := r.Ordinal == before.Ordinal && r.Index == before.Index+1
		if before.Index == before.Total {
			next = r.Ordinal == before.Ordinal+1 && r.Index == 1
		}
		if !next {
			t.Fatalf("%s after %+v", lines.Bytes(), before)
		}
		before = r
	}
	if seen != place.Delivered || before.Ordinal != place.Ordinal {
		t.Fatalf("%d records up to ordinal %d, status says %+v", seen, before.Ordinal, place)
	}
}

// secondProcess: nothing takes a replica's folder from it, and nothing that is wrong with an update harms it.
func (c *cluster) secondProcess() {
	t := c.t
	t.Helper()
	refuse(t, 1, []string{"run", "--dir", c.folder(1)}, "folder in use", "stop it first")
	large := strings.Repeat("x", 65_537)
	refuse(t, 1, []string{"submit", "--dir", c.folder(1), large}, "65537", "65536", "limits.update_bytes")
	must(t, "submit", "--dir", c.folder(1), large[1:])
	r := prime(t, strings.NewReader("first\n"+large+"\nlast\n"), "submit", "--dir", c.folder(1), "-")
	if r.code != 1 || strings.Count(r.out, "\n") != 1 || !strings.Contains(r.err, "line 2") || !strings.Contains(r.err, "limits.update_bytes") {
		t.Errorf("a line that is too long: exit %d\n%s%s", r.code, r.out, r.err)
	}
}

// stopAll ends the three that are left, by each of the signals.
func (c *cluster) stopAll() {
	t := c.t
	t.Helper()
	watch := spawn(t, "prime", "watch", "--dir", c.folder(1), "--from", "1")
	watch.until("a record", func(text string) bool { return strings.Contains(text, "after the kill") })
	watch.signal(syscall.SIGINT)
	if code := watch.exit(); code != 0 {
		t.Errorf("watch after SIGINT: exit %d", code)
	}
	watch = spawn(t, "prime", "watch", "--dir", c.folder(1), "--from", "1")
	watch.until("a record", func(text string) bool { return strings.Contains(text, "after the kill") })
	defer func() {
		if code := watch.exit(); code != 1 || !strings.Contains(watch.said(), "prime: r1 has stopped: watch another replica\n") {
			t.Errorf("watch of a replica that stops: exit %d", code)
		}
	}()
	for i, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGTERM} {
		p := c.run[i+1]
		p.signal(s)
		if code := p.exit(); code != 0 {
			t.Errorf("r%d after %v: exit %d\n%s", i+1, s, code, p.said())
		}
		if _, err := os.Lstat(filepath.Join(c.folder(i+1), "control.sock")); !os.IsNotExist(err) {
			t.Errorf("r%d left its socket: %v", i+1, err)
		}
		if strings.Count("\n"+p.said(), "\nready\n") != 1 {
			t.Errorf("r%d was not ready once:\n%s", i+1, p.said())
		}
	}
	refuse(t, 1, []string{"run", "--dir", c.folder(1)}, "has been used", "prime init")
}

// TestUpdatesUnderWayAtTheEnd: whoever submitted before a replica is stopped gets the result.
func TestUpdatesUnderWayAtTheEnd(t *testing.T) {
	c := newCluster(t, filepath.Join(t.TempDir(), "c"))
	c.start(1, 2, 3, 4)
	in, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	done := make(chan result)
	go func() { done <- prime(t, in, "submit", "--dir", c.folder(2), "-") }()
	const some = 200
	if _, err := write.WriteString(numbered("x", some)); err != nil {
		t.Fatal(err)
	}
	c.agree(some, 2)
	c.run[2].signal(syscall.SIGTERM)
	if code := c.run[2].exit(); code != 0 {
		t.Errorf("exit %d\n%s", code, c.run[2].said())
	}
	_, _ = write.WriteString("too late\n")
	_ = write.Close()
	r := <-done
	if r.code != 1 || strings.Count(r.out, "\n") != some || !strings.Contains(r.err, fmt.Sprintf("line %d", some+1)) ||
		!strings.Contains(r.err, "another") {
		t.Errorf("exit %d, %d results\n%s", r.code, strings.Count(r.out, "\n"), r.err)
	}
}

// TestSecondSignal: a stop waits for updates that were accepted, here in vain because there is no quorum; a second signal does
// not.
func TestSecondSignal(t *testing.T) {
	c := newCluster(t, filepath.Join(t.TempDir(), "c"))
	c.start(1, 2, 3, 4)
	for _, i := range []int{1, 3} {
		c.run[i].signal(syscall.SIGKILL)
		c.run[i].exit()
	}
	submit := spawn(t, "prime", "submit", "--dir", c.folder(2), "x")
	for deadline := time.Now().Add(patience); c.status(2).Counters.Submitted == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the update was not accepted")
		}
	}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for ended := false; !ended; {
		c.run[2].signal(syscall.SIGTERM)
		select {
		case <-c.run[2].ended:
			ended = true
		case <-again.C:
		}
	}
	if ws := c.run[2].cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != syscall.SIGTERM {
		t.Errorf("it ended by itself: exit %d\n%s", ws.ExitStatus(), c.run[2].said())
	}
	if code := submit.exit(); code != 1 || !strings.Contains(submit.said(), "prime: ") {
		t.Errorf("submit: exit %d: %s", code, submit.said())
	}
}

// TestLongPath: a folder whose path is too long for a socket works like any other.
func TestLongPath(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, filepath.Join(deep, "c"))
	c.start(1, 2, 3, 4)
	must(t, "submit", "--dir", c.folder(1), "x")
	c.agree(1, 1, 2, 3, 4)
	c.run[1].signal(syscall.SIGTERM)
	if code := c.run[1].exit(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// TestWatchIntoClosedPipe: a reader that has seen enough ends the watch without a word.
func TestWatchIntoClosedPipe(t *testing.T) {
	c := newCluster(t, filepath.Join(t.TempDir(), "c"))
	c.start(1, 2, 3)
	must(t, "submit", "--dir", c.folder(1), "x")
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	p := &process{t: t, name: "watch", ended: make(chan struct{}), changed: make(chan struct{})}
	var errs bytes.Buffer
	p.cmd = command("watch", "--dir", c.folder(1), "--from", "1")
	p.cmd.Stdout, p.cmd.Stderr = out, &errs
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	go func() { defer close(p.ended); _ = p.cmd.Wait() }()
	if code := p.exit(); code != 0 || errs.Len() > 0 {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}
