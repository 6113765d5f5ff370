package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/primebft/prime/internal/local"
)

// outstanding is how many updates of one command are under way at once.
const outstanding = 512

// submitCmd is prime submit.
type submitCmd struct {
	Dir     string        `required:"" help:"The folder of the running replica, for example demo/r1."`
	Text    string        `arg:"" help:"The update; - for one update per line of standard input; after -- if it begins with a dash."`
	JSON    bool          `name:"json" help:"Print one JSON object per update; the application's result is in base64."`
	Timeout time.Duration `default:"30s" help:"How long to wait for each result."`
}

// Help is shown below the flags.
func (*submitCmd) Help() string {
	return `Submits as the replica's own client, waits for the results and prints ordinal.index of each update, in the order of the
input. Exits 0 only if every update has its result; after a failure nothing more is sent.

Example:
  prime submit --dir demo/r1 "open breaker 7"
  seq 1000 | prime submit --dir demo/r1 --json -`
}

// submission is an update under way.
type submission struct {
	line    int // of standard input, from 1; 0 if it was an argument
	sent    time.Time
	outcome <-chan local.Outcome
	err     error // it could not be sent
}

// submitted is a result as scripts see it.
type submitted struct {
	Epoch   uint32 `json:"epoch"`
	Ordinal uint64 `json:"ordinal"`
	Index   uint32 `json:"index"`
	Client  string `json:"client"` // hex
	Seq     uint64 `json:"seq"`
	Result  []byte `json:"result"` // base64
}

// Run submits.
func (c *submitCmd) Run(g *globals) error {
	if c.Timeout <= 0 {
		return usageError(errors.New("--timeout: give a time above 0, such as 30s"))
	}
	client, err := dial(g.ctx, c.Dir, c.Timeout)
	if err != nil {
		return err
	}
	defer client.Close()
	defer notifyBrokenPipe()()
	under := make(chan submission, outstanding)
	stop := make(chan struct{}) // after a failure
	go func() {
		defer close(under)
		c.send(client, g.in, under, stop)
	}()
	out := bufio.NewWriter(g.out)
	failed := 0
	for s := range under {
		result, err := c.wait(g.ctx, s, out)
		if err == nil {
			err = c.print(out, result)
		}
		if err == nil {
			continue
		}
		if failed++; failed == 1 {
			close(stop)
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if s.line > 0 {
			err = fmt.Errorf("line %d: %w", s.line, err)
		}
		fmt.Fprintln(g.err, "prime:", err)
		if g.ctx.Err() != nil {
			return errReported
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return errReported
	}
	return nil
}

// send sends the update or updates. At most outstanding of them are under way, because under holds no more.
func (c *submitCmd) send(client *local.Client, in io.Reader, under chan<- submission, stop <-chan struct{}) {
	one := func(line int, payload []byte) bool {
		s := submission{line: line, sent: time.Now()}
		s.outcome, s.err = client.Send(payload)
		select {
		case under <- s:
			return s.err == nil
		case <-stop:
			return false
		}
	}
	if c.Text != "-" {
		one(0, []byte(c.Text))
		return
	}
	limit := client.Info().UpdateBytes
	lines := bufio.NewReaderSize(in, limit+2) // a line that is too long shows as a full buffer
	for n := 1; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			err = local.Oversize(0, limit)
		case errors.Is(err, io.EOF):
			if len(line) > 0 {
				one(n, line)
			}
			return
		case err == nil:
			if !one(n, line[:len(line)-1]) {
				return
			}
			continue
		}
		select {
		case under <- submission{line: n, err: err}:
		case <-stop:
		}
		return
	}
}

// wait waits for one result. What was printed before is shown first, if there is something to wait for.
func (c *submitCmd) wait(ctx context.Context, s submission, out *bufio.Writer) (local.Result, error) {
	if s.err != nil {
		return local.Result{}, s.err
	}
	select {
	case o := <-s.outcome:
		return o.Result, o.Err
	default:
	}
	if err := out.Flush(); err != nil {
		return local.Result{}, err
	}
	timer := time.NewTimer(time.Until(s.sent.Add(c.Timeout)))
	defer timer.Stop()
	select {
	case o := <-s.outcome:
		return o.Result, o.Err
	case <-timer.C:
		return local.Result{}, fmt.Errorf("no result within %s: the update may still be executed; prime status --dir %s shows "+
			"whether the cluster makes progress", c.Timeout, c.Dir)
	case <-ctx.Done():
		return local.Result{}, errors.New("interrupted: the update may still be executed")
	}
}

func (c *submitCmd) print(out *bufio.Writer, r local.Result) error {
	if !c.JSON {
		_, err := fmt.Fprintf(out, "%d.%d\n", r.Ordinal, r.Index)
		return err
	}
	if r.Result == nil {
		r.Result = []byte{} // "" and not null
	}
	return json.NewEncoder(out).Encode(submitted{r.Epoch, r.Ordinal, r.Index, hex.EncodeToString(r.Client[:]), r.Seq, r.Result})
}

// startGrace is how long a command waits for a replica that does not run: it may have been started a moment ago.
const startGrace = 3 * time.Second

// startPoll is how often it looks.
const startPoll = 50 * time.Millisecond

// dial connects to the replica that runs in dir, or is just being started there.
func dial(ctx context.Context, dir string, timeout time.Duration) (*local.Client, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the replica of %s does not answer within %s", dir, timeout))
	defer cancel()
	client, err := local.Dial(ctx, dir)
	for end := time.Now().Add(min(startGrace, timeout)); errors.Is(err, local.ErrNotRunning) && time.Now().Before(end); {
		if pause(ctx, startPoll) != nil {
			break
		}
		client, err = local.Dial(ctx, dir)
	}
	switch {
	case errors.Is(err, local.ErrNotRunning):
		return nil, fmt.Errorf("%w %s", err, dir)
	case errors.Is(err, os.ErrNotExist):
		return nil, usageError(fmt.Errorf("--dir: there is no folder %s: give a replica's, such as demo/r1", dir))
	}
	return client, err
}

// notifyBrokenPipe turns the signal of a broken pipe, which would kill the process, into an error of the write.
func notifyBrokenPipe() (undo func()) {
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	return func() { signal.Stop(broken) }
}
