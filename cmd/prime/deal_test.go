package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/threshold"
	"github.com/primebft/prime/threshold/bls"
)

// machines are four machines in one folder, whose replicas have keys and everybody's public files.
type machines struct {
	t     *testing.T
	root  string
	files []string
}

func (m *machines) dir(id string) string { return filepath.Join(m.root, "m"+id, "r"+id) }

func newMachines(t *testing.T, proof string) *machines {
	t.Helper()
	m := &machines{t: t, root: t.TempDir()}
	for _, id := range []string{"1", "2", "3", "4"} {
		out := must(t, "keygen", "--dir", m.dir(id), "--id", id, "--host", "192.0.2."+id, "--proof", proof, "--json")
		m.files = append(m.files, decode[struct {
			PublicFile string `json:"public_file"`
		}](t, out).PublicFile)
	}
	return m
}

// deal lets one replica deal.
func (m *machines) deal(id string) string {
	m.t.Helper()
	out := must(m.t, append([]string{"deal", "--dir", m.dir(id), "--json"}, m.files...)...)
	return decode[struct {
		File string `json:"dealing_file"`
	}](m.t, out).File
}

// TestDealAndJoin is the flow of docs/operations.md for threshold signatures: every replica has a share of one key that was
// never anywhere, and together they sign.
func TestDealAndJoin(t *testing.T) {
	t.Parallel()
	m := newMachines(t, "bls")
	all := m.files
	for _, id := range []string{"1", "2", "3", "4"} {
		all = append(all, m.deal(id))
	}
	digests := map[string]bool{}
	var groups []threshold.Group
	for i, id := range []string{"1", "2", "3", "4"} {
		out := must(t, append([]string{"join", "--dir", m.dir(id), "--proof", "bls", "--json"}, all...)...)
		digests[decode[clusterView](t, out).Digest] = true
		if out := must(t, "config", "check", "--dir", m.dir(id), "--json"); out != "[]\n" {
			t.Error(out)
		}
		c, err := config.Load(m.dir(id))
		if err != nil {
			t.Fatal(err)
		}
		setup := threshold.Setup{Cluster: c.Cluster.ID, Quorum: 3, Self: i + 1, Secret: c.Share.Secret}
		for _, r := range c.Cluster.Replicas {
			setup.Keys = append(setup.Keys, r.ShareKey)
		}
		g, err := bls.Scheme{}.Open(setup)
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
	}
	if len(digests) != 1 {
		t.Errorf("different clusters: %v", digests)
	}
	message := []byte("message")
	sig, err := groups[0].Combine([]int{2, 3, 4}, []threshold.Signature{groups[1].Sign(message), groups[2].Sign(message), groups[3].Sign(message)})
	if err != nil || !groups[0].Verify(message, &sig) {
		t.Errorf("they cannot sign: %v", err)
	}
}

// TestDealRefuses: what does not fit is named, and nothing is written.
func TestDealRefuses(t *testing.T) {
	t.Parallel()
	m, plain := newMachines(t, "bls"), newMachines(t, "list")
	var dealt []string
	for _, id := range []string{"1", "2", "3", "4"} {
		dealt = append(dealt, m.deal(id))
	}
	refused := func(says string, args ...string) {
		t.Helper()
		if r := command(args...); r.code != exitUsage || !strings.Contains(r.err, says) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%v: exit %d, want %q\n%s", args[:3], r.code, says, r.err)
		}
	}
	join := func(files ...string) []string {
		return append([]string{"join", "--dir", m.dir("1"), "--proof", "bls"}, append(append([]string{}, m.files...), files...)...)
	}
	other := filepath.Join(t.TempDir(), "r9"+config.DealingFile)
	if err := os.WriteFile(other, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("if it exists, hand that one", append([]string{"deal", "--dir", m.dir("1")}, m.files...)...)
	refused("need those of r1 to r4", append([]string{"deal", "--dir", m.dir("1")}, m.files[:3]...)...)
	refused("need those of r1 to r6", append([]string{"deal", "--k", "1", "--dir", m.dir("1")}, m.files...)...)
	refused("has no dealing_key", append([]string{"deal", "--dir", plain.dir("1")}, plain.files...)...)
	refused("is in none of the public files", append([]string{"deal", "--dir", plain.dir("1")}, m.files...)...)
	refused("--f, --k", append([]string{"deal", "--f", "90", "--dir", plain.dir("1")}, m.files...)...)
	refused("the dealing of r4 is missing", join(dealt[:3]...)...)
	refused("two dealings of r2", join(dealt[0], dealt[1], dealt[1])...)
	refused("it is not a dealing", join(dealt[0], dealt[1], dealt[2], other)...)
	refused("dealings are for --proof bls", append([]string{"join", "--dir", m.dir("1")}, append(m.files, dealt...)...)...)
	refused("has no dealing_key", append([]string{"join", "--proof", "bls", "--dir", plain.dir("1")}, append(plain.files, dealt...)...)...)
	for _, id := range []string{"1", "2", "3", "4"} {
		if _, err := os.Stat(filepath.Join(m.dir(id), config.ShareFile)); err == nil {
			t.Errorf("r%s has a key share", id)
		}
	}
	must(t, join(dealt...)...)
	must(t, append([]string{"join", "--dir", m.dir("2")}, m.files...)...) // their keys serve a cluster without shares too
}

// TestInitShares: init makes key shares that serve, and config check finds one that does not.
func TestInitShares(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "c")
	if v := decode[clusterView](t, must(t, "init", "--dir", dir, "--proof", "bls", "--json")); v.Proof != "bls" {
		t.Errorf("%+v", v)
	}
	must(t, "config", "check", "--dir", dir)
	path := filepath.Join(dir, "r3", config.ShareFile)
	s, err := config.ReadShare(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Secret = bytes.Repeat([]byte{1}, len(s.Secret))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := config.WriteShare(path, s, "replica r3"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"config", "check", "--dir", dir}, {"config", "check", "--dir", filepath.Join(dir, "r3")}} {
		if r := command(args...); r.code != exitUsage || !strings.Contains(r.err, path) ||
			!strings.Contains(r.err, "does not belong to the public one of r3") {
			t.Errorf("%+v", r)
		}
	}
	if r := command("run", "--dir", filepath.Join(dir, "r3")); r.code == exitDone || !strings.Contains(r.err, path) {
		t.Errorf("%+v", r)
	}
	if r := command("init", "--dir", filepath.Join(dir, "x"), "--proof", "bls", "--f", "1", "--k", "40"); r.code != exitUsage {
		t.Errorf("%+v", r)
	}
}
