package stall

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Detector is a running watcher process, seen from whoever started it.
type Detector struct {
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{} // closed when the process's output has ended

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every report
	threads []thread
	err     error
}

// thread is what one of the watcher's threads has reported.
type thread struct {
	seen int64 // it has reported everything up to then
	gaps []Span
}

// errEnded means that the watcher is no more.
var errEnded = errors.New("stall: the watcher process has ended")

// Start runs the watcher process, whose command line calls Watch with its standard input and output.
func Start(command ...string) (*Detector, error) {
	cmd := exec.Command(command[0], command[1:]...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("stall: the watcher process cannot start: %w", err)
	}
	d := &Detector{cmd: cmd, stdin: stdin, ended: make(chan struct{}), changed: make(chan struct{})}
	go func() {
		defer close(d.ended)
		err := d.read(stdout)
		_, _ = io.Copy(io.Discard, stdout)
		d.mu.Lock()
		d.err = errors.Join(errEnded, err)
		close(d.changed)
		d.mu.Unlock()
	}()
	return d, nil
}

// read takes reports until the watcher ends or talks nonsense.
func (d *Detector) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	if !lines.Scan() {
		return lines.Err()
	}
	n, err := strconv.Atoi(lines.Text())
	if err != nil || n < 1 || n > 1<<16 {
		return fmt.Errorf("it has %q threads", lines.Text())
	}
	d.mu.Lock()
	d.threads = make([]thread, n)
	d.mu.Unlock()
	for lines.Scan() {
		var r report
		if r.thread, r.Span, err = parse(lines.Text()); err != nil || r.thread < 0 || r.thread >= n {
			return fmt.Errorf("its report %q makes no sense", lines.Text())
		}
		d.add(r)
	}
	return lines.Err()
}

func parse(line string) (number int, s Span, err error) {
	words := strings.Fields(line)
	if len(words) != 3 {
		return 0, s, errors.New("it has not three words")
	}
	var faults [3]error
	number, faults[0] = strconv.Atoi(words[0])
	s.From, faults[1] = strconv.ParseInt(words[1], 10, 64)
	s.To, faults[2] = strconv.ParseInt(words[2], 10, 64)
	return number, s, errors.Join(faults[:]...)
}

func (d *Detector) add(r report) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := &d.threads[r.thread]
	t.seen = max(t.seen, r.To)
	if r.From < r.To {
		t.gaps = append(t.gaps, r.Span)
	}
	close(d.changed)
	d.changed = make(chan struct{})
}

// Stalled is the time in a window in which the machine stood still. It waits until the watcher knows the whole window.
func (d *Detector) Stalled(ctx context.Context, window Span) ([]Span, error) {
	for {
		d.mu.Lock()
		known := len(d.threads) > 0
		lists := make([][]Span, len(d.threads))
		for i, t := range d.threads {
			known = known && t.seen >= window.To
			lists[i] = t.gaps
		}
		changed, err := d.changed, d.err
		d.mu.Unlock()
		if known {
			return Clip(Everywhere(lists), window), nil
		}
		if err != nil {
			return nil, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("stall: the watcher process does not report: %w", ctx.Err())
		}
	}
}

// Close ends the watcher.
func (d *Detector) Close() error {
	_ = d.stdin.Close()
	kill := time.AfterFunc(5*time.Second, func() { _ = d.cmd.Process.Kill() })
	defer kill.Stop()
	<-d.ended
	return d.cmd.Wait()
}
