package mesh

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/primebft/prime/internal/datagram"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/internal/seal"
)

// socketBuffer is what the kernel is asked to keep of a class until it is read; it may keep less.
const socketBuffer = 4 << 20

// datagramClasses are the classes that go over datagrams. BULK is state transfer: it has no deadline, and TCP is good at it.
var datagramClasses = [...]transport.Class{transport.Timely, transport.Bounded, transport.Recon}

// Discards are datagrams that were thrown away before they were known to be a peer's, by reason. None of them was answered.
type Discards struct {
	Strangers uint64 // from an address at which no peer is configured
	Malformed uint64 // of a wrong length or header
	Unknown   uint64 // of a session that does not exist
	Forged    uint64 // not made by the peer
	Replayed  uint64 // seen before, or too old to tell
}

// discards counts them.
type discards struct{ strangers, malformed, unknown, forged, replayed atomic.Uint64 }

func (d *discards) load() Discards {
	return Discards{d.strangers.Load(), d.malformed.Load(), d.unknown.Load(), d.forged.Load(), d.replayed.Load()}
}

// sockets are where datagrams come in and go out: one for each class where the system can tell them apart on one port, so that
// neither queues nor marks are shared; otherwise one for all.
type sockets struct {
	class [wire.Classes]*net.UDPConn // nil for classes that do not use datagrams
	all   []*net.UDPConn             // each once
}

// sessions are those of all peers, by what packets say of theirs.
type sessions struct {
	mu  sync.RWMutex
	all map[seal.Header]*session
}

// add registers a session; false if another one has its number.
func (t *sessions) add(s *session) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := s.header()
	if t.all == nil {
		t.all = map[seal.Header]*session{}
	}
	if t.all[k] != nil {
		return false
	}
	t.all[k] = s
	return true
}

func (t *sessions) remove(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, s.header())
}

func (t *sessions) find(h seal.Header) *session {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.all[h]
}

// openSockets opens the sockets at the address at which connections are taken.
func (m *Mesh) openSockets() error {
	at, ok := m.listener.Addr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("%s is not a TCP address", m.listener.Addr())
	}
	s, err := bindSockets(at.AddrPort())
	if err != nil {
		return err
	}
	for _, c := range datagramClasses {
		if raw, err := s.class[c-1].SyscallConn(); err == nil && m.o.Network.DSCP && len(s.all) > 1 {
			_ = raw.Control(func(fd uintptr) { markPackets(int(fd), trafficClass(c)) })
		}
	}
	for _, conn := range s.all {
		_ = conn.SetReadBuffer(socketBuffer)
	}
	m.sockets = s
	return nil
}

// write gives a datagram to the system.
func (m *Mesh) write(c transport.Class, o outgoing) {
	_, _ = m.sockets.class[c-1].WriteToUDPAddrPort(o.packet, o.to)
}

// closeAll closes every socket.
func (s *sockets) closeAll() {
	for _, conn := range s.all {
		_ = conn.Close()
	}
}

// receiveLoop reads datagrams of a socket until it is closed. What is not a peer's is thrown away without an answer and without
// taking memory, the cheap tests first (network.md 4.5).
func (m *Mesh) receiveLoop(conn *net.UDPConn) {
	packet := make([]byte, datagram.Payload+1)
	body := make([]byte, 0, datagram.Payload)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(packet)
		if err != nil {
			if errors.Is(err, net.ErrClosed) || m.ctx.Err() != nil {
				return
			}
			m.warn(0, "cannot read datagrams", slog.String("cause", clip(err.Error())))
			select {
			case <-time.After(time.Millisecond):
			case <-m.ctx.Done():
				return
			}
			continue
		}
		m.receive(packet[:n], from, body)
	}
}

// receive takes a datagram.
func (m *Mesh) receive(packet []byte, from netip.AddrPort, body []byte) {
	if !m.gate.knows(from.Addr().Unmap().WithZone("")) {
		m.discards.strangers.Add(1)
		return
	}
	h, err := seal.Parse(packet)
	if err != nil || len(packet) > datagram.Payload {
		m.discards.malformed.Add(1)
		return
	}
	s := m.sessions.find(h)
	if s == nil {
		m.discards.unknown.Add(1)
		return
	}
	switch err := s.receive(packet, body); {
	case errors.Is(err, seal.ErrForged):
		m.discards.forged.Add(1)
	case errors.Is(err, seal.ErrReplayed):
		m.discards.replayed.Add(1)
	}
}

// Discards are the datagrams that were thrown away so far.
func (m *Mesh) Discards() Discards { return m.discards.load() }
