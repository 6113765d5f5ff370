package config

import "time"

// Preset names a kind of network, and with it the values of every setting of Node that its file does not give.
type Preset string

// The presets.
const (
	PresetLocal Preset = "local" // all replicas on one machine
	PresetLAN   Preset = "lan"   // one site, round trips well under a millisecond
	PresetWAN   Preset = "wan"   // several sites, round trips of tens of milliseconds
)

// Presets lists them.
func Presets() []Preset { return []Preset{PresetLocal, PresetLAN, PresetWAN} }

// Node returns the values of the preset; false for one that does not exist. The empty preset is PresetLAN.
func (p Preset) Node() (Node, bool) {
	switch p {
	case PresetLocal:
		return Local(), true
	case PresetLAN, "":
		return LAN(), true
	case PresetWAN:
		return WAN(), true
	}
	return Node{}, false
}

const (
	kib = 1 << 10
	mib = 1 << 20
)

// LAN is a Node for replicas at one site.
func LAN() Node {
	return Node{
		Preset: PresetLAN,
		App:    App{Kind: "echo", StoreBytes: 64 * mib},
		Timing: Timing{
			Request:    500 * time.Microsecond,
			Ack:        time.Millisecond,
			Summary:    time.Millisecond,
			Matrix:     2 * time.Millisecond,
			Propose:    2 * time.Millisecond,
			Retransmit: 500 * time.Millisecond,
			Fetch:      20 * time.Millisecond,
			Recon:      5 * time.Millisecond,
			Drain:      5 * time.Second,
		},
		Suspect: Suspect{
			KLat:     2.5,
			Delta:    25 * time.Millisecond,
			Floor:    20 * time.Millisecond,
			Ping:     100 * time.Millisecond,
			Check:    10 * time.Millisecond,
			Window:   10 * time.Second,
			MaxStall: 2 * time.Second,
		},
		Network: Network{
			ReconShare:      0.25,
			BudgetBytes:     16 * mib,
			DialMin:         50 * time.Millisecond,
			DialMax:         2 * time.Second,
			Handshake:       5 * time.Second,
			HandshakeRate:   5,
			ClientConns:     1024,
			ClientHandshake: 64,
			DSCP:            true,
			Datagrams:       DatagramsAuto,
		},
		Queues: Queues{
			SubmitBytes:  16 * mib,
			RequestBytes: 256 * kib,
			DeliverBytes: 64 * mib,
			IngressBytes: 8 * mib,
			ReplyBytes:   64 * mib,
			HistoryBytes: 64 * mib,
			WatchBytes:   64 * mib,
		},
		Crypto:   Crypto{Cache: 16384},
		Storage:  Storage{Mode: StorageDurable, MaxBytes: 16 << 30},
		Transfer: Transfer{Strategy: StrategyBandwidth, Variant: 1},
	}
}

// WAN is a Node for replicas at several sites: it sends fewer, larger messages, at most 17 ordinals per second, so that links of 10
// Mbit/s have room for data, and waits longer before it repeats them (docs/adr/0011-wide-area-pacing.md).
func WAN() Node {
	n := LAN()
	n.Preset = PresetWAN
	n.Timing = Timing{
		Request:    20 * time.Millisecond,
		Ack:        30 * time.Millisecond,
		Summary:    30 * time.Millisecond,
		Matrix:     40 * time.Millisecond,
		Propose:    60 * time.Millisecond,
		Retransmit: 2 * time.Second,
		Fetch:      200 * time.Millisecond,
		Recon:      20 * time.Millisecond,
		Drain:      5 * time.Second,
	}
	n.Suspect.Delta = 100 * time.Millisecond
	n.Suspect.Floor = 100 * time.Millisecond
	n.Suspect.Ping = 500 * time.Millisecond
	n.Suspect.Check = 20 * time.Millisecond
	n.Queues.RequestBytes = 16 * kib
	n.Network.ReconShare = 0.3 // what two origins can hide, docs/adr/0020-what-hiding-can-take.md
	n.Network.DialMin = 200 * time.Millisecond
	n.Network.DialMax = 10 * time.Second
	n.Network.Handshake = 10 * time.Second
	return n
}

// Local is a Node for replicas on one machine. They share its processors and stand still with it, so leaders are judged more
// leniently than between machines.
func Local() Node {
	n := LAN()
	n.Preset = PresetLocal
	n.Suspect.Delta = 50 * time.Millisecond
	n.Suspect.Floor = 100 * time.Millisecond
	n.Suspect.Ping = 200 * time.Millisecond
	n.Suspect.Check = 20 * time.Millisecond
	n.Suspect.MaxStall = 5 * time.Second
	n.Network.DSCP = false
	return n
}

// DefaultLimits are the limits that a new cluster gets.
func DefaultLimits() Limits {
	return Limits{
		UpdateBytes:    64 * kib,
		RequestBytes:   256 * kib,
		RequestUpdates: 1024,
		InFlight:       64,
		Sessions:       65536,
		SessionWindow:  1024,
		OrdinalWindow:  64,
		History:        32768,
		// A checkpoint costs a pass over the application's state; what was executed since the last one is kept in memory.
		CheckpointOrdinals: 2000,
		CheckpointBytes:    64 * mib,
		Recon:              true,
	}
}
