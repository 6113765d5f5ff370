package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// TestThresholdLeader: in a cluster whose proofs are threshold signatures, the leader is killed under load; the others prove with
// their key shares how the next view begins, and go on in one stream.
func TestThresholdLeader(t *testing.T) {
	c := newCluster(t, filepath.Join(t.TempDir(), "c"), "--proof", "bls")
	must(t, "config", "check", "--dir", c.dir)
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
	c.run[leader].signal(syscall.SIGKILL)
	c.run[leader].exit()
	sent := uint64(0)
	for _, s := range streams {
		s.send(50) // ordered only if there is a leader again
		s.end()
		sent += uint64(s.sent)
	}
	after := c.agree(sent, left...)
	if after.View <= before.View || after.Leader != leaderOf(after.View) || after.Leader == leader || !after.Installed ||
		after.Changes == 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// TestWrongShare: a replica with another's key share does not start, and its folder is as it was.
func TestWrongShare(t *testing.T) {
	c := newCluster(t, filepath.Join(t.TempDir(), "c"), "--proof", "bls")
	move(t, filepath.Join(c.folder(1), "share.key"), filepath.Join(c.folder(1), "old.key"))
	refuse(t, 2, []string{"run", "--dir", c.folder(1)}, "share.key", "it does not exist", "prime init")
	move(t, filepath.Join(c.folder(2), "share.key"), filepath.Join(c.folder(1), "share.key"))
	refuse(t, 2, []string{"run", "--dir", c.folder(1)}, "share.key", "wrong key share", "put the replica's own")
	move(t, filepath.Join(c.folder(1), "share.key"), filepath.Join(c.folder(2), "share.key"))
	move(t, filepath.Join(c.folder(1), "old.key"), filepath.Join(c.folder(1), "share.key"))
	must(t, "config", "check", "--dir", c.dir)
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
