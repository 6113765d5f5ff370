package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/primebft/prime/internal/bench"
)

// picture is the live picture of the demo: progress, throughput, latency, who leads, who is down, how far each replica is.
type picture struct {
	out      *os.File
	title    string
	duration time.Duration
	begin    time.Time
	session  *bench.Session
	fate     func(id int) string  // what was done to a replica; "" if nothing was
	leading  func() (uint64, int) // the view and its leader, as far as is known; nil: the replicas are asked
	below    func() []string      // lines below everything else; nil: none

	lines   int // drawn last time
	last    bench.Snapshot
	rates   []float64 // updates per second, one for each time that it was drawn
	leader  int
	view    uint64
	p50     float64
	p99     float64
	maximum float64
}

const (
	frame     = 250 * time.Millisecond // between two drawings
	sparkSize = 48                     // drawings in the sparkline
)

// run draws until ctx ends.
func (p *picture) run(ctx context.Context) {
	tick := time.NewTicker(frame)
	defer tick.Stop()
	asked := time.Time{}
	drawn := p.begin
	for {
		if time.Since(asked) > time.Second { // who leads changes rarely, and asking costs the replicas something
			asked = time.Now()
			p.askLeader(ctx)
		}
		now := time.Now()
		p.take(now.Sub(drawn))
		drawn = now
		p.draw(p.render(max(0, min(now.Sub(p.begin), p.duration))))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *picture) askLeader(ctx context.Context) {
	if p.leading != nil {
		return
	}
	list, err := p.session.Statuses(ctx)
	if err != nil {
		return
	}
	for _, s := range list {
		if s.View >= p.view {
			p.view, p.leader = s.View, s.Leader
		}
	}
}

// take notes how it is going.
func (p *picture) take(since time.Duration) {
	if p.leading != nil {
		p.view, p.leader = p.leading()
	}
	look := p.session.Look()
	if since > 0 {
		p.rates = append(p.rates, float64(look.Acknowledged-p.last.Acknowledged)/since.Seconds())
	}
	if len(p.rates) > sparkSize {
		p.rates = slices.Delete(p.rates, 0, len(p.rates)-sparkSize)
	}
	if look.Count > 0 {
		p.p50, p.p99, p.maximum = look.Recent.P50, look.Recent.P99, look.Recent.Max
	}
	p.last = look
}

// render makes the lines.
func (p *picture) render(elapsed time.Duration) []string {
	const width = 40
	done := int(int64(width) * int64(elapsed) / int64(p.duration))
	rate := 0.0
	if n := len(p.rates); n > 0 {
		rate = p.rates[n-1]
	}
	lines := []string{
		p.title, "",
		fmt.Sprintf("  %s%s  %4.1f s of %s", strings.Repeat("█", done), strings.Repeat("░", width-done), elapsed.Seconds(), p.duration),
		fmt.Sprintf("  throughput %9s/s  %s", thousands(rate), sparkline(p.rates)),
		fmt.Sprintf("  latency    p50 %.1f ms   p99 %.1f ms   max %.1f ms", p.p50, p.p99, p.maximum),
		fmt.Sprintf("  updates    %s acknowledged", thousands(float64(p.last.Acknowledged))), "",
	}
	ids := make([]int, 0, len(p.last.Ordinals))
	for id := range p.last.Ordinals {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		role := p.fate(id)
		if id == p.leader && role != "down: killed" {
			role = strings.TrimSuffix(fmt.Sprintf("leads view %d; %s", p.view, role), "; ")
		}
		lines = append(lines, fmt.Sprintf("  r%-3d ordinal %9s   %s", id, thousands(float64(p.last.Ordinals[id])), role))
	}
	if p.below != nil {
		lines = append(append(lines, ""), p.below()...)
	}
	return append(lines, "")
}

// draw replaces what was drawn last.
func (p *picture) draw(lines []string) {
	width, height, err := term.GetSize(int(p.out.Fd()))
	if err != nil || width < 20 || height < 4 {
		width, height = 80, 24
	}
	if len(lines) >= height { // what has scrolled away cannot be drawn over
		lines = lines[:height-1]
	}
	var b strings.Builder
	if p.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.lines)
	}
	for _, line := range lines {
		if runes := []rune(line); len(runes) >= width {
			line = string(runes[:width-1])
		}
		b.WriteString(line)
		b.WriteString("\x1b[K\n")
	}
	p.lines = len(lines)
	_, _ = p.out.WriteString(b.String())
}

// sparkline draws numbers as bars, from zero to the largest.
func sparkline(values []float64) string {
	bars := []rune("▁▂▃▄▅▆▇█")
	top := 1.0
	for _, v := range values {
		top = max(top, v)
	}
	line := make([]rune, len(values))
	for i, v := range values {
		line[i] = bars[min(len(bars)-1, int(v/top*float64(len(bars))))]
	}
	return string(line)
}
