package mesh

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/primebft/prime/transport"
)

// TestMarks: every class gets its code point.
func TestMarks(t *testing.T) {
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
			tune(raw, class, mark)
			control, err := raw.(*net.TCPConn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			got := -1
			if err := control.Control(func(fd uintptr) { got, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS) }); err != nil {
				t.Fatal(err)
			}
			if !mark {
				want = 0
			}
			if got != want {
				t.Errorf("%s, marked %t: traffic class %#x, want %#x", class, mark, got, want)
			}
			_ = raw.Close()
		}
	}
	tune(&net.UnixConn{}, transport.Timely, true) // not a TCP connection: nothing happens
}
