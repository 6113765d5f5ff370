package datagram

import (
	"time"

	"github.com/primebft/prime/internal/clock"
)

// unknownRate is what a link without a configured rate is taken to carry when repair is bounded, bits/s.
const unknownRate = 100e6

// repairShare is the part of a link that repair may use: one in so many bytes.
const repairShare = 4

// Shared is what all classes of one link to a peer have in common: how much may be repaired, and whether the link loses
// anything at all. A peer that asks for everything again spends its own link's budget and nobody else's.
type Shared struct {
	perSecond float64 // bytes
	burst     float64
	tokens    float64
	at        clock.Instant
	lossy     clock.Instant // until when it counts as a link that loses packets
	adaptive  bool          // nobody said what the link carries
}

// NewShared returns the state of a link with a rate in bits/s; 0 if none is configured.
func NewShared(rateBits int64) *Shared {
	s := &Shared{adaptive: rateBits <= 0}
	rate := float64(rateBits)
	if s.adaptive {
		rate = unknownRate
	}
	s.perSecond = rate / 8 / repairShare
	s.burst = max(4*Payload, s.perSecond*0.05)
	s.tokens = s.burst
	return s
}

func (s *Shared) level(now clock.Instant) float64 {
	if now > s.at {
		s.tokens = min(s.burst, s.tokens+s.perSecond*now.Sub(s.at).Seconds())
		s.at = now
	}
	return s.tokens
}

// spend takes n bytes of the budget if it is not used up.
func (s *Shared) spend(now clock.Instant, n int) bool {
	if s.level(now) <= 0 {
		return false
	}
	s.tokens -= float64(n)
	return true
}

// refilled is when there is something in the budget again.
func (s *Shared) refilled(now clock.Instant) clock.Instant {
	if s.level(now) > 0 {
		return now
	}
	return now.Add(time.Duration((1-s.tokens)/s.perSecond*1e9) + 1)
}

// lost notes that something was lost.
func (s *Shared) lost(now clock.Instant) { s.lossy = now.Add(lossMemory) }
