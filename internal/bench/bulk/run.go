package bulk

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
	"github.com/primebft/prime/internal/transfer"
	"github.com/primebft/prime/internal/wire"
)

// Strategy is one way to fetch.
type Strategy struct {
	Name    string // latency or bandwidth
	Variant int    // of bandwidth
}

// String is what people call it.
func (s Strategy) String() string {
	if s.Variant > 0 {
		return fmt.Sprintf("%s %d", s.Name, s.Variant)
	}
	return s.Name
}

// Strategies are all of them.
func Strategies() []Strategy {
	return []Strategy{{transfer.Latency.String(), 0}, {transfer.Bandwidth.String(), 1}, {transfer.Bandwidth.String(), 2}}
}

// Options say what is measured.
type Options struct {
	Dir        string   // folder to make; as many times Bytes as there are replicas, and twice more, have to fit
	Command    []string // the program, to which a folder is appended; it calls Serve with its standard input and output
	Group      group.Group
	Bytes      int64 // of the application in the checkpoint
	Strategies []Strategy
	Lies       []Lie
	Rate       int64           // bytes per second that one replica gives to another; 0: as many as it can
	Rounds     int             // how many times everything is done
	Kill       bool            // also kill the fetching process in the middle of a transfer, for each strategy
	Say        func(string)    // what is going on, for people
	Detector   *stall.Detector // of standstills, which are not counted; nil: none are known
}

// member is one process, seen from the driver.
type member struct {
	id      int
	command []string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	orders  *json.Encoder
	answers *bufio.Scanner
	stderr  *strings.Builder
}

// bench is a measurement that is going on.
type bench struct {
	o       Options
	ctx     context.Context
	members []*member // by id, from 0; the first fetches
	digest  wire.Digest
	report  *Report
}

// Run measures.
func Run(ctx context.Context, o Options) (*Report, error) {
	base, err := cluster.FreePorts(2 * o.Group.N())
	if err != nil {
		return nil, err
	}
	layout, err := config.Layout(o.Group, base, nil, "")
	if err != nil {
		return nil, err
	}
	if _, err = config.Create(o.Dir, config.Cluster{
		Name: config.DefaultName, F: o.Group.F(), K: o.Group.K(), Auth: config.AuthReplica, AnyClient: true,
		Limits: config.DefaultLimits(), Replicas: layout,
	}, config.Local()); err != nil {
		return nil, err
	}
	b := &bench{o: o, ctx: ctx, report: &Report{Replicas: o.Group.N(), F: o.Group.F(), Bytes: o.Bytes}}
	defer b.close()
	stop := context.AfterFunc(ctx, b.kill)
	defer stop()
	if err := b.run(); err != nil {
		return nil, cmp.Or(context.Cause(ctx), err)
	}
	b.report.compare()
	return b.report, nil
}

