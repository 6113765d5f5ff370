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

	child  *child // nil if it was running before
	pid    int    // then; 0 if not known
	killed atomic.Bool
}

// Running reports whether the process has not ended, as far as is known of one that Start has not begun.
func (r *Replica) Running() bool {
	if r.child == nil {
		return true
	}
	select {
	case <-r.child.ended:
		return false
	default:
		return !r.killed.Load()
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

// spawn starts a process whose standard error goes to a file, and is read along.
func spawn(command []string, logFile string) (*child, error) {
	log, err := os.OpenFile(logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := Child(exec.Command(command[0], command[1:]...))
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		_ = log.Close()
		return nil, err
	}
	c := &child{cmd: cmd, ready: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		c.follow(stderr, log)
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

// terminate asks the process to stop.
func (c *child) terminate() { _ = c.cmd.Process.Signal(syscall.SIGTERM) }
