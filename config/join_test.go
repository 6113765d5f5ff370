package config

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/primebft/prime/internal/group"
)

// keygen makes a replica's folder as its machine would, and returns the folder and its public file.
func keygen(t *testing.T, id int, host string) (dir, public string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), group.ID(id).String())
	_, public, err := Keygen(dir, Addresses(id, BasePort, Host{Host: host}))
	if err != nil {
		t.Fatal(err)
	}
	return dir, public
}

// plan is what the operators agreed on beside the public files.
func plan() Cluster {
	return Cluster{Name: "plant-7", F: 1, Auth: AuthClient, Limits: DefaultLimits(), Clients: [][32]byte{{9}}}
}

func TestJoinMakesOneClusterOfManyMachines(t *testing.T) {
	t.Parallel()
	var dirs, files []string
	for id := 1; id <= 4; id++ {
		dir, public := keygen(t, id, "192.0.2."+string(rune('0'+id)))
		dirs, files = append(dirs, dir), append(files, public)
	}
	var first []byte
	ids := map[[32]byte]bool{}
	for i, dir := range dirs {
		// Each machine has the files in another order, and may choose its own preset.
		order := slices.Concat(files[i:], files[:i])
		preset, _ := Presets()[i%3].Node()
		joined, err := Join(dir, plan(), preset, order)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := Load(dir)
		if err != nil || loaded.Node != joined.Node || loaded.Node.ID != i+1 || loaded.Cluster.Digest() != joined.Cluster.Digest() {
			t.Fatalf("r%d: %v", i+1, err)
		}
		text, err := os.ReadFile(filepath.Join(dir, ClusterFile))
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = text
		}
		if !bytes.Equal(first, text) {
			t.Errorf("r%d has another cluster.toml:\n%s\n%s", i+1, first, text)
		}
		ids[loaded.Cluster.Digest()] = true
		if _, err := Join(dir, plan(), preset, order); err == nil || !strings.Contains(err.Error(), "has joined a cluster") {
			t.Errorf("joined twice: %v", err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 4 {
			t.Errorf("%v %v", entries, err)
		}
	}
	if len(ids) != 1 {
		t.Errorf("%d digests", len(ids))
	}
}

// TestJoinBindsItsInput: another name, another address, another key make another cluster, whose id differs.
func TestJoinBindsItsInput(t *testing.T) {
	t.Parallel()
	_, file := keygen(t, 1, "192.0.2.1")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParsePublic(file, data)
	if err != nil {
		t.Fatal(err)
	}
	base := Cluster{Name: "a", Auth: AuthReplica, Limits: DefaultLimits(), Replicas: []Replica{r}}
	seen := map[[32]byte]bool{joinID(base): true}
	for what, change := range map[string]func(*Cluster){
		"name": func(c *Cluster) { c.Name = "b" },
		"auth": func(c *Cluster) { c.Auth = AuthClient },
		"address": func(c *Cluster) {
			c.Replicas = []Replica{{ID: r.ID, PeerAddress: "192.0.2.9:1", ClientAddress: r.ClientAddress, PublicKey: r.PublicKey}}
		},
		"key": func(c *Cluster) {
			c.Replicas = []Replica{{ID: r.ID, PeerAddress: r.PeerAddress, ClientAddress: r.ClientAddress, PublicKey: make([]byte, 32)}}
		},
	} {
		c := base
		change(&c)
		if id := joinID(c); seen[id] {
			t.Errorf("another %s does not change the id", what)
		} else {
			seen[id] = true
		}
	}
}

// spoiled is a way to spoil the input of Join on the machine of r1, and what the refusal has to say.
type spoiled struct {
	spoil func(t *testing.T, dir string, files []string, c *Cluster) []string
	says  string
}

var spoiledJoins = map[string]spoiled{
	"a file missing":  {func(t *testing.T, _ string, f []string, _ *Cluster) []string { return f[:3] }, "3 replicas are listed, but f = 1 and k = 0 need 4"},
	"own file absent": {func(t *testing.T, _ string, f []string, _ *Cluster) []string { return f[1:] }, "its public key is in none of the public files"},
	"no such file":    {func(t *testing.T, _ string, f []string, _ *Cluster) []string { return append(f, "/nowhere/r5") }, "/nowhere/r5: it does not exist"},
	"a file twice":    {func(t *testing.T, _ string, f []string, _ *Cluster) []string { return append(f, f[2]) }, "r3 is in "},
	"one id twice": {func(t *testing.T, _ string, f []string, _ *Cluster) []string {
		edit(t, f[3], "id = 4", "id = 3")
		return f
	}, "r4.public.toml: id: r3 is in "},
	"one address twice": {func(t *testing.T, _ string, f []string, _ *Cluster) []string {
		edit(t, f[3], "192.0.2.4:7106", "192.0.2.2:7103")
		return f
	}, "peers: 192.0.2.2:7103 is in "},
	"a loopback among machines": {func(t *testing.T, _ string, f []string, _ *Cluster) []string {
		edit(t, f[1], "192.0.2.2:7102", "127.0.0.1:7102")
		return f
	}, "run prime keygen for r2 with --host"},
	"a broken file": {func(t *testing.T, _ string, f []string, _ *Cluster) []string {
		edit(t, f[2], "public_key = \"", "public_key = \"z")
		return f
	}, "r3.public.toml:6: public_key: "},
	"a private key instead": {func(t *testing.T, dir string, f []string, _ *Cluster) []string {
		return append(f[:3], filepath.Join(dir, KeyFile))
	}, "replica.key:1: "},
	"wrong sizes": {func(t *testing.T, _ string, f []string, c *Cluster) []string { c.K = 1; return f }, "need 6"},
	"a readable key": {func(t *testing.T, dir string, f []string, _ *Cluster) []string {
		if err := os.Chmod(filepath.Join(dir, KeyFile), 0o644); err != nil {
			t.Fatal(err)
		}
		return f
	}, "chmod 600"},
	"another folder": {func(t *testing.T, dir string, f []string, _ *Cluster) []string {
		if err := os.Remove(filepath.Join(dir, KeyFile)); err != nil {
			t.Fatal(err)
		}
		return f
	}, "replica.key: it does not exist"},
}

func TestJoinRefusesByName(t *testing.T) {
	t.Parallel()
	for name, c := range spoiledJoins {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var dir string
			var files []string
			for id := 1; id <= 4; id++ {
				d, public := keygen(t, id, "192.0.2."+string(rune('0'+id)))
				files = append(files, public)
				if id == 1 {
					dir = d
				}
			}
			cluster := plan()
			files = c.spoil(t, dir, files, &cluster)
			_, err := Join(dir, cluster, LAN(), files)
			if err == nil || !strings.Contains(err.Error(), c.says) || len(Problems(err)) == 0 {
				t.Fatalf("not %q: %v", c.says, err)
			}
			if strings.Contains(err.Error(), "PRIVATE") {
				t.Errorf("the error shows a secret: %v", err)
			}
			for _, file := range []string{ClusterFile, NodeFile} {
				if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
					t.Errorf("%s was written", file)
				}
			}
		})
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	hosts, err := ParseHosts("address.config", []byte("2 192.0.2.2\r\n1 192.0.2.1:9000\n# comment\n\n 3\tplc.example # three\n4 2001:db8::4\n"))
	if err != nil {
		t.Fatal(err)
	}
	replicas, err := Layout(group.MustNew(1, 0), 7100, hosts, "address.config")
	if err != nil {
		t.Fatal(err)
	}
	want := [][2]string{{"192.0.2.1:9000", "192.0.2.1:9001"}, {"192.0.2.2:7102", "192.0.2.2:7103"},
		{"plc.example:7104", "plc.example:7105"}, {"[2001:db8::4]:7106", "[2001:db8::4]:7107"}}
	for i, r := range replicas {
		if r.ID != i+1 || r.PeerAddress != want[i][0] || r.ClientAddress != want[i][1] {
			t.Errorf("r%d is at %s and %s", r.ID, r.PeerAddress, r.ClientAddress)
		}
	}
	for text, says := range map[string]string{
		"":                          "it lists no replica",
		"1 192.0.2.1\n1 192.0.2.2":  "a:2: id: 1 is the id on line 1 too",
		"1 192.0.2.1\n3 192.0.2.2":  "a:2: id: 3 is not the id of any of 2 replicas",
		"0 192.0.2.1":               `"0" is not a replica id`,
		"65 192.0.2.1":              `"65" is not a replica id`,
		"one 192.0.2.1":             `"one" is not a replica id`,
		"1":                         "a:1: 1 words, not 2",
		"1 192.0.2.1 x":             "a:1: 3 words, not 2",
		"1 192.0.2.1:0":             `"0" is not a port`,
		"1 192.0.2.1:65535":         "leave room for two ports",
		"1 192.0.2.256":             "a:1: address: ",
		"1 :7100":                   "a:1: address: ",
		"1 http://x":                "a:1: address: ",
		strings.Repeat("x\n", 1000): "a:1: 1 words",
	} {
		if _, err := ParseHosts("a", []byte(text)); err == nil || !strings.Contains(err.Error(), says) || len(Problems(err)) > 64 {
			t.Errorf("%q: %v", short(text), err)
		}
	}
	for base, ok := range map[int]bool{0: false, -5: false, 1: true, 65528: true, 65529: false} {
		if _, err := Layout(group.MustNew(1, 0), base, nil, ""); (err == nil) != ok {
			t.Errorf("base %d: %v", base, err)
		}
	}
	if _, err := Layout(group.MustNew(1, 1), 7100, hosts, "a"); err == nil || !strings.Contains(err.Error(), "for 4: f = 1, k = 0") {
		t.Error(err)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	read := func(text string) []Host {
		hosts, err := ParseHosts("x", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return hosts
	}
	hosts := read("1 10.0.0.1\n2 10.0.0.2\n3 10.0.0.3\n4 10.0.0.4\n5 10.0.0.5\n6 10.0.0.6\n")
	spines := read("1 10.9.0.1\n2 10.9.0.2\n3 10.9.0.7\n4 10.9.0.7\n5 10.0.0.5\n6 10.9.0.6\n")
	g, replicas, notes, err := Import(7100, hosts, spines, [2]string{"address", "spines"})
	if err != nil || g != group.MustNew(1, 1) || len(notes) != 6 {
		t.Fatalf("%v %v %v", g, notes, err)
	}
	want := []string{"10.9.0.1:7100", "10.9.0.2:7102", "10.0.0.3:7104", "10.0.0.4:7106", "10.0.0.5:7108", "10.9.0.6:7110"}
	for i, r := range replicas {
		if r.PeerAddress != want[i] || !strings.HasPrefix(r.ClientAddress, "10.0.0.") {
			t.Errorf("r%d: %s, %s", r.ID, r.PeerAddress, r.ClientAddress)
		}
	}
	if _, _, _, err := Import(7100, hosts, spines[:5], [2]string{"address", "spines"}); len(Problems(err)) != 1 {
		t.Errorf("five daemons for six replicas: %v", err)
	}
	if _, _, _, err := Import(7100, hosts[:2], nil, [2]string{"address", ""}); len(Problems(err)) != 1 {
		t.Errorf("two replicas: %v", err)
	}
}

func TestClientLists(t *testing.T) {
	t.Parallel()
	one := strings.Repeat("0", 63) + "1"
	file := filepath.Join(t.TempDir(), "clients")
	if err := os.WriteFile(file, []byte("# who\n"+one+" # one\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadClients(file); err != nil || len(got) != 1 || got[0][31] != 1 {
		t.Errorf("%v %v", got, err)
	}
	for _, text := range []string{"xyz", one + "00", zeros} {
		if _, err := parseClients("c", []byte("\n"+text)); err == nil || !strings.Contains(err.Error(), "c:2: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if got, err := parseClients("c", nil); err != nil || got == nil || len(got) != 0 {
		t.Errorf("%v %v", got, err)
	}
}
