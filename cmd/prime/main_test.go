package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// result is what one command line did.
type result struct {
	code     int
	out, err string
}

// command runs a command line in this process.
func command(args ...string) result {
	var out, err bytes.Buffer
	code := run(args, strings.NewReader(""), &out, &err)
	return result{code, out.String(), err.String()}
}

// must runs a command line that has to succeed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := command(args...)
	if r.code != exitDone || r.err != "" {
		t.Fatalf("prime %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r.out
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if strings.Contains(text, "null") {
		t.Errorf("null in %s", text)
	}
	return v
}

func TestUsageErrorsExit2(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "c")
	for _, args := range [][]string{
		{"nothing"}, {"init"}, {"init", "--dir"}, {"init", "--dir", dir, "--f", "x"}, {"init", "--dir", dir, "--f=-1"},
		{"init", "--dir", dir, "--f", "30"}, {"init", "--dir", dir, "--base-port", "70000"}, {"init", "--dir", dir, "--auth", "none"},
		{"init", "--dir", dir, "--preset", "moon"}, {"init", "--dir", dir, "--name", "a b"}, {"init", "--dir", dir, "--hosts", "/nowhere"},
		{"init", "--dir", dir, "--clients", "/nowhere"}, {"init", "--dir", dir, "extra"}, {"config"}, {"config", "check"},
		{"config", "check", "--dir", dir}, {"config", "show", "--dir", dir}, {"keygen", "--dir", dir, "--id", "0"},
		{"keygen", "--dir", dir, "--id", "65"}, {"keygen", "--dir", dir, "--id", "1", "--host", "a b"},
		{"keygen", "--dir", dir, "--id", "4", "--base-port", "65535"}, {"join", "--dir", dir}, {"join", "--dir", dir, "/nowhere"},
		{"version", "--log-level", "loud"}, {"version", "--no-such-flag"}, {"config", "import", "--dir", dir, "--address", "/nowhere"},
	} {
		r := command(args...)
		if r.code != exitUsage || r.out != "" || !strings.HasPrefix(r.err, "prime: ") {
			t.Errorf("prime %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
		}
		if strings.Count(r.err, "\n") > 2 {
			t.Errorf("more than one clear line: %s", r.err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Fatalf("prime %s made something", strings.Join(args, " "))
		}
	}
}

// TestEveryCommandHasHelpWithAnExample walks the command line itself, so a new command cannot forget it.
func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	t.Parallel()
	var c cli
	parser, err := kong.New(&c, kong.NoDefaultHelp())
	if err != nil {
		t.Fatal(err)
	}
	top := must(t, "--help")
	if top != must(t) {
		t.Error("prime alone does not show help")
	}
	for _, leaf := range parser.Model.Leaves(true) {
		path := strings.Fields(leaf.FullPath())[1:]
		if !strings.Contains(top, strings.Join(path, " ")) {
			t.Errorf("prime --help does not list %v", path)
		}
		text := must(t, append(path, "--help")...)
		if !strings.Contains(text, "Example") || !strings.Contains(text, "prime "+strings.Join(path, " ")) {
			t.Errorf("%v has no example:\n%s", path, text)
		}
		if r := command(append(path, "-h", "--no-such-flag")...); r.code != exitDone && r.code != exitUsage {
			t.Errorf("%v: exit %d", path, r.code)
		}
	}
}

func TestInitMakesWhatScriptsExpect(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "c")
	made := decode[clusterView](t, must(t, "init", "--dir", dir, "--f", "1", "--k", "1", "--base-port", "9000", "--json"))
	if len(made.Replicas) != 6 || made.F != 1 || made.K != 1 || len(made.Digest) != 64 {
		t.Fatalf("%+v", made)
	}
	if r := made.Replicas[2]; r.ID != 3 || r.Peers != "127.0.0.1:9004" || r.Clients != "127.0.0.1:9005" || r.Dir != filepath.Join(dir, "r3") {
		t.Errorf("%+v", r)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 7 {
		t.Errorf("%v %v", entries, err)
	}
	if out := must(t, "config", "check", "--dir", dir); !strings.Contains(out, "no fault") {
		t.Error(out)
	}
	if out := must(t, "config", "check", "--dir", filepath.Join(dir, "r6"), "--json"); out != "[]\n" {
		t.Error(out)
	}
	if r := command("init", "--dir", dir); r.code != exitUsage || !strings.Contains(r.err, "exists already") || strings.Count(r.err, "\n") != 1 {
		t.Errorf("%+v", r)
	}
	after := decode[clusterView](t, must(t, "config", "show", "--dir", dir, "--json"))
	if after.Digest != made.Digest {
		t.Error("an existing cluster was touched")
	}
}

func TestConfigCheckTellsScripts(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "c")
	must(t, "init", "--dir", dir)
	file := filepath.Join(dir, "r2", "node.toml")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte("preseet = \"lan\"\n"), data...), 0o600); err != nil {
		t.Fatal(err)
	}
	r := command("config", "check", "--dir", dir)
	if want := "prime: " + file + ":1: preseet: there is no such setting; did you mean preset?\n"; r.code != exitUsage || r.err != want {
		t.Errorf("exit %d: %swant %s", r.code, r.err, want)
	}
	r = command("config", "check", "--dir", dir, "--json")
	if r.code != exitUsage || r.err != "" {
		t.Errorf("%+v", r)
	}
	faults := decode[[]map[string]any](t, r.out)
	if len(faults) != 1 || len(faults[0]) != 5 || faults[0]["file"] != file || faults[0]["line"] != 1.0 || faults[0]["field"] != "preseet" ||
		faults[0]["problem"] != "there is no such setting" || faults[0]["remedy"] != "did you mean preset?" {
		t.Errorf("%v", faults)
	}
}

