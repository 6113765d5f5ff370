package config

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// edit changes one file of a folder: every old becomes new; an empty old appends.
func edit(t *testing.T, file, old, new string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), old, new, 1)
	if old == "" {
		text = string(data) + new
	}
	if text == string(data) {
		t.Fatalf("%s has no %q", file, old)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// broken is one place of a good folder that is edited, the field whose fault it makes, and what has to be said of it.
type broken struct{ file, old, new, field, says string }

func (c broken) check(t *testing.T) {
	t.Run(c.file+" "+c.new, func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(create(t, 1, 0), "r1")
		file := filepath.Join(dir, c.file)
		edit(t, file, c.old, c.new)
		_, err := Load(dir)
		for _, p := range Problems(err) {
			if p.File != file || p.Field != c.field || !strings.Contains(p.What+"; "+p.Remedy, c.says) {
				continue
			}
			if p.Remedy == "" || p.Line == 0 && c.new != "\n" {
				t.Errorf("no remedy or no line: %v", p)
			}
			return
		}
		t.Errorf("the fault was not named: %v", err)
	})
}

// TestFaultsAreNamed breaks a good folder in one place and expects the fault to be named: file, field, what, remedy, and the
// line on which the mended text is.
func TestFaultsAreNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []broken{
		{ClusterFile, "id = 2\n", "id = 9\n", "replica[2].id", "9 is not the id of any of 4 replicas; number the replicas 1 to 4"},
		{ClusterFile, "id = 2\n", "id = 1\n", "replica[2].id", "1 is the id of replica[1] too"},
		{ClusterFile, "id = 2\n", "id = \"2\"\n", "replica[2].id", `"2" is not a whole number; write a whole number`},
		{ClusterFile, "\nf = 1\n", "\nf = 0\n", "replica", "4 replicas are listed, but f = 0 and k = 0 need 1; list 1 replicas, or for 4: f = 1, k = 0"},
		{ClusterFile, "\nk = 0\n", "\nk = 1\n", "replica", "need 6; list 6 replicas, or for 4: f = 1, k = 0"},
		{ClusterFile, "\nf = 1\n", "\nf = 40\n", "f", "40 is outside the range; write a value from 0 to 21"},
		{ClusterFile, "\nf = 1\n", "\n", "f", "it is missing; add it"},
		{ClusterFile, "\nname = \"test\"\n", "\nname = \"a b\"\n", "name", "use 1 to 64 letters"},
		{ClusterFile, "auth = \"replica\"", "auth = \"nobody\"", "auth", `"nobody" is not known; write one of replica, client`},
		{ClusterFile, VerificationRule, "zip-215", "verification", "write one of " + VerificationRule},
		{ClusterFile, "epoch = 1", "epoch = 0", "epoch", "the first epoch is 1"},
		{ClusterFile, "clients = []", "clients = [\"xyz\"]", "clients[1]", `"xyz" is not a public key`},
		{ClusterFile, "clients = []", "clients = \"some\"", "clients", `write "any", or a list`},
		{ClusterFile, "update_bytes = \"64KiB\"", "update_bytes = \"2MiB\"", "limits.update_bytes", "write a value from 1B to 1MiB"},
		{ClusterFile, "update_bytes = \"64KiB\"", "update_bytes = \"64 pounds\"", "limits.update_bytes", `write a size like "64KiB"`},
		{ClusterFile, "update_bytes = \"64KiB\"", "update_byte = 7", "limits.update_byte", "no such setting; did you mean limits.update_bytes?"},
		{ClusterFile, "request_bytes = \"256KiB\"", "request_bytes = 100", "limits.request_bytes", "make it at least update_bytes"},
		{ClusterFile, "session_window = 1024", "session_window = 64", "limits.session_window", "64 is not what this version knows; write 1024"},
		{ClusterFile, "history = 32768", "history = 3", "limits.history", "make it at least ordinal_window"},
		{ClusterFile, "checkpoint_ordinals = 2000", "checkpoint_ordinals = 3", "limits.checkpoint_ordinals", "make it at least ordinal_window, or 0"},
		{ClusterFile, "checkpoint_ordinals = 2000", "checkpoint_ordinals = 0", "limits.checkpoint_ordinals", "or checkpoint_bytes = 0"},
		{ClusterFile, "checkpoint_bytes = \"64MiB\"", "checkpoint_bytes = 5", "limits.checkpoint_bytes", "make it at least 1MiB, or 0"},
		{ClusterFile, "127.0.0.1:7104", "127.0.0.1:7102", "replica[3].peers", "it is the same as replica[2].peers; use another port"},
		{ClusterFile, "127.0.0.1:7104", "127.0.0.1", "replica[3].peers", "is not an address; write \"host:port\""},
		{ClusterFile, "127.0.0.1:7104", "0.0.0.0:7104", "replica[3].peers", "names no host"},
		{ClusterFile, "127.0.0.1:7104", "127.0.0.300:7104", "replica[3].peers", "is not a host"},
		{ClusterFile, "127.0.0.1:7104", "127.0.0.1:71040", "replica[3].peers", "write a port from 1 to 65535"},
		{ClusterFile, "[limits]", "[limit]\nx = 1\n[limits]", "limit", "no such setting; did you mean"},
		{ClusterFile, "[limits]", "[limits", "", "mend the syntax"},
		{ClusterFile, "[limits]", "name = \"again\"\n[limits]", "name", "mend the syntax"},
		{ClusterFile, "[[replica]]", "[replica]", "", "mend the syntax"},
		{NodeFile, "\nid = 1\n", "\nid = 5\n", "id", `r5 is not a replica of cluster "test"; write the id of a replica in cluster.toml`},
		{NodeFile, "\nid = 1\n", "\nid = 0\n", "id", "0 is outside the range"},
		{NodeFile, "preset = \"local\"", "preset = \"moon\"", "preset", "write one of local, lan, wan"},
		{NodeFile, "#request = \"500us\"", "request = \"5 parsecs\"", "timing.request", `"5 parsecs" is not a duration`},
		{NodeFile, "#request = \"500us\"", "request = 500", "timing.request", "500 is not a duration"},
		{NodeFile, "#request = \"500us\"", "timing.request = \"1ms\"", "timing.timing", "there is no such setting"},
		{NodeFile, "#request = \"500us\"", "requests = \"1ms\"", "timing.requests", "did you mean timing.request?"},
		{NodeFile, "#workers = 0", "ack = \"1ms\"", "crypto.ack", "did you mean timing.ack?"},
		{NodeFile, "#recon_share = 0.25", "recon_share = nan", "network.recon_share", "outside the range"},
		{NodeFile, "#recon_share = 0.25", "recon_share = 2", "network.recon_share", "write a value from 0.01 to 1"},
		{NodeFile, "#dial_max = \"2s\"", "dial_max = \"20ms\"", "network.dial_max", "make it at least dial_min"},
		{NodeFile, "#rate_bits = 0", "rate_bits = -1", "network.rate_bits", "write 0 for no limit"},
		{NodeFile, "#dscp = false", "dscp = \"yes\"", "network.dscp", "write true or false"},
		{NodeFile, "#budget_bytes = \"16MiB\"", "budget_bytes = \"64KiB\"", "network.budget_bytes", "has no room for the largest message"},
		{NodeFile, "#kind = \"echo\"", "kind = \"chat\"", "app.kind", "write one of echo, digest, store, socket"},
		{NodeFile, "#socket = \"\"", "socket = \"a\\u0007b\"", "app.socket", "characters that do not print"},
		{NodeFile, "#listen_clients = \"\"", "listen_clients = \"127.0.0.1:7100\"", "listen_clients", "both to be served at 127.0.0.1:7100"},
		{NodeFile, "[crypto]", "[[crypto]]", "crypto", "write [crypto] on a line of its own"},
	} {
		c.check(t)
	}
}

