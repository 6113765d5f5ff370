// Command prime runs, makes and examines Prime clusters. There is one file per command; `prime --help` lists them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/primebft/prime/config"
)

// cli is the command line. A command is one field here and one file with a type that has Run(*globals) error, and Help() with
// an example; the order is that of the help.
type cli struct {
	Help     helpFlag `short:"h" help:"Show help; for one command with prime COMMAND --help."`
	LogLevel string   `enum:"debug,info,warn,error" default:"info" help:"What to log on standard error: debug, info, warn or error."`

	Init    initCmd    `cmd:"" help:"Make a runnable cluster folder in one step."`
	Keygen  keygenCmd  `cmd:"" help:"Make one replica's key on its own machine."`
	Deal    dealCmd    `cmd:"" help:"Deal key shares to everybody, for a cluster with threshold signatures."`
	Join    joinCmd    `cmd:"" help:"Make a cluster of everybody's public files."`
	Config  configCmd  `cmd:"" help:"Check, show or import a configuration."`
	Run     runCmd     `cmd:"" help:"Run one replica."`
	Submit  submitCmd  `cmd:"" help:"Submit updates to a running replica and wait for their results."`
	Watch   watchCmd   `cmd:"" help:"Print the ordered stream of a running replica."`
	Status  statusCmd  `cmd:"" help:"Show where a running replica is."`
	Demo    demoCmd    `cmd:"" help:"Run a whole cluster on this machine for a moment, with load, and watch it."`
	Lab     labCmd     `cmd:"" help:"Attack a cluster on this machine, break its links, kill its leader, and watch what follows."`
	Bench   benchCmd   `cmd:"" help:"Measure a cluster."`
	Sim     simCmd     `cmd:"" help:"Run the protocol in simulated worlds that try to break it."`
	Version versionCmd `cmd:"" help:"Show version, revision and wire version."`

	StallWatch stallWatchCmd `cmd:"" hidden:"" help:"Watch for stalls of the whole machine, for demo and bench."`
	FloorNode  floorNodeCmd  `cmd:"" hidden:"" help:"One process of the floor, for bench."`
	BulkNode   bulkNodeCmd   `cmd:"" hidden:"" help:"One process of a state transfer, for bench."`
}

// Exit codes, of every command.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or configuration
)

// globals is what every command gets.
type globals struct {
	ctx context.Context // ended by the first SIGINT or SIGTERM; the second ends the process
	in  io.Reader
	out io.Writer // results: what scripts read
	err io.Writer // everything else
	log *slog.Logger
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // back to the default: a second signal ends at once
	os.Exit(runContext(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes one command line in this process and returns its exit code.
func run(args []string, in io.Reader, out, err io.Writer) int {
	return runContext(context.Background(), args, in, out, err)
}

// runContext is run with an end from outside.
func runContext(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	var c cli
	parser, err := kong.New(&c,
		kong.Name("prime"),
		kong.Description("Byzantine replication with bounded delay, even while under attack."),
		kong.NoDefaultHelp(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
		kong.Writers(out, errOut),
		kong.Exit(func(int) {})) // exit codes are decided below
	if err != nil {
		fmt.Fprintln(errOut, "prime: command line:", err)
		return exitFailed
	}
	if len(args) == 0 || args[0] == "help" { // people try it
		args = append(slices.Clone(args[min(1, len(args)):]), "--help")
	}
	command, err := parser.Parse(args)
	if errors.Is(err, errHelpShown) {
		return exitDone
	}
	if err != nil {
		fmt.Fprintf(errOut, "prime: %v\nprime: see prime --help, or prime COMMAND --help for an example\n", err)
		return exitUsage
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		fmt.Fprintln(errOut, "prime: --log-level:", err)
		return exitUsage
	}
	g := &globals{ctx: ctx, in: in, out: out, err: errOut,
		log: slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: level}))}
	return report(errOut, command.Run(g))
}

// report prints what went wrong, one line for each fault, and chooses the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	problems := config.Problems(err)
	for _, p := range problems {
		fmt.Fprintln(w, "prime:", p)
	}
	var code interface{ ExitCode() int }
	isCode := errors.As(err, &code)
	silent := errors.Is(err, errReported)
	switch {
	case len(problems) > 0:
		return exitUsage
	case isCode:
		if !silent {
			fmt.Fprintln(w, "prime:", err)
		}
		return code.ExitCode()
	default:
		if !silent {
			fmt.Fprintln(w, "prime:", err)
		}
		return exitFailed
	}
}

// errReported is wrapped by errors that the command has already told in its own way.
var errReported = errors.New("reported")

// usageError makes an error of the command line or the configuration: exit code 2.
func usageError(err error) error { return usage{err} }

type usage struct{ error }

func (usage) ExitCode() int   { return exitUsage }
func (u usage) Unwrap() error { return u.error }

// helpFlag prints help and ends the command, without the process.
type helpFlag bool

var errHelpShown = errors.New("help was shown")

// BeforeReset is called by the parser when the flag is seen, before it looks for what is missing.
func (helpFlag) BeforeReset(command *kong.Context) error {
	if err := command.PrintUsage(false); err != nil {
		return err
	}
	return errHelpShown
}

// IsBool tells the parser that the flag takes no value.
func (helpFlag) IsBool() bool { return true }

// printJSON writes v to standard output as indented JSON and a line break.
func (g *globals) printJSON(v any) error {
	e := json.NewEncoder(g.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
