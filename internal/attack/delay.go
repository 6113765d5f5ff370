package attack

import (
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// delay is the attack that Prime was made for: as leader it holds each proposal back for as long as it believes to get away
// with, which it knows from what all report, and then shows it to one replica only.
func delay() Behaviour {
	return Behaviour{
		Name: "delay", Does: "as leader delays its PRE-PREPAREs to just within its limit and sends them to one replica only", Leader: true,
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			return &hoarder{host: h, Machine: inner, share: 600 + time.Duration(h.Rand.IntN(600))}
		},
	}
}

// hoarder holds TIMELY messages of the leader back.
type hoarder struct {
	core.Machine
	host    *Host
	share   time.Duration                                           // of the limit, in thousandths
	dare    func(now clock.Instant, j core.Judgement) time.Duration // instead of share
	scratch effect.Output
	held    []heldSend
}

type heldSend struct {
	due  clock.Instant
	send effect.Send
}

// Step implements core.Machine.
func (d *hoarder) Step(now clock.Instant, in core.Input, out *effect.Output) {
	d.scratch.Reset()
	d.Machine.Step(now, in, &d.scratch)
	pass(&d.scratch, out)
	for _, s := range d.scratch.Sends {
		if _, ok := s.Msg.(*wire.PrePrepare); !ok || len(d.held) >= memory {
			out.Sends = append(out.Sends, s)
			continue
		}
		own := s
		own.To, s.To = group.SetOf(d.host.Self), d.host.anyone()
		signed := d.host.Sign(s.Msg) // both copies have to be the same message
		own.Msg, own.Signed, s.Msg, s.Signed = nil, signed, nil, signed
		out.Sends = append(out.Sends, own)
		d.held = append(d.held, heldSend{now.Add(d.pause(now)), s})
	}
	kept := d.held[:0]
	for _, h := range d.held {
		if h.due <= now {
			out.Sends = append(out.Sends, h.send)
		} else {
			kept = append(kept, h)
		}
	}
	d.held = kept
}

// pause is how long it dares to wait: a part of its limit less the way there and back, which the acceptable time contains.
func (d *hoarder) pause(now clock.Instant) time.Duration {
	s, ok := d.Machine.(interface{ Status() core.Status })
	if !ok {
		return d.host.Pause
	}
	j := s.Status().Judgement
	if j.Limit > time.Minute {
		return d.host.Pause // nobody has measured yet
	}
	if d.dare != nil {
		return d.dare(now, j)
	}
	return max(0, j.Limit-j.Acceptable) * d.share / 1000
}

// Deadline implements core.Machine.
func (d *hoarder) Deadline() clock.Instant {
	first := d.Machine.Deadline()
	for _, h := range d.held {
		first = min(first, h.due)
	}
	return first
}
