package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// edit replaces a text in a file of every replica's folder.
func (c *cluster) edit(file, before, after string) {
	c.t.Helper()
	for i := 1; i <= 4; i++ {
		path := filepath.Join(c.folder(i), file)
		text, err := os.ReadFile(path)
		if err != nil {
			c.t.Fatal(err)
		}
		if !strings.Contains(string(text), before) {
			c.t.Fatalf("no %q in\n%s", before, text)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), before, after, 1)), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

// forgetful makes a cluster whose replicas keep the history of few ordinals and make checkpoints often.
func forgetful(t *testing.T, mode, application string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: filepath.Join(t.TempDir(), "c"), base: ports(t, 8), run: make([]*process, 5)}
	must(t, "init", "--dir", c.dir, "--base-port", fmt.Sprint(c.base), "--storage", mode)
	c.edit("cluster.toml", "ordinal_window = 64", "ordinal_window = 16")
	c.edit("cluster.toml", "history = 1024", "history = 16")
	c.edit("cluster.toml", "checkpoint_ordinals = 10000", "checkpoint_ordinals = 32")
	c.edit("node.toml", `#kind = "echo"`, fmt.Sprintf("kind = %q", application))
	return c
}

// proceed submits updates until so many more ordinals are ordered.
func (c *cluster) proceed(ordinals uint64, at ...int) {
	c.t.Helper()
	for until, round := c.status(at[0]).Ordinal+ordinals, 0; c.status(at[0]).Ordinal < until; round++ {
		var streams []*stream
		for _, i := range at {
			s := c.stream(i)
			s.name = fmt.Sprintf("%d.%d from %d", until, round, i)
			s.send(5)
			streams = append(streams, s)
		}
		for _, s := range streams {
			s.end()
		}
	}
}

// back waits until a replica that was away is where the others are, with a stream of the same count and digest, and its application has
// such a state that it makes checkpoints like theirs.
func (c *cluster) back(id int, others ...int) {
	c.t.Helper()
	c.agree(1, append([]int{id}, others...)...)
	for deadline := time.Now().Add(patience); ; {
		before := c.status(id).Checkpoints
		c.proceed(40, others...)
		if s := c.status(id); s.State != "running" || time.Now().After(deadline) {
			c.t.Fatalf("r%d: %+v", id, s)
		} else if s.Checkpoints.Made > before.Made && s.Checkpoints.Stable > before.Stable {
			break
		}
	}
	c.agree(1, append([]int{id}, others...)...)
}

// TestAwayUntilHistoryIsGone: a replica is away until the others no longer hold what it missed. It comes back by itself: it takes over a
// checkpoint, and `delivered` and `stream_digest` go on as at those who never were away. Killed and started again, it still has them.
func TestAwayUntilHistoryIsGone(t *testing.T) {
	for _, application := range []string{"digest", "store"} {
		t.Run(application, func(t *testing.T) {
			c := forgetful(t, "durable", application)
			c.start(1, 2, 3, 4)
			c.proceed(10, 1, 4)
			c.agree(1, 1, 2, 3, 4)
			c.kill(4)
			c.proceed(250, 1, 2, 3)
			c.start(4)
			c.back(4, 1, 2, 3)
			if s := c.status(4); s.Checkpoints.Restored == 0 {
				t.Errorf("nothing was transferred: %+v", s)
			}
			must(t, "submit", "--dir", c.folder(4), "back")
			c.kill(4)
			c.proceed(5, 1, 2, 3)
			c.start(4)
			c.back(4, 1, 2, 3)
			must(t, "submit", "--dir", c.folder(4), "back again")
			c.agree(1, 1, 2, 3, 4)
		})
	}
}

// TestLateStart: an ephemeral replica whose first start comes when the others no longer hold the beginning takes part, too.
func TestLateStart(t *testing.T) {
	c := forgetful(t, "ephemeral", "digest")
	c.start(1, 2, 3)
	c.proceed(200, 1, 2, 3)
	c.start(4)
	c.back(4, 1, 2, 3)
	must(t, "submit", "--dir", c.folder(4), "here")
	c.agree(1, 1, 2, 3, 4)
}
