package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/primebft/prime/internal/lab"
)

// Times of a soak.
const (
	roundLimit = 60 * time.Second       // until all are back in order after a round; then the next begins all the same
	roundRest  = 500 * time.Millisecond // between two rounds
	soakRate   = 200                    // updates per second, if nobody says otherwise
	leastSoak  = 10 * time.Second
	mostSoak   = time.Hour
)

// playSoak plays rounds, each when all replicas are back in order after the one before, until the load is over.
func (x *experiment) playSoak(ctx context.Context) {
	_ = pause(ctx, time.Until(x.clock.At(x.log.Window.From)))
	for over := false; !over; {
		round := x.soak.Next()
		x.mu.Lock()
		p := lab.Played{Round: round, From: x.clock.Now(), First: len(x.log.Happened)}
		x.mu.Unlock()
		for i := range round.Events {
			e := &round.Events[i]
			pause(ctx, time.Until(x.clock.At(p.From+int64(e.At)))) // what was done is undone, even if the load is over
			x.happen(e)
		}
		p.Back = x.waitBack(&p)
		p.To = x.clock.Now()
		x.mu.Lock()
		x.played = append(x.played, p)
		number, window := len(x.played), x.log.Window
		x.mu.Unlock()
		what := "all back in order"
		if !p.Back {
			what = "NOT ALL BACK IN ORDER"
		}
		x.say("round %d at %.1f s: %s; %s after %.1f s", number, time.Duration(p.From-window.From).Seconds(), round.What, what,
			time.Duration(p.To-p.From).Seconds())
		over = pause(ctx, roundRest) != nil || x.clock.Now() >= window.To
	}
}

// pause waits, or returns why it does not.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waitBack waits until all replicas of a round are back in order, and reports whether they are.
func (x *experiment) waitBack(p *lab.Played) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		x.coming.Wait()
	}()
	limit := time.NewTimer(roundLimit)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
	case <-x.life.Done():
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	last := map[int]int64{} // of each replica, whether it came back from the last of what happened to it
	for _, h := range x.log.Happened[p.First:] {
		for _, r := range h.Returns {
			last[r.Replica] = r.At
		}
	}
	for _, at := range last {
		if at == 0 {
			return false
		}
	}
	return true
}

// soakFlags makes a lab a soak, and judges the flags.
func (c *labCmd) soakFlags() error {
	switch {
	case c.Soak == 0 && c.Rounds == 0:
		return nil
	case c.Soak == 0:
		return usageError(errors.New("--rounds: only a --soak has rounds"))
	case c.Soak < leastSoak || c.Soak > mostSoak:
		return usageError(fmt.Errorf("--soak %s: from %s to %s are possible", c.Soak, leastSoak, mostSoak))
	case c.Script != "" || len(c.Event) > 0 || c.Trials != 1 || c.Duration != 0 || c.Storage == "ephemeral":
		return usageError(errors.New("--soak: the rounds are its script: leave out --script, --event, --trials, --duration and --storage"))
	}
	if c.Duration = c.Soak; c.Rate == 0 {
		c.Rate = soakRate
	}
	return nil
}

// soakVerdict is the error of a soak in which somebody did not come back by itself, or in which fewer rounds than least ended.
func soakVerdict(r *lab.Report, least int) error {
	switch s := r.Soak; {
	case s == nil:
		return nil
	case !s.AllBack:
		return fmt.Errorf("the soak failed: only after %d of %d rounds were all replicas back in order by themselves", s.Finished, len(s.Rounds))
	case len(s.Problems) > 0:
		return fmt.Errorf("the soak failed: %s", s.Problems[0])
	case s.Finished < least:
		return fmt.Errorf("the soak failed: %d rounds, and --rounds wants %d: replicas take long to come back, or the soak is short", s.Finished, least)
	}
	return nil
}

// printSoak shows a soak to people.
func printSoak(w io.Writer, s *lab.SoakReport) {
	total := 0
	for _, r := range s.Rounds {
		if r.Total {
			total++
		}
	}
	fmt.Fprintf(w, "  %-12s %d rounds of seed %d, %d of them with nobody left to order; after %d all were back in order by themselves\n", "soak",
		len(s.Rounds), s.Seed, total, s.Finished)
	if s.OutageMS != nil {
		fmt.Fprintf(w, "  %-12s outage %.0f ms (median), at most %.0f ms; ", "", s.OutageMS.Median, s.OutageMS.Max)
	}
	if s.BackMS != nil {
		fmt.Fprintf(w, "back in order after %.0f ms (median), at most %.0f ms", s.BackMS.Median, s.BackMS.Max)
	}
	fmt.Fprintln(w)
	for _, p := range s.Problems {
		fmt.Fprintf(w, "  %-12s %s\n", "problem", p)
	}
}
