package client

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/primebft/prime/internal/clientwire"
	"github.com/primebft/prime/internal/group"
)

// Status is the state of the connection to one replica.
type Status struct {
	ID        int
	Address   string
	Connected bool
	Why       string // why it is not connected, for people
}

// status is Status, and whether the replica turned the client away for a reason that time does not mend.
type status struct {
	Status
	rejected bool
}

// link keeps one replica connected.
type link struct {
	c        *Client
	id       group.ID
	replica  Replica
	verifier clientwire.Verifier
	wake     chan struct{} // a token when buf is not empty

	mu       sync.Mutex
	up       bool
	buf      []byte // frames to be written
	why      string
	rejected bool
}

func newLink(c *Client, r Replica) *link {
	return &link{
		c: c, id: group.ID(r.ID), replica: r, wake: make(chan struct{}, 1),
		verifier: clientwire.Verifier{Cluster: c.cfg.Cluster, Replica: group.ID(r.ID), Key: r.PublicKey},
	}
}

func (l *link) status() status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return status{Status{int(l.id), l.replica.Address, l.up, l.why}, l.rejected}
}

// ready reports whether a frame can be sent: connected, and the last ones are being taken.
func (l *link) ready() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up && len(l.buf) <= l.c.cfg.BufferBytes
}

// send queues a frame; false if the link is not ready.
func (l *link) send(frame []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up || len(l.buf) > l.c.cfg.BufferBytes {
		return false
	}
	l.buf = append(l.buf, frame...)
	signal(l.wake)
	return true
}

// rejection is a Reject of the replica.
type rejection struct{ clientwire.Reject }

func (r rejection) Error() string { return r.Text }

// lasting reports whether connecting again cannot help until somebody changes something.
func (r rejection) lasting() bool {
	return r.Code == clientwire.WrongVersion || r.Code == clientwire.WrongCluster || r.Code == clientwire.WrongEpoch ||
		r.Code == clientwire.NotAdmitted
}

// run connects again and again until the client is closed.
func (l *link) run(life context.Context) {
	pause := l.c.cfg.BackoffMin
	for life.Err() == nil {
		conn, in, err := l.connect(life)
		if err == nil {
			pause = l.c.cfg.BackoffMin
			err = l.serve(life, conn, in)
		}
		if life.Err() != nil {
			return
		}
		l.failed(err)
		select {
		case <-time.After(pause/2 + rand.N(pause/2+1)):
		case <-life.Done():
		}
		pause = min(2*pause, l.c.cfg.BackoffMax)
	}
}

func (l *link) failed(err error) {
	var r rejection
	why := err.Error()
	l.mu.Lock()
	news := l.why != why
	l.why, l.rejected = why, errors.As(err, &r) && r.lasting()
	l.mu.Unlock()
	if news {
		l.c.cfg.Log.Info("not connected", "replica", l.id, "address", l.replica.Address, "why", why)
	}
	signal(l.c.change)
}

// connect makes a connection up to and including Welcome.
func (l *link) connect(life context.Context) (conn *tls.Conn, in *bufio.Reader, err error) {
	ctx, cancel := context.WithTimeout(life, l.c.cfg.Dial)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", l.replica.Address)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			raw.Close()
		}
	}()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	conn = tls.Client(raw, clientwire.ClientTLS(l.c.tls, l.replica.PublicKey))
	if err = conn.HandshakeContext(ctx); err != nil {
		return nil, nil, fmt.Errorf("TLS handshake: %w", err)
	}
	hello := clientwire.Hello{
		Version: clientwire.Version, Cluster: l.c.cfg.Cluster, Epoch: l.c.cfg.Epoch, Signed: l.c.cfg.SignedReplies,
	}
	if _, err = conn.Write(clientwire.AppendHello(nil, hello)); err != nil {
		return nil, nil, err
	}
	in = bufio.NewReaderSize(conn, 32<<10)
	kind, body, err := readFrame(in, nil, 1<<10)
	if err != nil {
		return nil, nil, fmt.Errorf("waiting for Welcome: %w", err)
	}
	if !stop() {
		return nil, nil, ctx.Err()
	}
	return conn, in, l.welcomed(kind, body)
}

// welcomed checks that the replica is the one that is meant, and works as the client thinks.
func (l *link) welcomed(kind clientwire.Kind, body []byte) error {
	if kind == clientwire.KindReject {
		return rejected(body)
	}
	if kind != clientwire.KindWelcome {
		return fmt.Errorf("the replica's first frame is of kind %d, not a Welcome", kind)
	}
	w, err := clientwire.ParseWelcome(body)
	cfg := &l.c.cfg
	want := clientwire.AuthReplica
	if cfg.SignedUpdates {
		want = clientwire.AuthClient
	}
	switch {
	case err != nil:
		return err
	case w.Version != clientwire.Version || w.Cluster != cfg.Cluster || (cfg.Epoch != 0 && w.Epoch != cfg.Epoch):
		return fmt.Errorf("the replica speaks version %d for cluster %x, configuration %d", w.Version, w.Cluster[:8], w.Epoch)
	case w.Replica != l.id:
		return fmt.Errorf("the replica says that it is %s", w.Replica)
	case int(w.Sizes[0]) != cfg.F:
		return fmt.Errorf("the replica says that f is %d; the client has %d", w.Sizes[0], cfg.F)
	case w.Auth != want:
		return fmt.Errorf("client and replica differ on who signs updates: set auth as in the cluster's configuration")
	}
	return nil
}

