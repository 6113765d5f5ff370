package mesh

import (
	"context"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindSockets opens a socket for each class, all on one port. The kernel gives each the datagrams of its class: a program of
// four instructions reads the class from the header. If the system does not allow that, every socket gets some of all.
func bindSockets(at netip.AddrPort) (sockets, error) {
	var s sockets
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
			// Never cut up, and no message from the network makes packets smaller: those can be forged.
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
		}); e != nil {
			return e
		}
		return err
	}}
	for _, c := range datagramClasses {
		conn, err := lc.ListenPacket(context.Background(), "udp", at.String())
		if err != nil {
			s.closeAll()
			return sockets{}, err
		}
		udp := conn.(*net.UDPConn)
		s.class[c-1] = udp
		s.all = append(s.all, udp)
	}
	if raw, err := s.all[0].SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { steer(int(fd)) })
	}
	return s, nil
}

// steer makes the kernel choose the socket by the class, less one, in bits 3 and 4 of a datagram (package seal): the first is that of
// TIMELY.
func steer(fd int) {
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K, K: 3},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 3},
		{Code: unix.BPF_RET | unix.BPF_A},
	}
	_ = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
}
