package bench

import (
	"math"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/bench/latency"
	"github.com/primebft/prime/internal/bench/stall"
	"github.com/primebft/prime/internal/wire"
)

// Report is what prime bench and prime demo say at the end, as scripts read it.
type Report struct {
	Replicas                int             `json:"replicas"`
	F                       int             `json:"f"`
	K                       int             `json:"k"`
	PayloadBytes            int             `json:"payload_bytes"`
	Clients                 int             `json:"clients"`
	Outstanding             int             `json:"outstanding"` // per replica; 0 with a fixed rate
	Rate                    float64         `json:"rate,omitempty"`
	Auth                    config.Auth     `json:"auth"`
	Storage                 string          `json:"storage"`
	WAN                     string          `json:"wan,omitempty"` // profile of emulated links
	DurationS               float64         `json:"duration_s"`
	ThroughputPerS          float64         `json:"throughput_per_s"`
	ThroughputPerSUnstalled float64         `json:"throughput_per_s_unstalled"`
	StalledS                float64         `json:"stalled_s"`
	HostStallShare          float64         `json:"host_stall_share"`
	LatencyMS               latency.Summary `json:"latency_ms"`
	Delivered               map[int]uint64  `json:"delivered"` // by running replica
	Lost                    int             `json:"lost"`
	MaxGapMS                float64         `json:"max_gap_ms"`
	Agreed                  bool            `json:"agreed"`
	StreamDigest            string          `json:"stream_digest"` // "" if not agreed
	View                    uint64          `json:"view"`
	ViewChanges             uint64          `json:"view_changes"`
	CPUUsPerUpdate          float64         `json:"cpu_us_per_update"` // of all replicas together; 0 if not known
	RSSMiB                  map[int]float64 `json:"rss_mib"`           // by running replica
	BytesSentPerUpdate      float64         `json:"bytes_sent_per_update"`

	// SentByClass are those bytes by class, TIMELY, BOUNDED, RECON and BULK; RepairBytes are those of class RECON by running replica.
	SentByClass [wire.Classes]float64 `json:"bytes_sent_per_update_by_class"`
	RepairBytes map[int]float64       `json:"repair_bytes_per_update"`

	UpdatesPerRequest float64 `json:"updates_per_request"` // in a PO-REQUEST, on average
	Failed            int     `json:"failed"`              // updates whose outcome is not known, or that were refused
	Late              int     `json:"late"`                // with a fixed rate: not sent before the end
	Unfinished        bool    `json:"unfinished,omitempty"`

	Failures map[string]int `json:"failures,omitempty"` // how often, by reason

	*FloorReport
	Killed []KillReport `json:"killed,omitempty"`
}

// FloorReport compares with what the same machine does without ordering anything (package floor).
type FloorReport struct {
	ThroughputPerS float64 `json:"floor_throughput_per_s"`
	Ratio          float64 `json:"floor_ratio"` // ordering to floor, in unstalled time
	RoundMS        float64 `json:"floor_round_ms"`
	LoneMS         float64 `json:"lone_latency_ms"`
	LatencyRatio   float64 `json:"latency_ratio"` // lone update to six rounds, medians
	TLSPerS        float64 `json:"floor_tls_throughput_per_s"`
	TLSRatio       float64 `json:"floor_tls_ratio"` // floor to plain TLS copying of the same bytes
}

// KillReport is a replica that was killed on request.
type KillReport struct {
	Replica int     `json:"replica"`
	AtS     float64 `json:"at_s"`
	After   uint64  `json:"acknowledged_after"` // updates acknowledged since
}

// Fill puts in what was measured in one leg.
func (r *Report) Fill(l *Leg) {
	seconds := l.Duration.Seconds()
	r.DurationS = Round(seconds, 3)
	r.ThroughputPerS = Round(Ratio(float64(l.Updates), seconds), 1)
	r.ThroughputPerSUnstalled = Round(Unstalled(l), 1)
	r.StalledS = Round(l.Stalled.Seconds(), 3)
	r.HostStallShare = Round(Ratio(l.Stalled.Seconds(), seconds), 4)
	r.LatencyMS = l.Histogram.Summary()
	r.MaxGapMS = latency.Milliseconds(l.MaxGap)
	r.CPUUsPerUpdate = Round(Ratio(float64(l.CPU.Microseconds()), float64(l.Updates)), 1)
	r.RepairBytes = map[int]float64{}
	var all classBytes
	for id, bytes := range l.Sent {
		all.add(bytes)
		r.RepairBytes[id] = Round(Ratio(float64(bytes[wire.Recon-1]), float64(l.Updates)), 1)
	}
	for i, bytes := range all {
		r.SentByClass[i] = Round(Ratio(float64(bytes), float64(l.Updates)), 1)
	}
	r.BytesSentPerUpdate = Round(Ratio(float64(all.total()), float64(l.Updates)), 1)
	r.UpdatesPerRequest = Round(l.PerRequest, 2)
	r.Failed, r.Failures, r.Late, r.Unfinished = l.Failed, l.Failures, l.Late, l.Unfinished
	r.RSSMiB = map[int]float64{}
	for id, bytes := range l.RSS {
		r.RSSMiB[id] = Round(float64(bytes)/(1<<20), 1)
	}
}

// Settle puts in what became of the load.
func (r *Report) Settle(o Outcome) {
	r.Agreed, r.Lost, r.Delivered, r.StreamDigest = o.Agreed, o.Lost, o.Delivered, o.Digest
	r.View, r.ViewChanges = o.View, o.ViewChanges
}

// Unstalled is the throughput of a leg in the time in which the machine did not stand still, updates per second.
func Unstalled(l *Leg) float64 {
	return Ratio(float64(l.Updates), (l.Duration - l.Stalled).Seconds())
}

// Span is a time on the clock of package stall.
type Span = stall.Span

// PerSecond is the throughput of so many updates in a window without the stalls in it.
func PerSecond(updates float64, window Span, stalls []Span) float64 {
	return Ratio(updates, (stall.Total([]Span{window}) - stall.Total(stalls)).Seconds())
}

// Merge makes one leg of several with the same load, as if they had followed each other.
func Merge(legs []*Leg) *Leg {
	all := &Leg{Sent: map[int]classBytes{}}
	for _, l := range legs {
		all.Duration += l.Duration
		all.Stalled += l.Stalled
		all.Updates += l.Updates
		all.Requests += l.Requests
		all.Late += l.Late
		all.CPU += l.CPU
		for id, bytes := range l.Sent {
			sum := all.Sent[id]
			sum.add(bytes)
			all.Sent[id] = sum
		}
		all.MaxGap = max(all.MaxGap, l.MaxGap)
		all.Histogram.Merge(&l.Histogram)
		all.RSS, all.Failed, all.Failures = l.RSS, l.Failed, l.Failures // these are of the whole session
		all.Unfinished = all.Unfinished || l.Unfinished
	}
	all.PerRequest = Ratio(float64(all.Updates), float64(all.Requests))
	return all
}

// Ratio is a/b, and 0 if b is not positive.
func Ratio(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}

// Round rounds to so many decimal places.
func Round(x float64, places int) float64 {
	scale := math.Pow10(places)
	return math.Round(x*scale) / scale
}
