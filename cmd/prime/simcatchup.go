package main

import (
	"fmt"
	"time"

	"github.com/primebft/prime/sim"
)

// simCatchUp is how replicas that were behind came back, in all worlds together.
type simCatchUp struct {
	Ordinals int     `json:"ordinals"` // executed from what others told
	Away     int     `json:"away"`     // worlds in which a replica was away for long
	Back     int     `json:"back"`     // of these, in which it came back and had to
	BackMS   float64 `json:"back_ms"`  // the longest that one took
	Closest  float64 `json:"closest"`  // the largest part of what it was allowed to take that one took
	Seed     uint64  `json:"seed"`     // in this world
}

// add takes one more world into account.
func (c *simCatchUp) add(r *sim.Report) {
	c.Ordinals += r.CaughtUp
	if r.Away == 0 {
		return
	}
	if c.Away++; r.Back == 0 {
		return
	}
	c.Back++
	c.BackMS = max(c.BackMS, float64(r.Back)/float64(time.Millisecond))
	if part := float64(r.Back) / float64(r.BackMost); part > c.Closest || part == c.Closest && r.Seed < c.Seed {
		c.Closest, c.Seed = part, r.Seed
	}
}

// String is for people.
func (c *simCatchUp) String() string {
	return fmt.Sprintf("%d ordinals caught up; of %d replicas away for long %d came back, in %.0f ms at most, the closest after %.0f %% of what it may take (seed %d)",
		c.Ordinals, c.Away, c.Back, c.BackMS, 100*c.Closest, c.Seed)
}
