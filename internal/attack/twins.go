package attack

import (
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
)

// twins is one replica that runs twice under one key, as after a clone of a machine: each of the two follows the protocol, with one
// half of the group, and knows nothing of the other.
func twins() Behaviour {
	return Behaviour{
		Name: "twins", Hides: true, Does: "runs twice under one key, each of the two with one half of the group",
		Wrap: func(h *Host, inner core.Machine) core.Machine {
			if h.Twin == nil {
				return inner
			}
			one := half(h.Group.Others(h.Self))
			return &pair{Machine: inner, host: h, both: [2]core.Machine{inner, h.Twin()},
				side: [2]group.Set{one, h.Group.Others(h.Self).Minus(one)}}
		},
	}
}

// pair is two machines that are one replica.
type pair struct {
	core.Machine // the first
	host         *Host
	both         [2]core.Machine
	side         [2]group.Set
	scratch      effect.Output
}

// Step implements core.Machine.
func (p *pair) Step(now clock.Instant, in core.Input, out *effect.Output) {
	for i := range p.both {
		if in.Message != nil && p.side[1-i].Has(in.Message.Sender) {
			continue
		}
		p.step(now, i, in, out)
	}
}

// step gives one of the two an input, and at once whatever it says to itself.
func (p *pair) step(now clock.Instant, i int, in core.Input, out *effect.Output) {
	queue := []core.Input{in}
	for len(queue) > 0 {
		p.scratch.Reset()
		p.both[i].Step(now, queue[0], &p.scratch)
		queue = queue[1:]
		for _, s := range p.scratch.Sends {
			if s.Msg != nil {
				s.Msg, s.Signed = nil, p.host.Sign(s.Msg)
			}
			if s.To.Has(p.host.Self) {
				queue = append(queue, core.Input{Message: s.Signed})
			}
			if s.To = s.To.Intersect(p.side[i]); s.To != 0 {
				out.Sends = append(out.Sends, s)
			}
		}
		if i == 0 {
			pass(&p.scratch, out)
		}
	}
}

// Deadline implements core.Machine.
func (p *pair) Deadline() clock.Instant { return min(p.both[0].Deadline(), p.both[1].Deadline()) }
