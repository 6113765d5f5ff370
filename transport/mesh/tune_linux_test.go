package mesh

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/transport"
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
