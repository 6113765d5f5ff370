package mesh

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/primebft/prime/transport"
)

// greetingSize is the most that is read from a connection before it is known whose it is: a ClientHello has about 1.7 KB,
// all else of a handshake less than 1 KB.
const greetingSize = 6 << 10

// errTooMuch ends a handshake that is longer than any correct one.
var errTooMuch = errors.New("it sent more than a handshake can have")

// errTooOften ends a handshake because there were too many of its kind.
var errTooOften = errors.New("too many handshakes from this peer")

// errCrowded ends a handshake without a valid knock because there were too many of those from its address.
var errCrowded = errors.New("too many handshakes from this address by connections that are not known to be a peer's")

// guarded is a connection that can be read only so far until it is known whose it is.
type guarded struct {
	net.Conn
	visitor *visitor
	left    int
	trusted bool
}

func (g *guarded) Read(b []byte) (int, error) {
	if g.trusted {
		return g.Conn.Read(b)
	}
	if g.left == 0 {
		return 0, errTooMuch
	}
	n, err := g.Conn.Read(b[:min(len(b), g.left)])
	g.left -= n
	return n, err
}

// acceptLoop takes connections until the mesh is closed.
func (m *Mesh) acceptLoop() {
	config := acceptConfig(m.cert, m.known)
	config.GetConfigForClient = m.onClientHello
	pause := backoff{least: 5 * time.Millisecond, most: time.Second}
	for {
		raw, err := m.listener.Accept()
		if m.ctx.Err() != nil {
			if err == nil {
				_ = raw.Close()
			}
			return
		}
		if err != nil {
			// Out of descriptors, most likely: wait for some to come back.
			m.warn(0, "cannot accept connections", slog.String("cause", err.Error()))
			select {
			case <-time.After(pause.next()):
			case <-m.ctx.Done():
			}
			continue
		}
		pause.reset()
		v := m.gate.admit(raw)
		if v == nil {
			m.strangers.Add(1)
			m.warn(0, "connection from an address at which no peer is configured", slog.String("address", raw.RemoteAddr().String()))
			_ = raw.Close()
			continue
		}
		m.wg.Go(func() { m.greet(v, config) })
	}
}

// greet shakes hands with whoever has connected.
func (m *Mesh) greet(v *visitor, config *tls.Config) {
	defer m.gate.leave(v)
	stop := context.AfterFunc(m.ctx, func() { _ = v.conn.Close() })
	defer stop()
	guard := &guarded{Conn: v.conn, visitor: v, left: greetingSize}
	conn := tls.Server(guard, config)
	_ = v.conn.SetDeadline(time.Now().Add(m.o.Network.Handshake)) // an error shows in the handshake
	peer, lane, err := m.identify(conn)
	if err == nil {
		guard.trusted = true
		err = v.conn.SetDeadline(time.Time{})
	}
	if err == nil && !lane.peer.dials() {
		lane.install(newLink(conn, v.conn))
		return
	}
	if err == nil {
		lane.called()
		linger(v.conn)
		return
	}
	if m.ctx.Err() == nil {
		m.refuse(peer, v, err)
	}
	linger(v.conn)
}

// identify learns who is at the other end and what the connection is for. The peer is 0 while it is not certain.
func (m *Mesh) identify(conn *tls.Conn) (peer int, l *lane, err error) {
	if err := conn.HandshakeContext(m.ctx); err != nil {
		return 0, nil, err
	}
	key, ok := conn.ConnectionState().PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok || !m.known(key) {
		return 0, nil, errForeignKey{got: key}
	}
	peer = m.byKey[[32]byte(key)]
	theirs, err := readHello(conn)
	if err != nil {
		return peer, nil, err
	}
	err = theirs.mismatch(m.own, peer)
	if err != nil {
		_, _ = conn.Write(theirs.reply(m.own, refused).encode()) // as a courtesy
		return peer, nil, err
	}
	l = m.peers[peer].lane(theirs.class)
	m.tune(conn.NetConn().(*guarded).Conn, l.class)
	_, err = conn.Write(theirs.reply(m.own, welcome).encode())
	return peer, l, err
}

// onClientHello decides, before the first costly operation, whether a handshake may go on.
func (m *Mesh) onClientHello(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	v := hello.Conn.(*guarded).visitor
	for _, protocol := range hello.SupportedProtos {
		id := knocker(protocol)
		if id == 0 {
			continue
		}
		if id < len(m.peers) && m.peers[id] != nil {
			want := m.peers[id].secret.knock(id, m.o.Self, addrPort(v.conn.RemoteAddr()))
			if hmac.Equal([]byte(want), []byte(protocol)) {
				if !m.gate.promote(v, id, time.Now()) {
					return nil, errTooOften
				}
				return nil, nil
			}
		}
		break // one attempt is enough
	}
	if !m.gate.anonymous(v, time.Now()) {
		return nil, errCrowded
	}
	return nil, nil
}

// refuse counts and logs a handshake that failed.
func (m *Mesh) refuse(peer int, v *visitor, err error) {
	address := slog.String("address", v.conn.RemoteAddr().String())
	cause := slog.String("cause", clip(err.Error()))
	if peer == 0 {
		peer = v.peer
	}
	if peer == 0 {
		m.warn(0, "refused a handshake from a peer's address", address, cause)
		return
	}
	m.peers[peer].refused.Add(1)
	if errors.Is(err, errHello) {
		m.peers[peer].lane(transport.Timely).blame(err)
	}
	m.warn(peer, "refused a handshake", address, cause)
}

// linger lets the peer read why it was refused: closing a connection with unread bytes would reset it.
func linger(raw net.Conn) {
	defer raw.Close()
	if tcp, ok := raw.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
		_ = raw.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.CopyN(io.Discard, raw, greetingSize)
	}
}

// watchAddresses tells the gate where peers are, now and, if any has a name instead of an address, again and again.
func (m *Mesh) watchAddresses() {
	fixed, names := map[netip.Addr]int{}, []string(nil)
	for _, id := range m.names() {
		host, _, err := net.SplitHostPort(m.peers[id].Address)
		if err != nil {
			continue // checked by New
		}
		if addr, err := netip.ParseAddr(host); err == nil {
			fixed[addr.Unmap().WithZone("")]++
		} else {
			names = append(names, host)
		}
	}
	m.gate.configure(fixed, m.o.Network.HandshakeRate)
	if len(names) > 0 {
		m.wg.Go(func() { m.resolveLoop(fixed, names) })
	}
}

// resolvePause is how long resolved names are believed.
const resolvePause = 30 * time.Second

func (m *Mesh) resolveLoop(fixed map[netip.Addr]int, names []string) {
	resolved := map[string][]netip.Addr{}
	for m.ctx.Err() == nil {
		for _, name := range names {
			ctx, cancel := context.WithTimeout(m.ctx, resolvePause)
			addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
			cancel()
			if err == nil {
				resolved[name] = addrs
			} else {
				m.warn(0, "cannot resolve the address of a peer", slog.String("host", name), slog.String("cause", clip(err.Error())))
			}
		}
		all := map[netip.Addr]int{}
		for addr, n := range fixed {
			all[addr] = n
		}
		for _, name := range names {
			for _, addr := range resolved[name] {
				all[addr.Unmap().WithZone("")]++
			}
		}
		m.gate.configure(all, m.o.Network.HandshakeRate)
		select {
		case <-time.After(resolvePause):
		case <-m.ctx.Done():
		}
	}
}
