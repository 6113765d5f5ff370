package e2e

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// durable makes the folder of a cluster of four replicas that keep logs.
func durable(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: filepath.Join(t.TempDir(), "c"), base: ports(t, 8), run: make([]*process, 5)}
	must(t, "init", "--dir", c.dir, "--base-port", fmt.Sprint(c.base), "--storage", "durable")
	return c
}

// kill ends replicas in the middle of what they do.
func (c *cluster) kill(ids ...int) {
	c.t.Helper()
	for _, i := range ids {
		c.run[i].signal(syscall.SIGKILL)
	}
	for _, i := range ids {
		c.run[i].exit()
	}
}

// TestKillAndRestartOne: under load each replica in turn, the leader too, is killed and started again; it continues, nobody
// convicts it, nothing that was acknowledged is lost or done twice, and all streams are equal.
func TestKillAndRestartOne(t *testing.T) {
	c := durable(t)
	c.start(1, 2, 3, 4)
	total := uint64(0)
	for victim := 1; victim <= 4; victim++ {
		var streams []*stream
		for i := 1; i <= 4; i++ {
			if i != victim {
				s := c.stream(i)
				s.name = fmt.Sprintf("%s without r%d", s.name, victim)
				streams = append(streams, s)
			}
		}
		for _, s := range streams {
			s.send(60)
		}
		c.kill(victim)
		for _, s := range streams {
			s.send(60) // under way while it starts
		}
		c.start(victim)
		must(t, "submit", "--dir", c.folder(victim), fmt.Sprintf("r%d is back", victim))
		for _, s := range streams {
			s.end()
			total += uint64(s.sent)
		}
		total++
	}
	text := c.whole(c.agree(total, 1, 2, 3, 4))
	for victim := 1; victim <= 4; victim++ {
		for i := 1; i <= 4; i++ {
			for n := 1; n <= 120 && i != victim; n++ {
				once(t, text, fmt.Sprintf("stream of r%d without r%d %d", i, victim, n))
			}
		}
		once(t, text, fmt.Sprintf("r%d is back", victim))
	}
}

// TestKillAndRestartAll: all replicas are killed at once under load, several times, and started again: ordering continues, what
// was acknowledged is there once, and all streams are equal.
func TestKillAndRestartAll(t *testing.T) {
	c := durable(t)
	var acknowledged []string
	for round := range 3 {
		c.start(1, 2, 3, 4)
		payload := fmt.Sprintf("round %d", round)
		must(t, "submit", "--dir", c.folder(1+round), payload)
		acknowledged = append(acknowledged, payload)
		var streams []*stream
		for i := 1; i <= 4; i++ {
			s := c.stream(i)
			s.name = fmt.Sprintf("%s in round %d", s.name, round)
			s.send(200)
			streams = append(streams, s)
		}
		c.agree(uint64(len(acknowledged)+50), 1) // some are ordered, others under way
		c.kill(1, 2, 3, 4)
		for _, s := range streams {
			_ = s.in.Close()
			s.p.exit()
			for n := range len(positions.FindAllString(s.p.said(), -1)) {
				acknowledged = append(acknowledged, fmt.Sprintf("%s %d", s.name, n+1))
			}
		}
	}
	c.start(1, 2, 3, 4)
	must(t, "submit", "--dir", c.folder(2), "after all")
	text := c.whole(c.agree(uint64(len(acknowledged)+1), 1, 2, 3, 4))
	for _, payload := range append(acknowledged, "after all") {
		once(t, text, payload)
	}
	if len(acknowledged) < 3*10 {
		t.Errorf("only %d updates were acknowledged", len(acknowledged))
	}
}

// positions are the lines that prime submit prints, one for each update that was acknowledged, in order.
var positions = regexp.MustCompile(`(?m)^\d+\.\d+$`)

// whole is the stream up to a place as every replica has it.
func (c *cluster) whole(place status) string {
	c.t.Helper()
	var first string
	for i := 1; i <= 4; i++ {
		text := must(c.t, "watch", "--dir", c.folder(i), "--from", "1", "--count", fmt.Sprint(place.Delivered))
		if first == "" {
			first = text
		}
		if text != first {
			c.t.Fatalf("r1 and r%d have different streams", i)
		}
		if s := c.status(i); s.State != "running" || len(s.Blacklist) > 0 || s.Storage.Bytes == 0 {
			c.t.Errorf("r%d: %+v", i, s)
		}
	}
	return first
}

// once demands that an update took effect once.
func once(t *testing.T, text, payload string) {
	t.Helper()
	if n := strings.Count(text, " "+payload+"\n"); n != 1 {
		t.Errorf("%q is there %d times", payload, n)
	}
}
