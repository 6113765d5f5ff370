package attack

import (
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
)

// Patient is the delay attack of the paper's experiments (TDSC 2011, section 7.2): a leader that holds each PRE-PREPARE back and
// shows it to one replica only, like the behaviour "delay", but is never voted out. It reads in what all report which turnaround it
// has, and uses up what is left of its limit bit by bit.
func Patient(h *Host, inner core.Machine) core.Machine {
	p := &patient{}
	return &hoarder{host: h, Machine: inner, dare: p.pause}
}

// patient is how long it has come to dare to wait.
type patient struct {
	held    time.Duration
	next    clock.Instant // when it looks again
	alarmed time.Duration // the turnaround that it last thought too long; it is reported for a while, however short the next ones are
}

// It leaves a fifth of its limit unused, because turnarounds vary, and looks at what it did every patience.
const (
	unused   = 5
	patience = time.Second
)

// pause is how long to hold a proposal.
func (p *patient) pause(now clock.Instant, j core.Judgement) time.Duration {
	left := j.Limit - j.Limit/unused - j.Turnaround
	switch {
	case p.next == 0: // nothing has been measured yet
	case now < p.next:
		return p.held
	case left > 0:
		p.held, p.alarmed = p.held+left/2, 0
	case j.Turnaround > p.alarmed:
		p.held, p.alarmed = max(0, p.held+left), j.Turnaround
	}
	p.next = now.Add(patience)
	return p.held
}
