package sim

import (
	"fmt"
	"testing"
	"time"
)

func (e Experiment) try(t *testing.T, name string) {
	m, err := e.Run()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("%-20s %5d %5.0f/s %4.0f p50 %4.0f p99 %4.0f B/u %6.0f ord %.1f u/r %.1f up %.2f cpu %.2f drop %d rep %d tat %.0f/%.0f v%d\n", name, e.Clients, m.ThroughputPerS, m.LatencyMS.Mean, m.LatencyMS.P50, m.LatencyMS.P99, m.BytesPerUpdate, m.OrdinalsPerS, m.PerRequest, m.Uplink[1], m.Processor[1], m.DroppedBytes, m.Repeated, m.TurnaroundMS, m.TurnaroundLimit, m.Views)
	if verbose {
		fmt.Print("   ")
		for k, b := range m.BytesByKind {
			fmt.Printf(" %s %.0f", k, b)
		}
		fmt.Println()
	}
}

var verbose = false

func TestTry(t *testing.T) {
	ms := time.Millisecond
	for _, hack := range []bool{true} {
		for _, tm := range [][5]time.Duration{{20, 20, 20, 70, 70}, {20, 30, 30, 60, 60}} {
			for _, c := range []int{1, 20, 300, 600, 900, 1200, 2400} {
				e := PaperExperiment(7, c)
				tt := &e.Node.Timing
				tt.Request, tt.Ack, tt.Summary, tt.Matrix, tt.Propose = tm[0]*ms, tm[1]*ms, tm[2]*ms, tm[3]*ms, tm[4]*ms
				e.Node.Suspect.Delta = tm[4]*ms + 30*ms
				e.try(t, fmt.Sprint(hack, tm))
			}
		}
	}
}
