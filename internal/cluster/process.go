package cluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/primebft/prime/internal/local"
	"github.com/primebft/prime/internal/marker"
)

// LogFile is where the standard error of a replica goes, in its folder.
const LogFile = "log"

// readyLine is what prime run prints when it is connected to a quorum.
const readyLine = "ready"

// Replica is one replica of a Cluster. It is safe for concurrent use, but for Start, Kill and the like of one replica at a time.
type Replica struct {
	ID     int
	Folder string

	command []string          // what Start began it with
	heard   func(line []byte) // see Options.Heard
	pid     int               // if it was running before; 0 if not known

	mu    sync.Mutex
	child *child // its newest process; nil if it was running before
}

// now is the newest process that was begun here; nil if there is none.
func (r *Replica) now() *child {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.child
}

// Running reports whether the process has not ended, as far as is known of one that Start has not begun, and is not paused.
func (r *Replica) Running() bool {
	c := r.now()
	return c == nil || !c.over() && !c.killed.Load() && !c.paused.Load()
}

// Ended is closed when the process has ended; never for one that Start has not begun. Once the replica is started again it is about
// the new process.
func (r *Replica) Ended() <-chan struct{} {
	if c := r.now(); c != nil {
		return c.ended
	}
	return nil
}

// Watch calls died with the last words of each process of the replica that ends without having been killed, until ctx ends.
func (r *Replica) Watch(ctx context.Context, died func(lastWords string)) {
	for c := r.now(); c != nil; {
		select {
		case <-c.ended:
			if !c.killed.Load() {
				died(c.tail())
			}
		case <-ctx.Done():
			return
		}
		select {
		case <-c.followed:
			c = r.now()
		case <-ctx.Done():
			return
		}
	}
}

// Killed reports whether the newest process was killed by Kill.
func (r *Replica) Killed() bool {
	c := r.now()
	return c != nil && c.killed.Load()
}

// Kill ends the process at once, as a crash would, and waits until it has ended.
func (r *Replica) Kill() error {
	c := r.now()
	if c == nil {
		return fmt.Errorf("r%d was not started here: stop it where it was", r.ID)
	}
	c.killed.Store(true)
	err := c.cmd.Process.Kill()
	<-c.ended
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	return err
}

// Restart starts the program once more in the same folder, when its process has ended. The replica does not count as running until
// Answers has returned nil; if it ends before, it counts as killed.
func (r *Replica) Restart() error {
	old := r.now()
	switch {
	case old == nil:
		return fmt.Errorf("r%d was not started here: it is left alone", r.ID)
	case !old.over():
		return fmt.Errorf("r%d still runs", r.ID)
	}
	c, err := spawn(r.command, filepath.Join(r.Folder, LogFile), r.heard)
	if err != nil {
		return err
	}
	c.killed.Store(true)
	r.mu.Lock()
	r.child = c
	r.mu.Unlock()
	close(old.followed)
	return nil
}

// Answers waits until a replica that Restart started answers on its control socket, or returns the reason why it never will.
func (r *Replica) Answers(ctx context.Context) error {
	c := r.now()
	if c == nil {
		return fmt.Errorf("r%d was not started here", r.ID)
	}
	if err := c.waitAnswers(ctx, r.Folder); err != nil {
		_ = c.cmd.Process.Kill()
		<-c.ended
		return err
	}
	c.killed.Store(false)
	return nil
}

// Paused reports whether the process was paused and not resumed since.
func (r *Replica) Paused() bool {
	c := r.now()
	return c != nil && c.paused.Load()
}

