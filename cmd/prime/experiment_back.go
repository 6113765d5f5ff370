package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/bench"
	"github.com/primebft/prime/internal/cluster"
	"github.com/primebft/prime/internal/lab"
	"github.com/primebft/prime/internal/node"
)

// How replicas of a lab go away, and come back.

// storage is which replicas are durable.
type storage struct {
	all       config.StorageMode
	ephemeral []int // whatever the others are
}

func (s *storage) of(id int) config.StorageMode {
	if slices.Contains(s.ephemeral, id) {
		return config.StorageEphemeral
	}
	return s.all
}

// String is what a report says of it.
func (s *storage) String() string {
	if len(s.ephemeral) > 0 && s.all == config.StorageDurable {
		return fmt.Sprintf("durable, but for %s", lab.Names(s.ephemeral))
	}
	return string(s.all)
}

// storageFor is what a script needs, if nobody says otherwise: replicas that can be started again if any is, but for those that an
// event names as compromised, which never are.
func storageFor(events []lab.Event) storage {
	s := storage{all: config.StorageEphemeral}
	for i := range events {
		switch e := &events[i]; e.Verb {
		case lab.Restart:
			s.all = config.StorageDurable
		case lab.Attack:
			for _, t := range e.Who {
				if t.ID != 0 && !slices.Contains(s.ephemeral, t.ID) {
					s.ephemeral = append(s.ephemeral, t.ID)
				}
			}
		}
	}
	slices.Sort(s.ephemeral)
	return s
}

// Limits of coming back.
const (
	restartLimit = 60 * time.Second      // until a replica that was started again answers
	backLimit    = 60 * time.Second      // after the load, until all are back in order
	askLimit     = time.Second           // what a replica that is about to be paused takes to say what it has received
	backPeriod   = 10 * time.Millisecond // how often it is looked whether they are
)

// leaves notes that a replica is taken away, and where it was; if its process goes on later, also what it has received so far.
func (x *experiment) leaves(id int, goesOn bool) {
	before := bench.Status{Ordinal: x.session.Place(id)}
	if goesOn {
		ctx, cancel := context.WithTimeout(x.life, askLimit)
		defer cancel()
		if s, err := x.session.StatusOf(ctx, id); err == nil {
			before = s
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.taken[id] = true
	x.absences[id]++
	x.before[id] = before
}

// expects reports whether a replica that an event lets come back can.
func (x *experiment) expects(id int) bool { return x.cluster.Replica(id).Running() }

// expect watches, until the replica is taken away again or the end, for when one that an event lets come back is in order. first is
// done before; nil: nothing.
func (x *experiment) expect(event, id int, first func(event int, r *cluster.Replica) error) {
	x.mu.Lock()
	h := &x.log.Happened[event]
	place, absence, before := len(h.Returns), x.absences[id], x.before[id]
	h.Returns = append(h.Returns, lab.Return{Replica: id})
	x.mu.Unlock()
	x.coming.Go(func() {
		if first != nil {
			if err := first(event, x.cluster.Replica(id)); err != nil {
				x.mu.Lock()
				defer x.mu.Unlock()
				if x.absences[id] != absence {
					return // it was taken away again while it started
				}
				x.complain(event, fmt.Sprintf("r%d does not start again: %v", id, err))
				return
			}
		}
		back := x.awaitBack(id, absence, &before)
		x.mu.Lock()
		defer x.mu.Unlock()
		x.log.Happened[event].Returns[place] = back
	})
}

// awaitBack waits until a replica is back in order, or is taken away again, and returns what became of it since before.
func (x *experiment) awaitBack(id, absence int, before *bench.Status) lab.Return {
	again := time.NewTicker(backPeriod)
	defer again.Stop()
	r := lab.Return{Replica: id}
	for x.life.Err() == nil && x.absence(id) == absence {
		if s, err := x.session.StatusOf(x.life, id); err == nil {
			r.Bytes = s.Received() - min(before.Received(), s.Received())
			r.State = s.Checkpoints.Fetched - min(before.Checkpoints.Fetched, s.Checkpoints.Fetched)
			if s.State == node.StateRunning && x.near(id, s.Ordinal) {
				r.At, r.By, r.Missed = x.clock.Now(), wayOf(before, &s), s.Ordinal-min(before.Ordinal, s.Ordinal)
				if len(before.Peers) == 0 { // its process has ended since
					r.Start = s.Storage.Start
				}
				x.mu.Lock()
				delete(x.behind, id)
				x.mu.Unlock()
				return r
			}
		}
		select {
		case <-again.C:
		case <-x.life.Done():
		}
	}
	return r
}

// wayOf is the most expensive way by which a replica came from where it was before to where it is.
func wayOf(before, now *bench.Status) lab.Way {
	switch {
	case now.Checkpoints.Jumps > before.Checkpoints.Jumps:
		return lab.ByJump
	case now.CatchUp.Ordinals > before.CatchUp.Ordinals:
		return lab.BySegments
	}
	return lab.ByCertificates
}

func (x *experiment) absence(id int) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.absences[id]
}

// near reports whether a replica that has executed an ordinal is within one ordinal window of all others.
func (x *experiment) near(id int, ordinal uint64) bool {
	farthest := uint64(0)
	for _, other := range others(x.sizes.N(), []int{id}) {
		if !x.isAttacked(other) {
			farthest = max(farthest, x.session.Place(other))
		}
	}
	return ordinal+uint64(x.cluster.Config.Limits.OrdinalWindow) >= farthest
}

// restart waits for a replica that was started again, and goes on with it.
func (x *experiment) restart(event int, r *cluster.Replica) error {
	ctx, cancel := context.WithTimeout(x.life, restartLimit)
	defer cancel()
	x.session.Exclude(r.ID) // until its stream goes on
	defer x.session.Include(r.ID)
	if err := r.Answers(ctx); err != nil {
		return err
	}
	if err := x.session.Rejoin(ctx, r.ID); err != nil {
		return errors.Join(err, r.Kill())
	}
	x.mu.Lock()
	var side []int
	for _, s := range x.sides {
		if slices.Contains(s, r.ID) {
			side = s
		}
	}
	x.mu.Unlock()
	if side == nil {
		return nil
	}
	return x.separate(event, r.ID, side) // its own links are as at the beginning
}

// allBack waits, after the load, for replicas that are still to come back. Of those that are left behind, because others no longer
// hold what they need, nothing more is asked if the script took them away.
func (x *experiment) allBack() {
	limit := time.AfterFunc(backLimit, x.end)
	defer limit.Stop()
	x.coming.Wait()
	for id := 1; id <= x.sizes.N(); id++ {
		x.mu.Lock()
		behind, taken, absence := x.behind[id], x.taken[id], x.absences[id]
		x.mu.Unlock()
		if !behind || !x.cluster.Replica(id).Running() {
			continue
		}
		if back := x.awaitBack(id, absence, new(bench.Status)); back.At == 0 && taken { // otherwise that is a failure of the engine
			x.session.Exclude(id)
		}
	}
}
