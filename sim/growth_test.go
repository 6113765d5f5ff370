package sim

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
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

// TestGrowthsAreDocumented: every limit of the core is in the table of docs/operations.md, in a row of its part that says what it is.
func TestGrowthsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, part, ok := strings.Cut(string(page), "| **The protocol core")
	part, _, _ = strings.Cut(part, "\n\n")
	if !ok {
		t.Fatal("the table has no part on the protocol core")
	}
	named := map[string]bool{}
	for _, line := range strings.Split(part, "\n")[1:] {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(strings.Split(line, " | ")[0], -1) {
			named[m[1]] = true
			if growths[m[1]] == nil {
				t.Errorf("%s is in the table, and there is no limit for it", m[1])
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(growths)) {
		if !named[path] {
			t.Errorf("%s has a limit that is not in the table", path)
		}
	}
}
