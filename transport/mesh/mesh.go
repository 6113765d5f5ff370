// Package mesh connects replicas by mutually authenticated TLS 1.3 links, one TCP connection per pair and class, with every
// peer's Ed25519 key pinned. Above the connections, each peer has one scheduler from which the writers of its connections
// pull (see transport/internal/schedule).
//
// Where UDP gets through, frames go over datagrams sealed with keys that the connections export (internal/datagram,
// transport/internal/seal), so that a lost packet delays nothing but itself; a connection is then what keys come from, what large
// frames and BULK take, and what everything falls back to. See docs/adr/0008.
//
// The replica with the smaller id dials; the other calls it if it has to wait. On a connection, after the handshake and one hello each
// way, frames follow each other: a 4-byte little-endian length and so
// many bytes. A length of zero on the RECON connection asks the peer, who is the one to dial, to open the BULK connection.
package mesh

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/transport"
)

// Mesh is a transport.Transport over TLS.
type Mesh struct {
	o         Options
	own       hello
	cert      tls.Certificate
	from      netip.Addr                   // where to dial from; invalid: let the system choose
	peers     [group.MaxReplicas + 1]*peer // by id; nil: not a peer
	byKey     map[[ed25519.PublicKeySize]byte]int
	gate      *gate
	log       *quiet
	clock     *clock.Real
	handler   transport.Handler
	listener  net.Listener
	ctx       context.Context // ends when the mesh is closed
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	mu        sync.Mutex // of started and closed
	started   bool
	closed    bool
	strangers atomic.Uint64
	looked    atomic.Int64 // when this process last saw that it runs

	path     transport.Path                  // nil: the network
	pumped   bool                            // lanes have pumps
	sockets  sockets                         // none if datagrams are off or cannot be used
	put      func(transport.Class, outgoing) // gives a datagram to the system
	noUDP    error                           // why not
	sessions sessions
	discards discards
}

var _ transport.Pathed = (*Mesh)(nil)

// New checks the options and makes a mesh. Nothing is opened before Start.
func New(o Options) (*Mesh, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.setDefaults()
	cert, err := certificate(o.Key)
	if err != nil {
		return nil, err
	}
	m := &Mesh{
		o:     o,
		own:   hello{from: uint8(o.Self), epoch: o.Epoch, cluster: o.ClusterID, config: o.ConfigDigest},
		cert:  cert,
		byKey: map[[ed25519.PublicKeySize]byte]int{},
		log:   newQuiet(o.Logger),
		clock: clock.NewReal(),
	}
	m.put = m.write
	m.ctx, m.cancel = context.WithCancel(context.Background())
	sources := o.Self
	for _, p := range o.Peers {
		sources = max(sources, p.ID)
	}
	var ids []int
	for _, p := range o.Peers {
		if p.ID == o.Self {
			m.from = ownAddress(p.Address)
			continue
		}
		if other := m.byKey[[32]byte(p.PublicKey)]; other != 0 {
			return nil, fmt.Errorf("transport: r%d and r%d have the same public key: every replica needs its own", other, p.ID)
		}
		s, err := pairSecret(o.Key, p.PublicKey, o.ClusterID)
		if err != nil {
			return nil, fmt.Errorf("transport: the public key of r%d is not valid: %w", p.ID, err)
		}
		m.byKey[[32]byte(p.PublicKey)] = p.ID
		m.peers[p.ID] = newPeer(m, p, s, sources)
		ids = append(ids, p.ID)
	}
	m.gate = newGate(ids, o.Network.HandshakeRate)
	return m, nil
}

// ownAddress is the address that peers know this replica by, if it is a literal one that can be dialled from.
func ownAddress(hostport string) netip.Addr {
	ap, err := netip.ParseAddrPort(hostport)
	if err != nil || ap.Addr().IsUnspecified() {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// Start listens, dials and delivers to h.
func (m *Mesh) Start(h transport.Handler) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return transport.ErrClosed
	}
	if m.started {
		return fmt.Errorf("transport: started twice")
	}
	listener := m.o.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", m.o.Listen); err != nil {
			return fmt.Errorf("transport: cannot listen for peers on %s (ListenPeers): %w", m.o.Listen, err)
		}
	}
	m.started, m.handler, m.listener = true, h, listener
	if m.Datagrams() {
		if m.noUDP = m.openSockets(); m.noUDP != nil {
			m.warn(0, "datagrams cannot be used: frames go over TLS", slog.String("cause", clip(m.noUDP.Error())))
		}
	}
	m.pumped = m.path != nil || len(m.sockets.all) > 0 || m.o.Network.RateBits > 0
	m.looked.Store(int64(m.clock.Now()))
	m.watchAddresses()
	for _, conn := range m.sockets.all {
		m.wg.Go(func() { m.receiveLoop(conn) })
	}
	for _, p := range m.peers {
		if p != nil {
			p.start()
		}
	}
	m.wg.Go(m.acceptLoop)
	if m.o.Stale > 0 {
		m.wg.Go(m.vigilLoop)
	}
	return nil
}

// Through makes everything leave over a path. It is called before Start.
func (m *Mesh) Through(p transport.Path) { m.path = p }

// Datagrams reports whether datagrams are used where they get through.
func (m *Mesh) Datagrams() bool { return m.o.Network.Datagrams == config.DatagramsAuto }

// Send queues a frame for a peer. Frames that are empty or too large are dropped and counted; so are frames of no class.
func (m *Mesh) Send(to int, f transport.Frame) {
	if to < 1 || to >= len(m.peers) || m.peers[to] == nil {
		return
	}
	m.peers[to].send(f)
}

// Peers is the state of every link.
func (m *Mesh) Peers() []transport.Peer {
	all := make([]transport.Peer, 0, len(m.byKey))
	for _, p := range m.peers {
		if p != nil {
			all = append(all, p.state())
		}
	}
	return all
}

// Strangers is how many connections were closed before their handshake because no peer is configured at their address.
func (m *Mesh) Strangers() uint64 { return m.strangers.Load() }

// Close stops everything and waits until the handler has returned for the last time. What is still queued is lost.
func (m *Mesh) Close() error {
	m.mu.Lock()
	first, started := !m.closed, m.started
	m.closed = true
	m.mu.Unlock()
	if first {
		m.cancel()
		switch {
		case started:
			_ = m.listener.Close()
		case m.o.Listener != nil:
			_ = m.o.Listener.Close()
		}
		for _, p := range m.peers {
			if p != nil {
				p.stop()
			}
		}
		m.sockets.closeAll()
	}
	m.wg.Wait()
	return nil
}

// warn logs one line about a peer.
func (m *Mesh) warn(peer int, reason string, attrs ...slog.Attr) {
	m.log.say(slog.LevelWarn, peer, reason, attrs...)
}

// names are the peers' ids, ascending.
func (m *Mesh) names() []int {
	ids := make([]int, 0, len(m.byKey))
	for _, id := range m.byKey {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