// Pause stops the process without its noticing, as a machine does that freezes; Resume lets it go on.
func (r *Replica) Pause() error { return r.freeze(true, syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (r *Replica) Resume() error { return r.freeze(false, syscall.SIGCONT) }

func (r *Replica) freeze(paused bool, signal os.Signal) error {
	c := r.now()
	if c == nil {
		return fmt.Errorf("r%d was not started here: it is left alone", r.ID)
	}
	if c.over() {
		return fmt.Errorf("r%d has ended", r.ID)
	}
	if paused { // before nobody expects an answer any more
		c.paused.Store(true)
	}
	if err := c.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("r%d: %w", r.ID, err)
	}
	c.paused.Store(paused)
	return nil
}

// Tell writes a line to the process's standard input.
func (r *Replica) Tell(line string) error {
	c := r.now()
	if c == nil || c.input == nil {
		return fmt.Errorf("r%d takes no commands", r.ID)
	}
	_, err := io.WriteString(c.input, line+"\n")
	return err
}

// Pid is the process id; 0 if it is not known.
func (r *Replica) Pid() int {
	if c := r.now(); c != nil {
		return c.cmd.Process.Pid
	}
	return r.pid
}

// LastWords are the last lines that a process which Start began has printed on standard error.
func (r *Replica) LastWords() string {
	if c := r.now(); c != nil {
		return c.tail()
	}
	return ""
}

// lockHolder is the process that says it holds the lock of a folder; 0 if nobody says so.
func lockHolder(folder string) int {
	text, err := os.ReadFile(filepath.Join(folder, marker.LockFile))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid < 1 {
		return 0
	}
	return pid
}

// tailLines is how many of the last lines of standard error are remembered.
const tailLines = 20

// child is a process that we began.
type child struct {
	cmd   *exec.Cmd
	input io.Writer     // its standard input; nil if that is not used
	ready chan struct{} // closed at the line "ready"
	ended chan struct{} // closed when the process has ended and was waited for

	killed   atomic.Bool
	paused   atomic.Bool
	followed chan struct{} // closed when there is another process of the same replica

	mu   sync.Mutex
	last []string // lines of standard error
}

// Child makes a command one that the terminal's interrupt does not reach, and that, where the system can, does not outlive us.
func Child(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = attributes()
	return cmd
}

// spawn starts a process whose standard error goes to a file, and is read along. If heard is not nil, it is given the lines of
// standard output, and standard input is a pipe.
func spawn(command []string, logFile string, heard func([]byte)) (*child, error) {
	log, err := os.OpenFile(logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := Child(exec.Command(command[0], command[1:]...))
	c := &child{cmd: cmd, ready: make(chan struct{}), ended: make(chan struct{}), followed: make(chan struct{})}
	stderr, err := cmd.StderrPipe()
	var stdout io.Reader
	if err == nil && heard != nil {
		if c.input, err = cmd.StdinPipe(); err == nil {
			stdout, err = cmd.StdoutPipe()
		}
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		_ = log.Close()
		return nil, err
	}
	go func() {
		defer close(c.ended)
		var listening sync.WaitGroup
		if heard != nil {
			listening.Go(func() { listen(stdout, heard) })
		}
		c.follow(stderr, log)
		listening.Wait()
		_ = cmd.Wait() // how it ended is in its last words
		_ = log.Close()
	}()
	return c, nil
}

// maxLine is the longest line that is looked at; longer ones are only copied.
const maxLine = 64 << 10

// follow copies standard error to the log until it ends.
func (c *child) follow(stderr io.Reader, log io.Writer) {
	lines := bufio.NewReaderSize(stderr, maxLine)
	isReady := false
	for {
		line, err := lines.ReadSlice('\n')
		_, _ = log.Write(line)
		text := string(bytes.TrimRight(line, "\r\n"))
		if text == readyLine && !isReady {
			isReady = true
			close(c.ready)
		}
		if text != "" {
			c.mu.Lock()
			if len(c.last) == tailLines {
				c.last = slices.Delete(c.last, 0, 1)
			}
			c.last = append(c.last, text)
			c.mu.Unlock()
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// listen hands on lines until there are no more. One that is too long ends it, and what follows is read and ignored.
func listen(stdout io.Reader, heard func([]byte)) {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		heard(lines.Bytes())
	}
	_, _ = io.Copy(io.Discard, stdout)
}

// tail is the last lines.
func (c *child) tail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.last, "\n")
}

func (c *child) waitReady(ctx context.Context) error {
	select {
	case <-c.ready:
		return nil
	case <-c.ended:
		return fmt.Errorf("it ended: %s", c.tail())
	case <-ctx.Done():
		return fmt.Errorf("%w; the last that it said: %s", ctx.Err(), c.tail())
	}
}

// waitAnswers waits until the process serves the control socket in its folder.
func (c *child) waitAnswers(ctx context.Context, folder string) error {
	again := time.NewTicker(answerPeriod)
	defer again.Stop()
	for {
		conn, err := local.Dial(ctx, folder)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-again.C:
		case <-c.ended:
			return fmt.Errorf("it ended: %s", c.tail())
		case <-ctx.Done():
			return fmt.Errorf("%w: %w; the last that it said: %s", ctx.Err(), err, c.tail())
		}
	}
}

// answerPeriod is how often a starting process is tried.
const answerPeriod = 5 * time.Millisecond

// over reports whether the process has ended.
func (c *child) over() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// terminate asks the process to stop, and lets it if it is paused.
func (c *child) terminate() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	_ = c.cmd.Process.Signal(syscall.SIGCONT)
}
