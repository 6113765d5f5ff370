//go:build !linux

package mesh

import (
	"net"
	"net/netip"
)

// bindSockets opens one socket for all classes: this system has no way to tell them apart on one port.
func bindSockets(at netip.AddrPort) (sockets, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return sockets{}, err
	}
	s := sockets{all: []*net.UDPConn{conn}}
	for _, c := range datagramClasses {
		s.class[c-1] = conn
	}
	return s, nil
}
