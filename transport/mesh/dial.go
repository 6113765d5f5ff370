package mesh

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"github.com/primebft/prime/transport"
)

// backoff is a pause that doubles, with jitter, so that peers that lost each other together do not come back together.
type backoff struct {
	least, most time.Duration
	pause       time.Duration
}

// next is how long to wait now: half to one and a half of the pause.
func (b *backoff) next() time.Duration {
	b.pause = min(b.most, max(b.least, 2*b.pause))
	return b.pause/2 + rand.N(b.pause)
}

// reset makes the next pause the shortest.
func (b *backoff) reset() { b.pause = 0 }

// dialLoop keeps a lane connected.
func (l *lane) dialLoop() {
	m := l.peer.mesh
	if l.class == transport.Bulk {
		select {
		case <-l.demand:
		case <-m.ctx.Done():
			return
		}
	}
	pause := backoff{least: m.o.Network.DialMin, most: m.o.Network.DialMax}
	for m.ctx.Err() == nil {
		link, err := l.dial()
		if err == nil {
			began := time.Now()
			l.install(link)
			<-link.dead
			if time.Since(began) > m.o.Network.DialMax {
				pause.reset() // it was up for long enough to believe that it will be again
			}
		} else if m.ctx.Err() == nil {
			l.blame(err)
			m.warn(l.peer.ID, "cannot connect", slog.String("address", l.peer.Address), slog.String("cause", clip(err.Error())))
		}
		select {
		case <-time.After(pause.next()):
		case <-l.hurry:
		case <-m.ctx.Done():
		}
	}
}

// dial makes a connection of this lane's class and settles who is at its ends.
func (l *lane) dial() (*link, error) {
	m, p := l.peer.mesh, l.peer
	ctx, cancel := context.WithTimeout(m.ctx, m.o.Network.Handshake)
	defer cancel()
	raw, err := m.connect(ctx, p.Address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	conn, err := l.introduce(raw)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = raw.Close()
		return nil, p.explain(err)
	}
	return newLink(conn, raw), nil
}

// connect opens a TCP connection, from the address by which peers know this replica if the system has it.
func (m *Mesh) connect(ctx context.Context, address string) (net.Conn, error) {
	if m.from.IsValid() {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: m.from.AsSlice(), Zone: m.from.Zone()}}
		raw, err := d.DialContext(ctx, "tcp", address)
		if err == nil || errors.Is(err, syscall.ECONNREFUSED) || ctx.Err() != nil {
			return raw, err
		}
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

// introduce shakes hands on a new connection.
func (l *lane) introduce(raw net.Conn) (*tls.Conn, error) {
	m, p := l.peer.mesh, l.peer
	m.tune(raw, l.class)
	knock := p.secret.knock(m.o.Self, p.ID, addrPort(raw.LocalAddr()))
	conn := tls.Client(raw, dialConfig(m.cert, p.PublicKey, knock))
	mine := m.own
	mine.class, mine.to = l.class, uint8(p.ID)
	if err := conn.HandshakeContext(m.ctx); err != nil {
		return nil, err
	}
	if _, err := conn.Write(mine.encode()); err != nil {
		return nil, err
	}
	theirs, err := readHello(conn)
	if err != nil {
		return nil, err
	}
	if err := theirs.mismatch(m.own, p.ID); err != nil {
		p.refused.Add(1)
		return nil, err
	}
	if theirs.answer != welcome {
		return nil, fmt.Errorf("r%d refused the connection; its log says why", p.ID)
	}
	return conn, nil
}

// What crypto/tls says of the alerts with which a peer refuses a handshake (RFC 8446 section 6); it has no type for them.
const (
	alertBadCertificate        = "tls: bad certificate"
	alertNoApplicationProtocol = "tls: no application protocol"
)

// alerted reports whether an error is a certain alert of the peer.
func alerted(err error, alert string) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && op.Err.Error() == alert
}

// explain turns an error of a handshake into what an operator can act on.
func (p *peer) explain(err error) error {
	var foreign errForeignKey
	switch {
	case errors.As(err, &foreign):
		p.refused.Add(1)
		return fmt.Errorf("whoever listens at %s is not r%d: %w", p.Address, p.ID, foreign)
	case alerted(err, alertBadCertificate):
		return fmt.Errorf("r%d does not know this replica's key: its configuration has another one for r%d", p.ID, p.mesh.o.Self)
	case alerted(err, alertNoApplicationProtocol):
		return fmt.Errorf("r%d does not speak %s: it runs another version of Prime", p.ID, alpn)
	case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("r%d closed the connection during the handshake: either it is busy, or its configuration"+
			" has another address for r%d than the one we come from", p.ID, p.mesh.o.Self)
	}
	return err
}

// known reports whether a key is a peer's.
func (m *Mesh) known(key ed25519.PublicKey) bool { return m.byKey[[32]byte(key)] != 0 }
