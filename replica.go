package prime

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/gateway"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/node"
	"github.com/primebft/prime/internal/reply"
	"github.com/primebft/prime/internal/sign"
	"github.com/primebft/prime/internal/wire"
)

// Result is the outcome of an update: its place in the order, and what this replica's application returned for it.
type Result struct {
	Epoch   uint32
	Ordinal uint64
	Index   uint32
	Client  [32]byte // who submitted it: here, the replica's own key
	Seq     uint64
	Result  []byte // shared: do not change it
}

// Status is where a replica is, for people and scripts.
type Status = node.Status

// Drop is a line of Status: messages of one peer that were dropped for one reason.
type Drop = node.Drop

// Replica is a running replica. Its methods may be called by many goroutines at once.
type Replica struct {
	cfg     Config
	quorum  int
	node    *node.Node
	session *session
	gateway *gateway.Gateway // nil if it serves no clients
	ended   chan struct{}    // closed when everything has ended
}

// Open starts a replica with its application: it takes the folder cfg.Dir, listens for peers and clients, and connects to
// its peers. Faults of cfg are *config.Problem, all of them; ErrFolderUsed and ErrFolderInUse say that the folder cannot be
// used; an address that cannot be listened on is named. A start that fails leaves the folder as it was.
func Open(cfg Config, a app.Application, options ...Option) (*Replica, error) {
	o := newOptions(options)
	if err := cfg.Validate(); err != nil {
		return nil, errors.Join(err, o.close())
	}
	g, err := cfg.Cluster.Group()
	if err != nil {
		return nil, errors.Join(err, o.close())
	}
	if err := o.listen(cfg); err != nil {
		return nil, errors.Join(err, o.close())
	}
	net, err := o.connect(cfg)
	if err != nil {
		return nil, errors.Join(err, o.close())
	}
	o.peers = nil // the transport closes it
	n, err := node.Open(cfg, a, node.Options{
		Transport: net, Log: o.log, Threshold: o.threshold, Check: o.check, Wrap: o.machine,
	})
	if err != nil {
		return nil, errors.Join(err, o.close())
	}
	r := &Replica{cfg: cfg, quorum: g.Quorum(), node: n, ended: make(chan struct{})}
	if err := r.serve(o, g); err != nil {
		return nil, errors.Join(err, n.CloseNow(), o.close())
	}
	return r, nil
}

// serve begins to take updates.
func (r *Replica) serve(o *options, g group.Group) error {
	var scheme sign.Scheme
	if r.cfg.Cluster.Auth == config.AuthClient {
		var err error
		if scheme, err = sign.ForRule(r.cfg.Cluster.Verification); err != nil {
			return err
		}
	}
	r.session = newSession(r.node, r.cfg.Key, scheme, r.cfg.Cluster.Limits.SessionWindow)
	r.node.OnMissed(r.session.missed)
	if o.clients != nil {
		var err error
		if r.gateway, err = gateway.Start(o.clients, r.gatewayConfig(g, o.log), backend{r.node}); err != nil {
			return err
		}
	}
	go r.watchEnd()
	return nil
}

func (r *Replica) gatewayConfig(g group.Group, log *slog.Logger) gateway.Config {
	self, keyring, verifier := group.ID(r.cfg.Node.ID), r.node.Keyring(), r.node.Verifier()
	network := r.cfg.Node.Network
	return gateway.Config{
		Cluster: r.cfg.Cluster.ID, Epoch: r.cfg.Cluster.Epoch, Replica: self, Group: g, Key: r.cfg.Key,
		Admit:         func(c wire.ClientID) bool { return keyring.Admits(&c, self) },
		SignedUpdates: r.cfg.Cluster.Auth == config.AuthClient,
		Verify:        func(u *wire.Update) bool { return verifier.VerifyUpdate(self, u) == nil },
		UpdateBytes:   r.cfg.Cluster.Limits.UpdateBytes, Window: r.cfg.Cluster.Limits.SessionWindow,
		Conns: network.ClientConns, Handshakes: network.ClientHandshake, HandshakeTimeout: network.Handshake, Log: log,
	}
}

// watchEnd passes the end of the application or of the node on to whoever waits for results.
func (r *Replica) watchEnd() {
	defer close(r.ended)
	select {
	case <-r.node.AppDone():
	case <-r.node.Done(): // and the application has not returned
	}
	why := r.node.Err()
	if why == nil {
		why = fmt.Errorf("%w: %s", ErrApplication, r.node.State())
		select {
		case <-r.node.Stopped():
			why = ErrClosed
		default:
		}
	}
	r.session.end(why)
	<-r.node.Done()
	if r.gateway != nil {
		_ = r.gateway.Close()
	}
}