func rejected(body []byte) error {
	j, err := clientwire.ParseReject(body)
	if err != nil {
		return err
	}
	return rejection{j}
}

// readFrame reads one frame into buf, which it grows as needed.
func readFrame(in *bufio.Reader, buf []byte, limit int) (clientwire.Kind, []byte, error) {
	head, err := in.Peek(clientwire.HeaderSize)
	if err != nil {
		return 0, buf, err
	}
	kind, size, err := clientwire.ParseHeader(head, limit)
	if err != nil {
		return 0, buf, err
	}
	if _, err = in.Discard(len(head)); err != nil {
		return 0, buf, err
	}
	if cap(buf) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	_, err = io.ReadFull(in, buf)
	return kind, buf, err
}

// serve uses a connection until it fails.
func (l *link) serve(life context.Context, conn *tls.Conn, in *bufio.Reader) error {
	raw := conn.NetConn()
	ctx, cancel := context.WithCancel(life)
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	defer raw.Close()
	defer cancel()
	l.mu.Lock()
	l.up, l.why, l.rejected, l.buf = true, "", false, l.buf[:0]
	l.mu.Unlock()
	l.c.linkUp()
	var writing sync.WaitGroup
	writing.Go(func() {
		if l.write(ctx, conn) != nil {
			cancel()
		}
	})
	err := l.read(conn, in)
	l.mu.Lock()
	l.up, l.buf = false, nil
	l.mu.Unlock()
	cancel()
	raw.Close()
	writing.Wait()
	l.c.linkDown(l.id)
	return err
}

// write sends what gathers, and a Ping when nothing has for a while, so that both sides notice a dead connection.
func (l *link) write(ctx context.Context, conn *tls.Conn) error {
	var spare []byte
	ping := time.NewTicker(l.c.cfg.KeepAlive)
	defer ping.Stop()
	for number := uint64(1); ; {
		select {
		case <-l.wake:
		case <-ping.C:
			l.send(clientwire.AppendPing(nil, clientwire.KindPing, number))
			number++
		case <-ctx.Done():
			return ctx.Err()
		}
		l.mu.Lock()
		batch := l.buf
		l.buf = spare[:0]
		l.mu.Unlock()
		if spare = batch; len(batch) == 0 {
			continue
		}
		if err := conn.SetWriteDeadline(time.Now().Add(3 * l.c.cfg.KeepAlive)); err != nil {
			return err
		}
		if _, err := conn.Write(batch); err != nil {
			return err
		}
		if cap(spare) > 256<<10 {
			spare = nil
		}
	}
}

// read handles what the replica sends. A replica that breaks the protocol is disconnected like one that is gone.
func (l *link) read(conn *tls.Conn, in *bufio.Reader) error {
	var buf []byte
	var moved time.Time
	for {
		if now := time.Now(); now.Sub(moved) > l.c.cfg.KeepAlive/2 {
			moved = now
			if err := conn.SetReadDeadline(now.Add(4 * l.c.cfg.KeepAlive)); err != nil {
				return err
			}
		}
		kind, body, err := readFrame(in, buf, clientwire.MaxReply)
		if err != nil {
			return err
		}
		if buf = body; cap(buf) > 256<<10 {
			buf = nil
		}
		switch kind {
		case clientwire.KindReply:
			err = l.reply(body)
		case clientwire.KindRefused:
			var f clientwire.Refused
			if f, err = clientwire.ParseRefused(body); err == nil {
				l.c.refused(l.id, f)
			}
		case clientwire.KindPong:
			_, err = clientwire.ParsePing(body)
		case clientwire.KindReject:
			err = rejected(body)
		default:
			err = fmt.Errorf("unexpected frame of kind %d", kind)
		}
		if err != nil {
			return err
		}
	}
}

func (l *link) reply(body []byte) error {
	r, content, err := clientwire.ParseReply(body)
	if err != nil {
		return err
	}
	if r.Client != l.c.id {
		return errors.New("the replica sent another client's reply")
	}
	if !l.c.wants(l.id, r.Seq) {
		return nil
	}
	if l.c.cfg.SignedReplies && (!r.Signed || !l.verifier.Verify(content, &r.Proof)) {
		return errors.New("the replica sent a reply that it did not sign")
	}
	l.c.reply(l.id, &r, sha256.Sum256(content))
	return nil
}
