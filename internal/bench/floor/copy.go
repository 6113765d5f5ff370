package floor

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/primebft/prime/internal/group"
)

// copier holds plain TLS connections to all peers, at the addresses that replicas have for clients.
type copier struct {
	n        *node
	listener net.Listener
	conns    chan net.Conn
	all      []net.Conn
	counting atomic.Bool
	bytes    atomic.Int64
	reading  sync.WaitGroup
}

// newCopier begins to listen.
func newCopier(n *node) (*copier, error) {
	cert, err := plainCertificate()
	if err != nil {
		return nil, err
	}
	l, err := tls.Listen("tcp", n.cfg.Cluster.Replicas[n.self.Index()].ClientAddress, &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13,
	})
	if err != nil {
		return nil, err
	}
	c := &copier{n: n, listener: l, conns: make(chan net.Conn, group.MaxReplicas)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // the other end waits for the handshake
				if conn.(*tls.Conn).Handshake() == nil {
					c.conns <- conn
				}
			}()
		}
	}()
	return c, nil
}

// plainCertificate is a certificate that nobody checks: nothing is protected here but the speed of the protection.
func plainCertificate() (tls.Certificate, error) {
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, public, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// connect dials the peers with higher ids and waits for those with lower ones. Everybody listens by now.
func (c *copier) connect() bool {
	for id := int(c.n.self) + 1; id <= c.n.group.N(); id++ {
		conn, err := tls.Dial("tcp", c.n.cfg.Cluster.Replicas[id-1].ClientAddress, &tls.Config{
			InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, // see plainCertificate
		})
		if err != nil {
			return false
		}
		c.all = append(c.all, conn)
	}
	for range int(c.n.self) - 1 {
		select {
		case conn := <-c.conns:
			c.all = append(c.all, conn)
		case <-time.After(time.Minute):
			return false
		}
	}
	for _, conn := range c.all {
		c.reading.Go(func() {
			buf := make([]byte, 64<<10)
			for {
				count, err := conn.Read(buf)
				if c.counting.Load() {
					c.bytes.Add(int64(count))
				}
				if err != nil {
					return
				}
			}
		})
	}
	return true
}

func (c *copier) close() {
	_ = c.listener.Close()
	for _, conn := range c.all {
		_ = conn.Close()
	}
	c.reading.Wait()
}

// copying is a leg in which every process sends the bytes of a broadcast to all others.
type copying struct {
	c     *copier
	batch int
	frame []byte
}

func (c *copier) leg(o order) (leg, error) {
	l := &copying{c: c, batch: max(1, o.Batch)}
	updates, err := c.n.updates(l.batch, o.Payload)
	l.frame = c.n.envelope(o.Leg, updates)
	return l, err
}

func (l *copying) receive(group.ID, []byte) {}

// run writes to all peers at once until the end.
func (l *copying) run(from, to int64) answer {
	c := l.c
	c.bytes.Store(0)
	ctx, cancel := context.WithDeadline(context.Background(), c.n.clock.At(to))
	defer cancel()
	begin := time.AfterFunc(time.Duration(from-c.n.clock.Now()), func() { c.counting.Store(true) })
	defer begin.Stop()
	var writing sync.WaitGroup
	failures := make([]error, len(c.all))
	for i, conn := range c.all {
		writing.Go(func() {
			for ctx.Err() == nil && failures[i] == nil {
				_, failures[i] = conn.Write(l.frame)
			}
		})
	}
	<-ctx.Done()
	c.counting.Store(false)
	bytes := c.bytes.Load()
	writing.Wait()
	if err := errors.Join(failures...); err != nil && !errors.Is(err, io.EOF) {
		return answer{Failed: fmt.Sprintf("copying: %v", err)}
	}
	// Of all updates of the cluster a process receives all but its own, which it has.
	n := float64(c.n.group.N())
	return answer{Updates: float64(bytes) / float64(len(l.frame)) * float64(l.batch) * n / (n - 1)}
}
