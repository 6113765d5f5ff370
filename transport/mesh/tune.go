package mesh

import (
	"net"
	"strconv"
	"time"

	"github.com/primebft/prime/transport"
)

// unsent is how many bytes may wait in the kernel before it has sent them. What waits there is out of the scheduler's hands.
const unsent = 128 << 10

// Differentiated services code points.
const (
	codeExpedited = 46 // EF, RFC 3246
	codeAssured   = 18 // AF21, RFC 2597
	codeLower     = 1  // LE, RFC 8622
)

// trafficClass is the value of the IP header's traffic class byte: the code point and two bits that are not ours.
func trafficClass(c transport.Class) int {
	switch c {
	case transport.Timely:
		return codeExpedited << 2
	case transport.Bounded:
		return codeAssured << 2
	}
	return codeLower << 2
}

// portOf is the port of a host:port.
func portOf(address string) (uint16, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return uint16(n), err
}

// tune tells the kernel how to treat a connection: to buffer little, to give up a peer that acknowledges nothing (TCP would
// try for a quarter of an hour, ever more rarely, so that a link that is back is not used), and which code point to mark its
// packets with. Systems differ in what they can do; nothing here is needed to be correct, so errors do not matter.
func (m *Mesh) tune(raw net.Conn, c transport.Class) {
	tcp, ok := raw.(*net.TCPConn)
	if !ok {
		return
	}
	patience := m.o.WriteTimeout
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: max(time.Second, patience/2), Interval: max(time.Second, patience/6), Count: 3,
	})
	if control, err := tcp.SyscallConn(); err == nil {
		_ = control.Control(func(fd uintptr) {
			limitBuffers(int(fd), patience)
			if m.o.Network.DSCP {
				markPackets(int(fd), trafficClass(c))
			}
		})
	}
}
