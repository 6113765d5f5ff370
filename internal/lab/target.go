package lab

import (
	"slices"
	"strconv"
)

// Target is a replica by its id, or by what it is at the moment of the event.
type Target struct {
	ID   int // 0 if Role says which
	Role Role
}

// Role is a name for replicas that depends on the moment.
type Role string

// The roles.
const (
	Leader   Role = "leader"   // of the newest view that a correct replica is in
	Follower Role = "follower" // the running, correct replica that would be the last to become leader
	All      Role = "all"
)

// String is the target as it is written.
func (t Target) String() string {
	if t.ID != 0 {
		return "r" + strconv.Itoa(t.ID)
	}
	return string(t.Role)
}

// Targets is a list of them.
type Targets []Target

// Moment is what roles mean at some time.
type Moment struct {
	Replicas int            // n
	Leader   int            //
	Well     func(int) bool // running and correct
}

// Resolve returns the ids that targets stand for, ascending, each once. A follower that there is not is left out.
func (t Targets) Resolve(m Moment) []int {
	var ids []int
	for _, target := range t {
		switch target.Role {
		case Leader:
			ids = append(ids, m.Leader)
		case Follower:
			for back := 1; back < m.Replicas; back++ { // leaders follow each other by ascending id, so the last is just before
				if id := (m.Leader-1-back+m.Replicas)%m.Replicas + 1; m.Well(id) {
					ids = append(ids, id)
					break
				}
			}
		case All:
			for id := 1; id <= m.Replicas; id++ {
				ids = append(ids, id)
			}
		default:
			ids = append(ids, target.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Sides are the groups of a partition at a moment: what the event names, and the replicas that are in no group as one more.
// A replica that two of them name is in the first.
func (e *Event) Sides(m Moment) [][]int {
	taken := map[int]bool{}
	take := func(ids []int) (side []int) {
		for _, id := range ids {
			if !taken[id] {
				taken[id] = true
				side = append(side, id)
			}
		}
		return side
	}
	var sides [][]int
	for _, g := range append(slices.Clone(e.Groups), Targets{{Role: All}}) {
		if side := take(g.Resolve(m)); len(side) > 0 {
			sides = append(sides, side)
		}
	}
	return sides
}
