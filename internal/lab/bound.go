package lab

import (
	"slices"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/bench/stall"
)

// BoundTerms is what the bound is computed from, in milliseconds (docs/protocol.md, "Bounded delay"). Delays are the longest that
// were measured between correct replicas that were not away, by probes in which the machine did not stand still, from the step
// that sent a message to the step that got it.
type BoundTerms struct {
	TimelyMS     float64 `json:"timely_ms"`     // L_timely: half a round trip of TIMELY messages
	BoundedMS    float64 `json:"bounded_ms"`    // L_bounded
	AcceptableMS float64 `json:"acceptable_ms"` // the highest acceptable turnaround that a correct replica computed
	LimitMS      float64 `json:"limit_ms"`      // K_Lat times that and Δ_pp, likewise
	GatherMS     float64 `json:"gather_ms"`     // Δ_req + Δ_ack + Δ_sum + Δ_mat: how long messages gather
	CheckMS      float64 `json:"check_ms"`      // Δ_check
	Probes       int     `json:"probes"`
	TypicalMS    float64 `json:"typical_bound_ms"` // the bound if every message took as long as the median one
}

// Bound is how long an update may take that a stable replica introduces when no view changes on its way:
// 6 L_bounded + (K_Lat acceptable + Δ_pp) + Δ_req + Δ_ack + Δ_sum + Δ_mat + Δ_check + max(0, Δ_ack - L_bounded).
// 0 if nothing was measured.
func (l *Log) Bound(node *config.Node) (time.Duration, *BoundTerms) {
	away := l.away(false)
	var timely, acceptable, limit time.Duration
	var probes []time.Duration // of BOUNDED messages
	for _, n := range l.correct() {
		if n.At < l.Window.From || n.At >= l.Window.To {
			continue
		}
		switch {
		case n.Kind == Judged && n.Judgement != nil:
			acceptable, limit = max(acceptable, time.Duration(n.Acceptable)), max(limit, time.Duration(n.Limit))
		case n.Kind == Probed:
			life := stall.Span{From: n.At - n.Nanos - n.Trip, To: n.At}
			if l.compromised(n.Replica, n.At) || touches(away[n.By], life) || touches(away[n.Replica], life) || len(l.clip(life)) > 0 {
				continue
			}
			probes, timely = append(probes, time.Duration(n.Nanos)), max(timely, time.Duration(n.Trip/2))
		}
	}
	if len(probes) == 0 || limit == 0 {
		return 0, nil
	}
	slices.Sort(probes)
	bounded := probes[len(probes)-1]
	t := &node.Timing
	gather := t.Request + t.Ack + t.Summary + t.Matrix
	bound := func(bounded time.Duration) time.Duration {
		return 6*bounded + limit + gather + node.Suspect.Check + max(0, t.Ack-bounded)
	}
	return bound(bounded), &BoundTerms{
		TimelyMS: milliseconds(int64(timely)), BoundedMS: milliseconds(int64(bounded)), AcceptableMS: milliseconds(int64(acceptable)),
		LimitMS: milliseconds(int64(limit)), GatherMS: milliseconds(int64(gather)), CheckMS: milliseconds(int64(node.Suspect.Check)),
		Probes: len(probes), TypicalMS: milliseconds(int64(bound(probes[len(probes)/2]))),
	}
}
