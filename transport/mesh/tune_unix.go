//go:build linux || darwin

package mesh

import (
	"time"

	"golang.org/x/sys/unix"
)

// limitBuffers limits how much and for how long the kernel keeps what it has not sent.
func limitBuffers(fd int, patience time.Duration) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
	limitSilence(fd, patience)
}

// markPackets sets the traffic class of IPv4 and IPv6 packets; a socket takes one of them or both.
func markPackets(fd, trafficClass int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, trafficClass)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, trafficClass)
}
