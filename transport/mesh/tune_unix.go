//go:build linux || darwin

package mesh

import (
	"net"

	"golang.org/x/sys/unix"

	"github.com/primebft/prime/transport"
)

// unsent is how many bytes may wait in the kernel before it has sent them. What waits there is out of the scheduler's hands.
const unsent = 128 << 10

// tune sets what the kernel should know about a connection: how little to buffer and, if marked, the code point of its
// class: EF (RFC 3246) for TIMELY, AF21 (RFC 2597) for BOUNDED, LE (RFC 8622) for RECON and BULK. All of it is advice, so
// that errors do not matter.
func tune(raw net.Conn, c transport.Class, mark bool) {
	tcp, ok := raw.(*net.TCPConn)
	if !ok {
		return
	}
	control, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = control.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
		if mark {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, trafficClass(c))
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_TCLASS, trafficClass(c))
		}
	})
}
