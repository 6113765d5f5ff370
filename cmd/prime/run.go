package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/primebft/prime"
	"github.com/primebft/prime/app"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/appsocket"
	"github.com/primebft/prime/internal/local"
	"github.com/primebft/prime/internal/marker"
	"github.com/primebft/prime/internal/unixsock"
	"github.com/primebft/prime/threshold/bls"
)

// runCmd is prime run.
type runCmd struct {
	Dir string `required:"" help:"The replica's folder, for example demo/r1."`
	profileFlag
	wanFlag
	Puppet bool `hidden:"" help:"Obey prime lab on standard input, and note things on standard output."`
}

// Help is shown below the flags.
func (*runCmd) Help() string {
	return `Serves until SIGINT or SIGTERM. It stops then: it takes no more updates, waits for those that it has accepted
(timing.drain in node.toml at most), and exits 0; a second signal ends it at once. It prints a line "ready" on standard error when
it has gone through its log, if it ran before, and is connected to a quorum of replicas, itself included. The application is app.kind in node.toml; one in a process of its own
attaches to DIR/app.sock (docs/application-socket.md).

Example:
  prime init --dir demo
  for i in 1 2 3 4; do prime run --dir demo/r$i & done`
}

// Run serves.
func (c *runCmd) Run(g *globals) error {
	cfg, err := config.Load(c.Dir)
	if err != nil {
		return err
	}
	var strings *puppet
	if c.Puppet {
		strings = newPuppet(g.out, len(cfg.Cluster.Replicas))
		defer strings.notes.Close()
	}
	options, err := c.options(cfg, strings)
	if err != nil {
		return err
	}
	if err := c.inspect(cfg); err != nil {
		return err
	}
	stop, err := c.profileFlag.start()
	if err != nil {
		return err
	}
	defer stop()
	application, socket := application(cfg, g.log)
	if c.WAN != "" {
		g.log.Warn("the links to other replicas are emulated", "profile", c.WAN)
	}
	r, err := prime.Open(cfg, application, append(options, prime.WithLogger(g.log), prime.WithThreshold(bls.Scheme{}))...)
	if err != nil {
		return err
	}
	control, err := c.listen(cfg, r, socket, g.log)
	if err != nil {
		return errors.Join(err, r.CloseNow())
	}
	if strings != nil {
		ctx, stop := context.WithCancel(g.ctx)
		g.ctx = ctx
		go func() {
			defer stop() // whoever pulls the strings has let go
			strings.obey(g.in)
		}()
	}
	return errors.Join(c.serve(g, cfg, r), control.Close())
}

// inspect finds what would stop the start later, when the folder is marked as used already. It changes nothing.
func (c *runCmd) inspect(cfg config.Config) error {
	lock := marker.Lock
	if cfg.Node.Storage.Mode == config.StorageDurable {
		lock = marker.LockDurable
	}
	folder, err := lock(cfg.Dir)
	if err != nil {
		return err
	}
	folder.Release()
	if err := unixsock.Check(cfg.Dir, local.SocketName); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if cfg.Node.App.Kind == "socket" {
		return appsocket.Check(cfg.Dir, cfg.Node.App.Socket)
	}
	return nil
}

// listen opens the sockets in the folder, which this process has locked.
func (c *runCmd) listen(cfg config.Config, r *prime.Replica, socket *appsocket.Server, log *slog.Logger) (*local.Server, error) {
	if socket != nil {
		if err := socket.Listen(cfg.Dir, cfg.Node.App.Socket); err != nil {
			return nil, err
		}
	}
	return local.Serve(cfg.Dir, control{r, cfg}, log)
}

// serve waits for the end and brings it about. The control socket stays open so that updates still get their results.
func (c *runCmd) serve(g *globals, cfg config.Config, r *prime.Replica) error {
	ready := make(chan struct{})
	go func() {
		defer close(ready)
		if r.Ready(g.ctx) == nil {
			fmt.Fprintln(g.err, "ready")
		}
	}()
	select {
	case <-r.Done():
	case <-g.ctx.Done():
		g.log.Info("stopping", "drain", cfg.Node.Timing.Drain)
	}
	if err := r.Close(); err != nil && r.Err() == nil {
		g.log.Warn("stopped with work left undone", "what", err)
	}
	<-ready
	return r.Err()
}

// control is the replica as its control socket sees it.
type control struct {
	replica *prime.Replica
	cfg     config.Config
}

// Info implements local.Replica.
func (c control) Info() local.Info {
	return local.Info{Replica: c.cfg.Node.ID, Epoch: c.cfg.Cluster.Epoch, UpdateBytes: c.cfg.Cluster.Limits.UpdateBytes}
}

// Submit implements local.Replica.
func (c control) Submit(ctx context.Context, payload []byte, done func(local.Result, error)) {
	c.replica.SubmitAsync(ctx, payload, func(r prime.Result, err error) {
		if err != nil {
			done(local.Result{}, c.failure(err))
			return
		}
		done(local.Result(r), nil)
	})
}

// Watch implements local.Replica.
func (c control) Watch(ctx context.Context, from uint64, emit func([]app.Record) error) error {
	for {
		batch, err := c.replica.Records(ctx, from)
		if errors.Is(err, prime.ErrClosed) {
			return &local.Failure{Code: local.Closed, Text: fmt.Sprintf("r%d has stopped: watch another replica", c.cfg.Node.ID)}
		}
		if err != nil {
			return c.failure(err)
		}
		if err := emit(batch); err != nil {
			return err
		}
		from = batch[len(batch)-1].Ordinal + 1
	}
}

// Status implements local.Replica.
func (c control) Status() (any, error) { return c.replica.Status(), nil }

// failure makes an error one that the other side of the socket can tell apart.
func (c control) failure(err error) error {
	var gone *prime.RecordsGone
	f := &local.Failure{Text: err.Error()}
	switch {
	case errors.As(err, &gone):
		f.Code, f.Oldest = local.Gone, gone.Oldest
	case errors.Is(err, prime.ErrOutcomeUnknown):
		f.Code = local.Unknown
	case errors.Is(err, prime.ErrOverloaded):
		f.Code = local.Overloaded
		f.Text += "; try again later, submit to another replica, or raise queues.submit_bytes in node.toml"
	case errors.Is(err, prime.ErrOversized):
		f.Code = local.Oversized
	case errors.Is(err, prime.ErrSessionExpired):
		f.Code = local.Expired
		f.Text += "; submit it again"
	case errors.Is(err, prime.ErrClosed):
		f.Code = local.Closed
		f.Text = fmt.Sprintf("r%d stops and takes no more updates: submit to another replica", c.cfg.Node.ID)
	}
	return f
}
