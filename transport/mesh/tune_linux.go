package mesh

import (
	"time"

	"golang.org/x/sys/unix"
)

// limitSilence ends a connection whose peer acknowledges nothing.
func limitSilence(fd int, patience time.Duration) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(patience.Milliseconds()))
}
