package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestThresholdLeader: in a cluster whose proofs are threshold signatures, the leader is killed under load; the others prove with
// their key shares how the next view begins, and go on in one stream.
func TestThresholdLeader(t *testing.T) {
	c := newCluster(t, filepath.Join(t.TempDir(), "c"), "--proof", "bls")
	must(t, "config", "check", "--dir", c.dir)
	c.losesLeader()
}

// TestCeremony is TestThresholdLeader in a cluster whose key shares nobody has ever had together: keygen, deal and join make them.
func TestCeremony(t *testing.T) {
	c := &cluster{t: t, dir: filepath.Join(t.TempDir(), "c"), base: ports(t, 8), run: make([]*process, 5)}
	all := []int{1, 2, 3, 4}
	var files []string
	for _, i := range all {
		must(t, "keygen", "--dir", c.folder(i), "--id", fmt.Sprint(i), "--base-port", fmt.Sprint(c.base), "--proof", "bls")
		files = append(files, filepath.Join(c.folder(i), fmt.Sprintf("r%d.public.toml", i)))
	}
	both := slices.Clone(files)
	for _, i := range all {
		must(t, append([]string{"deal", "--dir", c.folder(i)}, files...)...)
		both = append(both, filepath.Join(c.folder(i), fmt.Sprintf("r%d.dealing.pem", i)))
	}
	for _, i := range all {
		must(t, append([]string{"join", "--dir", c.folder(i), "--preset", "local", "--proof", "bls"}, both...)...)
	}
	c.losesLeader()
}

// losesLeader starts a cluster and kills its leader under load.
func (c *cluster) losesLeader() {
	t := c.t
	t.Helper()
	c.start(1, 2, 3, 4)
	before := c.agree(0, 1, 2, 3, 4)
	leader := before.Leader
	left := slices.DeleteFunc([]int{1, 2, 3, 4}, func(i int) bool { return i == leader })
	var streams []*stream
	for _, i := range left {
		s := c.stream(i)
		s.send(50)
		streams = append(streams, s)
	}
	c.killLeader(before, streams, left)
}

// TestWrongShare: a replica with another's key share does not start, and its folder is as it was.
func TestWrongShare(t *testing.T) {
	c := newCluster(t, filepath.Join(t.TempDir(), "c"), "--proof", "bls")
	share, other := filepath.Join(c.folder(1), "share.key"), filepath.Join(c.folder(2), "share.key")
	old := filepath.Join(c.dir, "old.key")
	move(t, share, old)
	refuse(t, 2, []string{"run", "--dir", c.folder(1)}, "share.key", "it does not exist", "prime init")
	move(t, other, share)
	refuse(t, 2, []string{"run", "--dir", c.folder(1)}, "share.key", "wrong key share", "put the replica's own")
	move(t, share, other)
	move(t, old, share)
	must(t, "config", "check", "--dir", c.dir)
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
