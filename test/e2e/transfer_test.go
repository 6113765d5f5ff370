package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// set gives a setting another value in a file of every replica's folder.
func (c *cluster) set(file, name, value string) {
	c.t.Helper()
	line := regexp.MustCompile(`(?m)^#?` + name + ` = .*$`)
	for i := 1; i <= 4; i++ {
		path := filepath.Join(c.folder(i), file)
		text, err := os.ReadFile(path)
		if err != nil {
			c.t.Fatal(err)
		}
		if !line.Match(text) {
			c.t.Fatalf("no %q in\n%s", name, text)
		}
		if err := os.WriteFile(path, line.ReplaceAll(text, []byte(name+" = "+value)), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

// forgetful makes a cluster whose replicas keep the history of few ordinals and make checkpoints often.
func forgetful(t *testing.T, mode, application string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: filepath.Join(t.TempDir(), "c"), base: ports(t, 8), run: make([]*process, 5)}
	must(t, "init", "--dir", c.dir, "--base-port", fmt.Sprint(c.base), "--storage", mode)
	c.set("cluster.toml", "ordinal_window", "16")
	c.set("cluster.toml", "history", "16")
	c.set("cluster.toml", "checkpoint_ordinals", "32")
	c.set("node.toml", "kind", fmt.Sprintf("%q", application))
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

// TestSocketApplicationComesLate: the same where the applications are processes of their own: the late one is given the state of the
// others, and goes on counting where they are.
func TestSocketApplicationComesLate(t *testing.T) {
	c := forgetful(t, "ephemeral", "socket")
	c.start(1, 2, 3)
	application := func(i int) {
		spawn(t, "app-socket", filepath.Join(c.folder(i), "app.sock"), filepath.Join(c.folder(i), "words.json"))
	}
	for i := 1; i <= 3; i++ {
		application(i)
	}
	must(t, "submit", "--dir", c.folder(1), "word")
	c.proceed(150, 1, 2, 3)
	c.start(4)
	application(4)
	c.back(4, 1, 2, 3)
	if out := must(t, "submit", "--dir", c.folder(4), "--json", "word"); !strings.Contains(out, `"result":"Mg=="`) { // 2 in base64
		t.Errorf("%s: want the result 2", out)
	}
}
