package datagram

import (
	"encoding/binary"
	"time"

	"github.com/primebft/prime/internal/clock"
)

// widths are the payloads that are tried, the largest first: Ethernet with IPv4 and with IPv6, and tunnels through that.
var widths = [...]int{Payload, 1452, 1392}

// Times of trying larger datagrams.
const (
	widthTries = 3           // for each size
	widthPause = time.Second // between two tries; or twice the round trip, if that is longer
	widthAgain = time.Minute // after none of them has got through, or large ones no longer do
	widthDoubt = time.Second // without a new acknowledgement, after which large ones are no longer sent; or eight round trips
)

// width is how large datagrams may be. A link begins with the size that passes everywhere, and tries larger ones with probes of their
// own (RFC 8899): that these are lost says nothing about the link. It goes back when it is down, or segments are no longer
// acknowledged: what it sends may take another way now.
type width struct {
	body   int           // bytes of the largest body that is known to get through
	at     clock.Instant // of the next try
	tries  int
	size   int    // of the last try's body
	probed uint64 // its number
}

// widthNumbers is where the numbers of tries begin among those of secrets.
const widthNumbers = 1 << 62

// reset begins anew with the least size; the next try is at a time.
func (w *width) reset(at clock.Instant) { w.body, w.at, w.tries = bodyLeast, at, 0 }

// widen appends the next try: a probe, and zeros.
func (l *Link) widen(now clock.Instant, dst []byte) []byte {
	w := &l.width
	w.probed++
	w.size = widths[w.tries/widthTries] - Overhead
	dst = binary.LittleEndian.AppendUint64(append(dst, recordPing), l.secret(widthNumbers+w.probed))
	dst = append(append(dst, recordPadding), zeros[:w.size-pingSize-1]...)
	if w.tries++; w.tries < len(widths)*widthTries {
		w.at = now.Add(max(widthPause, 2*l.rtt.smooth))
	} else {
		w.tries, w.at = 0, now.Add(widthAgain)
	}
	return dst
}

// widened takes an answer, and reports whether it was to the last try.
func (l *Link) widened(nonce uint64) bool {
	w := &l.width
	if w.probed == 0 || nonce != l.secret(widthNumbers+w.probed) {
		return false
	}
	if l.live.up && w.at != clock.Never {
		w.body, w.at = w.size, clock.Never
	}
	return true
}

// doubt goes back to the least size if nothing that was sent has been acknowledged for long.
func (l *Link) doubt(now clock.Instant) {
	if l.width.body > bodyLeast && l.out.flying > 0 && !l.out.busy && now.Sub(l.out.moved) > max(widthDoubt, 8*l.rtt.smooth) {
		l.width.reset(now.Add(widthAgain))
	}
}

// down makes the link one that is not used.
func (l *Link) down() {
	l.live.fail()
	l.width.reset(clock.Never)
}