func TestLinesAreRight(t *testing.T) {
	t.Parallel()
	text := "id = 1\n\n[timing]\n# ack\nack = 7\n\n[ network ] # spaces\n  dscp = 3\n\n[queues]\nno_such = 1\n"
	_, err := ParseNode("node.toml", []byte(text))
	var got []string
	for _, p := range Problems(err) {
		got = append(got, fmt.Sprintf("%d %s", p.Line, p.Field))
	}
	if want := "[5 timing.ack 8 network.dscp 11 queues.no_such]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s\n%v", got, want, err)
	}
	c := "name = 1\nlimits = { history = 2 }\n[[replica]]\nid = 1\n[[replica]]\nid = 1\n"
	_, err = ParseCluster("cluster.toml", []byte(c))
	for _, p := range Problems(err) {
		want := map[string]int{"name": 1, "limits.history": 2, "replica[1].peers": 3, "replica[2].id": 6, "replica[2].clients": 5}[p.Field]
		if want > 0 && p.Line != want {
			t.Errorf("%s is on line %d, not %d", p.Field, want, p.Line)
		}
	}
}

// TestEveryFaultIsNamedAtOnce: one run of the check suffices to mend everything.
func TestEveryFaultIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	dir := create(t, 1, 0)
	edit(t, filepath.Join(dir, "r1", ClusterFile), "update_bytes = \"64KiB\"", "update_bytes = 0\nfrobnicate = 1")
	edit(t, filepath.Join(dir, "r1", NodeFile), "#ack = \"1ms\"", "ack = \"soon\"")
	edit(t, filepath.Join(dir, "r2", ClusterFile), "in_flight = 64", "in_flight = 65")
	edit(t, filepath.Join(dir, "r3", NodeFile), "\nid = 3\n", "\nid = 4\n")
	if err := os.Chmod(filepath.Join(dir, "r1", KeyFile), 0o640); err != nil {
		t.Fatal(err)
	}
	err := Check(dir)
	for _, want := range []string{"limits.update_bytes: 0B is outside", "limits.frobnicate: there is no such setting",
		"timing.ack: \"soon\" is not a duration", "mode 0640", "chmod 600 ",
		"limits.in_flight: it differs from", "r3/replica.key: wrong key"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if n := len(Problems(err)); n != 6 {
		t.Errorf("%d faults, not 6: %v", n, err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(create(t, 1, 0), "r1")
	path := filepath.Join(dir, KeyFile)
	key, err := ReadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteKey(path, key, "nobody"); err == nil {
		t.Error("a key was replaced")
	}
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	loads := func(says string) {
		t.Helper()
		_, err := Load(dir)
		if problems := Problems(err); len(problems) != 1 || !strings.Contains(err.Error(), says) || problems[0].Remedy == "" {
			t.Errorf("not %q: %v", says, err)
		}
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		loads("chmod 600 " + path)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	loads("it does not exist")
	if err := WriteKey(path, other, "another"); err != nil {
		t.Fatal(err)
	}
	loads("wrong key")
	for _, junk := range []string{"", "junk", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if err := os.WriteFile(path, []byte(junk), 0o600); err != nil {
			t.Fatal(err)
		}
		loads("it is not an Ed25519 private key")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	loads("it is not a file")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := WriteKey(path, key, "replica r1"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "client.key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(filepath.Join(dir, "client.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	loads("client.key: a private key with mode 0644")
}

func TestUnreachableFolders(t *testing.T) {
	t.Parallel()
	dir := create(t, 1, 0)
	for path, says := range map[string]string{
		filepath.Join(dir, "r9"):                 "it does not exist",
		filepath.Join(dir, ClusterFile):          "it is not a folder",
		dir:                                      "for example " + filepath.Join(dir, "r1"),
		filepath.Join(dir, ClusterFile, "under"): "it cannot be read",
	} {
		_, err := Load(path)
		if problems := Problems(err); len(problems) != 1 || problems[0].Remedy == "" || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestHostileFilesAreRefusedInTime: sizes and shapes that a parser may choke on.
func TestHostileFilesAreRefusedInTime(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"too large": strings.Repeat("#", maxFile+1),
		"deep":      "x = " + strings.Repeat("[", maxFile-9),
		"deeper":    "x = " + strings.Repeat("[\n", maxFile/2-9),
		"tables":    "x = " + strings.Repeat("{a=", maxFile/3-9),
		"dots":      strings.Repeat("a.", maxFile/8) + "a = 1",
		"faults":    strings.Repeat("[[replica]]\n", 5000),
	} {
		if _, err := ParseCluster(name, []byte(text)); len(Problems(err)) == 0 || len(Problems(err)) > maxProblems {
			t.Errorf("%s: %d faults", name, len(Problems(err)))
		}
		if _, err := ParseNode(name, []byte(text)); len(Problems(err)) == 0 || len(err.Error()) > 100_000 {
			t.Errorf("%s: %d faults", name, len(Problems(err)))
		}
	}
}

// TestLeadersAreJudgedFairly: settings by which correct leaders would be replaced, or no leader, are faults.
func TestLeadersAreJudgedFairly(t *testing.T) {
	t.Parallel()
	for _, c := range []broken{
		{NodeFile, "#delta = \"50ms\"", "delta = \"22ms\"", "suspect.delta",
			"22ms is not more than timing.propose and suspect.check together: correct leaders would be replaced; make it more than 22ms"},
		{NodeFile, "#propose = \"2ms\"", "propose = \"40ms\"", "suspect.delta", "make it more than 60ms, or shorten timing.propose"},
		{NodeFile, "#ping = \"200ms\"", "ping = \"5ms\"", "suspect.ping", "make it at least suspect.check"},
		{NodeFile, "#window = \"10s\"", "window = \"100ms\"", "suspect.window", "100ms is less than suspect.ping, 200ms"},
		{NodeFile, "#max_stall = \"5s\"", "max_stall = \"11s\"", "suspect.max_stall", "make it at most suspect.window"},
		{NodeFile, "#k_lat = 2.5", "k_lat = 0.9", "suspect.k_lat", "write a value from 1 to 100"},
	} {
		c.check(t)
	}
	n := LAN()
	n.ID, n.Suspect.Ping, n.Suspect.Delta = 1, 0, time.Millisecond
	if err := n.Validate(); err != nil {
		t.Errorf("leaders are not judged at all: %v", err)
	}
}

// TestRoomForReports: what a replica reports in a view change is as long as the window and the group are large.
func TestRoomForReports(t *testing.T) {
	t.Parallel()
	cfg, err := Load(filepath.Join(create(t, 1, 0), "r1"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Cluster.Limits.OrdinalWindow, cfg.Cluster.Limits.History, cfg.Cluster.Limits.CheckpointOrdinals = 4096, 4096, 4096
	problems := Problems(cfg.Validate())
	if len(problems) != 1 || problems[0].Field != "queues.ingress_bytes" || !strings.Contains(problems[0].What, "the largest message") {
		t.Errorf("a window of 4096 ordinals: %v", problems)
	}
}
