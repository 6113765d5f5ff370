package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/primebft/prime"
	"github.com/primebft/prime/transport"
)

// statusTimeout is how long prime status waits.
const statusTimeout = 5 * time.Second

// statusCmd is prime status.
type statusCmd struct {
	Dir  string `required:"" help:"The folder of the running replica, for example demo/r1."`
	JSON bool   `name:"json" help:"Print everything as a JSON object."`
}

// Help is shown below the flags.
func (*statusCmd) Help() string {
	return `Shows where the replica is: its view and leader, what it has ordered and delivered, its peers, lanes and queues. Waits 5 s
at most.

Example:
  prime status --dir demo/r1
  prime status --dir demo/r1 --json`
}

// Run shows the status.
func (c *statusCmd) Run(g *globals) error {
	ctx, cancel := context.WithTimeoutCause(g.ctx, statusTimeout,
		fmt.Errorf("the replica of %s does not answer within %s", c.Dir, statusTimeout))
	defer cancel()
	client, err := dial(ctx, c.Dir, statusTimeout)
	if err != nil {
		return err
	}
	defer client.Close()
	text, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return g.printJSON(text)
	}
	var s prime.Status
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("the replica's answer cannot be read, use the same release: %w", err)
	}
	return printStatus(g.out, &s)
}

// changing says that a view is not installed.
func changing(s *prime.Status) string {
	if s.Installed {
		return ""
	}
	return " and being changed"
}

// leaderText is what the replica thinks of the leader.
func leaderText(s *prime.Status) string {
	j := s.Judgement
	text := fmt.Sprintf("turnaround %.1f ms", j.TurnaroundMS)
	if j.AcceptableMS != nil && j.LimitMS != nil {
		text += fmt.Sprintf(", acceptable %.1f ms, limit %.1f ms", *j.AcceptableMS, *j.LimitMS)
	} else {
		text += ", limit not known yet"
	}
	if j.StalledMS > 0 {
		text += fmt.Sprintf("; this replica stood still for %.0f ms", j.StalledMS)
	}
	if j.Suspected {
		text += "; SUSPECTED"
	}
	return text
}

// logText is what the replica would remember if it were killed now.
func logText(s *prime.Status) string {
	l := &s.Storage
	if l.MaxBytes == 0 {
		return l.Mode + ": none, so it cannot be started again"
	}
	text := fmt.Sprintf("%s, %s of %s", l.Mode, bytesText(int(l.LogBytes)), bytesText(int(l.MaxBytes)))
	if b := l.Start; b != nil {
		text += fmt.Sprintf("; started with %s from ordinal %d on, %d inputs in %.1f s", bytesText(int(b.LogBytes)), b.Ordinal, b.Inputs, b.MS/1e3)
	}
	return text
}

// checkpointText is what the replica keeps of states.
func checkpointText(s *prime.Status) string {
	c := &s.Checkpoints
	if c.Last == 0 && c.Stable == 0 {
		return "none yet"
	}
	text := fmt.Sprintf("stable at ordinal %d; own at %d, %s", c.Stable, c.Last, bytesText(int(c.Bytes)))
	if c.Skipped > 0 {
		text += fmt.Sprintf("; %d SKIPPED", c.Skipped)
	}
	if c.Restored > 0 {
		text += fmt.Sprintf("; went on after that at %d", c.Restored)
	}
	return text
}

// catchUpText is how the replica comes to what others executed while it was away.
func catchUpText(s *prime.Status) string {
	u := &s.CatchUp
	text := "not behind"
	if u.Target > s.Executed {
		text = fmt.Sprintf("%d ordinals behind", u.Target-s.Executed)
	}
	if u.Ordinals > 0 {
		text += fmt.Sprintf("; %d were told by others, %s", u.Ordinals, bytesText(int(u.Bytes)))
	}
	if c := &s.Checkpoints; c.Jumps > 0 {
		text += fmt.Sprintf("; %d jumps, %s of state fetched", c.Jumps, bytesText(int(c.Fetched)))
	}
	return text
}