// Submit hands in an update as this replica's own client and waits for its result. Errors: ErrOverloaded, ErrOversized,
// ErrApplication and ErrClosed if it has not been accepted; ErrOutcomeUnknown if ctx ended after it was; ErrSessionExpired.
// ctx alone bounds the wait.
func (r *Replica) Submit(ctx context.Context, payload []byte) (Result, error) {
	type outcome struct {
		result Result
		err    error
	}
	c := make(chan outcome, 1)
	r.session.submit(ctx, payload, func(result Result, err error) { c <- outcome{result, err} })
	o := <-c
	return o.result, o.err
}

// SubmitAsync is Submit for many updates under way at once: done is called exactly once with the outcome, perhaps before
// SubmitAsync returns, by a goroutine that it must not block. SubmitAsync itself waits while as many updates are under way as
// a session may have (Limits.SessionWindow). Updates that one goroutine hands in are introduced in that order.
func (r *Replica) SubmitAsync(ctx context.Context, payload []byte, done func(Result, error)) {
	r.session.submit(ctx, payload, done)
}

// Records returns the records of one or more whole ordinals from the given one on, and waits until there is one; 0 is the
// first that is executed after the call. Continue at the last record's ordinal plus one. The records are shared: do not
// change them. Errors: ErrRecordsGone, ErrClosed, or that of ctx.
func (r *Replica) Records(ctx context.Context, from uint64) ([]app.Record, error) {
	return r.node.Records().Next(ctx, from)
}

// Watch yields the ordered stream record by record from an ordinal on, 0 for from now on, until the caller stops. An error,
// as of Records, is the last thing that it yields. A watcher holds up nobody: one that is too slow gets ErrRecordsGone.
func (r *Replica) Watch(ctx context.Context, from uint64) iter.Seq2[app.Record, error] {
	return func(yield func(app.Record, error) bool) {
		for {
			batch, err := r.Records(ctx, from)
			if err != nil {
				yield(app.Record{}, err)
				return
			}
			for i := range batch {
				if !yield(batch[i], nil) {
					return
				}
			}
			from = batch[len(batch)-1].Ordinal + 1
		}
	}
}

// DigestAt is the digest of the stream of records up to an ordinal (see app.Chain); false if it is no longer held.
func (r *Replica) DigestAt(ordinal uint64) ([32]byte, bool) {
	return r.node.Records().DigestAt(ordinal)
}

// RequestTransfer has a transfer point ordered for this replica's application, an app.Transferrer: it wants to take over the state of
// the others although its replica has missed nothing. Two transfer points of one replica are at least ten seconds apart.
func (r *Replica) RequestTransfer() { r.node.RequestTransfer() }

// Status is where the replica is.
func (r *Replica) Status() Status { return r.node.Status() }

// readyPoll is how often Ready looks at the links.
const readyPoll = 10 * time.Millisecond

// Ready waits until the replica has gone through its log, if it ran before, and is connected to a quorum of replicas, itself included.
func (r *Replica) Ready(ctx context.Context) error {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for r.node.Connected() < r.quorum || r.node.Restoring() {
		select {
		case <-tick.C:
		case <-r.node.Done():
			return errors.Join(ErrClosed, r.node.Err())
		case <-ctx.Done():
			return fmt.Errorf("%s, connected to %d of %d replicas, itself included: %w", r.node.State(), r.node.Connected(), r.quorum, ctx.Err())
		}
	}
	return nil
}

// Close refuses new updates, waits until those that were accepted have their results, for Timing.Drain at most, gives clients
// a moment to read theirs, and ends the replica. An error says what was left undone.
func (r *Replica) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.Node.Timing.Drain)
	defer cancel()
	err := r.node.Drain(ctx)
	if r.gateway != nil {
		err = errors.Join(err, r.gateway.Close())
	}
	return errors.Join(err, r.CloseNow())
}

// CloseNow ends the replica at once. Updates under way get ErrOutcomeUnknown. An application that does not return from
// Deliver within a second is left behind, and the error says so; see app.Interrupter.
func (r *Replica) CloseNow() error {
	err := r.node.CloseNow()
	<-r.ended
	return err
}

// Done is closed when the replica has ended, by Close or because it crashed; Err says which.
func (r *Replica) Done() <-chan struct{} { return r.ended }

// Err is nil, or ErrCrashed with what happened.
func (r *Replica) Err() error { return r.node.Err() }

// backend is the node as the clients' port sees it.
type backend struct{ node *node.Node }

func (b backend) Submit(u wire.Update) error {
	err := b.node.Submit(u)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrOversized):
		return gateway.ErrOversized
	case errors.Is(err, ErrClosed):
		return gateway.ErrClosed
	}
	return gateway.ErrOverloaded
}

func (b backend) Replies() *reply.Store { return b.node.Replies() }
