// Package wan is wide-area links as pure state machines: what a link does to the packets that are sent over it, and profiles
// of whole networks. It has no clock, lock, goroutine or socket: its owner passes in the time, so that the same code delays the
// frames of real processes (package emulate) and those of simulated worlds, exactly and repeatably.
//
// A packet of s bytes that is offered to a link at time t (network.md section 5):
//
//  1. The link is down, or s exceeds the MTU: it is dropped.
//  2. It waits for the bottleneck. A packet whose transmission would begin more than Rate.Queue later is dropped (tail drop).
//     Urgent classes go first, with the floor for RECON and BULK that the scheduler above gives them too; in BOUNDED, packets
//     that yield go last.
//  3. The bottleneck transmits it: s + 28 bytes for each 1,472 bytes begun, at Rate.Bits. What comes at once up to Rate.Burst
//     bytes passes without delay, as in a token bucket.
//  4. It has used the bottleneck; now it may be lost or doubled.
//  5. It arrives Delay + Jitter after its departure, but not before what departed earlier, unless Reorder is set.
//
// Every replica may also have a bottleneck that all its outgoing links share (the uplink), which comes before those of the
// links. All randomness comes from one PCG per link: the same seed and the same packets give the same losses. Changes apply
// to packets that have not been offered yet.
//
// A packet here is whatever its owner sends as one: a datagram, or a whole frame of the protocol. Frames are transmitted in
// pieces of 1,500 bytes, between which more urgent ones slip in, as packets of several connections do on a real link.
package wan

import (
	"fmt"
	"slices"
	"time"

	"github.com/primebft/prime/config"
)

// Link is what one direction between two replicas does. The zero Link delivers everything at once.
type Link struct {
	Delay     time.Duration // one way
	Jitter    Jitter        // added to Delay
	Loss      Loss          //
	Duplicate float64       // probability that a packet that was not lost arrives twice
	Reorder   bool          // a packet with little jitter may overtake
	Rate      Rate          // of this link alone
	MTU       int           // largest packet, bytes; 0: any
	Down      bool          // drops everything
}

// Rate is a bottleneck. The zero Rate is none.
type Rate struct {
	Bits  int64         // bits/s; 0: no bottleneck
	Burst int           // bytes that may pass at once after a pause
	Queue time.Duration // longest wait for the beginning of a transmission; 0: DefaultQueue
}

// DefaultQueue is Rate.Queue if nothing else is said.
const DefaultQueue = time.Second

// queue is the limit that holds.
func (r *Rate) queue() time.Duration {
	if r.Queue == 0 {
		return DefaultQueue
	}
	return r.Queue
}

// Jitter is a random part of the delay, never negative: uniform, or normal, or drawn from a table. Only one of the three may be
// given; the zero Jitter is none.
type Jitter struct {
	Uniform     time.Duration   // from 0 to this
	Mean, Sigma time.Duration   // normal, clipped at 0
	Table       []time.Duration // one of these, each as likely as the others
}

// most is the largest that jitter is, but for the tail of a normal one.
func (j *Jitter) most() time.Duration {
	if len(j.Table) > 0 {
		return slices.Max(j.Table)
	}
	return max(j.Uniform, j.Mean+6*j.Sigma)
}

// Loss is the model of Gilbert and Elliott: a link is in a good or a bad state, and loses packets with a probability that
// depends on it. With Enter zero it is always good, and losses are independent of each other.
type Loss struct {
	Good  float64 // probability of loss in the good state
	Bad   float64 // and in the bad state
	Enter float64 // probability that a packet finds the good state turned bad
	Leave float64 // and the bad state turned good: bad times last 1/Leave packets on average
}

// Bernoulli is loss with probability p, each packet for itself.
func Bernoulli(p float64) Loss { return Loss{Good: p} }

// Bursts is loss of a share p of the packets, in runs of length packets on average.
func Bursts(p, length float64) Loss {
	leave := 1 / length
	return Loss{Bad: 1, Leave: leave, Enter: leave * p / (1 - p)}
}

// Loses reports whether a link that is up loses or doubles packets.
func (l *Link) Loses() bool {
	return l.Loss.Good > 0 || l.Loss.Enter > 0 && l.Loss.Bad > 0 || l.Duplicate > 0
}

// Limits of what a link can be.
const (
	maxDelay = time.Hour
	maxBits  = int64(1e12)
	maxTable = 1 << 16
)

// Validate names every fault; field is what the link is called in messages.
func (l *Link) Validate(field string) []*config.Problem {
	c := checker{prefix: field}
	c.duration("delay", l.Delay)
	c.duration("jitter", l.Jitter.Uniform)
	c.duration("jitter.mean", l.Jitter.Mean)
	c.duration("jitter.sigma", l.Jitter.Sigma)
	for _, d := range l.Jitter.Table {
		c.duration("jitter.table", d)
	}
	if len(l.Jitter.Table) > maxTable {
		c.fault("jitter.table", fmt.Sprintf("it has %d entries", len(l.Jitter.Table)), fmt.Sprintf("at most %d are possible", maxTable))
	}
	kinds := 0
	for _, given := range [...]bool{l.Jitter.Uniform != 0, l.Jitter.Mean != 0 || l.Jitter.Sigma != 0, len(l.Jitter.Table) > 0} {
		if given {
			kinds++
		}
	}
	if kinds > 1 {
		c.fault("jitter", "it is of several kinds", "give one duration, or mean and sigma, or a table")
	}
	c.probability("loss", l.Loss.Good)
	c.probability("loss.bad", l.Loss.Bad)
	c.probability("loss.enter", l.Loss.Enter)
	c.probability("loss.leave", l.Loss.Leave)
	if l.Loss.Enter > 0 && l.Loss.Leave == 0 {
		c.fault("loss.leave", "the bad state never ends", "give a probability above 0, or use down")
	}
	c.probability("duplicate", l.Duplicate)
	if l.MTU < 0 {
		c.fault("mtu", fmt.Sprintf("%d bytes is not a size", l.MTU), "write 0 for no limit")
	}
	return append(c.problems, l.Rate.Validate(field)...)
}

// Validate names every fault; field is what the bottleneck is called in messages.
func (r *Rate) Validate(field string) []*config.Problem {
	c := checker{prefix: field}
	if r.Bits < 0 || r.Bits > maxBits || r.Bits > 0 && r.Bits < 1000 {
		c.fault("rate_bits", fmt.Sprintf("%d bits/s is not possible", r.Bits), "write 0 for no limit, or from 1_000 to 1_000_000_000_000")
	}
	if r.Burst < 0 || r.Burst > 1<<30 {
		c.fault("burst", fmt.Sprintf("%d bytes is not possible", r.Burst), "write from 0 to 1 GiB")
	}
	c.duration("queue", r.Queue)
	return c.problems
}

// checker collects faults.
type checker struct {
	prefix   string
	problems []*config.Problem
}

func (c *checker) fault(field, what, remedy string) {
	if c.prefix != "" {
		field = c.prefix + "." + field
	}
	c.problems = append(c.problems, &config.Problem{Field: field, What: what, Remedy: remedy})
}

func (c *checker) duration(field string, d time.Duration) {
	if d < 0 || d > maxDelay {
		c.fault(field, fmt.Sprintf("%s is not possible", d), `write a duration from "0s" to "1h"`)
	}
}

func (c *checker) probability(field string, p float64) {
	if !(p >= 0 && p <= 1) {
		c.fault(field, fmt.Sprintf("%g is not a probability", p), "write a number from 0 to 1, for example 0.01 for 1 %")
	}
}
