package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/primebft/prime/internal/clientwire"
	"github.com/primebft/prime/internal/reply"
	"github.com/primebft/prime/internal/wire"
)

// strangerBytes is what a connection may send before it is known: about five times what a handshake and a Hello take.
const strangerBytes = 16 << 10

var (
	errTalkative = errors.New("it sent too much before its handshake was done")
	errKind      = errors.New("a frame of this kind is not expected")
	errStopped   = errors.New("the session was ended")
)

// session is one authenticated connection of a client.
type session struct {
	g      *Gateway
	raw    net.Conn
	conn   *tls.Conn
	in     *bufio.Reader
	client wire.ClientID
	signed bool // the client wants signed replies
	lane   *lane
	out    outbox
	idle   time.Time // when the read deadline was last moved
}

// greet makes a session of a connection, or says why not, if it can to the client too.
func (g *Gateway) greet(raw net.Conn, h *handshake) (*session, error) {
	deadline := time.Now().Add(g.cfg.HandshakeTimeout)
	if err := raw.SetDeadline(deadline); err != nil {
		return nil, err
	}
	m := &meter{Conn: raw, h: h, left: strangerBytes, compute: g.compute}
	defer m.rest()
	s := &session{g: g, raw: raw, conn: tls.Server(m, g.tls)}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	if err := s.conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	var err error
	if s.client, err = clientwire.PeerKey(s.conn.ConnectionState()); err != nil {
		return nil, err
	}
	s.in = bufio.NewReaderSize(s.conn, 8<<10)
	if j := g.judge(s); j != nil {
		return nil, s.reject(j)
	}
	m.left = -1
	if err = raw.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	s.out.init(s)
	s.out.append(func(b []byte) []byte { return clientwire.AppendWelcome(b, g.welcome()) })
	gone, j := g.clients.add(s)
	if j != nil {
		s.out.forgo()
		_ = raw.SetDeadline(deadline)
		return nil, s.reject(j)
	}
	if gone != nil {
		gone.end(clientwire.Superseded, "the client opened more connections than it may", g.cfg.Flush)
	}
	return s, nil
}

func (g *Gateway) welcome() clientwire.Welcome {
	auth := clientwire.AuthReplica
	if g.cfg.SignedUpdates {
		auth = clientwire.AuthClient
	}
	return clientwire.Welcome{
		Version: clientwire.Version, Cluster: g.cfg.Cluster, Epoch: g.cfg.Epoch, Replica: g.cfg.Replica,
		Sizes: [2]uint8{uint8(g.cfg.Group.F()), uint8(g.cfg.Group.K())}, Auth: auth,
		Window: uint32(g.cfg.Window), UpdateBytes: uint32(g.cfg.UpdateBytes),
	}
}

// judge reads the Hello and says what is wrong with it or its client, if anything.
func (g *Gateway) judge(s *session) *clientwire.Reject {
	bad := func(code clientwire.Code, format string, args ...any) *clientwire.Reject {
		return &clientwire.Reject{Code: code, Version: clientwire.Version, Text: fmt.Sprintf(format, args...)}
	}
	body, err := readFrame(s.in, clientwire.KindHello, clientwire.MaxHello)
	if err != nil {
		return bad(clientwire.BadFrame, "the first frame is not a Hello: %v", err)
	}
	h, err := clientwire.ParseHello(body)
	switch {
	case err != nil:
		return bad(clientwire.BadFrame, "Hello: %v", err)
	case h.Version != clientwire.Version:
		return bad(clientwire.WrongVersion, "the client speaks version %d of the client protocol, this replica version %d",
			h.Version, clientwire.Version)
	case h.Cluster != g.cfg.Cluster:
		return bad(clientwire.WrongCluster, "the client means cluster %x, this replica belongs to %x", h.Cluster[:8],
			g.cfg.Cluster[:8])
	case h.Epoch != 0 && h.Epoch != g.cfg.Epoch:
		return bad(clientwire.WrongEpoch, "the client has configuration %d of the cluster, this replica %d", h.Epoch, g.cfg.Epoch)
	case g.cfg.Admit != nil && !g.cfg.Admit(s.client):
		return bad(clientwire.NotAdmitted, "key %s is not a client of this cluster: list it under clients in cluster.toml", s.client)
	}
	s.signed = h.Signed
	return nil
}

// readFrame reads one small frame of the given kind.
func readFrame(in *bufio.Reader, want clientwire.Kind, limit int) ([]byte, error) {
	var head [clientwire.HeaderSize]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	kind, size, err := clientwire.ParseHeader(head[:], max(limit, 256))
	if err != nil {
		return nil, err
	}
	if kind != want {
		return nil, errKind
	}
	body := make([]byte, size)
	_, err = io.ReadFull(in, body)
	return body, err
}

// reject tells the client of a connection that is not a session yet, within the deadline of the handshake.
func (s *session) reject(j *clientwire.Reject) error {
	if _, err := s.conn.Write(clientwire.AppendReject(nil, *j)); err == nil {
		_ = s.conn.CloseWrite() // the client may have gone already
	}
	return errors.New(j.Text)
}

