package datagram

import (
	"time"

	"github.com/primebft/prime/internal/clock"
)

// Times of probing.
const (
	probeUrgent = 50 * time.Millisecond  // between probes of a link that is in doubt
	probeBusy   = 200 * time.Millisecond // between probes of an idle TIMELY link
	probeIdle   = time.Second            // and of another
	probeRare   = 2 * time.Second        // between probes of a link that does not answer
	deadAfter   = time.Second            // of silence, and eight round trips, and deadProbes probes without an answer
	deadProbes  = 5
	deafAfter   = 10 // repetitions of the last segment that nothing came of
	comeBack    = 3  // answers in a row after which a link that was silent is used again
)

// live is what is known of whether datagrams get through, both ways.
type live struct {
	interval time.Duration // between probes while all is well
	up       bool
	ever     bool // it has been up
	answers  int  // in a row, while not up
	missed   int  // probes since the last sign of life
	sign     clock.Instant
	at       clock.Instant // of the next probe
	pause    time.Duration // before the next, while not up
	probe    uint64        // number of the last probe
	sent     [8]clock.Instant
	owed     uint64 // the probe of the peer that is to be answered
	owing    bool
	news     bool // up has changed
}

// heard notes a sign of life: the peer has received something that was sent a moment ago.
func (v *live) heard(now clock.Instant) {
	v.sign, v.missed = now, 0
}

// fail makes the link go down.
func (v *live) fail() {
	v.news = v.news || v.up
	v.up, v.answers, v.pause = false, 0, probeUrgent
}

// due reports whether a probe is to be sent now.
func (l *Link) due(now clock.Instant) bool {
	v := &l.live
	if now < v.at {
		return false
	}
	if v.up && v.missed == 0 && now.Sub(v.sign) < v.interval {
		v.at = v.sign.Add(v.interval)
		return false
	}
	return true
}

// ask is the next probe's nonce.
func (l *Link) ask(now clock.Instant) uint64 {
	v := &l.live
	if v.up && v.missed >= deadProbes && now.Sub(v.sign) >= max(deadAfter, 8*l.rtt.smooth) {
		l.down()
	}
	v.probe++
	v.missed++
	v.sent[v.probe%uint64(len(v.sent))] = now
	switch {
	case v.up:
		v.at = now.Add(min(v.interval, probeBusy))
	case v.answers > 0:
		v.at = now.Add(probeUrgent)
	default:
		v.at = now.Add(v.pause)
		v.pause = min(2*v.pause, probeRare)
	}
	return l.secret(probeNumbers + v.probe)
}

// probeNumbers is where the numbers of probes begin among those of secrets.
const probeNumbers = 1 << 63

// answered takes an answer to a probe. One that was never sent is a lie; one that is too old to be remembered says nothing.
func (l *Link) answered(now clock.Instant, nonce uint64) {
	v := &l.live
	if l.widened(nonce) {
		return
	}
	for n := v.probe; n > 0 && n+uint64(len(v.sent)) > v.probe; n-- {
		if l.secret(probeNumbers+n) != nonce {
			continue
		}
		at := &v.sent[n%uint64(len(v.sent))]
		if *at == clock.Never {
			return // answered before
		}
		l.rtt.sample(now.Sub(*at))
		*at = clock.Never
		v.heard(now)
		if v.up {
			return
		}
		v.answers++
		if !v.ever || v.answers >= comeBack {
			v.up, v.ever, v.news = true, true, true
			l.width.reset(now)
			return
		}
		v.at = now
		return
	}
}

// rtt is the round trip, as TCP estimates it (RFC 6298).
type rtt struct {
	smooth, variance time.Duration
	known            bool
}

func (r *rtt) sample(d time.Duration) {
	d = max(d, 0)
	if !r.known {
		r.smooth, r.variance, r.known = d, d/2, true
		return
	}
	off := r.smooth - d
	if off < 0 {
		off = -off
	}
	r.variance += (off - r.variance) / 4
	r.smooth += (d - r.smooth) / 8
}

func clamp(d, least, most time.Duration) time.Duration { return min(most, max(least, d)) }
