package attack

import (
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
)

// Patient is the delay attack of the paper's experiments (TDSC 2011, section 7.2): a leader that holds each PRE-PREPARE back and
// shows it to one replica only, like the behaviour "delay", but is never voted out. It begins with half of what it believes to
// get away with, reads in what all report what turnaround that gave, and uses up what is left of its limit bit by bit.
func Patient(h *Host, inner core.Machine) core.Machine {
	p := &patient{}
	return &hoarder{host: h, Machine: inner, dare: p.pause}
}

// patient is how long it has come to dare to wait.
type patient struct {
	held time.Duration
	next clock.Instant // when it dares more
}

// Of the limit it uses up to spared less, and it looks at what that did every patience.
const (
	spared   = 10 * time.Millisecond
	patience = 2 * time.Second
)

// pause is how long to hold a proposal.
func (p *patient) pause(now clock.Instant, j core.Judgement) time.Duration {
	switch left := j.Limit - j.Turnaround - spared; {
	case now < p.next:
	case p.held == 0:
		p.held, p.next = max(0, j.Limit-j.Acceptable)/2, now.Add(patience)
	case left > 0:
		p.held, p.next = p.held+left/2, now.Add(patience)
	case left < -spared/2:
		p.held, p.next = max(0, p.held+left), now.Add(patience)
	}
	return p.held
}