// run serves the session until either side ends it.
func (s *session) run() {
	defer s.out.settle()
	s.lane = s.g.fair.join(s.client)
	cancel := s.g.replies.Follow(s.client, s.deliver)
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.out.write()
	}()
	err := s.read()
	cancel()
	s.g.fair.leave(s.lane)
	var bad wire.Malformed
	if errors.As(err, &bad) || errors.Is(err, errKind) {
		s.g.stats.malformed.Add(1)
		s.g.log.warn("client cut off for a malformed frame", "client", s.client, "error", err)
		s.end(clientwire.BadFrame, err.Error(), s.g.cfg.Flush)
	} else {
		s.out.stop()
	}
	<-written
	if s.out.drained() {
		_, _ = io.Copy(io.Discard, s.raw) // until the client goes, or the deadline of its goodbye
	}
}

// end says goodbye after what is queued, and closes the connection once that is written or the time is over.
func (s *session) end(code clientwire.Code, text string, within time.Duration) {
	s.out.finish(time.Now().Add(within), func(b []byte) []byte {
		return clientwire.AppendReject(b, clientwire.Reject{Code: code, Version: clientwire.Version, Text: text})
	})
}

// read takes frames until the connection ends or the client breaks a rule.
func (s *session) read() error {
	var head [clientwire.HeaderSize]byte
	for {
		if now := time.Now(); now.Sub(s.idle) > s.g.cfg.IdleTimeout/8 {
			s.idle = now
			if err := s.out.moveDeadline(s.raw.SetReadDeadline, now.Add(s.g.cfg.IdleTimeout)); err != nil {
				return err
			}
		}
		if _, err := io.ReadFull(s.in, head[:]); err != nil {
			return err
		}
		kind, size, err := clientwire.ParseHeader(head[:], clientwire.MaxSubmit)
		if err != nil {
			return err
		}
		switch {
		case kind == clientwire.KindSubmit:
			err = s.submit(size)
		case kind == clientwire.KindPing && size == 8:
			err = s.pong()
		default:
			err = errKind
		}
		if err != nil {
			return err
		}
	}
}

func (s *session) pong() error {
	body, err := s.in.Peek(8)
	if err != nil {
		return err
	}
	number, err := clientwire.ParsePing(body)
	if err != nil {
		return err
	}
	s.out.append(func(b []byte) []byte { return clientwire.AppendPing(b, clientwire.KindPong, number) })
	_, err = s.in.Discard(8)
	return err
}

// submit reads one update, whose frame has size bytes after the header. A payload that will not be accepted is skipped, not
// held; one that will waits, unread, for room in the client's lane.
func (s *session) submit(size int) error {
	prefix, err := s.in.Peek(min(size, clientwire.MaxSubmitPrefix))
	if err != nil {
		return err
	}
	sub, n, err := clientwire.SubmitPrefix(prefix)
	if err != nil {
		return err
	}
	why := clientwire.Why(0)
	switch {
	case size-n > s.g.cfg.UpdateBytes:
		why = clientwire.Oversized
	case sub.Signed != s.g.cfg.SignedUpdates:
		why = clientwire.BadSignature
	}
	if why != 0 {
		s.refuse(sub.Seq, why)
		_, err = s.in.Discard(size)
		return err
	}
	if _, err = s.in.Discard(n); err != nil {
		return err
	}
	u := wire.Update{Client: s.client, Seq: sub.Seq, Sig: sub.Sig}
	if !s.lane.reserve(size - n) {
		s.refuse(u.Seq, clientwire.Closing)
		_, err = s.in.Discard(size - n)
		return err
	}
	u.Payload = make([]byte, size-n)
	if _, err = io.ReadFull(s.in, u.Payload); err != nil {
		s.lane.release(size - n)
		return err
	}
	s.take(u)
	return nil
}

// take answers an update whose result is known, and queues any other if its signature is right.
func (s *session) take(u wire.Update) {
	if r, ok := s.g.replies.Get(reply.Key{Client: u.Client, Seq: u.Seq}); ok {
		s.lane.release(len(u.Payload))
		s.deliver(r)
		return
	}
	if s.g.cfg.SignedUpdates {
		s.g.verify <- struct{}{}
		ok := s.g.cfg.Verify(&u)
		<-s.g.verify
		if !ok {
			s.lane.release(len(u.Payload))
			s.refuse(u.Seq, clientwire.BadSignature)
			return
		}
	}
	if !s.lane.push(u, s) {
		s.lane.release(len(u.Payload))
		s.refuse(u.Seq, clientwire.Closing)
	}
}

// deliver queues a reply or refusal for the client. It is called by the replica's deliverer and does not block.
func (s *session) deliver(r reply.Reply) {
	if r.Refused != 0 {
		s.refuse(r.Seq, clientwire.Why(r.Refused))
		return
	}
	if len(r.Result) > clientwire.MaxResult {
		s.refuse(r.Seq, clientwire.ResultLost)
		return
	}
	s.g.stats.replies.Add(1)
	if s.signed {
		if size := clientwire.ReplySize(len(r.Result), true); s.out.reserve(size) {
			s.g.signer.add(s, r, size)
		}
		return
	}
	p := answer(&r)
	s.out.append(func(b []byte) []byte { return clientwire.AppendReply(b, &p) })
}

func answer(r *reply.Reply) clientwire.Reply {
	return clientwire.Reply{Epoch: r.Epoch, Ordinal: r.Ordinal, Index: r.Index, Client: r.Client, Seq: r.Seq, Result: r.Result}
}

func (s *session) refuse(seq uint64, why clientwire.Why) {
	s.g.stats.turned.Add(1)
	s.out.append(func(b []byte) []byte { return clientwire.AppendRefused(b, clientwire.Refused{Seq: seq, Why: why}) })
}
