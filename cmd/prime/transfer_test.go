package main

import (
	"os"
	"strings"
	"testing"

	"github.com/primebft/prime/internal/bench/bulk"
)

// TestBenchTransfer: a small state goes to one replica while another lies; nothing is left behind.
func TestBenchTransfer(t *testing.T) {
	t.Chdir(t.TempDir())
	r := command("bench", "--transfer", "3MiB", "--strategy", "latency", "--liars", "none,wrong", "--rounds", "1", "--json")
	if r.code != exitDone {
		t.Fatalf("exit %d\n%s%s", r.code, r.out, r.err)
	}
	report := decode[bulk.Report](t, r.out)
	if report.Replicas != 4 || report.Bytes != 3<<20 || len(report.Transfers) != 2 || report.Transfers[1].Lies != 1 {
		t.Errorf("%+v", report)
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestBenchTransferUsage: wrong flags are told before anything is started.
func TestBenchTransferUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, says string }{
		{"bench --transfer 0", "1GiB"}, {"bench --transfer 5000GiB", "1 TiB"}, {"bench --transfer much", "64MiB"},
		{"bench --transfer 1MiB --liars lazy", "--liars"}, {"bench --transfer 1MiB --floor", "--floor"},
		{"bench --transfer 1MiB --strategy both", "--strategy"},
	} {
		if r := command(strings.Fields(c.args)...); r.code != exitUsage || !strings.Contains(r.err, c.says) {
			t.Errorf("prime %s: exit %d\n%s", c.args, r.code, r.err)
		}
	}
}
