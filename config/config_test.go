package config

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/primebft/prime/internal/group"
)

// create makes a cluster folder for a test and returns its path.
func create(t *testing.T, f, k int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cluster")
	replicas, err := Layout(group.MustNew(f, k), BasePort, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	c := Cluster{Name: "test", F: f, K: k, Auth: AuthReplica, Limits: DefaultLimits(), Replicas: replicas}
	if _, err := Create(dir, c, Local()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCreatedFolderLoads(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}, {2, 0}, {21, 0}} {
		dir := create(t, size[0], size[1])
		if err := Check(dir); err != nil {
			t.Fatalf("f, k = %v: %v", size, err)
		}
		cluster, err := LoadCluster(filepath.Join(dir, ClusterFile))
		if err != nil {
			t.Fatal(err)
		}
		g, err := cluster.Group()
		if err != nil || g.N() != len(cluster.Replicas) {
			t.Fatalf("f, k = %v: %d replicas, %v", size, len(cluster.Replicas), err)
		}
		for i := 0; i < g.N(); i += max(1, g.N()/7) {
			c, err := Load(filepath.Join(dir, group.FromIndex(i).String()))
			if err != nil {
				t.Fatal(err)
			}
			if c.Node.ID != i+1 || !reflect.DeepEqual(c.Cluster, cluster) || c.Cluster.Digest() != cluster.Digest() {
				t.Fatalf("folder of r%d holds r%d of %v", i+1, c.Node.ID, c.Cluster)
			}
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			peers, clients := c.Listen()
			if peers != cluster.Replicas[i].PeerAddress || clients != cluster.Replicas[i].ClientAddress {
				t.Fatalf("r%d listens on %s and %s", i+1, peers, clients)
			}
		}
	}
}

func TestOnlyPrivateKeysAreCalledKey(t *testing.T) {
	t.Parallel()
	dir := create(t, 1, 0)
	keys := 0
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		named := strings.Contains(filepath.Base(path), "key")
		if secret := bytes.Contains(data, []byte("PRIVATE KEY")); secret != named {
			t.Errorf("%s: secret %v", path, secret)
		}
		if named {
			keys++
			if info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
		}
		return nil
	})
	if err != nil || keys != 4 {
		t.Errorf("%d keys, %v", keys, err)
	}
}

// TestEveryFieldIsASetting: each field of the types that files hold is in a table, so it is read, checked, written and shown.
func TestEveryFieldIsASetting(t *testing.T) {
	t.Parallel()
	tables(t, &Node{}, nodeSettings, nil)
	tables(t, &Cluster{}, clusterSettings, []string{"AnyClient", "Clients", "Replicas", "ID"})
	tables(t, &Replica{}, publicSettings, []string{"PublicKey", "ShareKey"})
	tables(t, &Replica{}, replicaSettings, []string{"PublicKey", "DealingKey"}) // ID and PublicKey: hex32 has no pointer to compare
}

func tables[T any](t *testing.T, v *T, settings []setting[T], others []string) {
	t.Helper()
	reached := map[uintptr]string{}
	for _, s := range settings {
		if p := reflect.ValueOf(s.at(v)).Field(0); p.Kind() == reflect.Pointer {
			if twice := reached[p.Pointer()]; twice != "" {
				t.Errorf("%s and %s are one field", s.path(), twice)
			}
			reached[p.Pointer()] = s.path()
		}
	}
	var walk func(reflect.Value, string)
	walk = func(v reflect.Value, name string) {
		for i := range v.NumField() {
			f, path := v.Field(i), name+v.Type().Field(i).Name
			switch {
			case f.Kind() == reflect.Struct:
				walk(f, path+".")
			case strings.Contains(strings.Join(others, " ")+" ", path+" "):
			case reached[f.Addr().Pointer()] == "":
				t.Errorf("%T.%s is no setting", v.Interface(), path)
			}
		}
	}
	walk(reflect.ValueOf(v).Elem(), "")
}

func TestPresetsAreValid(t *testing.T) {
	t.Parallel()
	for _, p := range Presets() {
		n, ok := p.Node()
		n.ID = 1
		if !ok || n.Preset != p || n.Validate() != nil {
			t.Errorf("%s: %v %v", p, n.Preset, n.Validate())
		}
	}
	if _, ok := Preset("moon").Node(); ok {
		t.Error("a preset that does not exist")
	}
}

// TestCommentedSettingsAreTheDefaults: removing the # before a setting changes nothing.
func TestCommentedSettingsAreTheDefaults(t *testing.T) {
	t.Parallel()
	silent := regexp.MustCompile(`(?m)^#([a-z_]+ = )`)
	for _, p := range Presets() {
		n, _ := p.Node()
		n.ID = 3
		text := n.Encode()
		if len(silent.FindAll(text, -1)) != len(nodeSettings)-2 {
			t.Errorf("%s: only id and preset need to be spoken:\n%s", p, text)
		}
		loud, err := ParseNode("node.toml", silent.ReplaceAll(text, []byte("$1")))
		if err != nil || loud != n {
			t.Errorf("%s: %v\n%+v\n%+v", p, err, n, loud)
		}
		quiet, err := ParseNode("node.toml", text)
		if err != nil || quiet != n {
			t.Errorf("%s: %v", p, err)
		}
		all, err := ParseNode("node.toml", n.EncodeAll())
		if err != nil || all != n {
			t.Errorf("%s: %v", p, err)
		}
	}
}

