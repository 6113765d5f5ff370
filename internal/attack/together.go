package attack

import (
	"slices"

	"github.com/primebft/prime/internal/core"
)

// together is one behaviour that is all of these. Those that mean something only at the leader are next to the core: "delay" asks it
// what is thought of the leader. Each of the others wraps those before it.
func together(all []Behaviour) Behaviour {
	if len(all) == 1 {
		return all[0]
	}
	slices.SortStableFunc(all, func(a, b Behaviour) int {
		switch {
		case a.Leader == b.Leader:
			return 0
		case a.Leader:
			return -1
		}
		return 1
	})
	sum := all[0]
	for _, b := range all[1:] {
		sum.Name, sum.Does = sum.Name+"+"+b.Name, sum.Does+"; "+b.Does
		sum.Leader, sum.Hides, sum.Noisy, sum.Apart = sum.Leader || b.Leader, sum.Hides || b.Hides, sum.Noisy || b.Noisy, sum.Apart || b.Apart
	}
	sum.Wrap = func(h *Host, m core.Machine) core.Machine {
		for _, b := range all {
			m = b.Wrap(h, m)
		}
		return m
	}
	return sum
}
