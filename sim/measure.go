package sim

import (
	"slices"
	"time"

	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/wire"
)

// result is what was measured. before is where the replicas were when the measured time began.
func (t *trial) result(before []core.Status) Measurement {
	n, seconds := len(t.servers), t.plan.Measure.Seconds()
	done := float64(len(t.tally.latencies))
	m := Measurement{
		Clients: t.plan.Clients, ThroughputPerS: done / seconds, LatencyMS: summarize(t.tally.latencies), BytesByKind: map[string]float64{},
		Repeated: t.tally.repeated, Uplink: make([]float64, n), Processor: make([]float64, n), RepairBytes: make([]float64, n),
		PerRequest: float64(t.tally.requested) / float64(max(1, t.tally.requests)), BoundMS: t.boundMS(),
	}
	all := uint64(0)
	for kind, bytes := range t.tally.bytes {
		m.BytesByKind[kind.String()] = float64(bytes) / max(1, done)
		all += bytes
	}
	if t.packing != nil {
		all = 0
		for _, bytes := range t.tally.offered {
			all += bytes
		}
	}
	m.BytesPerUpdate = float64(all) / max(1, done)
	for i, s := range t.servers {
		m.DroppedBytes += t.tally.lost[i]
		m.RepairBytes[i] = float64(t.tally.repair[i]) / max(1, done)
		m.RepairMean += m.RepairBytes[i] / float64(n)
		m.Processor[i] = s.busyTime.Seconds() / seconds / float64(s.cores)
		if bits := t.plan.WAN.Uplink.Bits; bits > 0 {
			sent := float64(t.tally.offered[i]) - float64(t.tally.lost[i]) - float64(t.waiting(i)-t.tally.queued[i])
			m.Uplink[i] = sent * 8 / seconds / float64(bits)
		}
		m.Views = max(m.Views, s.status().View)
	}
	m.RepairAnalysis = t.analysis(float64(t.tally.hidden)/max(1, done), m.BytesByKind[wire.KindPreorderRequest.String()])
	last := n - 1 // not the first leader, which may be the attacker
	now := t.servers[last].status()
	m.OrdinalsPerS = float64(now.Executed-before[last].Executed) / seconds
	m.TurnaroundMS = milliseconds(now.Judgement.Turnaround)
	if limit := now.Judgement.Limit; limit < time.Hour {
		m.TurnaroundLimit = milliseconds(limit)
	}
	return m
}

// analysis is what TDSC 2011, section 5.3, gives for the bytes that repair takes of each replica for each update, if this share of the updates
// is hidden and so many bytes of PO-REQUESTs are sent for each update: each of Q replicas sends its part, 1/(f+1) of the request, to f others.
func (t *trial) analysis(hidden, requests float64) float64 {
	g := t.group
	copies := float64(g.N()-1) - hidden*float64(g.F()) // of a request, on average
	each := requests / copies
	return hidden * float64(g.Quorum()*g.F()) / float64(g.OneCorrect()) * each / float64(g.N())
}

// boundMS is the bound of docs/protocol.md on the latency of an update, without queues: the paper's six ways and the turnaround that a
// leader may have (TDSC 2011, section 6), and what replicas aggregate.
func (t *trial) boundMS() float64 {
	way, timing, s := t.plan.WAN.Slowest(len(t.servers)), &t.plan.Node.Timing, &t.plan.Node.Suspect
	turnaround := time.Duration(s.KLat*float64(max(s.Floor, 2*way))) + s.Delta
	return milliseconds(6*way + turnaround + timing.Request + timing.Ack + timing.Summary + timing.Matrix + s.Check)
}

func summarize(list []time.Duration) (l Latency) {
	if len(list) == 0 {
		return l
	}
	slices.Sort(list)
	var sum time.Duration
	for _, d := range list {
		sum += d
	}
	l.Mean = milliseconds(sum / time.Duration(len(list)))
	l.P50 = milliseconds(list[len(list)/2])
	l.P99 = milliseconds(list[len(list)*99/100])
	return l
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
