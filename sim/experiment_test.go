package sim

import (
	"testing"
	"time"
)

func TestTry(t *testing.T) {
	for _, c := range []int{1, 7, 100, 600, 1200, 2400} {
		e := PaperExperiment(7, c)
		begin := time.Now()
		m, err := e.Run()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d %.0f/s %+v B/u %.0f %v ord %.1f u/r %.1f up %.2f cpu %.2f drop %d rep %d tat %.0f/%.0f views %d in %v", c, m.ThroughputPerS, m.LatencyMS, m.BytesPerUpdate, m.BytesByKind, m.OrdinalsPerS, m.PerRequest, m.Uplink, m.Processor, m.DroppedBytes, m.Repeated, m.TurnaroundMS, m.TurnaroundLimit, m.Views, time.Since(begin))
	}
}
