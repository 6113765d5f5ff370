package attack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBehaviours checks that every behaviour has a name of its own, says what it does, and can be found.
func TestBehaviours(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, b := range Behaviours() {
		if b.Name == "" || b.Does == "" || b.Wrap == nil || seen[b.Name] {
			t.Errorf("behaviour %q: name twice, or something is missing", b.Name)
		}
		seen[b.Name] = true
		if found, ok := Named(b.Name); !ok || found.Does != b.Does {
			t.Errorf("behaviour %q is not found by its name", b.Name)
		}
	}
	if _, ok := Named("no such thing"); ok {
		t.Error("a behaviour that does not exist was found")
	}
}

// TestBehavioursAreSmall: an attack that needs more than 100 lines is two.
func TestBehavioursAreSmall(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(string(text), "\n"); lines > 100 && file != "attack.go" && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%s has %d lines", file, lines)
		}
	}
}
