package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/internal/bench"
	"github.com/primebft/prime/internal/group"
)

// asPrime makes the test program the program prime: demo and bench start it as their replicas and other processes.
const asPrime = "PRIME_TEST_AS_PRIME"

func TestMain(m *testing.M) {
	if os.Getenv(asPrime) == "1" {
		main()
	}
	if err := os.Setenv(asPrime, "1"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestDemoSurvivesAKill: four processes, one of which is killed in the middle; the others go on, agree, and lose nothing.
func TestDemoSurvivesAKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	r := command("demo", "--duration", "2s", "--outstanding", "5", "--clients", "4", "--kill", "r3@700ms", "--dir", dir, "--json")
	if r.code != exitDone {
		t.Fatalf("exit %d\n%s%s", r.code, r.out, r.err)
	}
	report := decode[bench.Report](t, r.out)
	if !report.Agreed || report.Lost != 0 || len(report.StreamDigest) != 64 {
		t.Errorf("agreed %v, lost %d, digest %q", report.Agreed, report.Lost, report.StreamDigest)
	}
	if report.Replicas != 4 || report.F != 1 || report.K != 0 || report.Clients != 4 || report.Outstanding != 5 || report.PayloadBytes != 300 {
		t.Errorf("the report is about something else: %+v", report)
	}
	if len(report.Delivered) != 3 || report.Delivered[3] != 0 || report.Delivered[1] == 0 || report.Delivered[1] != report.Delivered[4] {
		t.Errorf("delivered %v: want the same of r1, r2, r4", report.Delivered)
	}
	if len(report.Killed) != 1 || report.Killed[0].Replica != 3 || report.Killed[0].After == 0 {
		t.Errorf("killed %+v: want r3, and updates acknowledged since", report.Killed)
	}
	if report.ViewChanges > report.View-1 || report.LatencyMS.Max < report.LatencyMS.P50 {
		t.Errorf("report %+v", report)
	}
	if strings.Count(r.out, "\n") != 1 {
		t.Errorf("standard output is not one line:\n%s", r.out)
	}
	if _, err := os.Stat(filepath.Join(dir, "r3", "log")); err != nil {
		t.Errorf("the cluster that --dir asked for is not there: %v", err)
	}
	if r := command("demo", "--dir", dir); r.code != exitUsage || !strings.Contains(r.err, "exists") {
		t.Errorf("a folder that exists: exit %d\n%s", r.code, r.err)
	}
}

// TestBenchClientsAndFloor: signed updates over the client port, with the floor beside, in a cluster of f=1, k=1.
func TestBenchClientsAndFloor(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := command("bench", "--f", "1", "--k", "1", "--auth", "client", "--duration", "500ms", "--outstanding", "2", "--floor", "--rounds", "1", "--json")
	if r.code != exitDone {
		t.Fatalf("exit %d\n%s%s", r.code, r.out, r.err)
	}
	report := decode[bench.Report](t, r.out)
	if !report.Agreed || report.Lost != 0 || report.Replicas != 6 || report.K != 1 || report.Auth != "client" || report.Clients != 12 {
		t.Errorf("report %+v", report)
	}
	if f := report.FloorReport; f == nil || f.ThroughputPerS <= 0 || f.RoundMS <= 0 || f.TLSPerS <= 0 {
		t.Errorf("floor %+v", f)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestBenchAttack: replicas that do two things at once, against none, each in clusters of their own.
func TestBenchAttack(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := command("bench", "--duration", "500ms", "--outstanding", "2", "--rounds", "1", "--storage", "ephemeral", "--json",
		"--attack", "leader delay=0s+reconciliation")
	if r.code != exitDone {
		t.Fatalf("exit %d\n%s%s", r.code, r.out, r.err)
	}
	report := decode[bench.AttackReport](t, r.out)
	if len(report.Without) != 1 || len(report.With) != 1 || !slices.Equal(report.Attacked, []int{1}) || report.Ratio <= 0 {
		t.Fatalf("report %+v", report)
	}
	clean, under := report.Without[0], report.With[0]
	if len(clean.Delivered) != 4 || len(under.Delivered) != 3 || under.Delivered[1] != 0 {
		t.Errorf("delivered %v and %v", clean.Delivered, under.Delivered)
	}
	if report.RepairMean <= 0 || len(under.RepairBytes) != 4 { // what compromised replicas send counts, too
		t.Errorf("bytes of repair %v", under.RepairBytes)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestLoadUsage: wrong flags are told, with the remedy, before anything is started.
func TestLoadUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, says string }{
		{"demo --replicas 2", "--replicas"}, {"demo --replicas 4 --f 1", "--replicas"}, {"demo --f -1", "--f"}, {"demo --f 30", "64"},
		{"demo --payload 70000", "--payload"}, {"demo --clients -1", "--clients"}, {"demo --clients 10000", "--clients"},
		{"demo --outstanding 0", "--outstanding"}, {"demo --outstanding 2000", "--outstanding"},
		{"demo --outstanding 1000 --clients 1", "--clients"}, {"bench --rate -1", "--rate"}, {"bench --duration 1ms", "--duration"},
		{"demo --kill r5@1s", "r4"}, {"demo --kill 3", "r3@"}, {"demo --kill r3@20s", "end"}, {"demo --kill r3@1s --kill r3@2s", "once"},
		{"demo --kill r1@1s --kill r2@1s --kill r3@1s --kill r4@1s", "one replica"}, {"bench --auth none", "--auth"},
		{"bench --dir /nowhere --replicas 4", "--dir"}, {"bench --dir /nowhere", "/nowhere"}, {"bench --rounds 0", "--rounds"},
		{"bench --attack rubbish", "--attack"}, {"bench --attack r1,r2,r3,r4=mute", "--attack"}, {"bench --attack=mute --dir x", "leave out"},
	} {
		if r := command(strings.Fields(c.args)...); r.code != exitUsage || !strings.Contains(r.err, c.says) {
			t.Errorf("prime %s: exit %d\n%s", c.args, r.code, r.err)
		}
	}
}

func TestParseKills(t *testing.T) {
	t.Parallel()
	got, err := parseKills([]string{"r3@7s", "1@500ms"}, group.MustNew(1, 0), 15*time.Second)
	if want := []kill{{3, 7 * time.Second}, {1, 500 * time.Millisecond}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("parseKills = %v, %v; want %v", got, err, want)
	}
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]string{0: "0", 7: "7", 999.4: "999", 999.6: "1,000", 12345: "12,345", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		if got := thousands(x); got != want {
			t.Errorf("thousands(%v) = %q, want %q", x, got, want)
		}
	}
}

// TestPicture: what the lines say.
func TestPicture(t *testing.T) {
	t.Parallel()
	v := newVictims()
	v.at[3] = 10
	p := &picture{title: "Prime", duration: 10 * time.Second, fate: v.fate, leader: 1, view: 1, rates: []float64{0, 500, 1000}, p50: 2.5}
	p.last = bench.Snapshot{Acknowledged: 4321, Ordinals: map[int]uint64{1: 70, 2: 71, 3: 20, 4: 70}}
	text := strings.Join(p.render(5*time.Second), "\n")
	for _, want := range []string{"Prime", strings.Repeat("█", 20) + "░", "5.0 s of 10s", "1,000/s  ▁▅█", "p50 2.5 ms", "4,321 acknowledged",
		"r1   ordinal        70   leads view 1", "r3   ordinal        20   down: killed"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		list []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := bench.Median(c.list); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.list, got, c.want)
		}
	}
}