// run does everything.
func (b *bench) run() error {
	for id := 1; id <= b.o.Group.N(); id++ {
		m := &member{id: id, command: append(slices.Clone(b.o.Command), filepath.Join(b.o.Dir, "r"+strconv.Itoa(id)))}
		b.members = append(b.members, m)
		if err := m.start(); err != nil {
			return err
		}
	}
	for _, m := range b.members {
		if _, err := m.take(); err != nil { // until all are connected
			return err
		}
	}
	b.o.Say("each of the others writes its checkpoint")
	for _, m := range b.members[1:] {
		a, err := m.do(order{Kind: prepareOrder, Bytes: b.o.Bytes, Rate: b.o.Rate})
		if err != nil {
			return err
		}
		b.digest = a.Digest
	}
	if err := b.copy(); err != nil {
		return err
	}
	b.report.Copies = nil // the first of everything is slower
	for range b.o.Rounds {
		for _, s := range b.o.Strategies {
			for _, lie := range b.o.Lies {
				if err := b.measure(s, lie); err != nil {
					return err
				}
			}
		}
	}
	if b.o.Kill {
		for _, s := range b.o.Strategies {
			if err := b.killed(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// measure does a transfer between two copies.
func (b *bench) measure(s Strategy, lie Lie) error {
	if len(b.report.Copies) == 0 {
		if err := b.copy(); err != nil {
			return err
		}
	}
	if err := b.lie(lie); err != nil {
		return err
	}
	b.o.Say(fmt.Sprintf("transfer, %s, f replicas: %s", s, lie))
	before, err := b.cpu(false)
	if err != nil {
		return err
	}
	a, err := b.members[0].do(order{Kind: fetchOrder, Strategy: s.Name, Variant: s.Variant, Digest: b.digest})
	if err != nil {
		return err
	}
	leg, err := b.leg(a, before)
	if err != nil {
		return err
	}
	if _, err := b.members[0].do(order{Kind: emptyOrder}); err != nil {
		return err
	}
	if err := b.copy(); err != nil {
		return err
	}
	n := len(b.report.Copies)
	b.report.add(s, lie, leg, b.report.Copies[n-2], b.report.Copies[n-1], a.Progress)
	return nil
}

// lie tells f processes how to answer.
func (b *bench) lie(lie Lie) error {
	for i, m := range b.members[1:] {
		o := order{Kind: lieOrder, Lie: None}
		if i < b.o.Group.F() {
			o.Lie = lie
		}
		if _, err := m.do(o); err != nil {
			return err
		}
	}
	return nil
}

// copy has the last process copy its checkpoint to the first.
func (b *bench) copy() error {
	from, to := b.members[len(b.members)-1], b.members[0]
	b.o.Say("copy")
	blocks := (b.o.Bytes+piece-1)/piece*piece + piece // the head takes one
	if rest := b.o.Bytes % piece; rest > 0 {
		blocks -= piece - rest
	}
	before, err := b.cpu(false)
	if err != nil {
		return err
	}
	if _, err := to.do(order{Kind: copyOrder, Bytes: blocks}); err != nil { // it is ready
		return err
	}
	if _, err := from.do(order{Kind: sendOrder, To: to.id}); err != nil {
		return err
	}
	a, err := to.take()
	if err != nil {
		return err
	}
	leg, err := b.leg(a, before)
	if err == nil {
		b.report.Copies = append(b.report.Copies, leg)
	}
	return err
}

// killed kills the fetching process when half of a checkpoint is there, and has another one go on.
func (b *bench) killed(s Strategy) error {
	if err := b.lie(Wrong); err != nil {
		return err
	}
	b.o.Say(fmt.Sprintf("transfer, %s, killed in the middle", s))
	m := b.members[0]
	o := order{Kind: fetchOrder, Strategy: s.Name, Variant: s.Variant, Digest: b.digest, Half: true}
	if err := m.orders.Encode(o); err != nil {
		return err
	}
	half, err := m.take()
	if err != nil {
		return err
	}
	if !half.Half {
		return errors.New("bulk: the transfer ended before it could be killed: take more bytes")
	}
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
	if err := m.start(); err != nil {
		return err
	}
	if _, err := m.take(); err != nil {
		return err
	}
	o.Half = false
	a, err := m.do(o)
	if err != nil {
		return err
	}
	leg, err := b.leg(a, 0)
	if err != nil {
		return err
	}
	r := Resumed{Strategy: s.String(), Blocks: half.Progress.Blocks, Before: half.Progress.Done, Seconds: leg.Durable}
	if a.Progress != nil {
		r.Copied, r.Bytes = a.Progress.Copied, a.Progress.Bytes
	}
	b.report.Resumed = append(b.report.Resumed, r)
	_, err = m.do(order{Kind: emptyOrder})
	return err
}

// cpu is the processor time that all processes have used together, or all but the first, nanoseconds.
func (b *bench) cpu(others bool) (sum int64, err error) {
	for i, m := range b.members {
		if i == 0 && others {
			continue
		}
		a, err := m.do(order{Kind: cpuOrder})
		if err != nil {
			return 0, err
		}
		sum += a.CPU
	}
	return sum, nil
}

// leg is how long something took without what the machine stood still, and the processor time that it took since that was before.
func (b *bench) leg(a answer, before int64) (Leg, error) {
	others, err := b.cpu(true)
	if err != nil {
		return Leg{}, err
	}
	seconds := func(to int64) (float64, error) {
		window := stall.Span{From: a.From, To: to}
		took := time.Duration(to - a.From)
		if b.o.Detector != nil {
			stalls, err := b.o.Detector.Stalled(b.ctx, window)
			if err != nil {
				return 0, err
			}
			took -= stall.Total(stall.Clip(stalls, window))
		}
		return took.Seconds(), nil
	}
	there, err := seconds(a.There)
	if err != nil {
		return Leg{}, err
	}
	durable, err := seconds(a.Durable)
	b.report.PeakMiB = max(b.report.PeakMiB, a.PeakMiB)
	return Leg{There: there, Durable: durable, CPU: float64(others+a.CPU-before) / 1e9}, err
}

func (m *member) start() error {
	m.stderr = &strings.Builder{}
	m.cmd = cluster.Child(exec.Command(m.command[0], m.command[1:]...))
	m.cmd.Stderr = m.stderr
	stdin, err := m.cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := m.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	m.stdin, m.orders, m.answers = stdin, json.NewEncoder(stdin), bufio.NewScanner(stdout)
	m.answers.Buffer(nil, 1<<20)
	return m.cmd.Start()
}

// do gives an order and takes the next answer.
func (m *member) do(o order) (answer, error) {
	if err := m.orders.Encode(o); err != nil {
		return answer{}, fmt.Errorf("bulk: process %d: %w", m.id, err)
	}
	return m.take()
}

func (m *member) take() (a answer, err error) {
	if !m.answers.Scan() {
		_ = m.cmd.Wait() // what it said last is more to the point
		return a, fmt.Errorf("bulk: process %d ended: %w: %s", m.id, cmp.Or(m.answers.Err(), io.EOF), strings.TrimSpace(m.stderr.String()))
	}
	if err := json.Unmarshal(m.answers.Bytes(), &a); err != nil {
		return a, fmt.Errorf("bulk: process %d: %w", m.id, err)
	}
	if a.Failed != "" {
		return a, fmt.Errorf("bulk: process %d: %s", m.id, a.Failed)
	}
	return a, nil
}

// kill ends all processes at once.
func (b *bench) kill() {
	for _, m := range b.members {
		if m.cmd != nil && m.cmd.Process != nil {
			_ = m.cmd.Process.Kill()
		}
	}
}

// close ends all processes.
func (b *bench) close() {
	for _, m := range b.members {
		if m.stdin != nil {
			_ = m.stdin.Close()
		}
	}
	for _, m := range b.members {
		if m.cmd == nil || m.cmd.Process == nil {
			continue
		}
		kill := time.AfterFunc(5*time.Second, func() { _ = m.cmd.Process.Kill() })
		_ = m.cmd.Wait()
		kill.Stop()
	}
}