func TestSingleValuesOverrideThePreset(t *testing.T) {
	t.Parallel()
	n, err := ParseNode("node.toml", []byte("id = 2\npreset = \"wan\"\n[timing]\nack = \"3ms\"\n[queues]\nsubmit_bytes = 1048576\n"))
	want := WAN()
	want.ID, want.Timing.Ack, want.Queues.SubmitBytes = 2, 3e6, 1<<20
	if err != nil || n != want {
		t.Errorf("%v\n%+v\n%+v", err, n, want)
	}
	if again, err := ParseNode("node.toml", n.Encode()); err != nil || again != n {
		t.Errorf("%v\n%+v", err, again)
	}
}

// TestDigestCoversAllButAddresses changes each field of a cluster in turn.
func TestDigestCoversAllButAddresses(t *testing.T) {
	t.Parallel()
	base, err := LoadCluster(filepath.Join(create(t, 1, 0), ClusterFile))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[32]byte]string{base.Digest(): "the original"}
	differs := func(what string, c Cluster) {
		t.Helper()
		if twin, again := seen[c.Digest()]; again {
			t.Errorf("%s has the digest of %s", what, twin)
		}
		seen[c.Digest()] = what
	}
	for _, s := range clusterSettings {
		c := base
		switch f := s.at(&c).(type) {
		case text:
			*f.p += "x"
		case integer:
			*f.p++
		case size:
			*f.p++
		case epoch:
			*f.p++
		case toggle:
			*f.p = !*f.p
		case hex32:
			b := bytes.Clone(f.get())
			b[31]++
			f.put(b)
		default:
			t.Fatalf("%s: %T", s.path(), f)
		}
		differs(s.path(), c)
		if base.difference(c) != s.path() {
			t.Errorf("%s: difference found in %s", s.path(), base.difference(c))
		}
	}
	c := base
	c.AnyClient = true
	differs("any client", c)
	c = base
	c.Clients = [][32]byte{{1}, {2}}
	differs("two clients", c)
	c.Clients = [][32]byte{{2}, {1}}
	if seen[c.Digest()] != "two clients" {
		t.Error("the order of clients matters")
	}
	c = base
	c.Replicas = append([]Replica{}, base.Replicas...)
	c.Replicas[2].PublicKey = ed25519.PublicKey(bytes.Repeat([]byte{7}, 32))
	differs("another key", c)
	if base.difference(c) != "replica[3]" {
		t.Error(base.difference(c))
	}
	c.Replicas = base.Replicas[:3]
	differs("a replica less", c)
	c.Replicas = append([]Replica{}, base.Replicas...)
	c.Replicas[0].PeerAddress, c.Replicas[1].ClientAddress = "a.example:1", "b.example:2"
	if seen[c.Digest()] != "the original" {
		t.Error("addresses are in the digest")
	}
}

func TestCreateRefusesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := create(t, 1, 0)
	before, err := os.ReadFile(filepath.Join(dir, ClusterFile))
	if err != nil {
		t.Fatal(err)
	}
	good, err := LoadCluster(filepath.Join(dir, ClusterFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, good, LAN()); len(Problems(err)) != 1 || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("an existing cluster: %v", err)
	}
	after, err := os.ReadFile(filepath.Join(dir, ClusterFile))
	if err != nil || !bytes.Equal(before, after) {
		t.Error("an existing cluster was touched")
	}
	bad := good
	bad.Name = "no spaces"
	if _, err := Create(filepath.Join(filepath.Dir(dir), "other"), bad, LAN()); len(Problems(err)) != 1 {
		t.Errorf("a bad name: %v", err)
	}
	file := filepath.Join(dir, ClusterFile)
	if _, err := Create(filepath.Join(file, "under", "a", "file"), good, LAN()); len(Problems(err)) != 1 {
		t.Errorf("a place that cannot be: %v", err)
	}
	empty := filepath.Join(filepath.Dir(dir), "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(empty, good, LAN()); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(entries) != 2 {
		t.Errorf("something was left behind: %v, %v", entries, err)
	}
}

// TestOneOfManyCreatesWins: several at once make one whole cluster, and the others are refused.
func TestOneOfManyCreatesWins(t *testing.T) {
	t.Parallel()
	good, err := LoadCluster(filepath.Join(create(t, 1, 0), ClusterFile))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "c")
	won := make(chan [32]byte, 4)
	var all sync.WaitGroup
	for range cap(won) {
		all.Go(func() {
			made, err := Create(dir, good, Local())
			switch {
			case err == nil:
				won <- made.ID
			case !strings.Contains(err.Error(), "exists already"):
				t.Error(err)
			}
		})
	}
	all.Wait()
	close(won)
	var ids [][32]byte
	for id := range won {
		ids = append(ids, id)
	}
	there, err := LoadCluster(filepath.Join(dir, ClusterFile))
	if err != nil || len(ids) != 1 || ids[0] != there.ID {
		t.Fatalf("%d made it: %v", len(ids), err)
	}
	if err := Check(dir); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}