// printStatus shows the status to people.
func printStatus(out io.Writer, s *prime.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("replica", "r%d, %s, up %s", s.Replica, s.State, time.Duration(s.UptimeS*float64(time.Second)).Round(time.Second))
	row("view", "%d, led by r%d%s, %d view changes", s.View, s.Leader, changing(s), s.ViewChanges)
	row("leader", "%s", leaderText(s))
	row("epoch", "%d", s.Epoch)
	row("ordinal", "%d (executed %d, ordered %d, proposed %d)", s.Ordinal, s.Executed, s.Ordered, s.Proposed)
	row("delivered", "%d records; held from ordinal %d", s.Delivered, s.Oldest)
	row("stream digest", "%s", s.StreamDigest)
	row("application", "at ordinal %d, %s behind", s.Application.Ordinal, bytesText(s.Application.BacklogBytes))
	if s.Application.MissedFrom > 0 {
		row("", "MISSED everything from ordinal %d on", s.Application.MissedFrom)
	}
	row("log", "%s", logText(s))
	row("checkpoints", "%s", checkpointText(s))
	if t := &s.Transfer; t.Ordinal > 0 && t.Phase != "idle" {
		row("transfer", "of ordinal %d: %s, %d of %d blocks, %s at %s/s", t.Ordinal, t.Phase, t.Done, t.Blocks, bytesText(int(t.Bytes)),
			bytesText(int(t.PerS)))
	}
	row("catching up", "%s", catchUpText(s))
	row("updates", "%d waiting (%s), %d accepted, %d refused as too many", s.Queues.SubmitUpdates, bytesText(s.Queues.SubmitBytes),
		s.Counters.Submitted, s.Counters.Overloaded)
	row("queues", "ingress %s, egress %d messages, replies %s", bytesText(s.Queues.IngressBytes), s.Queues.EgressMessages,
		bytesText(s.Queues.ReplyBytes))
	row("sessions", "%d", s.Sessions)
	if len(s.Blacklist) > 0 {
		row("proven faulty", "%s", strings.Join(names(s.Blacklist), " "))
	}
	row("connected", "%d of %d replicas", s.Connected, len(s.Peers)+1)
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "origin\tlink\taddress\tsent\treceived\tqueued\tdropped\theld\tpreordered\texecuted")
	for _, lane := range s.Lanes {
		link := "self\t\t\t\t\t"
		if i := slices.IndexFunc(s.Peers, func(p transport.Peer) bool { return p.ID == lane.Origin }); i >= 0 {
			p := &s.Peers[i]
			state := "tls"
			switch {
			case !p.Connected:
				state = "down"
			case p.Datagrams:
				state = "datagrams"
			}
			link = fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%d", state, p.Address, bytesText(int(p.SentBytes)), bytesText(int(p.RecvBytes)),
				bytesText(p.Queued), p.Dropped)
		}
		fmt.Fprintf(w, "r%d\t%s\t%d\t%d\t%d\n", lane.Origin, link, lane.Held, lane.Preordered, lane.Executed)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, p := range s.Peers {
		if !p.Connected && p.Why != "" {
			fmt.Fprintf(out, "r%d: %s\n", p.ID, p.Why)
		}
		if p.Connected && p.WhyTLS != "" {
			fmt.Fprintf(out, "r%d: over TLS: %s\n", p.ID, p.WhyTLS)
		}
		if p.Lost > 0 {
			fmt.Fprintf(out, "r%d: %d datagrams lost, %d repaired, %d sent twice, %d frames given up; round trip %.1f ms\n",
				p.ID, p.Lost, p.Repaired, p.Doubled, p.Expired, p.RoundTrip)
		}
	}
	return nil
}

func names(ids []int) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = "r" + strconv.Itoa(id)
	}
	return out
}

// bytesText is a size for people.
func bytesText(n int) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}
