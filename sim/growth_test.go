package sim

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/primebft/prime/internal/core"
)

// TestEverythingThatGrowsHasALimit: whatever can grow in the core is in growths, and nothing else is.
func TestEverythingThatGrowsHasALimit(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	scan(reflect.TypeFor[core.Replica](), "", found)
	for _, path := range slices.Sorted(maps.Keys(found)) {
		if growths[path] == nil {
			t.Errorf("a replica's %s can grow, and has no limit", path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(growths)) {
		if !found[path] {
			t.Errorf("there is a limit for %s, which a replica does not have", path)
		}
	}
}
