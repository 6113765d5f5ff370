package floor

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/bench/stall"
	"github.com/primebft/prime/internal/cluster"
	"github.com/primebft/prime/internal/group"
)

// Floor is n running processes.
type Floor struct {
	members []*member
	clock   stall.Clock
	leg     uint32
}

// member is one process, seen from the driver.
type member struct {
	id      int
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	orders  *json.Encoder
	answers *bufio.Scanner
	stderr  *strings.Builder
}

// Start makes a cluster in folder dir and starts a process for each member. command is the program and its arguments, to which
// the folder of a member is appended; it calls Serve with its standard input and output.
func Start(ctx context.Context, dir string, g group.Group, auth config.Auth, limits config.Limits, command ...string) (*Floor, error) {
	base, err := cluster.FreePorts(2 * g.N())
	if err != nil {
		return nil, err
	}
	members, err := config.Layout(g, base, nil, "")
	if err != nil {
		return nil, err
	}
	if _, err = config.Create(dir, config.Cluster{
		Name: config.DefaultName, F: g.F(), K: g.K(), Auth: auth, AnyClient: true, Limits: limits, Replicas: members,
	}, config.Local()); err != nil {
		return nil, err
	}
	f := &Floor{clock: stall.NewClock()}
	for id := 1; id <= g.N(); id++ {
		m := &member{id: id, stderr: &strings.Builder{}}
		args := append(slices.Clone(command), filepath.Join(dir, "r"+strconv.Itoa(id)))
		m.cmd = cluster.Child(exec.Command(args[0], args[1:]...))
		m.cmd.Stderr = m.stderr
		if err := m.start(); err != nil {
			f.Close()
			return nil, fmt.Errorf("floor: process %d cannot be started: %w", id, err)
		}
		f.members = append(f.members, m)
	}
	if _, err = f.collect(ctx); err != nil { // until all are connected
		return nil, fmt.Errorf("%w: %s", err, f.Close())
	}
	return f, nil
}

func (m *member) start() error {
	stdin, err := m.cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := m.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	m.stdin, m.orders, m.answers = stdin, json.NewEncoder(stdin), bufio.NewScanner(stdout)
	return m.cmd.Start()
}

// collect takes one answer of each process.
func (f *Floor) collect(ctx context.Context) ([]answer, error) {
	answers := make([]answer, len(f.members))
	failures := make(chan error, len(f.members))
	for i, m := range f.members {
		go func() { failures <- m.take(&answers[i]) }()
	}
	for range f.members {
		select {
		case err := <-failures:
			if err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return answers, nil
}

func (m *member) take(a *answer) error {
	if !m.answers.Scan() {
		return fmt.Errorf("floor: process %d ended: %w", m.id, cmp.Or(m.answers.Err(), io.EOF))
	}
	if err := json.Unmarshal(m.answers.Bytes(), a); err != nil {
		return fmt.Errorf("floor: process %d: %w", m.id, err)
	}
	if a.Failed != "" {
		return fmt.Errorf("floor: process %d: %s", m.id, a.Failed)
	}
	return nil
}

// Times before a measurement.
const (
	start  = 50 * time.Millisecond  // for every process to read the order
	warmUp = 500 * time.Millisecond // of the load itself, unless the measurement is shorter
)

// run has every process do the same leg at the same time.
func (f *Floor) run(ctx context.Context, o order, duration time.Duration) ([]answer, stall.Span, error) {
	f.leg++
	o.Leg = f.leg
	window := stall.Span{}
	for _, again := range []bool{false, true} {
		if again { // all are ready
			window.From = f.clock.Now() + int64(start+min(warmUp, duration))
			window.To = window.From + int64(duration)
			o = order{Leg: f.leg, From: window.From, To: window.To}
		}
		for _, m := range f.members {
			if err := m.orders.Encode(o); err != nil {
				return nil, window, fmt.Errorf("floor: process %d: %w", m.id, err)
			}
		}
		answers, err := f.collect(ctx)
		if err != nil || again {
			return answers, window, err
		}
	}
	return nil, window, nil
}

// Broadcast is how many updates of payload bytes, in batches, every process has handed over at least, and in which time.
func (f *Floor) Broadcast(ctx context.Context, batch, payload int, d time.Duration) (updates float64, in stall.Span, err error) {
	return f.updates(ctx, order{Kind: broadcastLeg, Batch: batch, Payload: payload}, d)
}

// Copy is how many such updates could be handed over if nothing was done but plain TLS copying of their bytes.
func (f *Floor) Copy(ctx context.Context, batch, payload int, d time.Duration) (updates float64, in stall.Span, err error) {
	return f.updates(ctx, order{Kind: copyLeg, Batch: batch, Payload: payload}, d)
}

// tries is how often a leg in which some process has got nothing done, as on a machine that stands still, is done again, each
// time for twice as long.
const tries = 6

func (f *Floor) updates(ctx context.Context, o order, d time.Duration) (least float64, window stall.Span, err error) {
	for try := 0; try < tries && least == 0 && err == nil; try++ {
		var answers []answer
		answers, window, err = f.run(ctx, o, d<<try)
		for i, a := range answers {
			if i == 0 || a.Updates < least {
				least = a.Updates
			}
		}
	}
	return least, window, err
}

// Rounds is how long six rounds take: the median over the processes of each one's median.
func (f *Floor) Rounds(ctx context.Context, d time.Duration) (time.Duration, error) {
	for try := range tries {
		answers, _, err := f.run(ctx, order{Kind: roundsLeg}, d<<try)
		if err != nil {
			return 0, err
		}
		var medians []int64
		for _, a := range answers {
			if a.Laps > 0 {
				medians = append(medians, a.LapNS)
			}
		}
		if len(medians) > 0 {
			slices.Sort(medians)
			return time.Duration(medians[len(medians)/2]), nil
		}
	}
	return 0, errors.New("floor: no process has finished six rounds")
}

// Close ends all processes and returns what they have said on standard error.
func (f *Floor) Close() string {
	var said []string
	for _, m := range f.members {
		_ = m.stdin.Close()
	}
	for _, m := range f.members {
		kill := time.AfterFunc(5*time.Second, func() { _ = m.cmd.Process.Kill() })
		_ = m.cmd.Wait()
		kill.Stop()
		said = append(said, m.stderr.String())
	}
	return strings.TrimSpace(strings.Join(said, ""))
}
