//go:build !linux && !darwin

package mesh

import (
	"net"

	"github.com/primebft/prime/transport"
)

// tune does nothing: marks and buffer sizes are advice, and this system has its own way to take it.
func tune(net.Conn, transport.Class, bool) {}
