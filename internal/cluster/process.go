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

	"github.com/primebft/prime/internal/marker"
)

// LogFile is where the standard error of a replica goes, in its folder.
const LogFile = "log"

// readyLine is what prime run prints when it is connected to a quorum.
const readyLine = "ready"

// Replica is one replica of a Cluster.
type Replica struct {
	ID     int
	Folder string

	command []string          // what Start began it with
	heard   func(line []byte) // see Options.Heard
	child   *child            // nil if it was running before
	pid     int               // then; 0 if not known
	killed  atomic.Bool
	paused  atomic.Bool
}

// Running reports whether the process has not ended, as far as is known of one that Start has not begun, and is not paused.
func (r *Replica) Running() bool {
	if r.child == nil {
		return true
	}
	select {
	case <-r.child.ended:
		return false
	default:
		return !r.killed.Load() && !r.paused.Load()
	}
}

// Ended is closed when the process has ended; never for one that Start has not begun.
func (r *Replica) Ended() <-chan struct{} {
	if r.child == nil {
		return nil
	}
	return r.child.ended
}

// Killed reports whether Kill was called.
func (r *Replica) Killed() bool { return r.killed.Load() }

// Kill ends the process at once, as a crash would, and waits until it has ended.
func (r *Replica) Kill() error {
	if r.child == nil {
		return fmt.Errorf("r%d was not started here: stop it where it was", r.ID)
	}
	r.killed.Store(true)
	err := r.child.cmd.Process.Kill()
	<-r.child.ended
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	return err
}

// Paused reports whether the process was paused and not resumed since.
func (r *Replica) Paused() bool { return r.paused.Load() }

// Pause stops the process without its noticing, as a machine does that freezes; Resume lets it go on.
func (r *Replica) Pause() error { return r.freeze(true, syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (r *Replica) Resume() error { return r.freeze(false, syscall.SIGCONT) }

func (r *Replica) freeze(paused bool, signal os.Signal) error {
	if r.child == nil {
		return fmt.Errorf("r%d was not started here: it is left alone", r.ID)
	}
	select {
	case <-r.child.ended:
		return fmt.Errorf("r%d has ended", r.ID)
	default:
	}
	if paused { // before nobody expects an answer any more
		r.paused.Store(true)
	}
	if err := r.child.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("r%d: %w", r.ID, err)
	}
	r.paused.Store(paused)
	return nil
}

// Tell writes a line to the process's standard input.
func (r *Replica) Tell(line string) error {
	if r.child == nil || r.child.input == nil {
		return fmt.Errorf("r%d takes no commands", r.ID)
	}
	_, err := io.WriteString(r.child.input, line+"\n")
	return err
}

// TryAgain starts the program of an ended replica once more, in the same folder, and returns why that was refused: in this
// version a replica keeps nothing over a restart, so it has to refuse. If ever it does get ready, it is stopped again, and nil
// is returned.
func (r *Replica) TryAgain(ctx context.Context) error {
	c, err := spawn(r.command, filepath.Join(r.Folder, LogFile), nil)
	if err != nil {
		return err
	}
	err = c.waitReady(ctx)
	_ = c.cmd.Process.Kill()
	<-c.ended
	return err
}

// Pid is the process id; 0 if it is not known.
func (r *Replica) Pid() int {
	if r.child != nil {
		return r.child.cmd.Process.Pid
	}
	return r.pid
}

// LastWords are the last lines that a process which Start began has printed on standard error.
func (r *Replica) LastWords() string {
	if r.child == nil {
		return ""
	}
	return r.child.tail()
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
	c := &child{cmd: cmd, ready: make(chan struct{}), ended: make(chan struct{})}
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

// terminate asks the process to stop, and lets it if it is paused.
func (c *child) terminate() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	_ = c.cmd.Process.Signal(syscall.SIGCONT)
}
