package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// leaderOf is the leader of a view in a cluster of four.
func leaderOf(view uint64) int { return int((view-1)%4) + 1 }

// stream is a series of updates at one replica.
type stream struct {
	name string
	p    *process
	in   *os.File
	sent int
}

func (c *cluster) stream(replica int) *stream {
	c.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = write.Close() })
	s := &stream{name: fmt.Sprintf("stream of r%d", replica), in: write}
	s.p = spawnWith(c.t, read, "prime", "submit", "--timeout", patience.String(), "--dir", c.folder(replica), "-")
	return s
}

// send sends so many more updates.
func (s *stream) send(count int) {
	s.p.t.Helper()
	for range count {
		s.sent++
		if _, err := fmt.Fprintf(s.in, "%s %d\n", s.name, s.sent); err != nil {
			s.p.t.Fatal(err)
		}
	}
}

// end closes the stream, and waits until every update is acknowledged.
func (s *stream) end() {
	s.p.t.Helper()
	_ = s.in.Close()
	if code := s.p.exit(); code != 0 || strings.Count(s.p.said(), "\n") != s.sent {
		s.p.t.Errorf("%s: exit %d, %d results of %d\n%s", s.name, code, strings.Count(s.p.said(), "\n"), s.sent, s.p.said())
	}
	inOrder(s.p.t, s.p.said())
}

// TestDeadLeader: the leader is killed under load. The others replace it and go on, in one stream, and nothing that was
// acknowledged is lost: not before, not while, not after the change.
func TestDeadLeader(t *testing.T) {
	c := newCluster(t, filepath.Join(t.TempDir(), "c"))
	c.start(1, 2, 3, 4)
	streams := []*stream{c.stream(2), c.stream(3), c.stream(4)}
	for _, s := range streams {
		s.send(50)
	}
	before := c.agree(150, 1, 2, 3, 4)
	leader := before.Leader
	left := slices.DeleteFunc([]int{1, 2, 3, 4}, func(i int) bool { return i == leader })
	streams = slices.DeleteFunc(streams, func(s *stream) bool { return s.name == fmt.Sprintf("stream of r%d", leader) })
	for _, s := range streams {
		s.send(20) // under way when it happens
	}
	after := c.killLeader(before, streams, left)
	var texts []string
	for _, i := range left {
		text := must(t, "watch", "--dir", c.folder(i), "--from", "1", "--count", fmt.Sprint(after.Delivered))
		texts = append(texts, text)
		for _, s := range streams {
			for n := range s.sent {
				if line := fmt.Sprintf(" %s %d\n", s.name, n+1); strings.Count(text, line) != 1 {
					t.Fatalf("r%d delivered %q %d times", i, line, strings.Count(text, line))
				}
			}
		}
	}
	if texts[0] != texts[1] || texts[0] != texts[2] {
		t.Error("the streams differ")
	}
	c.secondLeader(after, left)
}

// secondLeader: with two of four replicas gone there is no quorum, and nothing is acknowledged, nor forgotten.
func (c *cluster) secondLeader(place status, left []int) {
	t := c.t
	t.Helper()
	c.run[place.Leader].signal(syscall.SIGKILL)
	c.run[place.Leader].exit()
	left = slices.DeleteFunc(left, func(i int) bool { return i == place.Leader })
	submit := spawn(t, "prime", "submit", "--timeout", patience.String(), "--dir", c.folder(left[0]), "no quorum")
	for deadline := time.Now().Add(patience); c.status(left[0]).Counters.Submitted == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the update was not accepted")
		}
	}
	if said := submit.said(); said != "" {
		t.Errorf("without a quorum: %s", said)
	}
	c.agree(place.Delivered, left...)
}

// killLeader kills the leader while streams are under way, and expects that those who are left replace it and order everything.
func (c *cluster) killLeader(before status, streams []*stream, left []int) (after status) {
	c.t.Helper()
	leader := before.Leader
	c.run[leader].signal(syscall.SIGKILL)
	c.run[leader].exit()
	sent := uint64(0)
	for _, s := range streams {
		s.send(50) // ordered only if there is a leader again
		s.end()
		sent += uint64(s.sent)
	}
	after = c.agree(sent, left...)
	if after.View <= before.View || after.Leader != leaderOf(after.View) || after.Leader == leader || !after.Installed ||
		after.Changes == 0 {
		c.t.Errorf("before %+v, after %+v", before, after)
	}
	return after
}
