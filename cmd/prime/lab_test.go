package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/primebft/prime/internal/bench"
	"github.com/primebft/prime/internal/lab"
)

// runLab runs a script of the examples and returns its report.
func runLab(t *testing.T, script string, args ...string) *lab.Report {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	all := append([]string{"lab", "--script", filepath.Join("..", "..", "examples", "lab", script), "--rate", "100", "--clients", "4", "--json"}, args...)
	r := command(all...)
	if r.code != exitDone {
		t.Fatalf("exit %d\n%s%s", r.code, r.out, r.err)
	}
	if strings.Count(r.out, "\n") != 1 {
		t.Errorf("standard output is not one line:\n%s", r.out)
	}
	var report lab.Report
	if err := json.Unmarshal([]byte(r.out), &report); err != nil {
		t.Fatal(err)
	}
	if !report.Agreed || report.Lost != 0 || report.Delivered[3] == 0 {
		t.Errorf("agreed %v, lost %d, delivered %v", report.Agreed, report.Lost, report.Delivered)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return &report
}

// TestLabAttack: a leader that delays for longer than it may is replaced, the others agree on who did it, and the run is drawn.
func TestLabAttack(t *testing.T) {
	plot := filepath.Join(t.TempDir(), "attack.svg")
	r := runLab(t, "attack.txt", "--duration", "5s", "--plot", plot)
	if r.View < 2 || len(r.Changes) == 0 || len(r.Leaders) < 2 || len(r.Suspected) < 3 {
		t.Fatalf("view %d, changes %+v, leaders %+v, suspected %+v", r.View, r.Changes, r.Leaders, r.Suspected)
	}
	if len(r.Events) != 2 || r.Events[0].Problem != "" || r.Events[1].Problem != "" || len(r.Attacked) == 0 {
		t.Errorf("events %+v, attacked %v", r.Events, r.Attacked)
	}
	for _, s := range r.Suspected {
		if s.By == r.Attacked[0] && s.AtS > r.Events[0].AtS {
			t.Errorf("what a compromised replica says counts: %+v", s)
		}
	}
	if len(r.Judgement) == 0 || r.Delivered[r.Attacked[0]] != 0 {
		t.Errorf("%d judgements; delivered %v with %v attacked", len(r.Judgement), r.Delivered, r.Attacked)
	}
	picture, err := os.ReadFile(plot)
	if err != nil || !strings.Contains(string(picture), "delay=3s") {
		t.Errorf("the picture does not show the attack, %v", err)
	}
}

// TestLabPartition: links that fail and are mended leave replicas that agree, all of them.
func TestLabPartition(t *testing.T) {
	r := runLab(t, "partition.txt", "--duration", "5s")
	if len(r.Events) != 5 || len(r.Delivered)+len(r.LeftBehind) != 4 {
		t.Errorf("events %+v, delivered %v, left behind %v", r.Events, r.Delivered, r.LeftBehind)
	}
	for _, e := range r.Events {
		if e.Problem != "" {
			t.Errorf("%s: %s", e.What, e.Problem)
		}
	}
	if r.Events[1].OutageMS == nil || r.NoQuorumS == 0 {
		t.Errorf("nobody had a quorum, and the outage is %v, without a quorum for %v s", r.Events[1].OutageMS, r.NoQuorumS)
	}
}

// TestLabKill: a frozen follower comes back, a killed leader is replaced, and comes back when it is started again.
func TestLabKill(t *testing.T) {
	r := runLab(t, "kill.txt", "--duration", "4s")
	up := 4
	if len(r.Events) > 2 && !slices.Equal(r.Events[2].Replicas, []int{1}) {
		up = 3 // on a crowded machine r1 may have lost its place before: another leader was killed, and stays down
	}
	if r.View < 2 || len(r.Events) != 4 || len(r.Delivered)+len(r.LeftBehind) != up || r.Storage != "durable" {
		t.Fatalf("view %d, events %+v, delivered %v of %s replicas", r.View, r.Events, r.Delivered, r.Storage)
	}
	if kill := r.Events[2]; kill.OutageMS == nil || kill.AcceptableMS == nil || len(kill.Replicas) != 1 {
		t.Errorf("kill %+v", kill)
	}
	for _, e := range []lab.EventReport{r.Events[1], r.Events[3]} {
		if e.Problem != "" || len(e.Back) != 1 || e.BackMS == nil || e.BackBytes == nil || e.Back[0].By == "" {
			t.Errorf("%s: %+v", e.What, e)
		}
	}
	gap := false
	for _, g := range r.Gaps {
		gap = gap || g.Replica == r.Events[0].Replicas[0] && g.MS > 0
	}
	if !gap {
		t.Errorf("the frozen r%d noticed no gap: %+v", r.Events[0].Replicas[0], r.Gaps)
	}
}

// TestLabRestartRefused: what cannot be started again is not, and the event says why.
func TestLabRestartRefused(t *testing.T) {
	for _, c := range []struct {
		storage, script, says string
	}{
		{"auto", "at 500ms attack r2 mute; at 1s restart r2", "compromised"},
		{"ephemeral", "at 1s restart r2", "has been used"},
	} {
		t.Setenv("TMPDIR", t.TempDir())
		r := command("lab", "--event", c.script, "--storage", c.storage, "--duration", "2s", "--rate", "50", "--json")
		var report lab.Report
		if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.code != exitDone {
			t.Fatalf("exit %d, %v\n%s%s", r.code, err, r.out, r.err)
		}
		last := report.Events[len(report.Events)-1]
		if !strings.Contains(last.Problem, c.says) || last.BackMS != nil || !report.Agreed || report.Lost > 0 {
			t.Errorf("%s: %+v, agreed %v, lost %d", c.script, last, report.Agreed, report.Lost)
		}
	}
}

// TestLabJump: a replica whose peers no longer hold what it missed is back by the state of a checkpoint, however much that is, and the
// report says so; how many ordinals it misses is up to the machine, so it may come back otherwise, which the report says as well.
func TestLabJump(t *testing.T) {
	r := labJSON(t, "--event", "at 500ms kill r4; at 4s restart r4", "--duration", "5s", "--rate", "400", "--clients", "4",
		"--history", "64", "--checkpoint", "64", "--app", "store", "--state", "1MiB")
	e := r.Events[1]
	if e.Problem != "" || len(e.Back) != 1 || e.BackMS == nil {
		t.Fatalf("%+v", e)
	}
	b := e.Back[0]
	switch b.By {
	case lab.ByJump:
		if b.State < 1<<20 || b.Bytes < b.State { // of pages that do not compress and that it had never seen
			t.Errorf("it took over the state of a checkpoint, and was sent %d bytes of it: %+v", b.State, b)
		}
	case lab.BySegments, lab.ByCertificates:
		t.Logf("it missed only %d ordinals, and came back by %s", b.Ordinals, b.By)
	default:
		t.Errorf("%+v", b)
	}
}

// TestWayBack: the most expensive way that was used counts, and only since the replica was taken away.
func TestWayBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ordinals, ordinalsNow, jumps, jumpsNow uint64
		want                                   lab.Way
	}{{0, 0, 0, 0, lab.ByCertificates}, {7, 7, 2, 2, lab.ByCertificates}, {7, 8, 2, 2, lab.BySegments}, {7, 8, 2, 3, lab.ByJump}} {
		var before, now bench.Status
		before.CatchUp.Ordinals, now.CatchUp.Ordinals = c.ordinals, c.ordinalsNow
		before.Checkpoints.Jumps, now.Checkpoints.Jumps = c.jumps, c.jumpsNow
		if got := wayOf(&before, &now); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// TestSoakVerdict: a soak of too few rounds has failed, and so has one after which somebody was not back.
func TestSoakVerdict(t *testing.T) {
	t.Parallel()
	r := &lab.Report{Soak: &lab.SoakReport{Finished: 29, AllBack: true, Rounds: make([]lab.RoundReport, 29)}}
	if err := soakVerdict(r, 30); err == nil || !strings.Contains(err.Error(), "29 rounds") {
		t.Error(err)
	}
	if err := soakVerdict(r, 29); err != nil {
		t.Error(err)
	}
	r.Soak.Finished, r.Soak.AllBack = 28, false
	if err := soakVerdict(r, 0); err == nil || !strings.Contains(err.Error(), "28 of 29") {
		t.Error(err)
	}
}

// labJSON runs a lab that has to succeed.
func labJSON(t *testing.T, args ...string) *lab.Report {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	r := command(append([]string{"lab", "--json"}, args...)...)
	var report lab.Report
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.code != exitDone {
		t.Fatalf("exit %d, %v\n%s%s", r.code, err, r.out, r.err)
	}
	if !report.Agreed || report.Lost != 0 || len(report.Delivered) != 4 {
		t.Errorf("agreed %v, lost %d, delivered %v", report.Agreed, report.Lost, report.Delivered)
	}
	return &report
}

// TestLabKillAll: all replicas are killed at once under load from clients of the client port, twice, and started again: ordering
// continues, in one stream, and every acknowledged update is in it, at every replica.
func TestLabKillAll(t *testing.T) {
	r := labJSON(t, "--event", "at 500ms kill all; at 800ms restart all; at 2s kill all; at 2100ms restart all", "--duration", "4s",
		"--rate", "100", "--clients", "4")
	for _, e := range []lab.EventReport{r.Events[1], r.Events[3]} {
		if e.Problem != "" || len(e.Back) != 4 { // how soon is no matter of tests; that they come back labJSON sees
			t.Errorf("%s: %+v", e.What, e)
		}
	}
	if r.NoQuorumS == 0 || r.Events[0].OutageMS == nil {
		t.Errorf("nobody was there for %v s, and the outage was %v", r.NoQuorumS, r.Events[0].OutageMS)
	}
}

// TestLabSoak: rounds that a seed draws; after each all are back in order.
func TestLabSoak(t *testing.T) {
	plot := filepath.Join(t.TempDir(), "soak.svg")
	r := labJSON(t, "--soak", "10s", "--seed", "3", "--rate", "100", "--clients", "4", "--plot", plot)
	s := r.Soak
	if s == nil || !s.AllBack || s.Finished != len(s.Rounds) || len(s.Problems) > 0 || len(s.Rounds) == 0 || s.OutageMS == nil || s.BackMS == nil {
		t.Fatalf("soak %+v", s)
	}
	if picture, err := os.ReadFile(plot); err != nil || !strings.Contains(string(picture), "until all are back") {
		t.Errorf("the picture does not show the rounds, %v", err)
	}
}

// TestLabTrials: figures of several runs in one object.
func TestLabTrials(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := command("lab", "--event", "at 500ms kill follower", "--duration", "1s", "--trials", "2", "--rate", "50", "--json")
	if r.code != exitDone {
		t.Fatalf("exit %d\n%s%s", r.code, r.out, r.err)
	}
	var s lab.Summary
	if err := json.Unmarshal([]byte(r.out), &s); err != nil {
		t.Fatal(err)
	}
	if s.Trials != 2 || !s.Agreed || len(s.Runs) != 2 || len(s.Events) != 1 || s.Events[0].OutageMS == nil || len(s.Events[0].OutageMS.All) != 2 {
		t.Errorf("summary %+v", s)
	}
}

// TestLabUsage: wrong flags and scripts are told, with the remedy, before anything is started.
func TestLabUsage(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "s.txt")
	if err := os.WriteFile(script, []byte("at 1s heal\n\nat 2s attack r1 shout\nat 3s kill r9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, says []string }{
		{[]string{"--script", script}, []string{"s.txt:3: ", "silent-change", "s.txt:4: ", "r1 to r4"}},
		{[]string{"--script", "/nowhere"}, []string{"--script", "/nowhere"}},
		{[]string{"--event", "at 25s heal"}, []string{"--event", "--duration"}},
		{[]string{"--event", "at 1s attack r1 delay share=x"}, []string{"share=1200"}},
		{[]string{"--replicas", "2"}, []string{"--replicas"}}, {[]string{"--plot", "x.pdf"}, []string{"--plot", "svg or png"}},
		{[]string{"--trials", "0"}, []string{"--trials"}}, {[]string{"--trials", "2", "--dir", "x"}, []string{"--dir"}},
		{[]string{"--duration", "3h"}, []string{"--duration"}}, {[]string{"--soak", "1s"}, []string{"--soak"}},
		{[]string{"--soak", "1m", "--event", "at 1s heal"}, []string{"--soak", "--event"}}, {[]string{"--history", "3"}, []string{"--history", "64"}}, {[]string{"--wan", "moon"}, []string{"--wan"}},
		{[]string{"--checkpoint", "3"}, []string{"--checkpoint", "64"}}, {[]string{"--state", "1MiB"}, []string{"--state", "store"}},
		{[]string{"--rounds", "3"}, []string{"--rounds", "--soak"}},
	} {
		r := command(append([]string{"lab"}, c.args...)...)
		if r.code != exitUsage {
			t.Errorf("prime lab %v: exit %d\n%s", c.args, r.code, r.err)
		}
		for _, want := range c.says {
			if !strings.Contains(r.err, want) {
				t.Errorf("prime lab %v says %q, want %q in it", c.args, r.err, want)
			}
		}
	}
}
