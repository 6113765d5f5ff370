package node

import (
	"time"

	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/sign"
	"github.com/primebft/prime/internal/wire"
)

// Wrap puts something around the machine of a replica before it runs.
type Wrap func(Seat, core.Machine) core.Machine

// Seat is what whoever wraps a replica's machine is told: where it sits, and how to speak in its name, and in no other.
type Seat struct {
	Self         group.ID
	Group        group.Group
	Incarnations []uint32
	Limits       core.Limits
	Retransmit   time.Duration
	// Sign makes a signed message of this replica. It is for the goroutine that steps the machine alone.
	Sign func(wire.Message) *wire.Envelope
	// Twin makes a second machine of this replica that has seen nothing; nil if there cannot be one.
	Twin func() core.Machine
}

func (n *Node) seat(c core.Config, s *sign.Signer) Seat {
	sign, header := n.signing(s), n.keyring.Header(n.self)
	return Seat{
		Self: n.self, Group: c.Group, Incarnations: c.Incarnations, Limits: c.Limits, Retransmit: c.Timing.Retransmit,
		Sign: func(m wire.Message) *wire.Envelope {
			env := wire.NewEnvelope(header, s.Complete(m))
			sign([]*wire.Envelope{env})
			return env
		},
		Twin: func() core.Machine {
			twin, err := core.New(c)
			if err != nil {
				return nil
			}
			return twin
		},
	}
}
