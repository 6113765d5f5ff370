package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/primebft/prime/internal/bench"
)

// TestDemoOverWideArea: replicas that are 20 ms from each other agree, and an update takes at least the rounds of the protocol.
func TestDemoOverWideArea(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "plant.toml")
	text := "[link]\ndelay = \"20ms\"\n[uplink]\nrate_bits = 50_000_000\n"
	if err := os.WriteFile(profile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := command("demo", "--wan", profile, "--duration", "2s", "--outstanding", "1", "--clients", "4", "--json")
	if r.code != exitDone {
		t.Fatalf("exit %d\n%s%s", r.code, r.out, r.err)
	}
	report := decode[bench.Report](t, r.out)
	if !report.Agreed || report.Lost != 0 || report.WAN != profile {
		t.Errorf("report %+v", report)
	}
	if report.Delivered[1] == 0 || report.LatencyMS.P50 < 5*20 && report.LatencyMS.P50 > 0 {
		t.Errorf("%d updates with a median latency of %v ms: request, acknowledgement, summary, proposal, prepare and commit "+
			"take 20 ms each", report.Delivered[1], report.LatencyMS.P50)
	}
}

// TestWrongWideArea: what cannot be emulated is refused by name, before anything is started.
func TestWrongWideArea(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	wrong, few := filepath.Join(dir, "wrong.toml"), filepath.Join(dir, "few.toml")
	for path, text := range map[string]string{
		wrong: "[link]\ndelay = \"soon\"\n", few: "[[site]]\nname = \"a\"\nreplicas = [1, 2, 3]\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"demo", "--wan", "moon"}, "four-sites"},
		{[]string{"sim", "--seeds", "1", "--wan", "moon"}, "four-sites"},
		{[]string{"demo", "--wan", wrong}, "wrong.toml:2: link.delay"},
		{[]string{"bench", "--wan", few}, "replica 4 is at no site"},
		{[]string{"bench", "--wan", "lan", "--floor"}, "leave out --floor"},
		{[]string{"bench", "--wan", "lan", "--table"}, "leave out --floor and --table"},
		{[]string{"bench", "--wan", "lan", "--dir", dir}, "leave out"},
	} {
		if r := command(c.args...); r.code != exitUsage || !strings.Contains(r.err, c.says) {
			t.Errorf("%v: exit %d, want %d and %q\n%s", c.args, r.code, exitUsage, c.says, r.err)
		}
	}
	if r := command("sim", "--seeds", "1", "--wan", "us-wide"); r.code != exitDone {
		t.Errorf("sim: exit %d\n%s%s", r.code, r.out, r.err)
	}
	cluster := filepath.Join(dir, "cluster")
	if r := command("init", "--dir", cluster); r.code != exitDone {
		t.Fatal(r.err)
	}
	if r := command("run", "--dir", filepath.Join(cluster, "r1"), "--wan", "moon"); r.code != exitUsage || !strings.Contains(r.err, "us-wide") {
		t.Errorf("exit %d\n%s", r.code, r.err)
	}
}