func TestConfigShow(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "c")
	must(t, "init", "--dir", dir, "--preset", "wan", "--auth", "client", "--clients", "any")
	type view struct {
		Settings, Node map[string]any
	}
	v := decode[view](t, must(t, "config", "show", "--dir", filepath.Join(dir, "r4"), "--json"))
	if v.Settings["limits.update_bytes"] != "64KiB" || v.Settings["auth"] != "client" || v.Node["id"] != 4.0 ||
		v.Node["timing.retransmit"] != "2s" || v.Node["network.dscp"] != true {
		t.Errorf("%+v", v)
	}
	text := must(t, "config", "show", "--dir", filepath.Join(dir, "r4"))
	for _, line := range []string{"clients = \"any\"", "retransmit = \"2s\"", "\nid = 4\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	if text := must(t, "config", "show", "--dir", dir); strings.Contains(text, "retransmit") {
		t.Errorf("a cluster's folder has no node:\n%s", text)
	}
}

// TestWhoMayBeAClient: on one machine anybody, between machines only who is listed, unless somebody says so.
func TestWhoMayBeAClient(t *testing.T) {
	t.Parallel()
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte(strings.Repeat("ab", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{`clients = "any"`, nil}, {`clients = []`, []string{"--preset", "lan"}}, {`clients = []`, []string{"--clients", "none"}},
		{`clients = "any"`, []string{"--preset", "wan", "--clients", "any"}}, {`"abababab`, []string{"--clients", list}},
	} {
		dir := filepath.Join(t.TempDir(), "c")
		must(t, append([]string{"init", "--dir", dir}, c.args...)...)
		if text := must(t, "config", "show", "--dir", dir); !strings.Contains(text, c.want) {
			t.Errorf("%v: no %s", c.args, c.want)
		}
	}
}

// TestKeygenAndJoin is the flow of docs/operations.md.
func TestKeygenAndJoin(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	var files []string
	for _, id := range []string{"1", "2", "3", "4"} {
		out := must(t, "keygen", "--dir", filepath.Join(root, "m"+id, "r"+id), "--id", id, "--host", "192.0.2."+id, "--json")
		files = append(files, decode[struct {
			PublicFile string `json:"public_file"`
		}](t, out).PublicFile)
	}
	digests := map[string]bool{}
	for _, id := range []string{"1", "2", "3", "4"} {
		dir := filepath.Join(root, "m"+id, "r"+id)
		out := must(t, append([]string{"join", "--dir", dir, "--cluster", "plant-7", "--json"}, files...)...)
		v := decode[struct {
			Replica int
			Digest  string
		}](t, out)
		if want := int(id[0] - '0'); v.Replica != want {
			t.Errorf("r%d is r%s", v.Replica, id)
		}
		digests[v.Digest] = true
		if out := must(t, "config", "check", "--dir", dir, "--json"); out != "[]\n" {
			t.Error(out)
		}
	}
	if len(digests) != 1 {
		t.Errorf("different clusters: %v", digests)
	}
	if r := command("keygen", "--dir", filepath.Join(root, "m1", "r1"), "--id", "1"); r.code != exitUsage || !strings.Contains(r.err, "exists already") {
		t.Errorf("%+v", r)
	}
}

func TestConfigImport(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	address, spines := filepath.Join(root, "address.config"), filepath.Join(root, "spines_address.config")
	for file, net := range map[string]string{address: "10.0.0.", spines: "10.9.0."} {
		var text string
		for _, id := range []string{"1", "2", "3", "4", "5", "6"} {
			text += id + " " + net + id + "\n"
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(root, "c")
	v := decode[clusterView](t, must(t, "config", "import", "--address", address, "--spines", spines, "--dir", dir, "--json"))
	if v.F != 1 || v.K != 1 || len(v.Replicas) != 6 || v.Replicas[5].Peers != "10.9.0.6:7110" || v.Replicas[5].Clients != "10.0.0.6:7111" {
		t.Errorf("%+v", v)
	}
	must(t, "config", "check", "--dir", dir)
	r := command("config", "import", "--address", address, "--f", "1", "--k", "0", "--dir", filepath.Join(root, "d"))
	if r.code != exitUsage || !strings.Contains(r.err, "for 6: f = 1, k = 1") {
		t.Errorf("%+v", r)
	}
	r = command("init", "--hosts", address, "--dir", filepath.Join(root, "d"))
	if r.code != exitUsage || !strings.Contains(r.err, "it has 6 replicas, but f = 1 and k = 0 need 4") {
		t.Errorf("%+v", r)
	}
	must(t, "init", "--hosts", address, "--k", "1", "--dir", filepath.Join(root, "d"))
}

func TestVersion(t *testing.T) {
	t.Parallel()
	v := decode[versionView](t, must(t, "version", "--json"))
	if v.Wire < 1 || v.Go == "" || v.Revision == "" || v.Version == "" || v.OS == "" {
		t.Errorf("%+v", v)
	}
	if text := must(t, "version"); !strings.Contains(text, "wire version") {
		t.Error(text)
	}
}
