package mesh

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/internal/schedule"
)

// Contract is how much TIMELY traffic one source may send over one link, in bytes per second and bytes at once; what exceeds
// it is sent as BOUNDED. It has to be enough for a correct leader. The zero Contract is no limit.
type Contract = schedule.Contract

// Flow is what a correct source sends as TIMELY: frames of at most Bytes, no more often than Every.
type Flow struct {
	Bytes int
	Every time.Duration
}

// bunching is how much of its traffic a correct source may send late and then at once, because something here kept it waiting.
const bunching = 500 * time.Millisecond

// ContractFor is a contract that a source keeps if it sends no more than the given flows, with a factor of two for repetitions.
// Without a shortest interval between frames there is no limit.
func ContractFor(flows ...Flow) Contract {
	var rate, burst float64
	for _, f := range flows {
		if f.Every <= 0 {
			return Contract{}
		}
		charged := float64(f.Bytes + schedule.FrameCost)
		rate += 2 * charged / f.Every.Seconds()
		burst += 8 * charged
	}
	return Contract{BytesPerSecond: int(rate) + 1, Burst: int(burst + rate*bunching.Seconds())}
}

// Peer is another replica.
type Peer struct {
	ID        int    // 1..n
	Address   string // host:port where it is dialled; its connections come from the same host
	PublicKey ed25519.PublicKey
}

// Options are what a mesh is made with. Self, Peers, Key, MaxFrame and one of Listen and Listener are required; all else has
// defaults.
type Options struct {
	Self           int                       // this replica
	ClusterID      [32]byte                  // replicas of another cluster are refused
	ConfigDigest   [32]byte                  // and replicas with another configuration,
	Epoch          uint32                    // or of another epoch
	Peers          []Peer                    // the other replicas; an entry for Self says which address to dial from
	Listen         string                    // host:port to listen on
	Listener       net.Listener              // instead of Listen; the mesh closes it
	Key            ed25519.PrivateKey        // of this replica
	Network        config.Network            //
	MaxFrame       func(transport.Class) int // largest frame, bytes; larger ones are neither sent nor accepted
	Logger         *slog.Logger              // nil: nothing is logged
	TimelyContract Contract                  // per source and link
	WriteTimeout   time.Duration             // a peer that takes or acknowledges nothing for so long is disconnected; 10 s if zero
	Stale          time.Duration             // what has waited for so long for a connection is dropped, and what came while this process stood still for twice as long; 0: never
}

// Defaults for settings that are zero.
const (
	defaultBudget        = 1 << 20
	defaultDialMin       = 50 * time.Millisecond
	defaultDialMax       = 5 * time.Second
	defaultHandshake     = 5 * time.Second
	defaultHandshakeRate = 2
	defaultWriteTimeout  = 10 * time.Second
)

// maxFrameLimit is the largest frame that any configuration may allow: the length word could say more, memory could not.
const maxFrameLimit = 64 << 20

func (o *Options) setDefaults() {
	n := &o.Network
	setDefault(&n.BudgetBytes, defaultBudget)
	setDefault(&n.DialMin, defaultDialMin)
	setDefault(&n.DialMax, max(defaultDialMax, n.DialMin))
	setDefault(&n.Handshake, defaultHandshake)
	setDefault(&n.HandshakeRate, defaultHandshakeRate)
	setDefault(&o.WriteTimeout, defaultWriteTimeout)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func setDefault[T int | float64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func (o *Options) check() error {
	switch {
	case o.Self < 1 || o.Self > group.MaxReplicas:
		return fmt.Errorf("transport: Self is %d: it must be 1..%d", o.Self, group.MaxReplicas)
	case len(o.Key) != ed25519.PrivateKeySize:
		return fmt.Errorf("transport: Key has %d bytes: an Ed25519 private key has %d", len(o.Key), ed25519.PrivateKeySize)
	case o.MaxFrame == nil:
		return errors.New("transport: MaxFrame is missing: it says how large a frame of each class may be")
	case o.Listen == "" && o.Listener == nil:
		return errors.New("transport: Listen is empty: it is the host:port on which peers connect")
	}
	for c := transport.Timely; c <= transport.Bulk; c++ {
		if n := o.MaxFrame(c); n < 1 || n > maxFrameLimit {
			return fmt.Errorf("transport: MaxFrame(%s) is %d bytes: it must be 1..%d", c, n, maxFrameLimit)
		}
	}
	seen := map[int]bool{}
	for _, p := range o.Peers {
		if err := p.check(); err != nil {
			return err
		}
		if seen[p.ID] {
			return fmt.Errorf("transport: r%d is in Peers twice", p.ID)
		}
		seen[p.ID] = true
	}
	return nil
}

func (p *Peer) check() error {
	if p.ID < 1 || p.ID > group.MaxReplicas {
		return fmt.Errorf("transport: a peer has id %d: it must be 1..%d", p.ID, group.MaxReplicas)
	}
	if len(p.PublicKey) != ed25519.PublicKeySize {
		return fmt.Errorf("transport: the public key of r%d has %d bytes: an Ed25519 key has %d",
			p.ID, len(p.PublicKey), ed25519.PublicKeySize)
	}
	host, _, err := net.SplitHostPort(p.Address)
	if err != nil {
		return fmt.Errorf("transport: address %q of r%d is not host:port: %w", p.Address, p.ID, err)
	}
	if host == "" {
		return fmt.Errorf("transport: address %q of r%d has no host: peers could not tell its connections from others", p.Address, p.ID)
	}
	return nil
}
