package prime

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/primebft/prime/internal/node"
	"github.com/primebft/prime/threshold"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/mesh"
)

// Option changes how a replica is opened.
type Option func(*options)

type options struct {
	transport transport.Transport
	wrap      func(transport.Transport) (transport.Transport, error)
	log       *slog.Logger
	noClients bool
	threshold threshold.Scheme
	check     bool
	machine   node.Wrap
	peers     net.Listener
	clients   net.Listener
}

// WithTransport connects the replica with its peers by t instead of TLS links; the replica starts and closes it. Tests use
// transport/memory.
func WithTransport(t transport.Transport) Option { return func(o *options) { o.transport = t } }

// WithWrappedTransport makes the replica use what wrap returns in place of its transport, for example one that emulates other
// links. If wrap fails, the replica does not start; otherwise what it returns owns what it was given.
func WithWrappedTransport(wrap func(transport.Transport) (transport.Transport, error)) Option {
	return func(o *options) { o.wrap = wrap }
}

// WithLogger makes the replica log to l. The default logs nothing.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.log = l } }

// WithListeners gives the replica sockets that already listen, for peers and for clients, instead of the configured
// addresses. Either may be nil. The replica closes them.
func WithListeners(peers, clients net.Listener) Option {
	return func(o *options) { o.peers, o.clients = peers, clients }
}

// WithoutClients opens no port for clients: only the program itself submits.
func WithoutClients() Option { return func(o *options) { o.noClients = true } }

// WithThreshold gives the replica the threshold signature scheme of a cluster whose setting proof asks for one, for example
// bls.Scheme{} of package threshold/bls. In a cluster whose proofs are lists it makes no difference. It is an option, so that
// programs that do not need such a scheme do not contain it.
func WithThreshold(s threshold.Scheme) Option { return func(o *options) { o.threshold = s } }

// WithChecks verifies the costly invariants of the protocol too, at every step.
func WithChecks() Option { return func(o *options) { o.check = true } }

// WithMachine puts something around the protocol core. It is for this project's own command, which lets replicas misbehave in
// demonstrations; other programs have no name for what it takes.
func WithMachine(wrap node.Wrap) Option { return func(o *options) { o.machine = wrap } }

func newOptions(list []Option) *options {
	o := &options{log: slog.New(slog.DiscardHandler)}
	for _, set := range list {
		set(o)
	}
	return o
}

// listen opens the sockets that have not been given.
func (o *options) listen(cfg Config) error {
	peers, clients := cfg.Listen()
	if o.peers == nil && o.transport == nil {
		l, err := net.Listen("tcp", peers)
		if err != nil {
			return listenError("peers", peers, err)
		}
		o.peers = l
	}
	if o.clients == nil && !o.noClients {
		l, err := net.Listen("tcp", clients)
		if err != nil {
			return listenError("clients", clients, err)
		}
		o.clients = l
	}
	return nil
}

func listenError(whom, address string, err error) error {
	return fmt.Errorf("cannot listen for %s on %s: %w; stop whoever has the address, or set listen_%s in node.toml (the other "+
		"replicas find this one by cluster.toml)", whom, address, err, whom)
}

// connect makes the transport, and wraps it if that was asked for.
func (o *options) connect(cfg Config) (transport.Transport, error) {
	t, err := o.links(cfg)
	if err != nil || o.wrap == nil {
		return t, err
	}
	wrapped, err := o.wrap(t)
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return wrapped, nil
}

// stale is how old what is sent may become for want of a connection: what is newer helps a peer that is back, what is older only keeps
// it from that, because others fetch segments of the order by then.
const stale = time.Second

// links makes the transport, of TLS links unless one was given.
func (o *options) links(cfg Config) (transport.Transport, error) {
	if o.transport != nil {
		return o.transport, nil
	}
	c := cfg.Cluster
	m := mesh.Options{
		Self: cfg.Node.ID, ClusterID: c.ID, ConfigDigest: c.Digest(), Epoch: c.Epoch, Listener: o.peers, Key: cfg.Key,
		Network: cfg.Node.Network, MaxFrame: node.MaxFrame(c), Logger: o.log, TimelyContract: timelyContract(cfg), Stale: stale,
	}
	for _, r := range c.Replicas {
		m.Peers = append(m.Peers, mesh.Peer{ID: r.ID, Address: r.PeerAddress, PublicKey: r.PublicKey})
	}
	return mesh.New(m)
}

// timelySlack is how many times as much TIMELY traffic as a correct leader needs one source may send: the contract is there
// to stop floods, and must never demote a correct leader.
const timelySlack = 4

// timelyContract is what one source may send in class TIMELY over one link: a PRE-PREPARE in each Propose interval, a
// SUMMARY-MATRIX in each Matrix interval, an RTT-PING and an RTT-PONG in each Ping interval, and in a view change a VC-PROOF or
// REPLAY in each Retransmit interval, all of the largest size, with slack. Without intervals there is no limit.
func timelyContract(cfg Config) mesh.Contract {
	t := cfg.Node.Timing
	if t.Propose <= 0 || t.Matrix <= 0 {
		return mesh.Contract{}
	}
	frame := float64(node.MaxFrame(cfg.Cluster)(transport.Timely))
	perSecond := frame * (1/t.Propose.Seconds() + 1/t.Matrix.Seconds() + 1/t.Retransmit.Seconds())
	if ping := cfg.Node.Suspect.Ping; ping > 0 {
		perSecond += frame * 2 / ping.Seconds()
	}
	return mesh.Contract{
		BytesPerSecond: int(timelySlack * perSecond),
		Burst:          int(timelySlack * frame * float64(2*cfg.Cluster.Limits.OrdinalWindow)),
	}
}

// close closes the sockets that nobody has taken over.
func (o *options) close() error {
	var errs []error
	for _, l := range []net.Listener{o.peers, o.clients} {
		if l == nil {
			continue
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
