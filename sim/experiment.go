package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/transport/emulate/wan"
)

// Experiment is a measurement in virtual time, as papers make them: a group of replicas over emulated links, with a processor
// that takes its time for signatures and bytes, and clients that each have one update outstanding. Messages have the bytes that
// they have on a real wire, signatures of a batch and their Merkle paths included. Everything is fixed by the values here, so it
// gives the same figures on every machine.
type Experiment struct {
	Replicas int
	WAN      wan.Profile
	Node     config.Node   // timing and judgement of replicas; as config.WAN, for example
	Limits   config.Limits // as config.DefaultLimits, for example
	// Clients are spread over the replicas evenly, each beside one. The next update follows as soon as the last is done: with
	// ClientAuth when f+1 replicas have executed it, otherwise when the client's own has.
	Clients    int
	Payload    int           // bytes of an update
	ClientAuth bool          // clients sign updates, and all replicas verify them
	Attack     bool          // the first leader delays its proposals to just within its limit and sends them to one replica only
	Faults     []string      // what f replicas, the first leader among them, do as well: names of attack.Behaviours, for example "reconciliation"
	Datagrams  bool          // messages go in datagrams as between real replicas, with all that these add; otherwise each by itself
	Cores      int           // processors of a replica; 0: one, as in the paper
	Costs      Costs         // of what a processor does
	WarmUp     time.Duration // is not measured
	Measure    time.Duration // is
	Seed       uint64
}

// Measurement is what an Experiment gave. All of it is of the measured time.
type Measurement struct {
	Clients         int                `json:"clients"`
	ThroughputPerS  float64            `json:"throughput_per_s"` // updates that clients had done
	LatencyMS       Latency            `json:"latency_ms"`
	BytesPerUpdate  float64            `json:"bytes_per_update"` // that all replicas together put on their links, headers included
	BytesByKind     map[string]float64 `json:"bytes_by_kind"`    // the same, by kind of message
	OrdinalsPerS    float64            `json:"ordinals_per_s"`
	PerRequest      float64            `json:"updates_per_request"`
	Uplink          []float64          `json:"uplink"`                // share of its rate that each replica used; 0 if it has no limit
	Processor       []float64          `json:"processor"`             // share of its processors that each replica used
	RepairBytes     []float64          `json:"repair_bytes"`          // for each update, that each replica put on its links to repair what others lack
	RepairMean      float64            `json:"repair_mean_bytes"`     // of all replicas
	RepairAnalysis  float64            `json:"repair_analysis_bytes"` // what the paper's analysis gives for that; 0 if nobody hides anything
	DroppedBytes    uint64             `json:"dropped_bytes"`
	Repeated        uint64             `json:"repeated"` // messages of its own that a replica sent again, or for others
	TurnaroundMS    float64            `json:"turnaround_ms"`
	TurnaroundLimit float64            `json:"turnaround_limit_ms"` // what a leader may take at most; 0 while nobody knows
	BoundMS         float64            `json:"bound_ms"`            // on latency (docs/protocol.md), without queues
	Views           uint64             `json:"views"`               // the highest view that a replica was in at the end
}

// Latency is how long updates took, milliseconds.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
}

// PaperExperiment is the wide-area experiment of the paper (Amir et al., TDSC 2011, section 7): 50 ms between any two of n
// replicas, 10 Mbit/s out of each, updates of 512 bytes.
func PaperExperiment(replicas, clients int) Experiment {
	profile, _ := wan.Preset("us-wide")
	return Experiment{
		Replicas: replicas, WAN: profile, Node: config.WAN(), Limits: config.DefaultLimits(), Clients: clients, Payload: 512,
		Costs: DefaultCosts(), WarmUp: 5 * time.Second, Measure: 15 * time.Second, Seed: 1,
	}
}

// LANExperiment is the same at one site: 0.1 ms between any two replicas and 1 Gbit/s to each, where processors are the limit. So that they
// are busy whatever a leader delays, it needs some 20,000 to 30,000 clients.
func LANExperiment(replicas, clients int) Experiment {
	e := PaperExperiment(replicas, clients)
	e.WAN, _ = wan.Preset("lan")
	e.Node, e.WarmUp, e.Measure = config.LAN(), time.Second, 3*time.Second
	return e
}

// Run does the experiment. It is an error if it cannot be done, and if replicas execute different things: then a figure would mean
// nothing.
func (e Experiment) Run() (Measurement, error) {
	sizes, err := group.ForSize(e.Replicas)
	if err != nil {
		return Measurement{}, err
	}
	switch {
	case e.Clients < 1:
		return Measurement{}, errors.New("an experiment needs at least one client")
	case e.Payload < 0 || e.Payload > e.Limits.UpdateBytes:
		return Measurement{}, fmt.Errorf("updates of %d bytes: from 0 to %d are possible", e.Payload, e.Limits.UpdateBytes)
	case e.WarmUp < 0 || e.Measure <= 0:
		return Measurement{}, errors.New("an experiment needs a time to measure")
	}
	t, err := newTrial(&e, sizes)
	if err != nil {
		return Measurement{}, err
	}
	return t.measure()
}

// coreConfig is what the core of a replica is made with.
func (e *Experiment) coreConfig(id group.ID, sizes group.Group, incarnations []uint32) core.Config {
	l, t, s := e.Limits, e.Node.Timing, e.Node.Suspect
	cfg := core.Config{
		Self: id, Group: sizes, Epoch: epoch, Incarnations: incarnations, Wall: calendar,
		Limits: core.Limits{
			UpdateBytes: l.UpdateBytes, RequestBytes: l.RequestBytes, RequestUpdates: l.RequestUpdates,
			EagerBytes: e.Node.Queues.RequestBytes, InFlight: l.InFlight,
			PendingBytes: e.Node.Queues.SubmitBytes, Sessions: l.Sessions, SessionWindow: l.SessionWindow,
			OrdinalWindow: l.OrdinalWindow, History: l.History, HistoryBytes: e.Node.Queues.HistoryBytes, Recon: l.Recon,
		},
		Timing: core.Timing{
			Request: t.Request, Ack: t.Ack, Summary: t.Summary, Matrix: t.Matrix, Propose: t.Propose, Retransmit: t.Retransmit,
			Fetch: t.Fetch, Recon: t.Recon, Suspect: core.Suspect{
				KLat: int(s.KLat * 1000), Delta: s.Delta, Floor: s.Floor, Ping: s.Ping, Check: s.Check, Window: s.Window,
				MaxStall: s.MaxStall,
			},
		},
	}
	cfg.Seed[0], cfg.Seed[1] = byte(id), byte(e.Seed)
	return cfg
}
