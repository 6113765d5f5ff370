package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/primebft/prime/internal/bench/bulk"
	"github.com/primebft/prime/internal/bench/stall"
)

// transferFlags are those of prime bench for state transfer.
type transferFlags struct {
	Transfer byteSize `placeholder:"SIZE" help:"Measure state transfer instead: a checkpoint of SIZE, for example 1GiB, to one replica from the others, against a plain copy."`
	Strategy string   `enum:"all,latency,bandwidth" default:"all" help:"With --transfer: all, latency or bandwidth."`
	Liars    string   `placeholder:"KIND" default:"all" help:"With --transfer: what f replicas do: none, wrong, digest, silent or slow, or several with commas; all is each in turn."`
	KillHalf bool     `help:"With --transfer: also kill the fetching process in the middle, and let it go on."`
}

// byteSize is a number of bytes as people write it.
type byteSize int64

// UnmarshalText reads a number, or one with KiB, MiB or GiB behind it.
func (s *byteSize) UnmarshalText(text []byte) error {
	digits, unit := string(text), int64(1)
	for i, name := range []string{"KiB", "MiB", "GiB"} {
		if rest, ok := strings.CutSuffix(digits, name); ok {
			digits, unit = rest, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || n < 1 || n > (1<<40)/unit {
		return fmt.Errorf("%q is no size like 64MiB or 1GiB, of at most 1 TiB", text)
	}
	*s = byteSize(n * unit)
	return nil
}

// options are what is measured.
func (c *transferFlags) options() (o bulk.Options, err error) {
	o.Bytes, o.Kill = int64(c.Transfer), c.KillHalf
	for _, s := range bulk.Strategies() {
		if c.Strategy == "all" || s.Name == c.Strategy {
			o.Strategies = append(o.Strategies, s)
		}
	}
	if c.Liars == "all" {
		o.Lies = bulk.Lies
		return o, nil
	}
	for _, word := range strings.Split(c.Liars, ",") {
		if !slices.Contains(bulk.Lies, bulk.Lie(word)) {
			return o, usageError(fmt.Errorf("--liars %s: none, wrong, digest, silent and slow are possible, or all", word))
		}
		o.Lies = append(o.Lies, bulk.Lie(word))
	}
	return o, nil
}

// transfer measures state transfer. The files are in the folder in which the command runs: temporary folders may be memory.
func (c *benchCmd) transfer(g *globals) (err error) {
	if c.Dir != "" || c.Floor || c.Table || c.WAN != "" || len(c.Attack) > 0 {
		return usageError(errors.New("--transfer has processes of its own: leave out --dir, --floor, --table, --wan and --attack"))
	}
	o, err := c.transferFlags.options()
	if err != nil {
		return err
	}
	if o.Group, err = c.group(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if o.Detector, err = stall.Start(self, "stall-watch"); err != nil {
		return err
	}
	defer o.Detector.Close()
	dir, err := os.MkdirTemp(".", "prime-transfer-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o.Dir, o.Command, o.Rounds = filepath.Join(dir, "cluster"), []string{self, "bulk-node"}, c.Rounds
	o.Say = func(text string) { fmt.Fprintln(g.err, text) }
	report, err := bulk.Run(g.ctx, o)
	if err != nil {
		return err
	}
	if c.JSON {
		return g.printLine(report)
	}
	report.Print(g.out)
	return nil
}

// bulkNodeCmd is a process of a transfer.
type bulkNodeCmd struct {
	Dir string `arg:"" help:"Folder of the member."`
	profileFlag
}

// Run serves until standard input ends.
func (c *bulkNodeCmd) Run(g *globals) error {
	stop, err := c.profileFlag.start()
	if err != nil {
		return err
	}
	defer stop()
	return bulk.Serve(c.Dir, g.in, g.out)
}
