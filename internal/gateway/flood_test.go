package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/primebft/prime/internal/clientwire"
	"github.com/primebft/prime/internal/gateway"
	"github.com/primebft/prime/internal/gateway/gatewaytest"
	"github.com/primebft/prime/internal/group"
)

const halfOpenCount = 10_000

// openHalf is the attacker, a process of its own: it opens connections and says nothing on them, as many at once as its limit
// on open files allows, and keeps the last ones open until its standard input ends.
func openHalf(address string) {
	var held []net.Conn
	for opened := 0; opened < halfOpenCount; {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			if len(held) == 0 {
				fmt.Println("cannot connect:", err)
				os.Exit(1)
			}
			for _, c := range held[:(len(held)+1)/2] { // out of descriptors
				c.Close()
			}
			held = held[(len(held)+1)/2:]
			continue
		}
		held = append(held, conn)
		opened++
	}
	fmt.Println("open")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// TestHalfOpenConnections: ten thousand connections that never speak neither grow the replica nor keep a client out.
func TestHalfOpenConnections(t *testing.T) {
	const limit = 64
	c := gatewaytest.New(t, one(), func(_ group.ID, cfg *gateway.Config) { cfg.Handshakes = limit })
	r := c.Replicas[0]
	before := runtime.NumGoroutine()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PRIME_TEST_HALF_OPEN="+r.Address)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	// Clients come in while it lasts, and after.
	open := make(chan string)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		open <- line
	}()
	clients, tries := 0, 0
	for done := false; !done; clients++ {
		select {
		case line := <-open:
			if line != "open\n" {
				t.Fatal(line)
			}
			done = true
		default:
		}
		if s := r.Stats(); s.HalfOpen > limit {
			t.Fatalf("%+v", s)
		}
		// Those of connections that were pushed out take a moment to end, on a busy machine a long one.
		if n := runtime.NumGoroutine() - before; n > halfOpenCount/10 {
			t.Fatalf("%d more goroutines", n)
		}
		tries += comeIn(t, c, uint64(clients+1))
	}
	eventually(t, "all are accepted", func() bool { return r.Stats().Accepted >= uint64(halfOpenCount+tries) })
	if s := r.Stats(); s.Evicted < 1000 || s.HalfOpen > limit {
		t.Errorf("%+v", s)
	}
	t.Logf("%d clients came in meanwhile with %d tries; %+v", clients, tries, r.Stats())
}

// comeIn submits an update as a new client connection and says how often it had to try: in the moment between its TCP
// connection and its ClientHello it may be pushed out like any other.
func comeIn(t *testing.T, c *gatewaytest.Cluster, seq uint64) (tries int) {
	for tries = 1; tries <= 100; tries++ {
		p := knock(t, c.Replicas[0], "alice")
		_, err := p.conn.Write(clientwire.AppendHello(nil, clientwire.Hello{Version: clientwire.Version, Cluster: c.ID}))
		if err == nil {
			_, _, err = p.next()
		}
		if err == nil {
			p.submit(seq, "x")
			if got := p.reply(); string(got.Result) != "ok:x" {
				t.Fatalf("%+v", got)
			}
		}
		p.conn.Close()
		if err == nil {
			return tries
		}
	}
	t.Fatal("a client was locked out")
	return tries
}

// TestTalkativeStranger: a handshake message that grows and grows ends at the limit for strangers.
func TestTalkativeStranger(t *testing.T) {
	t.Parallel()
	c := gatewaytest.New(t, one(), nil)
	conn, err := net.Dial("tcp", c.Replicas[0].Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	record := append([]byte{22, 3, 1, 0x3f, 0xff, 1, 0, 0xff, 0xff}, make([]byte, 0x3fff-4)...) // ClientHello of 64 KiB
	more := append([]byte{22, 3, 1, 0x3f, 0xff}, make([]byte, 0x3fff)...)
	_, _ = conn.Write(record)
	_, _ = conn.Write(more)
	eventually(t, "it is refused", func() bool { return c.Replicas[0].Stats().Refused == 1 })
}
