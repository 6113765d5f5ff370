package lab

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/primebft/prime/internal/group"
)

// Soak draws rounds of trouble from a seed: replicas are killed and started again, frozen and let go on, cut off and connected again.
// In most rounds no more are away at once than the group withstands; in some, all are, or no side has a quorum.
type Soak struct {
	group group.Group
	rng   *rand.Rand
}

// NewSoak returns the rounds of a seed.
func NewSoak(g group.Group, seed uint64) *Soak { return &Soak{g, rand.New(rand.NewPCG(seed, 1))} }

// Round is one round of a soak. Its events are in order, and undo what they did; their times are since the round began.
type Round struct {
	What   string // the first event and how long it lasts, for people
	Total  bool   // nothing can be ordered meanwhile
	Events []Event
}

// Next draws a round.
func (s *Soak) Next() Round {
	most := max(1, s.group.F()+s.group.K())
	some := s.pick(1 + s.rng.IntN(most))
	switch kind := s.rng.IntN(100); {
	case kind < 30:
		return s.round(false, Kill, Restart, some)
	case kind < 50:
		return s.round(false, Pause, Resume, some)
	case kind < 65:
		return s.round(false, Partition, Heal, some)
	case kind < 75:
		return s.flap(some)
	case kind < 85:
		if most < 2 {
			return s.round(false, Kill, Restart, some)
		}
		return s.both(s.pick(2))
	case kind < 93:
		return s.round(true, Kill, Restart, s.pick(s.group.N()))
	case kind < 96:
		return s.round(true, Pause, Resume, s.pick(s.group.N()))
	default:
		return s.round(true, Partition, Heal, s.pick(s.group.N()/2))
	}
}

// pick draws so many replicas.
func (s *Soak) pick(count int) []int {
	ids := s.rng.Perm(s.group.N())[:count]
	for i := range ids {
		ids[i]++
	}
	slices.Sort(ids)
	return ids
}

// lasts is how long something lasts: mostly short, sometimes some seconds.
func (s *Soak) lasts() time.Duration {
	most := []int{500, 500, 1000, 1000, 1000, 2000, 2000, 4000}[s.rng.IntN(8)]
	return time.Duration(100+s.rng.IntN(most)) * time.Millisecond
}

// round does something to replicas, and undoes it.
func (s *Soak) round(total bool, does, undoes Verb, ids []int) Round {
	last := s.lasts()
	r := Round{Total: total, Events: []Event{event(0, does, ids), event(last, undoes, ids)}}
	r.What = fmt.Sprintf("%s for %s", r.Events[0].Text, last)
	return r
}

// flap kills replicas again while they start, once or twice.
func (s *Soak) flap(ids []int) Round {
	r := Round{Events: []Event{event(0, Kill, ids)}}
	at := s.lasts()
	r.Events = append(r.Events, event(at, Restart, ids))
	again := 1 + s.rng.IntN(2)
	for range again {
		at += time.Duration(20+s.rng.IntN(400)) * time.Millisecond
		r.Events = append(r.Events, event(at, Restart, ids))
	}
	r.What = fmt.Sprintf("%s, and %d more times while it starts", r.Events[0].Text, again)
	return r
}

// both kills the first and freezes the second.
func (s *Soak) both(ids []int) Round {
	kill, pause, end := ids[:1], ids[1:], s.lasts()
	r := Round{Events: []Event{event(0, Kill, kill), event(end/4, Pause, pause), event(end/2, Restart, kill), event(end, Resume, pause)}}
	r.What = fmt.Sprintf("%s and %s for %s", r.Events[0].Text, r.Events[1].Text, end)
	return r
}

// event does something to replicas.
func event(at time.Duration, verb Verb, ids []int) Event {
	e := Event{At: at, Verb: verb, Text: string(verb)}
	if verb == Heal {
		return e
	}
	var list Targets
	var words []string
	for _, id := range ids {
		list = append(list, Target{ID: id})
		words = append(words, list[len(list)-1].String())
	}
	e.Text += " " + strings.Join(words, ",")
	if verb == Partition {
		e.Groups = []Targets{list}
	} else {
		e.Who = list
	}
	return e
}

// Played is a round as it was carried out, on the clock of package stall.
type Played struct {
	Round    Round
	From, To int64 // until all were back in order, or that was given up
	Back     bool  // they were
	First    int   // index of its first event in Log.Happened
}

// SoakReport is what became of a soak.
type SoakReport struct {
	Seed     uint64        `json:"seed"`
	Rounds   []RoundReport `json:"rounds"`
	Finished int           `json:"finished"` // of these, after so many every replica was back in order, by itself
	AllBack  bool          `json:"all_back"` // after every round every replica was back in order, by itself
	OutageMS *Spread       `json:"outage_ms"`
	BackMS   *Spread       `json:"back_ms"`
	Problems []string      `json:"problems"` // events that were not carried out
}

// RoundReport is one round.
type RoundReport struct {
	AtS      float64  `json:"at_s"`
	What     string   `json:"what"`
	Total    bool     `json:"total,omitempty"`
	OutageMS float64  `json:"outage_ms"` // the longest time without a delivery anywhere, unstalled
	BackMS   *float64 `json:"back_ms"`   // from its last event until all were back in order, unstalled; nil: they were not
}

// Soaked judges the rounds of a soak.
func (l *Log) Soaked(seed uint64, rounds []Played) *SoakReport {
	r := &SoakReport{Seed: seed, Rounds: []RoundReport{}, AllBack: true, Problems: []string{}}
	deliveries := l.deliveries()
	var outages, backs []float64
	for i := range rounds {
		p := &rounds[i]
		one := RoundReport{AtS: l.seconds(p.From), What: p.Round.What, Total: p.Round.Total}
		span := l.outage(deliveries, spanOf(p.From, p.To), max(p.To, l.Window.To), 0)
		one.OutageMS = milliseconds(int64(span.unstalled))
		outages = append(outages, one.OutageMS)
		for k := p.First; k < min(p.First+len(p.Round.Events), len(l.Happened)); k++ {
			h := &l.Happened[k]
			if h.Problem != "" {
				r.Problems = append(r.Problems, fmt.Sprintf("at %.3f s, %s: %s", l.seconds(h.At), h.Event.Text, h.Problem))
			}
			for _, b := range h.Returns {
				if b.At == 0 {
					continue
				}
				if ms := milliseconds(int64(l.unstalled(spanOf(h.At, b.At)))); one.BackMS == nil || ms > *one.BackMS {
					one.BackMS = &ms
				}
			}
		}
		if !p.Back {
			r.AllBack, one.BackMS = false, nil
		} else {
			r.Finished++
		}
		if one.BackMS != nil {
			backs = append(backs, *one.BackMS)
		}
		r.Rounds = append(r.Rounds, one)
	}
	r.OutageMS, r.BackMS = spread(outages), spread(backs)
	return r
}
