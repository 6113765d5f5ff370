package sim

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/internal/wire"
)

// measured runs an experiment that must succeed.
func measured(t *testing.T, e Experiment) Measurement {
	t.Helper()
	m, err := e.Run()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// under is the paper's experiment under the delay attack with this K_Lat; 0: fault-free.
func under(kLat float64, replicas, clients int) Experiment {
	e := PaperExperiment(replicas, clients)
	e.Measure = 10 * time.Second
	if kLat > 0 {
		e.Attack, e.Node.Suspect.KLat = true, kLat
	}
	return e
}

// TestPaperPlateau: over the paper's network seven replicas order at least 2,000 updates per second (the paper: just under 850), and
// a leader that delays as long as it dares costs none of that (TDSC 2011, section 7.2).
func TestPaperPlateau(t *testing.T) {
	t.Parallel()
	if underRace {
		t.Skip("one goroutine, and too slow under the race detector")
	}
	const clients = 2400
	free := measured(t, under(0, 7, clients))
	if free.ThroughputPerS < 2000 || free.DroppedBytes > 0 || free.Views != 1 {
		t.Errorf("fault-free: %.0f updates/s, %d bytes dropped, view %d", free.ThroughputPerS, free.DroppedBytes, free.Views)
	}
	if free.OrdinalsPerS < 10 || free.OrdinalsPerS > 20 {
		t.Errorf("%.1f ordinals/s: not between 10 and 20", free.OrdinalsPerS)
	}
	for _, kLat := range []float64{1, 2} {
		m := measured(t, under(kLat, 7, clients))
		if m.ThroughputPerS < 0.95*free.ThroughputPerS {
			t.Errorf("delay attack, K_Lat %g: %.0f updates/s, fault-free %.0f", kLat, m.ThroughputPerS, free.ThroughputPerS)
		}
		if m.Views != 1 {
			t.Errorf("delay attack, K_Lat %g: the leader was replaced, so nothing was measured", kLat)
		}
	}
}

// TestPaperLightLoad: a lone update takes six one-way delays and hardly more, and under the delay attack it stays within the paper's
// bound, but takes noticeably longer: the attack is real.
func TestPaperLightLoad(t *testing.T) {
	t.Parallel()
	for _, n := range []int{4, 7} {
		free := measured(t, under(0, n, 1))
		if free.LatencyMS.P99 > 330 || free.LatencyMS.P50 < 300 {
			t.Errorf("n=%d: median %.0f ms, 99 %% %.0f ms", n, free.LatencyMS.P50, free.LatencyMS.P99)
		}
		for _, kLat := range []float64{1, 2} {
			m := measured(t, under(kLat, n, 1))
			if m.LatencyMS.P99 > m.BoundMS || m.Views != 1 {
				t.Errorf("n=%d, K_Lat %g: 99 %% take %.0f ms, the bound is %.0f; view %d", n, kLat, m.LatencyMS.P99, m.BoundMS, m.Views)
			}
			if m.LatencyMS.P50 < free.LatencyMS.P50+60*kLat {
				t.Errorf("n=%d, K_Lat %g: the median is %.0f ms, fault-free %.0f: this is no attack", n, kLat, m.LatencyMS.P50,
					free.LatencyMS.P50)
			}
		}
	}
}

// TestExperimentIsExact: the same experiment gives the same figures, and one that differs gives others.
func TestExperimentIsExact(t *testing.T) {
	t.Parallel()
	e := under(2, 4, 60)
	e.WarmUp, e.Measure, e.ClientAuth = time.Second, 2*time.Second, true
	first, again := measured(t, e), measured(t, e)
	if !reflect.DeepEqual(first, again) {
		t.Errorf("%+v\n%+v", first, again)
	}
	e.Costs.Verify *= 20
	if slow := measured(t, e); slow.Processor[1] < 3*first.Processor[1] || slow.LatencyMS.Mean <= first.LatencyMS.Mean {
		t.Errorf("verification that takes 20 times as long: processors %.2f, mean %.1f ms; before %.2f, %.1f ms", slow.Processor[1],
			slow.LatencyMS.Mean, first.Processor[1], first.LatencyMS.Mean)
	}
}

// TestExperimentOnSlowProcessors: with signatures as slow as the paper's, one processor is the limit; two do more.
func TestExperimentOnSlowProcessors(t *testing.T) {
	t.Parallel()
	e := under(0, 4, 300)
	e.ClientAuth, e.WarmUp, e.Measure = true, 2*time.Second, 3*time.Second
	e.Costs.Verify = 3 * time.Millisecond
	one := measured(t, e)
	e.Cores = 2
	two := measured(t, e)
	if one.Processor[1] < 0.95 || one.ThroughputPerS > 333 || two.ThroughputPerS < 1.3*one.ThroughputPerS {
		t.Errorf("one processor: %.0f updates/s, %.2f busy; two: %.0f", one.ThroughputPerS, one.Processor[1], two.ThroughputPerS)
	}
}

// TestExperimentCountsBytes: what an update costs is what is really encoded: six copies of its request, and more.
func TestExperimentCountsBytes(t *testing.T) {
	t.Parallel()
	m := measured(t, under(0, 4, 1))
	one := wire.NewEnvelope(wire.Header{Sender: 1}, &wire.PreorderRequest{Seq: 1, Updates: []wire.Update{{Payload: make([]byte, 512)}}})
	one.Finish(wire.Proof{Count: 1})
	if got, want := m.BytesByKind["PO-REQUEST"], float64(3*(len(one.Raw)+28)); got != want {
		t.Errorf("a lone update takes %.0f bytes of PO-REQUESTs, want %.0f", got, want)
	}
	sum := 0.0
	for _, bytes := range m.BytesByKind {
		sum += bytes
	}
	if sum < m.BytesPerUpdate-1 || sum > m.BytesPerUpdate+1 {
		t.Errorf("kinds sum up to %.0f bytes, together they are %.0f", sum, m.BytesPerUpdate)
	}
}

// TestExperimentOverDatagrams: what datagrams add to messages is counted, and is less than a tenth where links are full; nothing is lost,
// and the same experiment gives the same figures.
func TestExperimentOverDatagrams(t *testing.T) {
	t.Parallel()
	if underRace {
		t.Skip("one goroutine, and too slow under the race detector")
	}
	e := under(0, 7, 1204)
	e.WarmUp, e.Measure = 3*time.Second, 3*time.Second
	alone := measured(t, e)
	e.Datagrams = true
	packed, again := measured(t, e), measured(t, e)
	if !reflect.DeepEqual(packed, again) {
		t.Errorf("%+v\n%+v", packed, again)
	}
	t.Logf("%.0f bytes for each update, %.0f in datagrams; %.0f and %.0f updates/s", alone.BytesPerUpdate, packed.BytesPerUpdate, alone.ThroughputPerS,
		packed.ThroughputPerS)
	if packed.BytesPerUpdate < alone.BytesPerUpdate || packed.BytesPerUpdate > 1.1*alone.BytesPerUpdate || packed.ThroughputPerS < 0.9*alone.ThroughputPerS {
		t.Error("that is too much, or nothing")
	}
	if packed.DroppedBytes > 0 || packed.Views != 1 {
		t.Errorf("%d bytes dropped, view %d", packed.DroppedBytes, packed.Views)
	}
}

// TestExperimentRefuses: what cannot be measured is said.
func TestExperimentRefuses(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Experiment){
		"client": func(e *Experiment) { e.Clients = 0 }, "bytes": func(e *Experiment) { e.Payload = 1 << 30 },
		"time": func(e *Experiment) { e.Measure = 0 }, "replicas": func(e *Experiment) { e.Replicas = 3 - 4 },
	} {
		e := PaperExperiment(4, 1)
		change(&e)
		if _, err := e.Run(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %s: %v", want, err)
		}
	}
}
