package mesh

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/internal/seal"
)

// TestTune: every class gets its code point, and no silence is borne for long.
func TestTune(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for class, want := range map[transport.Class]int{
		transport.Timely: 0xb8, transport.Bounded: 0x48, transport.Recon: 0x04, transport.Bulk: 0x04,
	} {
		for _, mark := range []bool{true, false} {
			raw, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			m := &Mesh{o: Options{WriteTimeout: 7 * time.Second, Network: config.Network{DSCP: mark}}}
			m.tune(raw, class)
			control, err := raw.(*net.TCPConn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			got, silence := -1, -1
			if err := control.Control(func(fd uintptr) {
				got, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS)
				silence, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
			}); err != nil {
				t.Fatal(err)
			}
			if !mark {
				want = 0
			}
			if silence != 7000 {
				t.Errorf("silence is borne for %d ms, want 7000", silence)
			}
			if got != want {
				t.Errorf("%s, marked %t: traffic class %#x, want %#x", class, mark, got, want)
			}
			_ = raw.Close()
		}
	}
	(&Mesh{}).tune(&net.UnixConn{}, transport.Timely) // not a TCP connection: nothing happens
}

// TestEachClassHasItsSocket: datagrams come in at the socket of their class, which is marked with its code point, all on one port.
func TestEachClassHasItsSocket(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	o := c.options(1)
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	m.listener = o.Listener
	if err := m.openSockets(); err != nil {
		t.Fatal(err)
	}
	defer m.sockets.closeAll()
	at := m.sockets.all[0].LocalAddr().(*net.UDPAddr)
	if len(m.sockets.all) != len(datagramClasses) || at.String() != c.peers[0].Address {
		t.Fatalf("%d sockets, the first at %s", len(m.sockets.all), at)
	}
	for _, class := range datagramClasses {
		conn := m.sockets.class[class-1]
		raw, err := conn.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		got := -1
		if err := raw.Control(func(fd uintptr) { got, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS) }); err != nil {
			t.Fatal(err)
		}
		if got != trafficClass(class) {
			t.Errorf("%s: traffic class %#x, want %#x", class, got, trafficClass(class))
		}
		exported := make([]byte, seal.SecretSize)
		sealer, _ := seal.New(0, exported, seal.Lane{Class: class, Yields: class == transport.Bounded}, 1, 2)
		header := sealer.Seal(0, nil, []byte("x"))[0]
		for i := range 20 { // from many ports, which would scatter them
			from, err := net.DialUDP("udp", nil, at)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := from.Write([]byte{header, byte(i)}); err != nil {
				t.Fatal(err)
			}
			_ = from.Close()
			b := make([]byte, 10)
			_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
			if n, err := conn.Read(b); err != nil || n != 2 || b[0] != header || b[1] != byte(i) {
				t.Fatalf("%s: datagram %d does not come in at its socket: %v, % x", class, i, err, b[:n])
			}
		}
	}
}
