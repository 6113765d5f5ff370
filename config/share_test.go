package config

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/primebft/prime/internal/group"
)

// fakeShares are key shares as this package sees them: bytes that belong together.
func fakeShares(n int) (public, secrets [][]byte) {
	for i := range n {
		public = append(public, bytes.Repeat([]byte{byte(i + 1)}, publicShare))
		secrets = append(secrets, bytes.Repeat([]byte{byte(0x80 + i)}, secretShare))
	}
	return public, secrets
}

// createShared makes a cluster of four whose proofs are threshold signatures.
func createShared(t *testing.T) (string, Cluster) {
	t.Helper()
	replicas, err := Layout(group.MustNew(1, 0), BasePort, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	public, secrets := fakeShares(4)
	for i := range replicas {
		replicas[i].ShareKey = public[i]
	}
	dir := filepath.Join(t.TempDir(), "cluster")
	c, err := CreateWith(dir, Cluster{Name: "shared", F: 1, Auth: AuthReplica, Proof: ProofBLS, Limits: DefaultLimits(),
		Replicas: replicas}, Local(), secrets)
	if err != nil {
		t.Fatal(err)
	}
	return dir, c
}

// TestSharedCluster: every folder has its own replica's share, private, and what was written is read back.
func TestSharedCluster(t *testing.T) {
	t.Parallel()
	dir, made := createShared(t)
	_, secrets := fakeShares(4)
	if err := Check(dir); err != nil {
		t.Fatal(err)
	}
	for id := 1; id <= 4; id++ {
		folder := filepath.Join(dir, fmt.Sprintf("r%d", id))
		c, err := Load(folder)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(c.Share.Secret, secrets[id-1]) || !reflect.DeepEqual(c.Cluster, made) {
			t.Errorf("r%d: %+v", id, c.Cluster)
		}
		if info, err := os.Stat(filepath.Join(folder, ShareFile)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("r%d: %v %v", id, info, err)
		}
		if text := fmt.Sprintf("%v %+v %#v %v", c.Validate(), c.Share, c.Share, made.Settings()); strings.Contains(text, fmt.Sprintf("%x", secrets[id-1])) {
			t.Errorf("r%d: the share is shown", id)
		}
	}
	list := made
	list.Proof = ProofList
	other := made
	other.Replicas = append([]Replica(nil), made.Replicas...)
	other.Replicas[2].ShareKey = bytes.Repeat([]byte{9}, publicShare)
	unset := list
	unset.Proof = ""
	if made.Digest() == list.Digest() || made.Digest() == other.Digest() || list.Digest() != unset.Digest() {
		t.Error("the digest does not follow proof and key shares")
	}
	if made.difference(list) != "proof" || made.difference(other) != "replica[3]" || list.difference(unset) != "" &&
		list.difference(unset) != "replica" {
		t.Errorf("differences: %q, %q, %q", made.difference(list), made.difference(other), list.difference(unset))
	}
}

// TestSharesRefused: a key share that is missing, open to others, damaged or another's is named with its file and a remedy.
func TestSharesRefused(t *testing.T) {
	t.Parallel()
	dir, _ := createShared(t)
	path := filepath.Join(dir, "r1", ShareFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(mode os.FileMode, text []byte) {
		os.Remove(path)
		if err := os.WriteFile(path, text, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	others, err := os.ReadFile(filepath.Join(dir, "r2", ShareFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		says  string
		spoil func()
	}{
		{"it does not exist", func() { os.Remove(path) }},
		{"others can get at it", func() { write(0o644, good) }},
		{"it is not a key share", func() { write(0o600, []byte("hello")) }},
		{"it is not a key share", func() { write(0o600, bytes.Replace(good, []byte("SHARE-----"), []byte("PART-----"), 2)) }},
		{"it does not say which", func() { write(0o600, bytes.Replace(good, []byte("Share-Key: 0"), []byte("Share-Key: x"), 1)) }},
		{"does not belong to the share_key of r1", func() { write(0o600, others) }},
		{"it is not a file", func() { os.Remove(path); os.Mkdir(path, 0o700) }},
	} {
		test.spoil()
		_, err := Load(filepath.Join(dir, "r1"))
		found := Problems(err)
		if len(found) != 1 || found[0].File != path || found[0].Remedy == "" || !strings.Contains(found[0].What, test.says) {
			t.Errorf("%s: %v", test.says, err)
		}
	}
	os.Remove(path)
	write(0o600, good)
	if _, err := Load(filepath.Join(dir, "r1")); err != nil {
		t.Error(err)
	}
}

// TestSharedClustersRefused: a cluster whose key shares and setting do not fit each other is refused by the field.
func TestSharedClustersRefused(t *testing.T) {
	t.Parallel()
	_, made := createShared(t)
	for says, spoil := range map[string]func(*Cluster){
		"it is missing, and proof": func(c *Cluster) { c.Replicas[1].ShareKey = nil },
		"has no key shares":        func(c *Cluster) { c.Proof = ProofList },
		"it is the same as":        func(c *Cluster) { c.Replicas[1].ShareKey = c.Replicas[0].ShareKey },
		"it is 3 bytes long":       func(c *Cluster) { c.Replicas[1].ShareKey = []byte{1, 2, 3} },
		"\"rsa\" is not known":     func(c *Cluster) { c.Proof = "rsa" },
	} {
		c := made
		c.Replicas = append([]Replica(nil), made.Replicas...)
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	c := Config{Cluster: made, Node: Local()}
	c.Node.ID = 1
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "there is no key share") {
		t.Errorf("without a key share: %v", err)
	}
	if _, err := CreateWith(filepath.Join(t.TempDir(), "x"), made, Local(), nil); err == nil {
		t.Error("a cluster was made without its key shares")
	}
	if _, err := CreateWith(filepath.Join(t.TempDir(), "x"), Cluster{Replicas: made.Replicas}, Local(), [][]byte{{1}}); err == nil {
		t.Error("a cluster that needs none was made with key shares")
	}
}

// TestJoinShared: members whose public files have dealing keys join a cluster with key shares; a failure leaves nothing.
func TestJoinShared(t *testing.T) {
	t.Parallel()
	public, secrets := fakeShares(4)
	dealing := func(key ed25519.PrivateKey) ([]byte, error) { return key.Seed(), nil }
	var dirs, files []string
	for id := 1; id <= 4; id++ {
		dir := filepath.Join(t.TempDir(), group.ID(id).String())
		_, file, err := KeygenWith(dir, Addresses(id, BasePort, Host{Host: "192.0.2.1"}), dealing)
		if err != nil {
			t.Fatal(err)
		}
		dirs, files = append(dirs, dir), append(files, file)
	}
	want := plan()
	want.Proof = ProofBLS
	failure := errors.New("the dealing of r3 is missing")
	for name, shares := range map[string]SharesFunc{
		"none": nil,
		"failing": func(int, []Replica, int, ed25519.PrivateKey) ([][]byte, []byte, error) {
			return nil, nil, failure
		},
		"too few": func(int, []Replica, int, ed25519.PrivateKey) ([][]byte, []byte, error) {
			return public[:3], secrets[0], nil
		},
	} {
		if _, err := JoinWith(dirs[0], want, LAN(), files, shares); err == nil {
			t.Errorf("%s: joined", name)
		}
		if entries, err := os.ReadDir(dirs[0]); err != nil || len(entries) != 2 {
			t.Errorf("%s: left %v %v", name, entries, err)
		}
	}
	var first []byte
	for i, dir := range dirs {
		joined, err := JoinWith(dir, want, LAN(), files,
			func(quorum int, members []Replica, self int, key ed25519.PrivateKey) ([][]byte, []byte, error) {
				if quorum != 3 || self != i+1 || len(members) != 4 || !bytes.Equal(members[i].DealingKey, key.Seed()) {
					t.Errorf("asked for the shares of %d, quorum %d, %+v", self, quorum, members)
				}
				return public, secrets[self-1], nil
			})
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := Load(dir)
		if err != nil || !reflect.DeepEqual(loaded, joined) {
			t.Errorf("%v\n%+v\n%+v", err, loaded, joined)
		}
		text, err := os.ReadFile(filepath.Join(dir, ClusterFile))
		if err != nil || first != nil && !bytes.Equal(first, text) {
			t.Errorf("r%d has another cluster.toml: %v", i+1, err)
		}
		first = text
	}
	if bytes.Contains(first, []byte("dealing_key")) {
		t.Errorf("cluster.toml has dealing keys:\n%s", first)
	}
}

// FuzzShareFile: whatever the file of a key share or of a dealing holds, it is one or a named fault that does not show it.
func FuzzShareFile(f *testing.F) {
	public, secrets := fakeShares(1)
	path := filepath.Join(f.TempDir(), "seed.key")
	if err := WriteShare(path, Share{Public: public[0], Secret: secrets[0]}, "replica r1"); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	file, err := WriteDealing(f.TempDir(), 1, []byte("a dealing"))
	if err != nil {
		f.Fatal(err)
	}
	dealing, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	if got, err := ReadDealing(file); err != nil || string(got) != "a dealing" {
		f.Fatalf("%q %v", got, err)
	}
	f.Add(dealing)
	f.Add([]byte("-----BEGIN PRIME PRIVATE KEY SHARE-----\nAAAA\n-----END PRIME PRIVATE KEY SHARE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := parseDealing("x"+DealingFile, data); err != nil {
			wellNamed(t, err)
		}
		s, err := parseShare(ShareFile, data)
		if err != nil {
			wellNamed(t, err)
			return
		}
		if len(s.Public) != publicShare || len(s.Secret) != secretShare {
			t.Errorf("a share of %d and %d bytes", len(s.Public), len(s.Secret))
		}
	})
}
